"""The operator's redrive: what was given up is tried again, and mistakes are told in a sentence."""

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from act_one.clock import HOUR
from act_one.lifecycle.advance import advance
from act_one.provider.outcomes import ProviderState, Report
from act_one.tasks.moves import COPY_START_SECONDS
from act_one.tasks.task import Notice, Stage
from ops import redrive as command
from ops.redrive import main, redrive
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    FakeClock,
    FakeProvider,
    make_services,
    plenty,
)

GIVEN_UP = Notice(code="media_unavailable", message="not fetched within 24 hours")
QUEUES = ("MediaDeadLetterQueueUrl", "IngestDeadLetterQueueUrl", "WebhookDeadLetterQueueUrl")


class FakeSession:
    """A session of boto3: the real table, and stacks and queues as a test has laid out."""

    region_name = "eu-central-1"

    def __init__(self, table=None, outputs=None, failure=None):
        self.table = table
        self.outputs = outputs
        self.failure = failure

    def client(self, service):
        return self.table.client if service == "dynamodb" else self

    def describe_stacks(self, StackName):  # noqa: N803 - boto3's name
        if self.failure is not None:
            raise self.failure
        if self.outputs is None:
            error = {"Code": "ValidationError", "Message": f"{StackName} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")
        listed = [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()]
        return {"Stacks": [{"Outputs": listed} if listed else {}]}

    def describe_stack_resource(self, **_):
        return {"StackResourceDetail": {"PhysicalResourceId": "relay"}}

    def get_queue_attributes(self, **_):
        return {"Attributes": {"QueueArn": "arn", "ApproximateNumberOfMessages": "0"}}


@pytest.fixture
def stack_of(monkeypatch):
    """Let the command find a session."""
    return lambda session: monkeypatch.setattr(boto3, "Session", lambda: session)


def test_a_redriven_task_has_24_hours_for_its_copy_again(table, monkeypatch):
    table.create(
        task(
            Stage.FAILED,
            provider_task_id="p",
            source=SOURCE,
            source_known_at=BEGINNING,
            error=GIVEN_UP,
            due_at=None,
        )
    )
    clock = FakeClock(BEGINNING + 72 * HOUR)
    monkeypatch.setattr(command.time, "time", clock)
    found = Report(
        provider_task_id="p", state=ProviderState.SUCCEEDED, media=SOURCE, created_at=None
    )
    provider = FakeProvider(answers={"p": found})
    services = make_services(table, provider, clock)
    outputs = dict.fromkeys((*QUEUES, "RelayFailuresBucket", "EventBus"), "name")
    monkeypatch.setattr(command, "replay", lambda *_: (0, 0))

    done = redrive("act-one", FakeSession(table, outputs | {"TasksTable": table.name}))
    assert (done.due, done.moved) == (1, False)
    assert table.read(TASK.task_id).due_at == clock.now

    advance(TASK.task_id, CALLBACK_KEYS, services, plenty)
    provider.answers.clear()
    for _ in range(23):  # the copy fails each time
        clock.pass_by(HOUR + COPY_START_SECONDS / 23)
        advance(TASK.task_id, CALLBACK_KEYS, services, plenty)
        assert table.read(TASK.task_id).stage is Stage.STORING
    clock.pass_by(2 * HOUR)
    advance(TASK.task_id, CALLBACK_KEYS, services, plenty)

    assert table.read(TASK.task_id).error.code == "media_unavailable"
    assert provider.creates == []


@pytest.mark.parametrize("arguments", [[], [""], [" "], ["a", "b"]])
def test_without_a_stack_its_name_is_asked_for(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == "Name the stack: make redrive STACK=act-one\n"


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (FakeSession(), "There is no stack 'typo' in eu-central-1"),
        (FakeSession(outputs={}), "'typo' is not a stack of act-one"),
        (FakeSession(outputs={"Website": "https://a.example"}), "'typo' is not a stack of act-one"),
        (
            FakeSession(failure=EndpointConnectionError(endpoint_url="https://aws.example")),
            "AWS can't do that: Could not connect",
        ),
    ],
)
def test_a_wrong_stack_is_told_in_one_sentence(session, words, stack_of, capsys):
    stack_of(session)

    assert main(["typo"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(words)
    assert told.count("\n") == 1
