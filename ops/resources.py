"""What `make smoke` checks of a stack's resources: that each is there, enabled and leads on."""

import json
from collections.abc import Iterator
from typing import Any, Final

from ops.deployed import Resource, Stack
from ops.findings import Finding, ok, problem, warning

_GOOD_STATES: Final = frozenset(
    {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
)


def status(stack: Stack) -> Iterator[Finding]:
    """Check that the stack is deployed as a whole."""
    if stack.status in _GOOD_STATES:
        yield ok(f"the stack {stack.name} is {stack.status}, as of {stack.changed_at}")
    else:
        yield problem(f"the stack {stack.name} is {stack.status}: `make doctor` says what to do")


def functions(stack: Stack) -> Iterator[Finding]:
    """Check that each function is active, and may run at all."""
    client, found = stack.client("lambda"), stack.of_type("AWS::Lambda::Function")
    bad = []
    for one in found:
        try:
            configuration = client.get_function_configuration(FunctionName=one.id)
        except client.exceptions.ResourceNotFoundException:
            bad.append(problem(f"{one.name} is gone: deploy again"))
            continue
        state = configuration.get("State", "Active")
        last = configuration.get("LastUpdateStatus", "Successful")
        if state not in {"Active", "Inactive"} or last == "Failed":
            why = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason")
            bad.append(problem(f"{one.name} is {state}, its last update {last}: {why}"))
        reserved = client.get_function_concurrency(FunctionName=one.id)
        if reserved.get("ReservedConcurrentExecutions") == 0:
            bad.append(
                problem(
                    f"{one.name} may not run: 0 executions are reserved for it; `aws lambda "
                    f"delete-function-concurrency --function-name {one.id}`"
                )
            )
    yield from bad or [ok(f"all {len(found)} functions can run")]


def event_sources(stack: Stack) -> Iterator[Finding]:
    """Check that queues and the table's stream are read."""
    client, found = stack.client("lambda"), stack.of_type("AWS::Lambda::EventSourceMapping")
    bad = []
    for one in found:
        try:
            mapping = client.get_event_source_mapping(UUID=one.id)
        except client.exceptions.ResourceNotFoundException:
            bad.append(problem(f"the event source {one.name} is gone: deploy again"))
            continue
        if mapping["State"] not in {"Enabled", "Enabling", "Updating", "Creating"}:
            bad.append(
                problem(
                    f"the event source {one.name} is {mapping['State']}: its messages pile up; "
                    f"`aws lambda update-event-source-mapping --uuid {one.id} --enabled`"
                )
            )
        elif "PROBLEM" in str(mapping.get("LastProcessingResult", "")).upper():
            bad.append(warning(f"{one.name} last said: {mapping['LastProcessingResult']}"))
    yield from bad or [ok(f"all {len(found)} event sources are enabled")]


def rules(stack: Stack) -> Iterator[Finding]:
    """Check that each rule is there, enabled, and leads somewhere."""
    client, found = stack.client("events"), stack.of_type("AWS::Events::Rule")
    bad = [finding for one in found for finding in _rule(one, stack.outputs["EventBus"], client)]
    yield from bad or [ok(f"all {len(found)} rules are enabled and have targets")]


def _rule(rule: Resource, bus: str, client: Any) -> Iterator[Finding]:  # noqa: ANN401 - boto3's
    """Check one rule. The id of a rule on another bus than the default begins with the bus."""
    name = rule.id.rpartition("|")[2]
    for place in (bus, "default"):
        try:
            found = client.describe_rule(Name=name, EventBusName=place)
        except client.exceptions.ResourceNotFoundException:
            continue
        if found["State"] == "DISABLED":
            yield problem(
                f"the rule {rule.name} is disabled: `aws events enable-rule --name {name} "
                f"--event-bus-name {place}`"
            )
        elif not client.list_targets_by_rule(Rule=name, EventBusName=place)["Targets"]:
            yield problem(f"the rule {rule.name} has no target: deploy again")
        return
    yield problem(f"the rule {rule.name} is gone: deploy again")


def sweeper(stack: Stack) -> Iterator[Finding]:
    """Check that the sweeper's schedule is enabled: it takes up what callbacks missed."""
    client = stack.client("scheduler")
    for one in stack.of_type("AWS::Scheduler::Schedule"):
        try:
            state = client.get_schedule(Name=one.id)["State"]
        except client.exceptions.ResourceNotFoundException:
            yield problem(f"the schedule {one.name} is gone: deploy again")
            continue
        if state == "ENABLED":
            yield ok("the sweeper runs every minute")
        else:
            yield problem(
                f"the sweeper's schedule {one.id} is {state}, so that missed callbacks are never "
                "noticed: enable it (an interrupted `make restore` leaves it so)"
            )


def state_machine(stack: Stack) -> Iterator[Finding]:
    """Check that the fallback calls its function by its ARN, and that there is this function."""
    found = stack.client("stepfunctions").describe_state_machine(
        stateMachineArn=stack.outputs["FallbackArn"]
    )
    states = json.loads(found["definition"])["States"]
    called = {one["Resource"] for one in states.values() if one["Type"] == "Task"}
    function = stack.client("lambda").get_function_configuration(
        FunctionName=stack.id_of("FallbackFunction")
    )
    if found["status"] != "ACTIVE":
        yield problem(f"the fallback's state machine is {found['status']}: deploy again")
    elif called != {function["FunctionArn"]}:
        yield problem(
            f"the fallback calls {', '.join(sorted(called))}, not FallbackFunction: deploy again"
        )
    else:
        yield ok("the fallback's state machine calls FallbackFunction by its ARN")


def dead_letters(stack: Stack) -> Iterator[Finding]:
    """Look for messages that were given up."""
    client = stack.client("sqs")
    left = {}
    for name in (
        *("MediaDeadLetterQueue", "IngestDeadLetterQueue", "WebhookDeadLetterQueue"),
        "UndeliveredQueue",
    ):
        attributes = client.get_queue_attributes(
            QueueUrl=stack.id_of(name), AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        if count := int(attributes["ApproximateNumberOfMessages"]):
            left[name] = count
    if left:
        counts = ", ".join(f"{count} in {name}" for name, count in left.items())
        yield warning(
            f"messages were given up: {counts}; docs/operations.md says what became of their tasks"
        )
    else:
        yield ok("no message was given up")
