"""What earlier releases left under way is understood: messages, events, executions, rows, ids.

Each folder of `tests/releases` has what a release wrote, as it was then. Such files never change.
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from act_one.clients.client import DEFAULT_CLIENT
from act_one.http_events import body_of, header
from act_one.ingest.messages import take
from act_one.inputs.request import read_request
from act_one.keys import Keys
from act_one.lifecycle.relay import publish
from act_one.provider.callback_token import callback_url, verify
from act_one.provider.outcomes import ProviderState
from act_one.provider.replies import read_callback
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.rows import read_item, to_item
from act_one.webhooks.delivery import WebhookMessage, read_message
from act_one.webhooks.queue import Message

RELEASES = sorted((Path(__file__).parents[1] / "releases").iterdir())
TASK_ID = "task_3396ce8c6b5503ae5cd17c51f65fb987"
CONTEXT = SimpleNamespace(
    function_name="fallback",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:fallback",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 30_000,
)
SECRET = SimpleNamespace(keys=lambda: Keys("example-callback-secret"), reload=None)


@pytest.fixture(params=RELEASES, ids=lambda folder: folder.name)
def sample(request):
    return lambda name: json.loads((request.param / f"{name}.json").read_text())


@pytest.fixture
def fallback(import_handler, monkeypatch):
    app = import_handler("fallback.app")
    monkeypatch.setattr(app, "callback_keys", SECRET)
    return app


def test_there_is_a_release():
    assert "0.1.0" in {folder.name for folder in RELEASES}


@pytest.mark.parametrize("wait", [None, 15])
def test_an_execution_of_an_earlier_state_machine_goes_on(sample, fallback, monkeypatch, wait):
    """Executions under way keep their definition, but call the new function."""
    machine = sample("fallback.asl")
    given = sample("fallback")
    seen = []
    monkeypatch.setattr(fallback, "advance", lambda task_id, *_: seen.append(task_id) or wait)

    answered = fallback.handler(given, CONTEXT)
    fallback.handler(answered, CONTEXT)

    assert seen == [TASK_ID, TASK_ID]
    assert answered["wait_seconds"] == wait
    asked = {*re.findall(r"\$states\.input\.(\w+)", json.dumps(machine))}
    assert asked == {"task_id", "wait_seconds"} <= answered.keys()


class Bus:
    def __init__(self):
        self.entries = []

    def put_events(self, *, Entries):  # noqa: N803 - boto3's name
        self.entries += Entries
        return {"Entries": [{} for _ in Entries]}


def test_a_record_of_the_stream_becomes_the_event_with_all_that_it_had(sample):
    bus = Bus()

    assert publish(sample("table-stream")["Records"], bus, "bus") is None

    [entry] = bus.entries
    then = sample("task-succeeded")
    assert entry["DetailType"] == then["detail-type"]
    now = json.loads(entry["Detail"])
    assert {name: now[name] for name in then["detail"]} == then["detail"]


def test_its_rows_are_read_and_written_with_all_that_they_had(sample):
    row = sample("table-stream")["Records"][0]["dynamodb"]["NewImage"]

    again = to_item(read_item(row))

    def plain(value):
        return {"N": float(value["N"])} if "N" in value else value

    assert {name: plain(again[name]) for name in row} == {n: plain(v) for n, v in row.items()}


def test_a_request_that_is_repeated_across_the_update_is_the_same_task(sample):
    event = sample("post-task")
    request = read_request(body_of(event), header(event, "idempotency-key"), allow_addresses=False)
    row = sample("table-stream")["Records"][0]["dynamodb"]["NewImage"]

    assert derive_task_id(DEFAULT_CLIENT, request.idempotency_key) == TASK_ID
    assert request.fingerprint() == row["request_hash"]["S"]


def test_a_callback_to_a_url_of_then_is_verified_and_read(sample):
    event = sample("callback")

    assert verify(event["rawPath"], SECRET) == TASK_ID
    assert callback_url("", TASK_ID, SECRET.keys()) == event["rawPath"]
    assert read_callback(body_of(event).decode()).state is ProviderState.SUCCEEDED


def test_a_message_of_the_media_queue_is_the_copy_of_its_task(sample, import_handler, monkeypatch):
    app = import_handler("callback.copy")
    copied = []
    monkeypatch.setattr(app, "store_result", lambda task_id, *_: copied.append(task_id))
    monkeypatch.setattr(app, "keep_duration", lambda *_: None)

    app.handler(sample("media-queue"), CONTEXT)

    assert copied == [TASK_ID]


def test_a_message_of_the_webhook_queue_names_its_task_and_version(sample):
    [record] = sample("webhook-queue")["Records"]

    said = read_message(Message.of_record(record).body)

    assert said == WebhookMessage(task_id=TASK_ID, version=4)


def test_a_message_of_a_batch_sends_its_task(sample):
    sent = []

    take(json.dumps(sample("message-to-send")), "id", None, None, sent.append)

    assert sent == [TASK_ID]


def test_messages_of_the_ingest_queue_are_files_and_requests(sample, monkeypatch):
    file, request = sample("ingest-queue")["Records"]
    taken, asked = [], []
    monkeypatch.setattr("act_one.ingest.messages.take_folder", lambda key, *_: taken.append(key))
    monkeypatch.setattr("act_one.ingest.messages._request", lambda body, *_: asked.append(body))
    bucket = json.loads(file["body"])["detail"]["bucket"]["name"]
    context = SimpleNamespace(uploads=SimpleNamespace(bucket=bucket))

    for record in (file, request):
        take(record["body"], record["messageId"], context, None, None)

    assert taken == ["incoming/my-first/performance.mp4"]
    assert asked == [sample("task-requested")["detail"]]


def test_an_end_on_the_bus_writes_the_result_of_its_folder(sample, monkeypatch):
    written = []
    monkeypatch.setattr("act_one.ingest.messages.write_result", lambda *it: written.append(it[0]))

    take(json.dumps(sample("task-succeeded")), "id", None, None, None)

    assert written == [TASK_ID]
