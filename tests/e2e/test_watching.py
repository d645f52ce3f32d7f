"""A stack with alarms: each is provoked, and its own definition evaluated on what was written.

The metrics are those that the stack's functions, queues and buckets really have. Where an alarm
looks further back than these tests take, it is asked about a moment after them. The tests build on
each other, so they are run together.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from local.stack import ROOT, running_stack, use_only_this_machine
from tests.e2e.caller import SECONDS
from tests.e2e.conftest import PARAMETERS
from tests.e2e.drops import Dropper
from tests.watching import Point, Watch, watched_template

ALL_ALARMS = tuple(watched_template().of("CloudWatch::Alarm"))
HEALTHY = 10
BUDGET_TASKS = 32
"""How many tasks a day's budget pays for; the tests before the one about it make about 20."""


@pytest.fixture(scope="module")
def caller():
    use_only_this_machine()
    watched = {
        "AlarmEmail": "ops@example.com",
        "DailyBudgetUsd": str(BUDGET_TASKS * 0.4),
        "CallbackGraceSeconds": "120",
        "TaskTimeoutSeconds": "600",
    }
    with running_stack({**PARAMETERS, **watched}, ROOT / ".local/test-watching") as running:
        yield Dropper(running)


@pytest.fixture(scope="module")
def watch(caller):
    return Watch(caller.stack)


def provokes(*alarms: str):
    """Name the alarms that a test provokes; a test of the runbook reads it here."""
    return pytest.mark.parametrize("alarms", [alarms], ids=[" ".join(alarms)])


def states(watch: Watch, *alarms: str, now: float | None = None) -> dict[str, str]:
    points = watch.points()
    return {one: watch.alarm(one).state(points, now or time.time()) for one in alarms}


def goes_off(watch: Watch, *alarms: str, after: float = 0.0, seconds: float = SECONDS) -> None:
    """Wait until alarms have gone off, ``after`` so many seconds."""
    ends_at = time.monotonic() + seconds
    while set((found := states(watch, *alarms, now=time.time() + after)).values()) != {"ALARM"}:
        assert time.monotonic() < ends_at, found
        time.sleep(0.3)


@contextmanager
def denied(caller: Dropper, role_part: str, action: str) -> Iterator[None]:
    """Take an action out of a role's policy for a while."""
    iam = caller.stack.client("iam")
    [role] = [
        one["RoleName"]
        for page in iam.get_paginator("list_roles").paginate()
        for one in page["Roles"]
        if f"-{role_part}-" in one["RoleName"]
    ]
    [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    kept = [one for one in document["Statement"] if action not in one["Action"]]
    assert len(kept) < len(document["Statement"])

    def put(statements: Any) -> None:
        text = json.dumps({**document, "Statement": statements})
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=text)

    put(kept)
    try:
        yield
    finally:
        put(document["Statement"])


@contextmanager
def gives_up_soon(caller: Dropper, watch: Watch, queue: str) -> Iterator[str]:
    """Let a queue give up a message after one try that takes a second, not after hours."""
    sqs, url = caller.stack.client("sqs"), watch.names[queue]
    names = ["RedrivePolicy", "VisibilityTimeout"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    policy = {**json.loads(before["RedrivePolicy"]), "maxReceiveCount": 1}
    hasty = {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "1"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=hasty)
    try:
        yield url
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


@contextmanager
def stopped(caller: Dropper, watch: Watch, function: str) -> Iterator[None]:
    """Let a function's queue go unread for a while."""
    functions = caller.stack.client("lambda")
    name = watch.names[function]
    [mapping] = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def throttled(caller: Dropper, watch: Watch, function: str) -> Iterator[None]:
    functions = caller.stack.client("lambda")
    name = watch.names[function]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        functions.delete_function_concurrency(FunctionName=name)


def until(what: Callable[[], bool], shown: Callable[[], object] = str) -> None:
    ends_at = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < ends_at, shown()
        time.sleep(0.3)


def call_back(caller: Dropper) -> int:
    """Call the callback URL with a token that was never given."""
    host = caller.stack.callback_url.removeprefix("https://").rstrip("/")
    url = f"{caller.stack.endpoint_url}/callbacks/task/token"
    return requests.post(url, headers={"Host": host}, data="{}", timeout=SECONDS).status_code


def test_a_healthy_stack_has_no_alarm(caller, watch):
    tasks = [caller.submit("seconds=1") for _ in range(HEALTHY)]
    for task_id in tasks:
        caller.wait(task_id, {"succeeded"})

    def counted(name: str) -> list[float]:
        return [one.value for one in watch.written() if one.name == name]

    until(lambda: len(counted("TasksStored")) == HEALTHY)

    assert counted("TasksSubmitted") == [1] * HEALTHY
    assert counted("CallbacksMissed") == [0] * HEALTHY
    assert counted("SpentUsd") == [0.4] * HEALTHY
    assert len(counted("TaskSeconds")) == len(counted("CopySeconds")) == HEALTHY
    assert [*counted("TasksFailed"), *counted("TasksUnconfirmed")] == []
    found = states(watch, *ALL_ALARMS)
    assert set(found.values()) == {"OK"}, found


# ── Queues and the bucket ─────────────────────────────────────────────────────────────────────


@provokes("MediaDeadLetterAlarm")
def test_a_message_that_the_copy_failed_on(caller, watch, alarms):
    with gives_up_soon(caller, watch, "MediaQueue") as url:
        caller.stack.client("sqs").send_message(QueueUrl=url, MessageBody="{}")
        goes_off(watch, *alarms)


@provokes("IngestDeadLetterAlarm")
def test_a_request_that_ingest_failed_on_makes_its_task_when_it_is_sent_again(
    caller, watch, alarms
):
    with (
        gives_up_soon(caller, watch, "IngestQueue"),
        denied(caller, "IngestRole", "dynamodb:GetItem"),
    ):
        caller.message(caller.body("seconds=1", idempotency_key="given up"))
        until(lambda: "MessagesNotTaken" in {one.name for one in watch.written()})
        goes_off(watch, *alarms)

    # `make redrive` lets SQS move the messages back, which the emulator's doesn't know.
    sqs, given_up = caller.stack.client("sqs"), watch.names["IngestDeadLetterQueue"]
    [message] = sqs.receive_message(QueueUrl=given_up)["Messages"]
    sqs.send_message(QueueUrl=watch.names["IngestQueue"], MessageBody=message["Body"])
    sqs.delete_message(QueueUrl=given_up, ReceiptHandle=message["ReceiptHandle"])

    task = caller.requested("given up")
    caller.wait(task.task_id, {"succeeded"})


@provokes("WebhookDeadLetterAlarm")
def test_a_webhook_that_was_tried_in_vain(caller, watch, alarms):
    sqs = caller.stack.client("sqs")
    with (
        stopped(caller, watch, "WebhooksFunction"),
        gives_up_soon(caller, watch, "WebhookQueue") as url,
    ):
        sqs.send_message(QueueUrl=url, MessageBody="{}")

        def tried_in_vain() -> bool:
            sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
            return watch.waiting("WebhookDeadLetterQueue") == 1

        until(tried_in_vain)
        goes_off(watch, *alarms)


@provokes("UndeliveredAlarm")
def test_a_sweep_that_failed(caller, watch, alarms):
    with denied(caller, "SweeperRole", "dynamodb:Query"):
        caller.stack.client("lambda").invoke(
            FunctionName=caller.stack.sweeper_function, InvocationType="Event", Payload=b"{}"
        )
        goes_off(watch, *alarms)


@provokes("RelayFailuresAlarm")
def test_moves_that_the_relay_gave_up(caller, watch, alarms):
    # The emulator writes no records of a stream to S3, so the object is the test's.
    caller.s3.put_object(Bucket=watch.names["RelayFailuresBucket"], Key="aws/lambda/x", Body=b"{}")
    goes_off(watch, *alarms)
    caller.s3.delete_object(Bucket=watch.names["RelayFailuresBucket"], Key="aws/lambda/x")


# ── Tasks ─────────────────────────────────────────────────────────────────────────────────────


@provokes("CallbacksMissedAlarm", "CallbacksAllMissedAlarm")
def test_callbacks_that_get_lost(caller, watch, alarms):
    tasks = [caller.submit("seconds=1&callback=lost") for _ in range(4)]
    time.sleep(1.0)  # they end meanwhile
    for task_id in tasks:
        caller.table.record(caller.row(task_id), due_at=time.time())  # as if the grace was over
    for task_id in tasks:
        assert caller.wait(task_id, {"succeeded"}).settled_by == "fallback"

    goes_off(watch, "CallbacksMissedAlarm")
    # Until six hours after the last callback, that one is among the results.
    assert states(watch, "CallbacksAllMissedAlarm") == {"CallbacksAllMissedAlarm": "OK"}
    results = [one for one in watch.written() if one.name == "CallbacksMissed"]
    called_back = max(one.at for one in results if not one.value)
    assert sum(one.at > called_back for one in results) >= 3
    later = called_back + 21_600.001
    assert states(watch, *alarms[1:], now=later) == {"CallbacksAllMissedAlarm": "ALARM"}


@provokes("UnconfirmedAlarm")
def test_a_create_without_a_reply(caller, watch, alarms):
    task_id = caller.submit("seconds=2&create=cut_after")
    goes_off(watch, *alarms)
    caller.wait(task_id, {"succeeded"})


@provokes("FailedTasksAlarm")
def test_tasks_without_a_result(caller, watch, alarms):
    tasks = [caller.submit("seconds=1&result=failed") for _ in range(2)]
    for task_id in tasks:
        caller.wait(task_id, {"failed"})
    until(lambda: sum(one.name == "TasksFailed" for one in watch.written()) == 2)
    assert states(watch, *alarms) == {"FailedTasksAlarm": "OK"}

    caller.wait(caller.submit("seconds=1&result=failed"), {"failed"})
    goes_off(watch, *alarms)


@provokes("ProviderKeyAlarm")
def test_a_key_that_the_provider_refuses(caller, watch, alarms):
    task_id = caller.submit("seconds=1&create=unauthorized")
    goes_off(watch, *alarms)
    assert "provider_key_refused" in {one.code for one in caller.row(task_id).warnings}
    assert caller.cancel(task_id).status_code == 200


@provokes("CopyLagAlarm")
def test_a_result_that_waits_for_its_copy(caller, watch, alarms):
    sqs, url = caller.stack.client("sqs"), watch.names["MediaQueue"]
    with stopped(caller, watch, "CopyFunction"):
        task_id = caller.submit("seconds=1")
        caller.wait(task_id, {"storing"})
        until(lambda: watch.waiting("MediaQueue") == 1)
        [message] = sqs.receive_message(
            QueueUrl=url, VisibilityTimeout=0, MessageSystemAttributeNames=["SentTimestamp"]
        )["Messages"]
        sent_at = int(message["Attributes"]["SentTimestamp"]) / 1000
        own = frozenset({("QueueName", watch.names["MediaQueue.QueueName"])})
        ages = [
            Point("AWS/SQS", "ApproximateAgeOfOldestMessage", own, sent_at + age, age)
            for age in range(0, 1200, 60)
        ]
        alarm = watch.alarm(*alarms)
        assert alarm.state(ages, time.time()) == "OK"
        assert alarm.state(ages, sent_at + 900) == "OK"
        assert alarm.state(ages, sent_at + 901) == "ALARM"
    caller.wait(task_id, {"succeeded"})


@provokes("SweepAlarm")
def test_no_sweep_for_five_minutes(watch, alarms):
    points = watch.points()
    own = ("FunctionName", watch.names["SweeperFunction"])
    swept_at = max(one.at for one in points if one.name == "Invocations" and own in one.dimensions)

    alarm = watch.alarm(*alarms)

    assert alarm.state(points, time.time()) == "OK"
    assert alarm.state(points, swept_at + 299) == "OK"
    assert alarm.state(points, swept_at + 301) == "ALARM"


@provokes("BudgetAlarm")
def test_most_of_the_budget_is_used(caller, watch, alarms):
    assert states(watch, *alarms) == {"BudgetAlarm": "OK"}
    tasks, budget = [], BUDGET_TASKS * 400_000
    while caller.accounts_of_stack() < 0.8 * budget:
        tasks.append(caller.submit("seconds=1&create=throttled&retry_after=600"))

    goes_off(watch, *alarms)
    used = max(one.value for one in watch.written() if one.name == "BudgetUsedPercent")
    assert used == 100 * caller.accounts_of_stack() / budget
    for task_id in tasks:
        caller.cancel(task_id)


# ── Functions ─────────────────────────────────────────────────────────────────────────────────


@provokes("ApiErrorsAlarm")
def test_replies_of_the_api_with_5xx(caller, watch, alarms):
    own = frozenset({("ApiName", caller.stack.stack_name), ("Stage", "v1")})
    task_id = caller.submit("seconds=1")
    with denied(caller, "TasksRole", "dynamodb:GetItem"):
        until(lambda: caller.get(task_id).status_code >= 500)
        for _ in range(3):
            status = caller.get(task_id).status_code
            # API Gateway counts its replies, but the emulator doesn't: the caller does.
            failed = Point("AWS/ApiGateway", "5XXError", own, time.time(), float(status >= 500))
            watch.sampled.append(failed)
    goes_off(watch, *alarms)


@provokes("ThrottlesAlarm")
def test_throttled_functions(caller, watch, alarms):
    with throttled(caller, watch, "DocsFunction"):
        for _ in range(10):
            requests.get(f"{caller.stack.api_url}/docs", timeout=SECONDS)
        goes_off(watch, *alarms)


@provokes("CallbackThrottlesAlarm")
def test_a_throttled_callback(caller, watch, alarms):
    with throttled(caller, watch, "CallbackFunction"):
        assert call_back(caller) == 429
        goes_off(watch, *alarms)


# ── The dashboard and the saved queries ───────────────────────────────────────────────────────
# These are about all that was written: they need the tests above.


def test_the_dashboard_shows_only_metrics_that_the_stack_writes(watch):
    written = {(one.namespace, one.name, one.dimensions) for one in watch.points()}
    shown = {
        (query.namespace, query.name, query.dimensions)
        for widget in watch.widgets()
        for query in widget.queries
        if query.namespace == "ActOne"
    }

    assert len(shown) == 10
    assert shown <= written


def test_the_saved_queries_name_only_fields_and_messages_that_logs_have(caller, watch):
    queries = watched_template().of("Logs::QueryDefinition")
    asked = {name: asked_in(one["QueryString"]) for name, one in queries.items()}
    assert len(asked) == 5
    # What has not happened yet: a request and a callback that are refused, a copy that fails.
    assert caller.post("{").status_code == 400
    assert call_back(caller) == 404
    caller.submit("seconds=1&media=missing&media_times=1")

    def unknown() -> dict[str, set[str]]:
        lines = watch.lines()
        known = {name for line in lines for name, _ in members(line)} | SYSTEM_FIELDS
        return {name: found - known for name, found in asked.items() if found - known}

    until(lambda: not unknown(), unknown)
    assert {"create", "feed"} <= {line.get("message") for line in watch.lines()}


def test_the_runbook_looks_for_what_logs_say(watch):
    runbook = (ROOT / "docs/runbook.md").read_text()
    patterns = set(re.findall(r"lines (\w+) '\{ \$\.([\w.]+) = \"([^\"]+)\" \}'", runbook))
    assert len(patterns) >= 5

    found = {
        (logs, name, str(value))
        for logs in {logs for logs, _, _ in patterns}
        for line in watch.lines(logs)
        for name, value in members(line)
    }

    # Neither a webhook secret was spoilt, nor does the emulator write errors in Lambda's own form.
    not_here = {("WebhooksLogs", "message", "webhook not sent")}
    assert {one for one in patterns - found if one[1] != "level"} <= not_here


SYSTEM_FIELDS = {"@timestamp", "@message", "type"}
"""Those of Logs Insights, and of lines that Lambda itself writes: the emulator writes none."""


def members(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List the fields that Logs Insights makes of a line, with their values."""
    for name, value in line.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from members(value, f"{prefix}{name}.")


def asked_in(query: str) -> set[str]:
    """List the fields that a query of Logs Insights reads."""
    text = re.sub(r'"[^"]*"|/[^/\n]*/|^#.*$', " ", query, flags=re.MULTILINE)
    made = set(re.findall(r"\bas (\w+)", text))
    words = set(re.findall(r"(?<![\w(@.])@?[a-zA-Z_][\w.]*(?!\w*\()", re.sub(r"\w+\(", "( ", text)))
    return words - made - KEYWORDS


KEYWORDS = {
    *("fields", "filter", "sort", "limit", "stats"),
    *("by", "as", "asc", "desc", "or", "in", "like"),
}
