"""Messages of the ingest queue: what becomes a request, and what a refused one is told."""

import json
from types import SimpleNamespace

import pytest

from act_one.ingest.context import IngestContext
from act_one.ingest.messages import take
from act_one.inputs.bucket import UploadsBucket
from tests.unit.fakes import FakeClock, settings

GOOD = {
    "video": "https://media.example/a.mp4",
    "image": "https://media.example/b.png",
    "idempotency_key": "key-1",
}


class FakeBus:
    """The event bus; keeps the details of what was put on it."""

    def __init__(self):
        self.details = []

    def put_events(self, *, Entries):  # noqa: N803 - boto3's name
        self.details += [json.loads(entry["Detail"]) for entry in Entries]
        return {"Entries": [{}]}


@pytest.fixture
def taken():
    """Take a message; return the requests that were submitted and the problems sent."""

    def take_message(message):
        bus, requests = FakeBus(), []
        table = SimpleNamespace(read=lambda _: pytest.fail("the table was read"))
        pairs = SimpleNamespace(id_secret=lambda: b"secret")
        context = IngestContext(
            table, UploadsBucket("uploads"), settings(), FakeClock(), pairs, bus, None
        )

        def submit(request, _client_id):
            requests.append(request)
            return SimpleNamespace(task_id="task_1", stage="submitted")

        body = message if isinstance(message, str) else json.dumps(message)
        take(body, "message-1", context, submit)
        return requests, [detail["problem"] for detail in bus.details]

    return take_message


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("metadata", "code"),
    [({"order": 2**63}, "metadata-number"), (nested(33), "metadata-too-deep")],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_metadata_that_eventbridge_refuses_is_rejected(taken, metadata, code, wrapped):
    asked = GOOD | {"metadata": metadata}
    event = {"source": "a", "detail-type": "Task Requested", "id": "event-1", "detail": asked}

    requests, problems = taken(event if wrapped else asked)

    assert requests == []
    assert [(problem["code"], problem["field"]) for problem in problems] == [(code, "metadata")]


@pytest.mark.parametrize("key", [7, True, ["key"], None])
def test_a_key_that_is_not_a_string_is_told_so(taken, key):
    requests, [problem] = taken(GOOD | {"idempotency_key": key})

    assert requests == []
    assert problem["code"] == "idempotency-key-missing"
    assert "a string" in problem["detail"]
    assert "add" not in problem["detail"]


def test_a_missing_key_is_asked_for(taken):
    _, [problem] = taken({name: GOOD[name] for name in ("video", "image")})

    assert (problem["code"], problem["detail"][:19]) == (
        "idempotency-key-missing",
        "add idempotency_key",
    )


@pytest.mark.parametrize("task_id", ["", "task_1", "x" * 3_000, 7])
def test_an_end_of_a_task_that_cannot_exist_reaches_no_table(taken, task_id):
    ended = {"source": "act-one", "detail-type": "Task Failed", "detail": {"id": task_id}}

    requests, [problem] = taken(ended)

    assert (requests, problem["code"]) == ([], "message-unknown")
