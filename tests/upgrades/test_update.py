"""A stack of the last release is updated to this one, and back, with tasks in flight."""

import pytest

from act_one import VERSION
from act_one.tasks import schema
from local.expand import load
from local.stack import ROOT, STACK_NAME, deploy, running_stack, use_only_this_machine
from tests.e2e.caller import Caller
from tests.endpoints import endpoint
from tests.upgrades.in_flight import InFlight, fails_first

PARAMETERS = {
    "CallbackGraceSeconds": "5",
    "MinPollSeconds": "1",
    "PollIntervalSeconds": "1",
    "PollMaxIntervalSeconds": "2",
    "DailyBudgetUsd": "100",
    "RequestsPerSecond": "1000",
    "RequestBurst": "1000",
}
FOLDER = ROOT / ".local/upgrades"


@pytest.fixture(scope="module")
def stack(old):
    use_only_this_machine()
    with running_stack(PARAMETERS, FOLDER, template=old) as running:
        yield running


@pytest.fixture(scope="module")
def receiver():
    with endpoint(fails_first) as running:
        yield running


def test_tasks_survive_an_update_and_a_rollback(stack, receiver, old, new):
    caller = Caller(stack)
    for mark, template in (("update", new), ("rollback", old)):
        flight = InFlight(caller, receiver, mark)
        flight.begin()
        assert caller.accounts() == caller.accounts_of_rows()
        assert caller.accounts()["reserved"] > 0
        assert flight.queued() >= 3
        print(f"before the {mark}: {flight.stages()}")

        deploy({}, FOLDER, stack.endpoint_url, template)

        assert version_of(stack) == version_in(template)
        print(f"after the {mark}: {flight.stages()}")
        flight.keep_queues(waiting=False)
        flight.check_end()
        assert caller.accounts() == caller.accounts_of_rows()
        assert "reserved" not in caller.accounts()
        assert flight.queued() == 0
        assert running_executions(stack) == []
    agents = {one.headers["user-agent"] for one in receiver.received}
    assert f"act-one/{VERSION}" in agents
    assert len(agents) > 1
    assert str(schema.TASKS.written) in schemas(stack)


def version_in(template):
    """The version that a template says; the first release said none."""
    return load(template)["Outputs"].get("Version", {}).get("Value")


def version_of(stack):
    [described] = stack.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
    assert described["StackStatus"] == "UPDATE_COMPLETE"
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
    return outputs.get("Version")


def running_executions(stack):
    found = stack.client("stepfunctions").list_executions(
        stateMachineArn=stack.fallback_arn, statusFilter="RUNNING"
    )
    return [one["name"] for one in found["executions"]]


def schemas(stack):
    """The schemas of the rows that have one: those that this release wrote."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.tasks_table)
    return {item["schema"]["N"] for page in pages for item in page["Items"] if "schema" in item}
