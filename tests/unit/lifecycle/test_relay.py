"""The relay publishes each move in the table's stream, in order, and nothing else."""

import json
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from act_one.lifecycle import relay
from act_one.lifecycle.relay import publish
from act_one.tasks.events import DETAIL_TYPES, event_of
from act_one.tasks.rows import to_item
from act_one.tasks.task import Delivery, Evidence, Output, Stage, StoredMedia, Webhook
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import BEGINNING

NOW = BEGINNING + 100.0
DELIVERY = Delivery(
    webhook_id="t#2", event="task.running", attempt=1, at=NOW, milliseconds=9, reply="thanks"
)
BUS = "bus"
PASSING = "ThrottlingException"


class FakeEvents:
    """EventBridge: takes ten entries at a time, and refuses some as AWS does.

    ``refused`` maps task ids to error codes. With ``max_call_bytes``, a larger call is refused as a
    whole.
    """

    def __init__(self, refused=(), max_call_bytes=1_048_576):
        self.refused = refused if isinstance(refused, dict) else dict.fromkeys(refused, PASSING)
        self.max_call_bytes = max_call_bytes
        self.batches = []
        self.taken = []

    def put_events(self, Entries):  # noqa: N803 - boto3's name
        assert 1 <= len(Entries) <= 10
        self.batches.append(Entries)
        if sum(len(entry["Detail"]) for entry in Entries) > self.max_call_bytes:
            error = {"Code": "ValidationException", "Message": "Total size of the entries"}
            raise ClientError({"Error": error}, "PutEvents")
        results = [self.answer(entry) for entry in Entries]
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedEntryCount": failed, "Entries": results}

    def answer(self, entry):
        detail = json.loads(entry["Detail"])
        code = self.refused.get(detail["id"]) or malformed(detail)
        if code is not None:
            return {"ErrorCode": code, "ErrorMessage": "no"}
        self.taken.append(detail["id"])
        return {"EventId": "1"}

    @property
    def sent(self):
        """The task id and detail type of each entry."""
        return [
            (json.loads(entry["Detail"])["id"], entry["DetailType"])
            for batch in self.batches
            for entry in batch
        ]


def malformed(value, depth=1):
    """Refuse what EventBridge's parser refuses: long integers and deep nesting."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "MalformedDetail"
    if isinstance(value, dict | list) and depth > 64:
        return "MalformedDetail"
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, (malformed(member, depth + 1) for member in inner)), None)


def record(number, after, before=None):
    images = {"NewImage": to_item(after)} | ({"OldImage": to_item(before)} if before else {})
    return {
        "eventName": "MODIFY" if before else "INSERT",
        "dynamodb": {
            "SequenceNumber": str(number),
            "Keys": {"task_id": {"S": after.task_id}},
            **images,
        },
    }


def moved(number, stage=Stage.RUNNING, version=2, **fields):
    after = task(stage, task_id=f"task_{number}", version=version, **fields)
    return record(number, after, replace(after, version=version - 1))


# ── Events ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("stage", "detail_type"),
    [
        ("unconfirmed", "Task Unconfirmed"),
        ("submitted", "Task Submitted"),
        ("running", "Task Running"),
        ("storing", "Task Storing"),
        ("succeeded", "Task Succeeded"),
        ("failed", "Task Failed"),
        ("canceled", "Task Canceled"),
        ("expired", "Task Expired"),
        ("accepted", None),
        ("submitting", None),
    ],
)
def test_every_stage_but_the_internal_ones_has_an_event(stage, detail_type):
    event = event_of(task(Stage(stage)), BUS)

    assert (event and event["DetailType"]) == detail_type
    assert DETAIL_TYPES.get(Stage(stage)) == detail_type


def test_an_event_holds_the_task_and_a_stable_event_id():
    event = event_of(task(Stage.RUNNING, version=7, metadata={"name": "Zoë"}), BUS)
    detail = json.loads(event["Detail"])

    assert (event["Source"], event["EventBusName"]) == ("act-one", "bus")
    assert detail["event_id"] == f"{TASK.task_id}#7"
    assert (detail["id"], detail["version"], detail["stage"]) == (TASK.task_id, 7, "running")
    assert detail["metadata"] == {"name": "Zoë"}
    assert "Zoë" in event["Detail"]


def test_an_event_holds_no_signatures_or_internal_fields():
    media = StoredMedia(s3_uri="s3://b/k", size=1, sha256="00", content_type="video/mp4")
    event = event_of(
        task(
            Stage.SUCCEEDED,
            source=replace(SOURCE, video="https://cdn.example/v.mp4?sig=internal"),
            evidence=Evidence(received_at=NOW, body="internal"),
            provider_task_id="internal",
            output=Output(video=media),
        ),
        BUS,
    )

    for secret in ("internal", "sig=", "?", TASK.client_id, TASK.claim_id, TASK.request_hash):
        assert secret not in event["Detail"]


# ── Records ───────────────────────────────────────────────────────────────────────────────────


def test_an_event_shows_its_webhook_without_query_or_deliveries():
    webhook = Webhook(url="https://user.example/hook?token=t0p#s", events=("task.running",))
    entry = event_of(task(Stage.RUNNING, webhook=webhook, deliveries=(DELIVERY,)), BUS)

    assert json.loads(entry["Detail"])["webhook"] == {
        "url": "https://user.example/hook",
        "events": ["task.running"],
        "form": "standard",
    }
    assert "t0p" not in entry["Detail"]
    assert "thanks" not in entry["Detail"]


def test_a_move_is_published():
    events = FakeEvents()

    assert publish([moved(1)], events, BUS) is None
    assert events.sent == [("task_1", "Task Running")]


def test_claims_recorded_fields_removals_and_internal_stages_are_not_published():
    same = task(Stage.RUNNING, version=2)
    removal = record(3, same)
    removal["dynamodb"]["OldImage"] = removal["dynamodb"].pop("NewImage")
    events = FakeEvents()

    failed = publish(
        [
            record(1, replace(same, fallback_runs=1, claim_id="other"), same),
            record(
                2, replace(same, progress=40, evidence=Evidence(received_at=1.0, body="")), same
            ),
            record(6, replace(same, deliveries=(DELIVERY,)), same),
            removal | {"eventName": "REMOVE"},
            record(4, task(Stage.SUBMITTING)),
            moved(5, Stage.ACCEPTED),
        ],
        events,
        BUS,
    )

    assert failed is None
    assert events.batches == []


def test_a_restarted_copy_is_published():
    events = FakeEvents()

    publish([moved(1, Stage.STORING, version=8)], events, BUS)

    assert events.sent == [("task_1", "Task Storing")]


def test_a_refused_event_is_logged_under_the_ids_of_its_task(log_lines):
    rows = [
        replace(TASK, task_id=f"task_{n}", correlation_id=f"request-{n}", stage=Stage.RUNNING)
        for n in range(4)
    ]
    events = FakeEvents(refused={"task_1": "MalformedDetail", "task_2": PASSING})

    publish([record(n, row) for n, row in enumerate(rows)], events, BUS)

    assert [(line["task_id"], line["correlation_id"]) for line in log_lines] == [
        ("task_1", "request-1"),
        ("task_2", "request-2"),
    ]


def test_no_records_send_no_events():
    events = FakeEvents()

    assert publish([], events, BUS) is None
    assert events.batches == []


@pytest.mark.parametrize(("count", "sizes"), [(10, [10]), (11, [10, 1]), (35, [10, 10, 10, 5])])
def test_events_are_sent_in_order_in_batches_of_ten(count, sizes):
    events = FakeEvents()

    assert publish([moved(number) for number in range(count)], events, BUS) is None

    assert [len(batch) for batch in events.batches] == sizes
    assert [task_id for task_id, _ in events.sent] == [f"task_{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("refused", "first"), [([3], "3"), ([7, 3], "3"), ([0], "0"), ([9], "9"), ([12, 15], "12")]
)
def test_publish_returns_the_first_record_whose_event_was_rejected(refused, first):
    events = FakeEvents(refused=[f"task_{number}" for number in refused])
    records = [record(100, task(Stage.SUBMITTING)), *(moved(number) for number in range(25))]

    assert publish(records, events, BUS) == first
    assert len(events.sent) == 10 * (1 + int(first) // 10)


@pytest.mark.parametrize(
    "damage",
    [
        {"stage": {"S": "unheard_of"}},
        {"stage": None},
        {"billing": {"S": ""}},
        {"metadata": {"S": "{"}},
        {"metadata": {"M": {}}},
        {"created_at": {"S": "yesterday"}},
        {"created_at": {"N": "1e300"}},
        {"output": {"L": []}},
        {"output": {"M": {"video": {"S": ""}}}},
        {"error": {"S": "no"}},
        {"warnings": {"S": "no"}},
        {"warnings": {"N": "1"}},
        {"video": {"N": "1"}},
        {"video": {"S": "https://[::1/"}},
        {"settled_by": {"S": "nobody"}},
        {"version": {"XX": "1"}},
    ],
    ids=str,
)
def test_an_unreadable_row_does_not_stop_the_others(damage):
    broken = moved(2)
    image = broken["dynamodb"]["NewImage"]
    broken["dynamodb"]["NewImage"] = {
        name: value for name, value in (image | damage).items() if value is not None
    }
    events = FakeEvents()

    assert publish([moved(1), broken, moved(3)], events, BUS) is None
    assert [task_id for task_id, _ in events.sent] == ["task_1", "task_3"]


# ── Refused for good ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def counted(monkeypatch):
    """The names of the metrics that the relay counts."""
    names = []
    monkeypatch.setattr(relay.metrics, "add_metric", lambda name, *_: names.append(name))
    return names


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize("metadata", [{"order": 2**63}, {"order": [-(2**70)]}, nested(100)])
def test_a_row_whose_metadata_eventbridge_refuses_stops_no_other_and_gets_its_event(
    metadata, counted
):
    records = [moved(number) for number in range(10)]
    records[4] = moved(4, Stage.STORING, metadata=metadata)
    events = FakeEvents()

    assert publish(records, events, BUS) is None

    assert sorted(events.taken) == [f"task_{number}" for number in range(10)]
    assert counted == ["EventsWithoutMetadata"]
    again = json.loads(events.batches[-1][0]["Detail"])
    assert (again["id"], again["stage"], again["metadata"]) == ("task_4", "storing", {})


@pytest.mark.parametrize("code", ["MalformedDetail", "InvalidArgument", "RedactionFailure"])
def test_an_event_that_is_refused_for_good_is_counted_and_passed(code, counted):
    events = FakeEvents(refused={"task_3": code})

    assert publish([moved(number) for number in range(12)], events, BUS) is None

    assert len(events.taken) == 11
    assert counted == ["EventsRefused"]


@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "InternalFailure", "InternalException", "AccessDeniedException",
     "NotAuthorizedForSourceException", "NotAuthorizedForDetailTypeException", "SomethingNew"],
)  # fmt: skip
def test_a_refusal_that_may_pass_or_that_an_operator_can_end_waits(code):
    events = FakeEvents(refused={"task_3": code, "task_1": "MalformedDetail"})

    assert publish([moved(number) for number in range(12)], events, BUS) == "3"


def test_a_call_that_is_refused_as_a_whole_is_made_again_entry_by_entry(counted):
    records = [moved(number) for number in range(10)]
    records[4] = moved(4, metadata={"text": "x" * 20_000})
    events = FakeEvents(max_call_bytes=15_000)

    assert publish(records, events, BUS) is None

    assert sorted(events.taken) == [f"task_{number}" for number in range(10)]
    assert counted == ["EventsWithoutMetadata"]


def test_a_call_that_fails_for_another_reason_is_retried_by_the_stream(monkeypatch):
    events = FakeEvents()
    error = ClientError({"Error": {"Code": "InternalException"}}, "PutEvents")

    def fail(**_):
        raise error

    monkeypatch.setattr(events, "put_events", fail)

    with pytest.raises(ClientError):
        publish([moved(1)], events, BUS)


# ── A real stream ─────────────────────────────────────────────────────────────────────────────


def records_of(aws, name):
    """Read all records of a table's stream."""
    streams = aws("dynamodbstreams")
    (stream,) = streams.list_streams(TableName=name)["Streams"]
    records = []
    for shard in streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"][
        "Shards"
    ]:
        iterator = streams.get_shard_iterator(
            StreamArn=stream["StreamArn"],
            ShardId=shard["ShardId"],
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        records += streams.get_records(ShardIterator=iterator)["Records"]
    return records


def test_the_moves_of_a_real_stream_are_published(aws, table):
    created = table.create(TASK)
    submitted = table.move(created, Stage.SUBMITTED, NOW, provider_task_id="p", due_at=NOW)
    claimed = table.claim_due(TASK.task_id, NOW, NOW, 120.0)
    noted = table.record(claimed, progress=40, feed_failing_since=NOW)
    noted = table.record_delivery(noted, DELIVERY)
    table.move(noted, Stage.STORING, NOW, source=SOURCE)
    copying = table.claim_copy(TASK.task_id, NOW, 360.0)
    released = table.release_copy(copying, NOW, due_at=NOW)
    table.move(released, Stage.FAILED, NOW, due_at=None)
    events = FakeEvents()

    assert publish(records_of(aws, table.name), events, BUS) is None

    assert submitted.version == 2
    assert [detail_type for _, detail_type in events.sent] == [
        *("Task Submitted", "Task Storing", "Task Failed"),
    ]
    versions = [json.loads(entry["Detail"])["version"] for entry in events.batches[0]]
    assert versions == [2, 3, 4]
