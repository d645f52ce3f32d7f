"""The sample events in events/ belong to one task, and the code reads them correctly."""

import json
from pathlib import Path

import pytest

from act_one.clients.client import DEFAULT_CLIENT
from act_one.http_events import body_of, header
from act_one.ingest.folders import is_trigger
from act_one.inputs.request import read_request
from act_one.keys import Keys
from act_one.lifecycle.relay import publish
from act_one.provider.callback_token import UnknownTokenError, callback_url, verify
from act_one.provider.outcomes import ProviderState
from act_one.provider.replies import read_callback
from act_one.tasks.documents import without_query
from act_one.tasks.events import event_of, rejection_of
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.rows import read_item
from act_one.webhooks.delivery import WebhookMessage, read_message
from act_one.webhooks.queue import Message

EVENTS = Path(__file__).parents[2] / "events"
TASK_ID = json.loads((EVENTS / "fallback.json").read_text())["task_id"]


@pytest.fixture
def event(request):
    return json.loads((EVENTS / f"{request.param}.json").read_text())


class KeyRing:
    def keys(self):
        return Keys("example-callback-secret")

    def reload(self):
        return self.keys()


class Bus:
    def __init__(self):
        self.entries = []

    def put_events(self, *, Entries):  # noqa: N803 - boto3's name
        self.entries += Entries
        return {"Entries": [{} for _ in Entries]}


@pytest.mark.parametrize("event", ["post-task"], indirect=True)
def test_a_post_is_a_valid_request_and_gives_the_task_id(event):
    request = read_request(body_of(event), header(event, "idempotency-key"), allow_addresses=False)

    assert request.metadata == {"order": "42"}
    assert derive_task_id(DEFAULT_CLIENT, request.idempotency_key) == TASK_ID


@pytest.mark.parametrize("event", ["get-task"], indirect=True)
def test_a_get_requests_the_task(event):
    assert event["path"] == f"/tasks/{TASK_ID}"
    assert event["pathParameters"] == {"task_id": TASK_ID}
    assert event["resource"] == "/tasks/{task_id}"


@pytest.mark.parametrize("event", ["callback"], indirect=True)
def test_a_callback_is_verified_and_reports_success(event):
    assert verify(event["rawPath"], KeyRing()) == TASK_ID
    assert callback_url("", TASK_ID, KeyRing().keys()) == event["rawPath"]
    report = read_callback(body_of(event).decode())
    assert report.state is ProviderState.SUCCEEDED
    assert report.media.video.startswith("https://")
    with pytest.raises(UnknownTokenError):
        verify(event["rawPath"] + "x", KeyRing())


@pytest.mark.parametrize("event", ["media-queue"], indirect=True)
def test_a_media_queue_message_is_an_event(event):
    (record,) = event["Records"]
    announced = json.loads(record["body"])

    assert announced["detail-type"] == "Task Storing"
    assert announced["detail"]["id"] == TASK_ID


@pytest.mark.parametrize("event", ["webhook-queue"], indirect=True)
def test_a_webhook_queue_message_is_an_event_of_a_task_with_a_webhook(event):
    (record,) = event["Records"]
    message = Message.of_record(record)
    announced = read_message(message.body)

    assert message.receives == 1
    assert announced == WebhookMessage(task_id=TASK_ID, version=4)


@pytest.mark.parametrize("event", ["table-stream"], indirect=True)
def test_a_move_in_the_stream_becomes_the_sample_event(event):
    bus = Bus()

    assert publish(event["Records"], bus, "act-one") is None
    (entry,) = bus.entries
    sample = json.loads((EVENTS / "task-succeeded.json").read_text())
    assert (entry["Source"], entry["DetailType"]) == (sample["source"], sample["detail-type"])
    assert json.loads(entry["Detail"]) == sample["detail"]


@pytest.mark.parametrize("event", ["table-stream"], indirect=True)
def test_the_rows_in_the_stream_are_complete(event):
    change = event["Records"][0]["dynamodb"]
    before, after = read_item(change["OldImage"]), read_item(change["NewImage"])

    assert event_of(before, "act-one")["DetailType"] == "Task Storing"
    assert (before.version, after.version) == (3, 4)
    assert without_query(after.source.video) == "https://cdn.example.com/d51c/result.mp4"


@pytest.mark.parametrize("event", ["task-succeeded"], indirect=True)
def test_an_event_has_the_version_of_its_move_and_no_link(event):
    detail = event["detail"]

    assert detail["event_id"] == f"{TASK_ID}#{detail['version']}"
    assert "url" not in detail["output"]["video"]


@pytest.mark.parametrize("event", ["task-requested"], indirect=True)
def test_a_requested_task_is_a_post_body_with_a_key(event):
    detail = dict(event["detail"])
    key = detail.pop("idempotency_key")

    request = read_request(json.dumps(detail).encode(), key, allow_addresses=False)

    assert (request.metadata, request.idempotency_key) == ({"order": "42"}, "order-42-shot-7")


@pytest.mark.parametrize("event", ["task-rejected"], indirect=True)
def test_a_rejection_names_the_source_and_the_problem(event):
    detail = event["detail"]

    said = {name: detail[name] for name in ("metadata", "idempotency_key")}
    entry = rejection_of(detail["problem"], detail["origin"], "act-one", **said)

    assert (entry["Source"], entry["DetailType"]) == (event["source"], event["detail-type"])
    assert json.loads(entry["Detail"]) == detail


@pytest.mark.parametrize("event", ["ingest-queue"], indirect=True)
def test_the_ingest_queue_contains_files_and_requests(event):
    file, request = (json.loads(record["body"]) for record in event["Records"])

    assert is_trigger(file["detail"]["object"]["key"])
    assert request == json.loads((EVENTS / "task-requested.json").read_text())
