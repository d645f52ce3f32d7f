"""A batch: rows at once, sends by ingest, and what happens to each request of it."""

import json
from dataclasses import replace
from itertools import count

import pytest
from botocore.exceptions import EndpointConnectionError

from act_one.clients.client import Client
from act_one.inputs.bucket import UploadsBucket
from act_one.inputs.request import read_request
from act_one.lifecycle.advance import advance
from act_one.lifecycle.batch import (
    DUE_SECONDS,
    SEND_SECONDS,
    Accepted,
    IngestQueue,
    accept_batch,
    unsent,
)
from act_one.lifecycle.submission import send_accepted
from act_one.problems import ProblemError
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.events import task_to_send
from act_one.tasks.task import Billing, Evidence, Notice, Stage
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    FakeClients,
    make_services,
    never,
    no_warnings,
    plenty,
    submitted,
)

CLIENT = Client(name="client-1")
BODY = {"video": "https://media.example/a.mp4", "image": "https://media.example/b.png"}
WARNING = Notice(code="input_not_checked", message="slow")
IDS = [f"task_{number:032x}" for number in range(25)]
BUCKETS = count(1)


def entry(key="1", **fields):
    return {**BODY, "idempotency_key": key, **fields}


def accept(services, *entries, client=CLIENT, seconds_left=plenty):
    return accept_batch(entries, client, services, seconds_left)


def codes(results):
    return [one.task.stage if isinstance(one, Accepted) else one.code for one in results]


def account_of(table, owner):
    days = LedgerTable(table.client, table.ledger_name).days(owner, "0000", "9999")
    return days.values()


def refuse(_request):
    raise ProblemError(422, "input-too-long", "too long", "the video is too long")


def send(task, services, check=no_warnings):
    return send_accepted(task.task_id, CALLBACK_KEYS, services, plenty, check)


# ── Accepting ─────────────────────────────────────────────────────────────────────────────────


def test_each_valid_request_becomes_a_row_that_nothing_was_sent_of(services, table, provider):
    results = accept(services, entry("1"), entry("2", metadata={"a": 1}))

    rows = [table.read(one.task.task_id) for one in results]
    assert [row.stage for row in rows] == [Stage.ACCEPTED, Stage.ACCEPTED]
    assert {(row.billing, row.attempt, row.version) for row in rows} == {(Billing.NONE, 0, 1)}
    assert [row.due_at for row in rows] == [
        BEGINNING + DUE_SECONDS,
        BEGINNING + DUE_SECONDS + SEND_SECONDS,
    ]
    assert [row.preflight_wanted for row in rows] == [True, True]
    assert provider.creates == []
    assert unsent(results) == [row.task_id for row in rows]


def test_requests_are_refused_one_by_one_in_their_order(services):
    results = accept(
        services,
        entry("1"),
        BODY,
        entry("2", dry_run=True),
        entry(" "),
        entry("3", video=None),
        7,
        entry("4", metadata={"a": "x" * 65_536}),
        entry("5"),
    )

    assert codes(results) == [
        "accepted",
        "idempotency-key-missing",
        "unknown-field",
        "idempotency-key-empty",
        "field-not-string",
        "body-not-object",
        "body-too-large",
        "accepted",
    ]


def test_a_key_that_is_used_twice_in_a_batch_is_one_task_or_a_mismatch(services):
    first, second, third = accept(services, entry("1"), entry("1"), entry("1", consent="release"))

    assert (second.task.task_id, second.replayed) == (first.task.task_id, True)
    assert (third.code, third.field) == ("idempotency-key-reused", "idempotency_key")
    assert third.extensions == {"differs": ["consent"]}


def test_a_batch_takes_no_more_than_its_budget(services, table):
    client = replace(CLIENT, daily_budget=800_000)

    results = accept(services, *(entry(str(number)) for number in range(4)), client=client)

    assert codes(results) == ["accepted", "accepted", "budget-exceeded", "budget-exceeded"]
    [day] = account_of(table, "client#client-1")
    assert (day["tasks"], day["committed"]) == (2, 800_000)


def test_the_same_request_alone_is_the_same_task_and_is_not_sent_by_it(services, provider):
    [accepted] = accept(services, entry("1"))
    alone = read_request(json.dumps(BODY).encode(), "1", allow_addresses=False)

    task, replayed = submitted(services, alone)

    assert (task, replayed) == (accepted.task, True)
    assert provider.creates == []


def test_a_batch_that_is_sent_again_asks_for_what_was_not_sent(services):
    first = accept(services, entry("1"), entry("2"))
    send(first[0].task, services)

    again = accept(services, entry("1"), entry("2"))

    assert [one.replayed for one in again] == [True, True]
    assert unsent(again) == [first[1].task.task_id]


def test_a_batch_stops_in_time_and_says_what_it_did_not_take(services, table):
    left = iter([20.0, 5.0, 5.0])

    results = accept(services, *map(entry, "123"), seconds_left=lambda: next(left))

    assert codes(results) == ["accepted", "batch-unfinished", "batch-unfinished"]
    assert results[1].retryable
    assert table.client.scan(TableName=table.name, Select="COUNT")["Count"] == 1


def test_while_sending_is_paused_a_batch_waits_like_any_task(table):
    services = make_services(table, clients=FakeClients(paused=True))

    [accepted] = accept(services, entry("1"))

    assert [warning.code for warning in accepted.task.warnings] == ["sending_paused"]
    assert accepted.task.preflight_wanted
    assert send(accepted.task, services).stage is Stage.ACCEPTED


def test_an_upload_that_is_not_there_is_refused_at_once(aws, table, provider, clock):
    bucket = UploadsBucket(f"batch-{next(BUCKETS)}", s3=aws("s3"))
    bucket.client().create_bucket(Bucket=bucket.bucket)
    services = replace(make_services(table, provider, clock), uploads=bucket)

    results = accept(services, {"upload_id": "1" * 16, "idempotency_key": "1"})

    assert codes(results) == ["input-not-there"]


# ── Sending ───────────────────────────────────────────────────────────────────────────────────


def test_inputs_are_checked_when_the_task_is_sent(services, provider):
    [accepted] = accept(services, entry("1"))

    sent = send(accepted.task, services, lambda _: (WARNING,))

    assert (sent.stage, sent.attempt, sent.preflight_wanted) == (Stage.SUBMITTED, 1, False)
    assert sent.warnings == (WARNING,)
    assert len(provider.creates) == 1


def test_an_input_that_the_provider_would_fail_on_ends_the_task_unbilled(services, provider, table):
    [accepted] = accept(services, entry("1"))

    failed = send(accepted.task, services, refuse)

    assert (failed.stage, failed.billing, failed.cost) == (Stage.FAILED, Billing.NONE, 0)
    assert failed.error == Notice(code="input_too_long", message="the video is too long")
    assert provider.creates == []
    [day] = account_of(table, "client#client-1")
    assert (day["reserved"], day["committed"], day["failed"]) == (0, 0, 1)


def test_inputs_are_not_checked_if_the_request_said_so(services):
    [accepted] = accept(services, entry("1", preflight="off"))

    assert send(accepted.task, services, never).stage is Stage.SUBMITTED


def test_inputs_are_checked_once(services, provider):
    [accepted] = accept(services, entry("1"))
    tired = send_accepted(
        accepted.task.task_id, CALLBACK_KEYS, services, lambda: 1.0, lambda _: (WARNING,)
    )
    assert (tired.stage, tired.attempt) == (Stage.ACCEPTED, 0)

    assert send(accepted.task, services, never).stage is Stage.SUBMITTED
    assert len(provider.creates) == 1


def test_the_fallback_checks_and_sends_a_task_whose_message_was_lost(services, table):
    [accepted] = accept(services, entry("1"))

    advance(accepted.task.task_id, CALLBACK_KEYS, services, plenty, lambda _: (WARNING,))

    row = table.read(accepted.task.task_id)
    assert (row.stage, row.warnings) == (Stage.SUBMITTED, (WARNING,))


def test_a_message_sends_a_task_once(services, provider):
    [accepted] = accept(services, entry("1"))

    send(accepted.task, services)
    send(accepted.task, services)

    assert len(provider.creates) == 1


def test_a_message_sends_no_task_that_was_refused_before(create_task, services, provider):
    task = create_task(Stage.ACCEPTED, attempt=1, billing=Billing.NONE)

    send(task, services)

    assert provider.creates == []


def test_a_message_for_a_canceled_or_missing_task_does_nothing(create_task, services, provider):
    send(create_task(Stage.CANCELED, attempt=0), services)

    assert send_accepted(IDS[0], CALLBACK_KEYS, services, plenty, never) is None
    assert provider.creates == []


def test_a_refused_input_of_a_task_that_was_called_back_ends_nothing(services, table):
    [accepted] = accept(services, entry("1"))

    def call_back_and_refuse(request):
        callback = Evidence(received_at=BEGINNING, body="")
        table.record_callback(accepted.task.task_id, callback, BEGINNING, 5)
        refuse(request)

    assert send(accepted.task, services, call_back_and_refuse).stage is Stage.ACCEPTED


# ── Messages ──────────────────────────────────────────────────────────────────────────────────


class FakeQueue:
    """SQS, which is away once it has taken some messages."""

    def __init__(self, takes):
        self.takes = takes
        self.asked = []

    def send_message(self, *, QueueUrl, MessageBody):  # noqa: N803 - boto3's names
        assert QueueUrl == "https://queue"
        if len(self.asked) == self.takes:
            self.takes = -1
            raise EndpointConnectionError(endpoint_url=QueueUrl)
        self.asked.append(task_to_send(json.loads(MessageBody)))


@pytest.mark.parametrize("takes", [0, 7, len(IDS), len(IDS) + 1])
def test_what_the_queue_does_not_take_is_left_to_the_fallback(takes):
    queue = FakeQueue(takes)

    sent = IngestQueue(queue, "https://queue").send([*IDS, IDS[0]])

    assert queue.asked == IDS[:takes]
    assert sent == min(takes, len(IDS))


def test_a_batch_without_tasks_sends_no_message():
    assert IngestQueue(never, "https://queue").send([]) == 0


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"send_task": 1},
        {"send_task": "x"},
        {"send_task": IDS[0], "video": "https://media.example/a.mp4"},
    ],
)
def test_other_messages_ask_to_send_no_task(message):
    assert task_to_send(message) is None
