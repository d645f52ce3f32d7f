"""Requests by event and message: their ids, their origins, and what a rejection says."""

import json
from itertools import count

import pytest

from act_one.clients.client import Client
from act_one.ingest.context import IngestContext
from act_one.ingest.messages import take
from act_one.inputs.bucket import UploadsBucket
from act_one.lifecycle.services import Services
from act_one.tasks.documents import document
from act_one.tasks.events import message_to_send
from act_one.tasks.identifiers import derive_task_id
from tests.schemas import faults_of
from tests.unit.fakes import FakeClients, FakeClock, FakeProvider, settings, submitted

NUMBERS = count(1)
BODY = {"video": "https://a.example/v?sig=1", "image": "https://a.example/i"}


class Requests:
    """The ingest queue's handler, and what it submits and sends."""

    def __init__(self, table, pairs, *clients):
        self.services = Services(
            *(
                table,
                FakeProvider(),
                settings(),
                FakeClock(),
                FakeClients(*clients),
                UploadsBucket("u"),
            )
        )
        self.context = IngestContext(
            table,
            self.services.uploads,
            self.services.settings,
            self.services.clock,
            self.services.clients,
            pairs,
            self,
            None,
        )
        self.tasks, self.rejected, self.waiting = [], [], []

    def put_events(self, *, Entries):  # noqa: N803 - boto3's name
        self.rejected += [
            {
                "source": entry["Source"],
                "detail-type": entry["DetailType"],
                "detail": json.loads(entry["Detail"]),
            }
            for entry in Entries
        ]
        return {"Entries": [{}]}

    def submit(self, request, client_id):
        task, _ = submitted(self.services, request, client_id)
        self.tasks.append(task)
        return task

    def take(self, body, message_id="m-1"):
        text = body if isinstance(body, str) else json.dumps(body)
        take(text, message_id, self.context, self.submit, self.waiting.append)


@pytest.fixture
def requests(table, pairs):
    return Requests(table, pairs)


def event(detail, event_id="e-1", **envelope):
    return {"id": event_id, "detail-type": "Task Requested", "detail": detail, **envelope}


ACME = Client(name="acme", event_sources=("my.shop",))
GONE = Client(name="gone", event_sources=("my.shop",), revoked=True)


def test_an_event_speaks_for_a_client_that_allows_its_source(table, pairs):
    requests = Requests(table, pairs, ACME)

    requests.take(event({**BODY, "client": "acme"}, source="my.shop"))

    [task] = requests.tasks
    assert (task.client_id, task.accounts) == ("acme", ("client#acme",))
    assert requests.rejected == []


@pytest.mark.parametrize(
    ("client", "envelope", "code"),
    [
        ("acme", {"source": "another.shop"}, "client-not-yours"),
        ("acme", {}, "client-not-yours"),
        ("uploads", {"source": "my.shop"}, "client-not-yours"),
        ("default", {"source": "my.shop"}, "client-not-yours"),
        (7, {"source": "my.shop"}, "client-not-yours"),
        ("nobody", {"source": "my.shop"}, "client-unknown"),
        ("gone", {"source": "my.shop"}, "client-unknown"),
        ("\ud800" * 99, {"source": "my.shop"}, "client-unknown"),
    ],
)
def test_an_event_speaks_for_no_other_client(table, pairs, client, envelope, code):
    requests = Requests(table, pairs, ACME, GONE)

    requests.take(event({**BODY, "client": client}, **envelope))

    [rejected] = requests.rejected
    assert requests.tasks == []
    assert (rejected["detail"]["problem"]["code"], rejected["detail"]["problem"]["field"]) == (
        code,
        "client",
    )


def test_a_message_without_an_event_speaks_for_no_client(table, pairs):
    requests = Requests(table, pairs, ACME)

    requests.take({**BODY, "client": "acme", "idempotency_key": "1", "source": "my.shop"})

    assert requests.tasks == []
    assert requests.rejected[0]["detail"]["problem"]["code"] == "client-not-yours"


def test_the_id_of_a_requested_task_cannot_be_computed_from_its_key(requests):
    requests.take({**BODY, "idempotency_key": "order-42"})
    requests.take({**BODY, "idempotency_key": "order-42"})

    first, second = requests.tasks
    assert first.task_id == second.task_id
    assert first.task_id != derive_task_id("events", "order-42")
    assert len(requests.services.provider.creates) == 1


def test_a_task_says_which_event_or_message_requested_it(requests):
    requests.take(event(BODY))
    requests.take({**BODY, "idempotency_key": "order-43"}, "m-2")

    origins = [document(task)["origin"] for task in requests.tasks]
    assert origins == [{"event": "e-1"}, {"message": "m-2"}]


def test_a_rejection_says_what_the_request_said_of_itself(requests):
    said = {"metadata": {"order": "42"}, "idempotency_key": "order-42"}
    requests.take(event({**said, "video": "https://a.example/v"}))

    [rejected] = requests.rejected
    detail = rejected["detail"]
    assert {name: detail[name] for name in said} == said
    assert detail["origin"] == {"event": "e-1"}
    assert faults_of(rejected) == []


@pytest.mark.parametrize(
    "said",
    [{"metadata": [1], "idempotency_key": 7}, {"metadata": {"a": "b" * 3_000}}, {}],
    ids=["of another type", "too large", "nothing"],
)
def test_a_rejection_leaves_out_what_cannot_be_used(said, requests):
    requests.take(said)

    [rejected] = requests.rejected
    assert (rejected["detail"]["metadata"], rejected["detail"]["idempotency_key"]) == ({}, None)
    assert faults_of(rejected) == []


def test_a_rejection_has_the_consent_if_it_can_be_used(requests):
    for consent in ("release-114", "two\nlines"):
        requests.take({"consent": consent})

    assert [one["detail"]["consent"] for one in requests.rejected] == ["release-114", None]
    assert [faults_of(one) for one in requests.rejected] == [[], []]


def test_a_key_that_is_no_string_is_not_called_missing(requests):
    requests.take({**BODY, "idempotency_key": 7})

    [rejected] = requests.rejected
    problem = rejected["detail"]["problem"]
    assert problem["code"] == "idempotency-key-missing"
    assert problem["title"] == "idempotency_key is not a string"


def test_a_byte_order_mark_before_a_message_is_ignored(requests):
    requests.take("\ufeff" + json.dumps({**BODY, "idempotency_key": "order-44"}))

    assert len(requests.tasks) == 1


def test_a_key_of_another_request_is_called_as_the_message_calls_it(requests):
    requests.take({**BODY, "idempotency_key": "order-45"})
    requests.take({**BODY, "idempotency_key": "order-45", "metadata": {"other": True}})

    [rejected] = requests.rejected
    problem = rejected["detail"]["problem"]
    assert (problem["code"], problem["field"]) == ("idempotency-key-reused", "idempotency_key")
    assert "idempotency_key" in problem["detail"]


# ── Tasks to send ─────────────────────────────────────────────────────────────────────────────


def test_a_message_about_a_batchs_task_sends_it_and_is_no_request(requests):
    task_id = f"task_{'1' * 32}"

    requests.take(message_to_send(task_id))

    assert (requests.waiting, requests.tasks, requests.rejected) == ([task_id], [], [])


@pytest.mark.parametrize("message", [{"send_task": "task_1"}, {**BODY, "send_task": "task_1"}])
def test_a_message_that_asks_for_no_task_is_rejected(requests, message):
    requests.take({"idempotency_key": "1", **message})

    assert requests.waiting == []
    assert [one["detail"]["problem"]["code"] for one in requests.rejected] == ["unknown-field"]
