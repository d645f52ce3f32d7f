"""The documentation's stacks on the bus get the events that they are for."""

import json
import time

import pytest

from local.emulator import ROOT
from tests.e2e.drops import Dropper
from tests.schemas import faults_of

SNIPPETS = ROOT / "docs/snippets"


@pytest.fixture(scope="module")
def listening(stack):
    """Deploy both beside the stack; yields their resources by logical id."""
    client = stack.client("cloudformation")
    found = {}
    for name in ("events-to-queue", "events-to-function"):
        client.create_stack(
            StackName=name,
            TemplateBody=(SNIPPETS / f"{name}.yaml").read_text(),
            Parameters=[{"ParameterKey": "EventBus", "ParameterValue": stack.event_bus}],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        client.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        resources = client.describe_stack_resources(StackName=name)["StackResources"]
        found |= {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
    yield found
    for name in ("events-to-queue", "events-to-function"):
        client.delete_stack(StackName=name)


def test_a_queue_on_the_bus_gets_ends_and_rejections_and_nothing_else(listening, stack, caller):
    good = caller.submit("seconds=1")
    bad = caller.submit("seconds=1&result=failed")
    refused = Dropper(stack).event({"video": "no URL"})

    heard = {}
    ends_at = time.monotonic() + 120
    sqs = stack.client("sqs")
    while {good, bad, refused} - heard.keys() and time.monotonic() < ends_at:
        answer = sqs.receive_message(
            QueueUrl=listening["Ends"], WaitTimeSeconds=1, MaxNumberOfMessages=10
        )
        for message in answer.get("Messages", ()):
            event = json.loads(message["Body"])
            detail = event["detail"]
            name = detail["id"] if "id" in detail else detail["origin"].get("event")
            heard.setdefault(name, []).append(event)

    assert [event["detail-type"] for event in heard[good]] == ["Task Succeeded"]
    assert [event["detail-type"] for event in heard[bad]] == ["Task Failed"]
    assert [event["detail-type"] for event in heard[refused]] == ["Task Rejected"]
    assert faults_of(heard[good][0]) + faults_of(heard[bad][0]) == []


def test_a_function_on_the_bus_gets_a_success(listening, stack, caller):
    task_id = caller.submit("seconds=1")

    logs = stack.client("logs")
    group = f"/aws/lambda/{listening['OnSuccess']}"
    said = ""
    ends_at = time.monotonic() + 120
    while task_id not in said and time.monotonic() < ends_at:
        time.sleep(0.5)
        if logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            said = " ".join(event["message"] for page in pages for event in page["events"])

    assert f"{task_id}#" in said
    assert "video.mp4" in said
