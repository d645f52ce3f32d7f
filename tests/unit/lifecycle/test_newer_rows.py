"""A row that a newer release wrote is left alone: unchanged, and due for the newer code."""

import json
from dataclasses import replace
from itertools import count

import pytest

from act_one.clients.client import Client
from act_one.inputs.query import PageQuery, TaskQuery
from act_one.inputs.request import TransferRequest
from act_one.lifecycle.advance import advance
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.listing import list_tasks
from act_one.lifecycle.read import own_task
from act_one.lifecycle.relay import publish
from act_one.lifecycle.retry import _link
from act_one.lifecycle.storing import store_result
from act_one.lifecycle.submission import send_accepted
from act_one.lifecycle.sweep import sweep
from act_one.problems import ProblemError
from act_one.tasks import moves, schema
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.rows import read_item, to_item
from act_one.tasks.schema import NewerRowError, Schema, UnreadableRowError
from act_one.tasks.task import (
    Delivery,
    Evidence,
    MediaUrls,
    Notice,
    Output,
    PinnedFile,
    SettledBy,
    Stage,
    StoredMedia,
    Webhook,
)
from act_one.webhooks.delivery import find_lane
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    make_services,
    no_warnings,
    not_paused,
    plenty,
    submitted,
)

NOW = BEGINNING + 1_000.0
NEWER = schema.TASKS.read + 1
KEY = {"task_id": {"S": TASK.task_id}}
OWNER = Client(name=TASK.client_id)
REQUEST = TransferRequest(
    video=TASK.video, image=TASK.image, idempotency_key="key", preflight=False
)


def raw(table, task_id=TASK.task_id):
    return table.client.get_item(TableName=table.name, Key={"task_id": {"S": task_id}})["Item"]


@pytest.fixture
def newer(table):
    """Make a row of a newer release, which means something else by `billing`; returns it."""

    def make(stage=Stage.SUBMITTED, **fields):
        item = to_item(task(stage, **fields)) | {
            "schema": {"N": str(NEWER)},
            "billing": {"M": {"state": {"S": "charged"}}},
        }
        table.client.put_item(TableName=table.name, Item=item)
        return raw(table, item["task_id"]["S"])

    return make


# ── The number ────────────────────────────────────────────────────────────────────────────────


def test_each_put_and_update_writes_the_schema(table):
    written = {"N": str(schema.TASKS.written)}

    assert to_item(TASK)["schema"] == written
    item = to_item(TASK)
    del item["schema"]
    table.client.put_item(TableName=table.name, Item=item)
    table.record(table.read(TASK.task_id), due_at=NOW)
    assert raw(table)["schema"] == written


def test_a_row_without_a_schema_is_of_the_first():
    item = to_item(TASK)
    del item["schema"]

    assert read_item(item) == TASK


@pytest.mark.parametrize("kind", [schema.TASKS, schema.PAIRS, schema.CLIENTS])
def test_nothing_is_written_that_is_not_read(kind):
    assert 1 <= kind.written <= kind.read


def test_a_newer_row_is_not_taken_for_a_broken_one():
    with pytest.raises(NewerRowError) as caught:
        Schema(read=1, written=1).check({"schema": {"N": "2"}, "client_id": {"S": "a"}})

    assert (caught.value.schema, caught.value.client_id) == (2, "a")
    with pytest.raises(UnreadableRowError) as caught:
        read_item(to_item(TASK) | {"schema": {"S": "two"}})
    assert not isinstance(caught.value, NewerRowError)


# ── Additions ─────────────────────────────────────────────────────────────────────────────────


def test_members_that_only_newer_code_knows_are_ignored_in_nested_values():
    media = StoredMedia(s3_uri="s3://b/k", size=1, sha256="00", content_type="video/mp4")
    full = task(
        Stage.SUCCEEDED,
        source=SOURCE,
        evidence=Evidence(received_at=NOW, body="{}"),
        success_callback=Evidence(received_at=NOW, body="{}"),
        video_file=PinnedFile(version="1", media_type="video/mp4"),
        image_file=PinnedFile(version=None, media_type="image/png"),
        webhook=Webhook(url="https://a.example", events=("task.failed",)),
        output=Output(video=media),
        error=Notice(code="a", message="b"),
        warnings=(Notice(code="c", message="d"),),
        deliveries=(Delivery(webhook_id="w", event="e", attempt=1, at=NOW, milliseconds=1),),
    )
    item = to_item(full)
    added = {"from_the_future": {"SS": ["a"]}, "another": {"S": "b"}}
    nested = [value for value in item.values() if "M" in value]
    nested += [item["output"]["M"]["video"], *item["warnings"]["L"], *item["deliveries"]["L"]]
    assert len(nested) == 11
    for one in nested:
        one["M"] |= {"another": {"S": "b"}}

    assert read_item(item | added) == full


# ── Writes ────────────────────────────────────────────────────────────────────────────────────


def test_no_write_changes_a_newer_row(table, newer):
    seen = task(Stage.STORING, source=SOURCE, copy_lease_until=NOW, copy_attempts=1)
    ended = task(Stage.FAILED)
    storing = moves.to_storing(
        ended, MediaUrls(video="v"), SettledBy.CALLBACK, NOW, make_services().settings
    )
    delivery = Delivery(webhook_id="w", event="e", attempt=1, at=NOW, milliseconds=1)
    row = newer(Stage.STORING, source=SOURCE, copy_lease_until=NOW, erasing_since=None)
    writes = [
        lambda: table.create(seen),
        lambda: table.apply(ended, storing, NOW),
        lambda: table.record(seen, due_at=NOW),
        lambda: table.learn_id(seen, "provider-9"),
        lambda: table.claim_due(TASK.task_id, TASK.due_at, NOW, 60.0),
        lambda: table.release_held(TASK.task_id, TASK.due_at, NOW),
        lambda: table.claim_copy(TASK.task_id, NOW, 60.0),
        lambda: table.claim_feed(seen, NOW, 5.0),
        lambda: table.claim_webhook(TASK.task_id, NOW, 10.0),
        lambda: table.record_delivery(seen, delivery),
        lambda: table.release_copy(seen, NOW, due_at=NOW),
        lambda: table.begin_erasure(ended, NOW),
    ]

    for write in writes:
        with pytest.raises(NewerRowError):
            write()
        assert raw(table) == row


def test_a_newer_row_whose_erasure_began_gets_no_tombstone(table, newer):
    row = newer(Stage.FAILED, erasing_since=NOW)

    with pytest.raises(NewerRowError):
        table.end_erasure(task(Stage.FAILED, erasing_since=NOW), NOW)

    assert raw(table) == row


# ── Functions ─────────────────────────────────────────────────────────────────────────────────


class Executions:
    def __init__(self):
        self.tasks = []

    def start_execution(self, **request):
        self.tasks.append(json.loads(request["input"])["task_id"])


@pytest.mark.parametrize("stage", Stage)
def test_the_sweep_passes_a_newer_row_and_takes_those_behind_it(
    table, newer, clock, stage, log_lines
):
    row = newer(stage)
    table.create(task(Stage.SUBMITTED, task_id="task_behind", due_at=TASK.due_at + 1))
    executions = Executions()

    assert sweep(table, executions, "arn", clock, not_paused) == 1

    assert executions.tasks == ["task_behind"]
    assert raw(table) == row
    assert [line["rows"] for line in log_lines if line["message"] == "newer rows"] == [1]


@pytest.mark.parametrize("stage", Stage)
def test_the_fallback_ends_its_execution_and_asks_nothing(
    table, newer, services, provider, stage, log_lines
):
    row = newer(stage, provider_task_id="provider-1")

    wait = advance(TASK.task_id, CALLBACK_KEYS, services, plenty, no_warnings)

    assert wait is None
    assert raw(table) == row
    assert (provider.creates, provider.polls) == ([], [])
    assert "newer row" in {line["message"] for line in log_lines}


@pytest.mark.parametrize("stage", Stage)
def test_a_callback_changes_nothing_and_says_to_call_again(newer, services, table, stage):
    row = newer(stage)

    with pytest.raises(NewerRowError) as caught:
        handle_callback(TASK.task_id, b'{"status": "SUCCEEDED"}', services)

    assert (caught.value.status, caught.value.retry_after) == (503, 60)
    assert raw(table) == row


def test_a_copy_goes_back_to_its_queue(newer, services, table):
    row = newer(Stage.STORING, source=SOURCE)

    with pytest.raises(NewerRowError):
        store_result(TASK.task_id, services, storage=None)

    assert raw(table) == row


def test_a_webhook_stays_in_its_queue(newer, table):
    row = newer(Stage.SUCCEEDED, webhook=Webhook(url="https://a.example", events=("task.failed",)))
    message = json.dumps({"detail": {"id": TASK.task_id, "version": TASK.version}})

    with pytest.raises(NewerRowError):
        find_lane(message, table)

    assert raw(table) == row


def test_a_batchs_task_is_not_sent_and_its_message_comes_again(newer, services, provider, table):
    row = newer(Stage.ACCEPTED, attempt=0)

    with pytest.raises(NewerRowError):
        send_accepted(TASK.task_id, CALLBACK_KEYS, services, plenty, no_warnings)

    assert raw(table) == row
    assert provider.creates == []


class Bus:
    def __init__(self):
        self.ids = []

    def put_events(self, Entries):  # noqa: N803 - boto3's name
        self.ids += [json.loads(entry["Detail"])["id"] for entry in Entries]
        return {"Entries": [{} for _ in Entries]}


def test_the_relay_passes_a_newer_row_and_sends_what_is_behind_it(newer, log_lines):
    images = [newer(), to_item(task(Stage.SUBMITTED, task_id="task_behind"))]
    records = [
        {"dynamodb": {"SequenceNumber": str(n), "NewImage": image}}
        for n, image in enumerate(images)
    ]
    bus = Bus()

    assert publish(records, bus, "bus") is None

    assert bus.ids == ["task_behind"]
    assert "newer row" in {line["message"] for line in log_lines}


# ── Requests ──────────────────────────────────────────────────────────────────────────────────


def test_a_read_says_to_come_back(newer, table):
    newer()

    with pytest.raises(ProblemError) as caught:
        own_task(TASK.task_id, OWNER, table)

    assert (caught.value.status, caught.value.code) == (503, "newer-release")
    assert caught.value.retry_after == 60


def test_another_clients_newer_row_is_not_found(newer, table):
    newer()

    with pytest.raises(ProblemError) as caught:
        own_task(TASK.task_id, Client(name="another"), table)

    assert (caught.value.status, caught.value.code) == (404, "task-not-found")


def test_a_repeated_request_is_never_sent_again(newer, services, provider):
    task_id = derive_task_id(OWNER.name, REQUEST.idempotency_key)
    newer(Stage.ACCEPTED, task_id=task_id)

    with pytest.raises(NewerRowError) as caught:
        submitted(services, REQUEST, OWNER)

    assert caught.value.retryable
    assert provider.creates == []


def test_a_newer_row_can_be_neither_canceled_nor_retried(newer, services, table, clock):
    row = newer(Stage.FAILED)
    seen = task(Stage.ACCEPTED, attempt=0, evidence=None)

    with pytest.raises(NewerRowError):
        cancel(seen, table, services.settings, clock)
    with pytest.raises(NewerRowError):
        _link(task(Stage.FAILED), task(Stage.SUBMITTED, task_id="task_child"), services)

    assert raw(table) == row


def test_a_list_leaves_newer_rows_out(newer, table):
    newer()
    table.create(task(Stage.SUBMITTED, task_id="task_readable"))

    tasks, _ = list_tasks(PageQuery(tasks=TaskQuery()), OWNER.name, table)

    assert [one.task_id for one in tasks] == ["task_readable"]


def test_held_rows_of_a_newer_release_keep_no_others_from_being_released(table, monkeypatch):
    monkeypatch.setattr("act_one.lifecycle.sweep.MAX_STARTS", 2)
    for number, name in enumerate(("a", "b", "c", "d", "e")):
        row = replace(task(Stage.ACCEPTED), task_id=name, created_at=NOW + number)
        held = replace(row, **moves.held(row).changes)
        newer = {schema.ATTRIBUTE: {"N": str(NEWER if name in "abc" else NEWER - 1)}}
        table.client.put_item(TableName=table.name, Item=to_item(held) | newer)

    moments = count(NOW, 0.001)

    sweep(table, Executions(), "arn", lambda: next(moments), not_paused)

    assert [name for name, _ in table.held()] == ["a", "b", "c"]
