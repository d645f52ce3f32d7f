"""Messages of the ingest queue: what becomes a request, and what a refused one is told."""

import json
from types import SimpleNamespace

import pytest

from act_one.ingest.context import IngestContext
from act_one.ingest.messages import take
from act_one.inputs.bucket import UploadsBucket
from tests.unit.fakes import FakeClients, FakeClock, settings

GOOD = {
    "video": "https://media.example/a.mp4",
    "image": "https://media.example/b.png",
    "idempotency_key": "key-1",
}


def no_constant(constant):
    raise AssertionError(constant)


class FakeBus:
    """The event bus; keeps the details of what was put on it, which must be JSON and UTF-8."""

    def __init__(self):
        self.details = []

    def put_events(self, *, Entries):  # noqa: N803 - boto3's name
        self.details += [
            json.loads(entry["Detail"].encode(), parse_constant=no_constant) for entry in Entries
        ]
        return {"Entries": [{}]}


@pytest.fixture
def taken():
    """Take a message; return the requests that were submitted and the details sent."""

    def take_message(message):
        bus, requests = FakeBus(), []
        table = SimpleNamespace(read=lambda _: pytest.fail("the table was read"))
        pairs = SimpleNamespace(id_secret=lambda: b"secret")
        context = IngestContext(
            table,
            UploadsBucket("u"),
            settings(),
            FakeClock(),
            FakeClients(),
            pairs,
            bus,
            None,
        )

        def submit(request, _client_id):
            requests.append(request)
            return SimpleNamespace(task_id="task_1", stage="submitted")

        body = message if isinstance(message, str) else json.dumps(message)
        take(body, "message-1", context, submit)
        return requests, bus.details

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

    requests, [detail] = taken(event if wrapped else asked)
    problem = detail["problem"]

    assert requests == []
    assert (problem["code"], problem["field"]) == (code, "metadata")
    assert (detail["metadata"], detail["idempotency_key"]) == ({}, GOOD["idempotency_key"])


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ('{"a": NaN}', "metadata-number"),
        ('{"a": [{"b": -Infinity}]}', "metadata-number"),
        ('{"a": 1e400}', "metadata-number"),
        ('{"a": [[9007199254740993]]}', "metadata-number"),
        ('{"a": "\\ud83d"}', "metadata-not-text"),
        ('{"\\udc00": 1}', "metadata-not-text"),
        ('{"a": "' + "x" * 2_040 + '"}', "metadata-too-large"),
        ('{"a": ' + "[" * 5_000 + "]" * 5_000 + "}", "metadata-too-deep"),
        ('[{"a": 1}]', "metadata-not-object"),
        ("null", "metadata-not-object"),
    ],
    ids=lambda value: value[:24],
)
def test_refused_metadata_is_named_and_never_sent_on(taken, metadata, code):
    body = json.dumps(GOOD)[:-1] + f', "metadata": {metadata}}}'

    requests, [detail] = taken(body)

    assert (requests, detail["problem"]["code"]) == ([], code)
    assert (detail["metadata"], detail["idempotency_key"]) == ({}, GOOD["idempotency_key"])


def test_a_field_that_a_message_does_not_have_is_told_those_that_it_may_have(taken):
    requests, [detail] = taken(GOOD | {"idempotencyKey": "key-1"})

    assert (requests, detail["problem"]["code"]) == ([], "unknown-field")
    assert " idempotency_key," in detail["problem"]["detail"]


@pytest.mark.parametrize("key", ["", "  ", "k" * 256])
def test_a_key_that_is_refused_is_called_as_the_message_calls_it(taken, key):
    _, [detail] = taken(GOOD | {"idempotency_key": key})

    assert detail["problem"]["field"] == "idempotency_key"
    assert "Idempotency-Key" not in detail["problem"]["detail"]


@pytest.mark.parametrize("key", [7, True, ["key"], None])
def test_a_key_that_is_not_a_string_is_told_so(taken, key):
    requests, [detail] = taken(GOOD | {"idempotency_key": key})
    problem = detail["problem"]

    assert requests == []
    assert problem["code"] == "idempotency-key-missing"
    assert "a string" in problem["detail"]
    assert "add" not in problem["detail"]


def test_a_missing_key_is_asked_for(taken):
    _, [detail] = taken({name: GOOD[name] for name in ("video", "image")})
    problem = detail["problem"]

    assert (problem["code"], problem["detail"][:19]) == (
        "idempotency-key-missing",
        "add idempotency_key",
    )


@pytest.mark.parametrize("task_id", ["", "task_1", "x" * 3_000, 7])
def test_an_end_of_a_task_that_cannot_exist_reaches_no_table(taken, task_id):
    ended = {"source": "act-one", "detail-type": "Task Failed", "detail": {"id": task_id}}

    requests, [detail] = taken(ended)

    assert (requests, detail["problem"]["code"]) == ([], "message-unknown")
