"""The commands of an operator: a mistake gets one sentence that says what to do."""

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from act_one.tasks.schema import NewerRowError
from ops import redrive, restore, webhook_secret

QUEUES = ("MediaDeadLetterQueueUrl", "IngestDeadLetterQueueUrl", "WebhookDeadLetterQueueUrl")
OUTPUTS = dict.fromkeys(("TasksTable", "SweeperFunction", "WebhookSecretCommand", *QUEUES), "name")
COMMANDS = {
    "redrive": (redrive.main, ["typo"]),
    "restore": (restore.main, ["typo", "restored"]),
    "webhook_secret": (webhook_secret.main, ["typo", "@webhook-url"]),
}


class FakeSession:
    """A session of boto3: the real table, and stacks, queues and a secret as given."""

    region_name = "eu-central-1"

    def __init__(self, table=None, outputs=None, failure=None, secret=""):
        self.table = table
        self.outputs = outputs
        self.failure = failure
        self.secret = secret

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

    def get_secret_value(self, **_):
        return {"SecretString": self.secret}


@pytest.fixture
def told(monkeypatch, capsys):
    """Run a command that can't do its work, in a session; return the one line that it says."""

    def line(main, arguments, session):
        monkeypatch.setattr(boto3, "Session", session if callable(session) else lambda: session)
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        [said] = captured.err.splitlines()
        return said

    return line


@pytest.mark.parametrize(
    ("main", "arguments", "example"),
    [
        *((redrive.main, given, "make redrive STACK=") for given in ([], [""], [" "], ["a", "b"])),
        *(
            (restore.main, given, "make restore STACK=act-one FROM=")
            for given in ([], ["", ""], ["a", ""], ["", "b"], ["a", " "], ["a", "b", "c"])
        ),
        *(
            (webhook_secret.main, given, "ops.webhook_secret act-one @webhook-url")
            for given in ([], ["a"], ["", "@webhook-url"], ["a", "typo"])
        ),
    ],
)
def test_what_is_missing_is_asked_for_with_an_example(main, arguments, example, told):
    said = told(main, arguments, None)

    assert said.startswith("Name the ")
    assert example in said


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("session", "words"),
    [
        (FakeSession(), "There is no stack 'typo' in eu-central-1"),
        (FakeSession(outputs={}), "'typo' is not a stack of act-one"),
        (FakeSession(outputs={"Website": "https://a.example"}), "'typo' is not a stack of act-one"),
        (FakeSession(failure=NoCredentialsError()), "There are no AWS credentials: set"),
        (FakeSession(failure=NoRegionError()), "There is no AWS region: set"),
        (
            FakeSession(failure=EndpointConnectionError(endpoint_url="https://aws.example")),
            "AWS can't do that: Could not connect",
        ),
    ],
)
def test_a_wrong_stack_is_told_in_one_sentence(name, session, words, told):
    assert told(*COMMANDS[name], session).startswith(words)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_newer_release_wrote_is_told_in_one_sentence(name, told):
    session = FakeSession(failure=NewerRowError(2, None))

    assert "from the folder of that release" in told(*COMMANDS[name], session)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_profile_is_told_in_one_sentence(name, told):
    def session():
        raise ProfileNotFound(profile="typo")

    assert "list-profiles" in told(*COMMANDS[name], session)


def test_a_table_that_is_not_there_is_told_before_anything_changes(table, told):
    session = FakeSession(table, OUTPUTS)

    said = told(restore.main, ["act-one", "no-such-table"], session)

    assert said.startswith("There is no table 'no-such-table'")


def test_a_table_of_something_else_is_told_before_anything_changes(table, told):
    table.client.create_table(
        TableName="pairs-of-restore",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "folder", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "folder", "KeyType": "HASH"}],
    )
    session = FakeSession(table, OUTPUTS)

    said = told(restore.main, ["act-one", "pairs-of-restore"], session)

    assert said.startswith("'pairs-of-restore' is not a table of tasks")


@pytest.mark.parametrize("secret", ["{", "c2hvcnQ=", "not base64!"])
def test_a_secret_that_cannot_be_used_is_told_in_one_sentence(secret, told):
    session = FakeSession(outputs=OUTPUTS, secret=secret)

    said = told(webhook_secret.main, ["act-one", "@webhook-url"], session)

    assert said.startswith("The secret act-one/webhook can't be used: ")
