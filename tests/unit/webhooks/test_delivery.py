"""One delivery attempt: its request, its outcome, and the time of the next one."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from standardwebhooks import Webhook as Receiver

from act_one.keys import KeyNotSetError, KeyRing, Keys
from act_one.net import downloads
from act_one.tasks.events import DETAIL_TYPES, WEBHOOK_EVENTS, detail_of, event_of
from act_one.tasks.task import Notice, Stage, Webhook
from act_one.webhooks import delivery
from act_one.webhooks.delivery import (
    LONGEST_WAIT,
    MAX_WEBHOOK_BYTES,
    RETRIES,
    DeliveryContext,
    WebhookSecretError,
    deliver,
    read_message,
    sign,
    write_body,
)
from tests.endpoints import Answer, endpoint
from tests.unit.examples import task, tasks
from tests.unit.fakes import FakeClock, FakeSecrets

CURRENT = "Y3VycmVudCBzZWNyZXQgY3VycmVudCBzZWNyZXQg"
PREVIOUS = "whsec_cHJldmlvdXMgc2VjcmV0IHByZXZpb3VzIHNlY3I="
ENDED = task(
    Stage.SUCCEEDED,
    version=4,
    webhook=Webhook(url="https://user.example/hook?token=t0p", events=("task.succeeded",)),
)
LOCAL = downloads.Policy(allow_http=True, allow_private=True)


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


def sender(row, *, secret=CURRENT, policy=LOCAL, clock=None, outage=False):
    clock = clock or FakeClock(time.time())
    keys = KeyRing(FakeSecrets(secret), "webhook", clock)
    return DeliveryContext(FakeTable(row, outage), keys, downloads.session(policy), clock)


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
        return deliver(message(row), 1, using), found, using


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
    "secret",
    ["no-base64!", "whsec_x", "whsec_ä", "short", "a b c d e f g h", "==abcdefgh", "abcdefghi"],
)
@pytest.mark.parametrize("which", ["current", "previous"])
def test_a_secret_that_receivers_read_otherwise_signs_nothing(secret, which):
    keys = Keys(secret) if which == "current" else Keys(CURRENT, secret)

    with pytest.raises(WebhookSecretError, match="docs/operations") as caught:
        sign("id", 1_000, "{}", keys)

    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "error"), [(None, KeyNotSetError), ("no-base64!", WebhookSecretError)]
)
def test_nothing_is_sent_that_is_not_signed(secret, error):
    with endpoint() as found:
        row = aimed_at(found.url)

        with pytest.raises(error):
            deliver(message(row), 1, sender(row, secret=secret))

    assert found.received == []


# ── What is sent ──────────────────────────────────────────────────────────────────────────────


def test_an_endpoint_gets_the_task_as_events_say_it():
    made, found, _ = answering(Answer(200))

    (received,) = found.received
    body = Receiver(CURRENT).verify(received.body, received.headers)
    said = detail_of(aimed_at(f"{found.url}/hook?token=t0p"))
    assert body == {
        "type": "task.succeeded",
        "timestamp": said["updated_at"],
        "data": {name: value for name, value in said.items() if name != "event_id"},
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

        deliver(message(row), 1, using)
        clock.pass_by(10)
        deliver(message(row), 2, using)

    first, second = found.received
    assert int(second.headers["webhook-timestamp"]) == int(first.headers["webhook-timestamp"]) + 10
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    Receiver(CURRENT).verify(second.body, second.headers)


@pytest.mark.parametrize("stage", DETAIL_TYPES)
def test_every_event_has_a_name_that_the_message_leads_to(stage):
    assert read_message(message(replace(ENDED, stage=stage))).event == WEBHOOK_EVENTS[stage]


@given(tasks)
def test_any_event_is_a_small_body_that_leaves_its_message_alone(any_task):
    row = replace(any_task, stage=Stage.SUCCEEDED)
    announced = read_message(message(row))
    before = json.dumps(announced.detail)

    body = write_body(announced)

    assert len(body.encode()) <= MAX_WEBHOOK_BYTES
    assert json.loads(body)["data"]["id"] == row.task_id
    assert json.dumps(announced.detail) == before


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

    body = write_body(read_message(message(row)))

    read = json.loads(body)
    assert len(body.encode()) <= MAX_WEBHOOK_BYTES
    assert read["cut"] == ["warnings"]
    assert read["data"]["warnings"] == []
    assert read["data"]["metadata"] == row.metadata
    assert read["data"]["error"]["message"] == long


def test_a_row_that_is_gone_or_has_no_webhook_is_not_delivered():
    with endpoint() as found:
        row = aimed_at(found.url)

        assert deliver(message(row), 1, sender(None)) is None
        assert deliver(message(row), 1, sender(replace(row, webhook=None))) is None

    assert found.received == []


def test_a_doubled_message_is_delivered_once_and_again_only_on_demand():
    with endpoint() as found:
        row = aimed_at(found.url)
        using = sender(row)

        first, second, asked_for = (
            deliver(message(row, **more), 1, using) for more in ({}, {}, {"on_demand": True})
        )

    assert (first.error, second, asked_for.error) == (None, None, None)
    assert len(found.received) == 2


def test_another_event_of_the_task_is_delivered_too():
    with endpoint() as found:
        row = aimed_at(found.url)
        using = sender(row)
        deliver(message(replace(row, stage=Stage.FAILED, version=3)), 1, using)

        assert deliver(message(row), 1, using).error is None

    assert [one.headers["webhook-id"][-2:] for one in found.received] == ["#3", "#4"]


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
        row = aimed_at(found.url)
        using = sender(row)
        earlier = replace(row, stage=Stage.FAILED, version=3)

        gone = deliver(message(earlier), 1, using)

        assert gone.next_at is None
        assert deliver(message(row), 1, using) is None
        assert deliver(message(row, on_demand=True), 1, using).status == 410
    assert len(found.received) == 2


@pytest.mark.parametrize("url", ["http://user.example/", "https://127.0.0.1/", "https://[::1]/"])
def test_without_the_local_switch_only_public_https_is_called(url):
    row = aimed_at(url)

    made = deliver(message(row), 1, sender(row, policy=downloads.Policy()))

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

    made = deliver(message(row), 1, sender(row))

    assert made.status is None
    assert made.error.startswith("unreachable: ")
    assert made.next_at is not None


def test_an_endpoint_that_hangs_is_left_in_time(monkeypatch):
    monkeypatch.setattr(delivery, "ATTEMPT_SECONDS", 0.5)
    with endpoint(lambda _, found: found.over.wait(20) or Answer()) as found:
        row = aimed_at(found.url)

        made = deliver(message(row), 1, sender(row))

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
    refused = deliver(message(row), 1, sender(row, policy=downloads.Policy()))

    assert made.reply == "nothing at /hook?… here"
    assert "t0p" not in repr((made, refused))


def test_an_attempt_that_cannot_be_written_down_was_made_all_the_same():
    with endpoint() as found:
        row = aimed_at(found.url)

        made = deliver(message(row), 1, sender(row, outage=True))

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
            using = sender(row)
            waits.append(deliver(message(row), attempt, using).next_at - using.clock())

    assert len(set(waits)) > 1
    assert all(seconds - 0.01 <= wait <= seconds * 1.1 + 0.01 for wait in waits)


@pytest.mark.parametrize("attempt", [7, 8, 10])
def test_after_the_last_attempt_there_is_none(attempt):
    with endpoint(lambda *_: Answer(500)) as found:
        row = aimed_at(found.url)

        made = deliver(message(row), attempt, sender(row))

    assert len(SCHEDULE) == len(RETRIES)
    assert made.next_at is None
    assert made.error is not None


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
