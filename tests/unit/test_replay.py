"""`make redrive`: what it replays of the records that the relay gave up."""

import io
import json
from dataclasses import replace
from itertools import count

import pytest

from act_one.lifecycle.relay import publish
from act_one.tasks.task import Stage
from ops.redrive import replay
from tests.unit.examples import task
from tests.unit.lifecycle.test_relay import FakeEvents, moved, record

NUMBERS = count(1)


class FakeRelay:
    """Lambda with the relay's code behind it, over a bus of the test's own."""

    def __init__(self, events):
        self.events = events

    def invoke(self, FunctionName, Payload):  # noqa: N803 - boto3's names
        assert FunctionName == "relay"
        failed = publish(json.loads(Payload)["Records"], self.events, "bus")
        failures = [{"itemIdentifier": failed}] if failed else []
        answer = json.dumps({"batchItemFailures": failures}).encode()
        return {"Payload": io.BytesIO(answer)}


@pytest.fixture
def s3(aws):
    return aws("s3")


@pytest.fixture
def failures(s3):
    """Put failed batches into a new bucket, as Lambda does; return its name."""

    def put(*payloads):
        bucket = f"failures-{next(NUMBERS)}"
        s3.create_bucket(Bucket=bucket)
        for number, payload in enumerate(payloads):
            body = {"version": "1.0", "DDBStreamBatchInfo": {"batchSize": 1}, "payload": payload}
            key = f"aws/lambda/mapping/2026/11/25/{number}"
            s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(body).encode())
        return bucket

    return put


def test_the_moves_in_failed_batches_are_published_and_their_objects_removed(s3, failures):
    silent = record(3, task(Stage.RUNNING), replace(task(Stage.RUNNING), polls=1))
    batch = {"Records": [moved(1), silent]}
    bucket = failures(json.dumps(batch), {"Records": [moved(2, Stage.SUCCEEDED)]})
    events = FakeEvents()

    assert replay(bucket, "relay", s3, FakeRelay(events)) == (2, 0)
    assert events.sent == [("task_1", "Task Running"), ("task_2", "Task Succeeded")]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert replay(bucket, "relay", s3, FakeRelay(events)) == (0, 0)


def test_a_batch_that_the_bus_refuses_again_is_kept(s3, failures):
    bucket = failures({"Records": [moved(1)]}, {"Records": [moved(2)]})

    assert replay(bucket, "relay", s3, FakeRelay(FakeEvents(refused=["task_1"]))) == (1, 1)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_an_object_without_records_is_kept(s3, failures):
    bucket = failures("no JSON", {"Records": [moved(1)]}, None)

    assert replay(bucket, "relay", s3, FakeRelay(FakeEvents())) == (1, 2)
