"""One delivery attempt: its request, its outcome, and the time of the next one."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from standardwebhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError

from act_one.clock import rfc3339
from act_one.keys import KeyNotSetError, KeyRing, Keys
from act_one.net import downloads
from act_one.tasks.documents import document
from act_one.tasks.events import DEFAULT_WEBHOOK_EVENTS, DETAIL_TYPES, WEBHOOK_EVENTS, event_of
from act_one.tasks.links import Links
from act_one.tasks.task import Delivery, Notice, Stage, Webhook, WebhookForm
from act_one.webhooks import delivery
from act_one.webhooks.delivery import (
    LONGEST_WAIT,
    MAX_WEBHOOK_BYTES,
    RETRIES,
    DeliveryContext,
    deliver,
    find_lane,
    sign,
    write_body,
)
from act_one.webhooks.queue import Lane
from act_one.webhooks.secrets import DEFAULT_ENDPOINT, WebhookSecretError, client_secrets
from tests.endpoints import Answer, endpoint
from tests.sizes import size
from tests.unit.examples import task, tasks
from tests.unit.fakes import FakeClock, FakeSecrets

CURRENT = "Y3VycmVudCBzZWNyZXQgY3VycmVudCBzZWNyZXQg"
PREVIOUS = "whsec_cHJldmlvdXMgc2VjcmV0IHByZXZpb3VzIHNlY3I="
ENDED = task(
    Stage.SUCCEEDED,
    version=4,
    webhook=Webhook(url="https://user.example/hook?token=t0p", events=("task.succeeded",)),
)
HOOK_FOR_ENDS = Webhook(
    url="https://user.example/hook?token=t0p", events=("task.failed", "task.succeeded")
)
SECRET = client_secrets(Keys(CURRENT), ENDED.client_id).current
"""What the client of these tasks verifies webhooks with."""
LOCAL = downloads.Policy(allow_http=True, allow_private=True)


LINKS = Links(
    video="https://results.example/v.mp4?X-Amz-Signature=1",
    poster="https://results.example/p.png?X-Amz-Signature=2",
)


def link(_task):
    return LINKS


class FakeTable:
    """A table with one row, whose writes may fail."""

    def __init__(self, row, outage=False):  # noqa: FBT002 - a test's own switch
        self.row = row
        self.outage = outage

    def read(self, task_id):
        return self.row if self.row is not None and self.row.task_id == task_id else None

    def record_delivery(self, row, delivery):
        if self.outage:
            raise EndpointConnectionError(endpoint_url="https://dynamodb.example")
        self.row = replace(row, deliveries=(*row.deliveries, delivery))


def sender(row, *, secret=CURRENT, policy=LOCAL, clock=None, outage=False, default_url=""):
    clock = clock or FakeClock(time.time())
    keys = KeyRing(FakeSecrets(secret), "webhook", clock)
    session = downloads.session(policy)
    return DeliveryContext(FakeTable(row, outage), keys, session, clock, link, default_url)


def tried(row, times):
    """The row after so many failed attempts at its webhook."""
    failed = [
        Delivery(
            webhook_id=f"{row.task_id}#{row.version}",
            event="task.succeeded",
            attempt=number + 1,
            at=100.0 + number,
            milliseconds=1,
            error="answered 500",
            next_at=1.0,
        )
        for number in range(times)
    ]
    return replace(row, deliveries=(*row.deliveries, *failed))


def message(row, **more):
    """A message as the bus puts it into the queue."""
    entry = event_of(row, "bus")
    envelope = {"detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
    return json.dumps(envelope | more)


def aimed_at(url, row=ENDED):
    return replace(row, webhook=replace(row.webhook, url=url))


def answering(answer):
    """Deliver once to an endpoint that answers so."""
    with endpoint(lambda *_: answer) as found:
        row = aimed_at(f"{found.url}/hook?token=t0p")
        using = sender(row)
        return deliver(message(row), using), found, using


# ── Signatures ────────────────────────────────────────────────────────────────────────────────

VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        '{"event_type":"ping","data":{"success":true}}',
        "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    ),
]
"""What Standard Webhooks' own libraries and their documentation are checked with."""


@pytest.mark.parametrize(("secret", "webhook_id", "at", "body", "signature"), VECTORS)
def test_the_reference_vectors_are_signed_as_they_should(secret, webhook_id, at, body, signature):
    assert sign(webhook_id, at, body, Keys(secret)) == signature
    assert sign(webhook_id, at + 0.9, body, Keys(secret)) == signature
    assert sign(webhook_id, at, body, Keys(secret.removeprefix("whsec_"))) == signature
    assert sign(webhook_id, at + 1, body, Keys(secret)) != signature


def test_both_secrets_sign_while_one_is_replaced():
    signed = sign("id", 1_000, "{}", Keys(CURRENT, PREVIOUS))

    assert signed.split(" ") == [
        sign("id", 1_000, "{}", Keys(CURRENT)),
        sign("id", 1_000, "{}", Keys(PREVIOUS)),
    ]


@pytest.mark.parametrize(
    ("secret", "error"), [(None, KeyNotSetError), ("no-base64!", WebhookSecretError)]
)
def test_nothing_is_sent_that_is_not_signed(secret, error):
    with endpoint() as found:
        row = aimed_at(found.url)

        with pytest.raises(error):
            deliver(message(row), sender(row, secret=secret))

    assert found.received == []


# ── What is sent ──────────────────────────────────────────────────────────────────────────────


def test_an_endpoint_gets_the_task_as_events_describe_it():
    made, found, _ = answering(Answer(200))

    (received,) = found.received
    body = Receiver(SECRET).verify(received.body, received.headers)
    assert body == {
        "type": "task.succeeded",
        "timestamp": rfc3339(ENDED.updated_at),
        "data": document(aimed_at(f"{found.url}/hook?token=t0p")),
    }
    assert received.path == "/hook?token=t0p"
    assert received.headers["webhook-id"] == f"{ENDED.task_id}#4"
    assert received.headers["content-type"] == "application/json"
    assert made.error is None


def test_each_attempt_has_a_timestamp_of_its_own_and_the_same_id_and_body():
    clock = FakeClock(time.time())
    with endpoint(lambda *_: Answer(500)) as found:
        row = aimed_at(found.url)
        using = sender(row, clock=clock)

        deliver(message(row), using)
        clock.pass_by(10)
        deliver(message(row), using)

    first, second = found.received
    assert int(second.headers["webhook-timestamp"]) == int(first.headers["webhook-timestamp"]) + 10
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    Receiver(SECRET).verify(second.body, second.headers)


LEGACY = Webhook(
    url="https://user.example/hook", events=DEFAULT_WEBHOOK_EVENTS, form=WebhookForm.COMETAPI
)


def test_a_receiver_of_cometapis_callbacks_gets_their_form_with_our_signature():
    with endpoint() as found:
        row = replace(ENDED, webhook=replace(LEGACY, url=f"{found.url}/hook"))
        made = deliver(message(row), sender(row))

    (received,) = found.received
    body = Receiver(SECRET).verify(received.body, received.headers)
    assert (body["task_id"], body["status"], body["video_url"]) == (row.task_id, "3", LINKS.video)
    assert received.headers["webhook-id"] == f"{row.task_id}#4"
    assert not {"type", "data", "code", "state"} & body.keys()
    assert made.error is None


def test_each_attempt_in_cometapis_form_has_links_of_its_own():
    made = iter(range(9))
    clock = FakeClock(time.time())
    with endpoint(lambda *_: Answer(500)) as found:
        row = replace(ENDED, webhook=replace(LEGACY, url=found.url))
        using = replace(sender(row, clock=clock), link=lambda _: Links(video=f"v{next(made)}"))
        deliver(message(row), using)
        clock.pass_by(7_200)
        deliver(message(row), using)

    assert [json.loads(one.body)["video_url"] for one in found.received] == ["v0", "v1"]


@pytest.mark.parametrize("stage", DETAIL_TYPES)
def test_every_stage_with_an_event_has_a_name_in_webhooks(stage):
    assert (
        json.loads(write_body(replace(ENDED, stage=stage), link))["type"] == WEBHOOK_EVENTS[stage]
    )


@settings(max_examples=size(10, 60))
@given(tasks)
def test_the_body_of_any_task_is_small(any_task):
    row = replace(any_task, stage=Stage.SUCCEEDED)

    body = write_body(row, link)

    said = json.loads(body)
    assert len(body.encode()) <= MAX_WEBHOOK_BYTES
    assert said.get("task_id", said.get("data", {}).get("id")) == row.task_id


def test_a_body_that_is_too_large_says_what_it_lacks():
    long = "ä" * 500
    warnings = tuple(Notice(code=f"code_{n}", message=long) for n in range(20))
    row = replace(
        ENDED,
        warnings=warnings,
        metadata={"a": "x" * 2_000},
        error=Notice(code="failed", message=long),
        video="https://media.example/" + "v" * 2_000,
    )

    body = write_body(row, link)

    read = json.loads(body)
    assert len(body.encode()) <= MAX_WEBHOOK_BYTES
    assert read["cut"] == ["warnings"]
    assert read["data"]["warnings"] == []
    assert read["data"]["metadata"] == row.metadata
    assert read["data"]["error"]["message"] == long


def test_a_row_that_is_gone_or_has_no_webhook_is_not_delivered():
    with endpoint() as found:
        row = aimed_at(found.url)

        assert deliver(message(row), sender(None)) is None
        assert deliver(message(row), sender(replace(row, webhook=None))) is None

    assert found.received == []


@pytest.mark.parametrize("more", [{}, {"asked_at": 1.0}])
def test_nothing_is_sent_of_a_task_whose_erasure_has_begun(more):
    row = aimed_at("https://user.example/hook")
    using = sender(replace(row, erasing_since=1.0))

    assert find_lane(message(row, **more), using.table) is None
    assert deliver(message(row, **more), using) is None


def test_a_doubled_message_is_delivered_once_and_again_only_on_demand():
    with endpoint() as found:
        row = aimed_at(found.url)
        using = sender(row)

        first, second, asked_for = (
            deliver(message(row, **more), using) for more in ({}, {}, {"asked_at": 1.0})
        )

    assert (first.error, second, asked_for.error) == (None, None, None)
    assert len(found.received) == 2


def test_each_version_of_a_task_is_delivered_when_its_message_comes():
    with endpoint() as found:
        row = aimed_at(found.url, replace(ENDED, webhook=HOOK_FOR_ENDS))
        failed = replace(row, stage=Stage.FAILED, version=3)
        using = sender(failed)
        deliver(message(failed), using)
        using.table.row = replace(row, deliveries=using.table.row.deliveries)

        assert deliver(message(row), using).error is None

    assert [one.headers["webhook-id"][-2:] for one in found.received] == ["#3", "#4"]


# ── The message is not trusted ────────────────────────────────────────────────────────────────


def test_the_body_is_the_row_whatever_the_message_says():
    with endpoint() as found:
        row = aimed_at(found.url)
        forged = json.loads(message(row))
        forged["detail-type"] = "Task Failed"
        forged["detail"] |= {
            "stage": "failed",
            "status": "failed",
            "event_id": "evil#4",
            "output": {"video": {"s3_uri": "s3://evil/video.mp4"}},
        }

        deliver(json.dumps(forged), sender(row))

    (received,) = found.received
    body = json.loads(received.body)
    assert body == {
        "type": "task.succeeded",
        "timestamp": rfc3339(row.updated_at),
        "data": document(row),
    }
    assert received.headers["webhook-id"] == f"{row.task_id}#4"


@pytest.mark.parametrize("version", [5, 999_999])
def test_a_message_about_a_version_that_does_not_exist_is_dropped(version):
    with endpoint() as found:
        row = aimed_at(found.url)

        assert deliver(message(replace(row, version=version)), sender(row)) is None

    assert found.received == []


def test_a_message_about_an_older_version_leaves_the_webhook_to_the_newer_message():
    with endpoint() as found:
        row = aimed_at(found.url, replace(ENDED, webhook=HOOK_FOR_ENDS))
        using = sender(row)

        assert deliver(message(replace(row, stage=Stage.FAILED, version=3)), using) is None
        assert found.received == []
        assert deliver(message(row), using).webhook_id == f"{row.task_id}#4"


def test_an_event_that_the_webhook_does_not_name_is_sent_on_demand_only():
    with endpoint() as found:
        row = aimed_at(found.url, replace(ENDED, stage=Stage.RUNNING))
        using = sender(row)

        assert deliver(message(row), using) is None
        assert deliver(message(row, asked_at=1.0), using).event == "task.running"


def test_a_request_to_send_again_sends_what_the_task_has_become():
    with endpoint() as found:
        row = aimed_at(found.url)
        asked = message(replace(row, stage=Stage.RUNNING, version=3), asked_at=1.0)

        assert deliver(asked, sender(row)).webhook_id == f"{row.task_id}#4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 100_000,
        "{}",
        '{"detail": []}',
        '{"detail": {"id": 7, "version": 4}}',
        '{"detail": {"id": "", "version": 4}}',
        '{"detail": {"id": "task_1", "version": "4"}}',
        '{"detail": {"id": "task_1", "version": true}}',
    ],
)
def test_a_message_that_names_no_task_and_version_is_dropped(text):
    assert deliver(text, sender(ENDED)) is None


# ── What comes of it ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_success(status):
    made, _, using = answering(Answer(status))

    assert (made.status, made.error, made.next_at) == (status, None, None)
    assert using.table.row.deliveries == (made,)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 401, 404, 408, 429, 500, 503])
def test_whatever_else_is_answered_is_tried_again(status):
    made, found, using = answering(Answer(status, headers={"Location": "https://other.example/"}))

    assert made.status == status
    assert str(status) in made.error
    assert 5 <= made.next_at - using.clock() <= 5.5
    assert len(found.received) == 1


def test_an_endpoint_that_is_gone_gets_nothing_more_of_this_task():
    with endpoint(lambda *_: Answer(HTTPStatus.GONE)) as found:
        row = aimed_at(found.url, replace(ENDED, webhook=HOOK_FOR_ENDS))
        earlier = replace(row, stage=Stage.FAILED, version=3)
        using = sender(earlier)

        gone = deliver(message(earlier), using)
        using.table.row = replace(row, deliveries=(gone,))

        assert gone.next_at is None
        assert deliver(message(row), using) is None
        assert deliver(message(row, asked_at=1.0), using).status == 410
    assert len(found.received) == 2


@pytest.mark.parametrize("url", ["http://user.example/", "https://127.0.0.1/", "https://[::1]/"])
def test_without_the_local_switch_only_public_https_is_called(url):
    row = aimed_at(url)

    made = deliver(message(row), sender(row, policy=downloads.Policy()))

    assert made.status is None
    assert made.error.startswith("not called: ")
    assert made.next_at is not None


def test_a_redirect_leads_nowhere():
    with endpoint() as private:
        location = {"Location": f"{private.url}/latest/meta-data"}
        made, _, _ = answering(Answer(302, headers=location))

    assert "redirects are not followed" in made.error
    assert private.received == []


def test_an_endpoint_that_refuses_connections_is_retried():
    with endpoint() as found:
        row = aimed_at(found.url)

    made = deliver(message(row), sender(row))

    assert made.status is None
    assert made.error.startswith("unreachable: ")
    assert made.next_at is not None


def test_an_endpoint_that_hangs_is_left_in_time(monkeypatch):
    monkeypatch.setattr(delivery, "ATTEMPT_SECONDS", 0.5)
    with endpoint(lambda _, found: found.over.wait(20) or Answer()) as found:
        row = aimed_at(found.url)

        made = deliver(message(row), sender(row))

    assert made.error.startswith("unreachable: ")
    assert 400 <= made.milliseconds < 15_000  # the endpoint hangs for 20 s


def test_no_more_than_the_beginning_of_a_reply_is_kept():
    made, _, _ = answering(Answer(500, "ä".encode() * 1_000_000))
    other, _, _ = answering(Answer(200, b"a\x00b\r\nc"))

    assert made.reply == "ä" * 200
    assert other.reply == "a b  c"


def test_a_reply_that_makes_no_sense_changes_nothing():
    made, _, _ = answering(Answer(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}))
    other, _, _ = answering(Answer(200, b"\xff\xfe"))

    assert (made.status, made.error, made.reply) == (200, None, "")
    assert (other.error, other.reply) == (None, "��")


def test_no_error_or_reply_holds_the_query_of_the_url():
    made, _, _ = answering(Answer(404, b"nothing at /hook?token=t0p here"))
    row = aimed_at("https://127.0.0.1:1/hook?token=t0p")
    refused = deliver(message(row), sender(row, policy=downloads.Policy()))

    assert made.reply == "nothing at /hook?… here"
    assert "t0p" not in repr((made, refused))


def test_an_attempt_that_cannot_be_written_down_was_made_all_the_same():
    with endpoint() as found:
        row = aimed_at(found.url)

        made = deliver(message(row), sender(row, outage=True))

    assert made.error is None
    assert len(found.received) == 1


# ── When again ────────────────────────────────────────────────────────────────────────────────

SCHEDULE = {1: "5 s", 2: "5 min", 3: "30 min", 4: "2 h", 5: "5 h", 6: "10 h"}
UNITS = {"s": 1, "min": 60, "h": 3_600}


@pytest.mark.parametrize("attempt", SCHEDULE)
def test_a_failed_attempt_is_followed_by_the_next_one_of_the_schedule(attempt):
    number, unit = SCHEDULE[attempt].split()
    seconds = int(number) * UNITS[unit]
    with endpoint(lambda *_: Answer(500)) as found:
        row = aimed_at(found.url)
        waits = []
        for _ in range(8):
            using = sender(tried(row, attempt - 1))
            made = deliver(message(row), using)
            waits.append(made.next_at - using.clock())

            assert made.attempt == attempt

    assert len(set(waits)) > 1
    assert all(seconds - 0.01 <= wait <= seconds * 1.1 + 0.01 for wait in waits)


def test_after_the_last_attempt_there_is_none():
    with endpoint(lambda *_: Answer(500)) as found:
        row = tried(aimed_at(found.url), 6)
        using = sender(row)

        made = deliver(message(row), using)

        assert len(SCHEDULE) == len(RETRIES)
        assert (made.attempt, made.next_at) == (7, None)
        assert made.error is not None
        assert deliver(message(row), using) is None
    assert len(found.received) == 1


def test_attempts_at_another_version_do_not_count():
    with endpoint(lambda *_: Answer(500)) as found:
        row = aimed_at(found.url)
        earlier = tried(replace(row, version=3), 6)

        made = deliver(message(row), sender(replace(row, deliveries=earlier.deliveries)))

    assert made.attempt == 1


def test_a_request_to_send_again_has_attempts_of_its_own():
    with endpoint(lambda *_: Answer(500)) as found:
        row = tried(aimed_at(found.url), 7)  # at 100 to 106 s

        made = deliver(message(row, asked_at=105.0), sender(row))

    assert made.attempt == 3
    assert made.next_at is not None


# ── Lanes ─────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_in_the_lane_of_its_endpoint_and_client():
    row = aimed_at("https://User.Example:8443/hook?token=t0p")

    assert find_lane(message(row), FakeTable(row)) == Lane(
        endpoint="user.example:8443", client=row.client_id
    )


def test_a_message_that_is_not_due_is_in_no_lane():
    assert find_lane(message(replace(ENDED, version=9)), FakeTable(ENDED)) is None
    assert find_lane("{}", FakeTable(ENDED)) is None


# ── Secrets ───────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_is_signed_with_its_clients_secret_and_no_other():
    with endpoint() as found:
        row = aimed_at(found.url, replace(ENDED, client_id="b" * 16))
        deliver(message(row), sender(row))

    (received,) = found.received
    own = client_secrets(Keys(CURRENT), "b" * 16).current
    Receiver(own).verify(received.body, received.headers)
    for other in (SECRET, CURRENT, client_secrets(Keys(CURRENT), DEFAULT_ENDPOINT).current):
        with pytest.raises(WebhookVerificationError):
            Receiver(other).verify(received.body, received.headers)


def test_the_default_endpoint_has_a_secret_of_its_own_that_no_client_knows():
    with endpoint() as found:
        row = aimed_at(found.url)
        deliver(message(row), sender(row, default_url=found.url))

    (received,) = found.received
    Receiver(client_secrets(Keys(CURRENT), DEFAULT_ENDPOINT).current).verify(
        received.body, received.headers
    )
    with pytest.raises(WebhookVerificationError):
        Receiver(SECRET).verify(received.body, received.headers)


def test_a_webhook_has_a_signature_of_each_of_two_secrets():
    with endpoint() as found:
        row = aimed_at(found.url)
        both = json.dumps({"current": CURRENT, "previous": PREVIOUS})
        deliver(message(row), sender(row, secret=both))

    (received,) = found.received
    for secret in client_secrets(Keys(CURRENT, PREVIOUS), row.client_id).both():
        Receiver(secret).verify(received.body, received.headers)


def http_date(at):
    return datetime.fromtimestamp(at, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("60", 60, 60),
        ("0", 5, 5.5),
        ("3", 5, 5.5),
        ("999999999", LONGEST_WAIT, LONGEST_WAIT),
        (+600, 590, 601),
        (-600, 5, 5.5),
        ("soon", 5, 5.5),
        ("-5", 5, 5.5),
    ],
)
def test_a_longer_pause_that_the_endpoint_asks_for_is_kept(said, least, most):
    header = said if isinstance(said, str) else http_date(time.time() + said)

    made, _, using = answering(Answer(503, headers={"Retry-After": header}))

    assert least - 0.01 <= made.next_at - using.clock() <= most + 0.01
