"""The commands around a deployment, on a stack of their own: doctor, smoke, trace, uninstall.

What docs/operations.md shows of them is compared with what they print here. The last test removes
the stack.
"""

import io
import json
import re
import time
from contextlib import contextmanager

import boto3
import pytest

from local.stack import REGION, ROOT, running_stack
from ops import clients, doctor, smoke, trace, uninstall
from tests.e2e.caller import Caller
from tests.e2e.conftest import PARAMETERS
from tests.transcripts import TRANSCRIPTS

VARYING = (
    (r"task_[0-9a-f]{32}", "TASK"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME"),
    (r"\d{4}[-/]\d\d[-/]\d\d", "DAY"),
    (r"\bact-one(-local)?\b", "STACK"),
    (r"STACK-(\w+?)-\w+", r"STACK-\1"),
    (r"https?://[\w.:-]+", "URL"),
    (r"\([\w.:-]+\.on\.aws\)", "(HOST)"),
    (r"smoke-[0-9a-f]{16}", "KEY"),
    (r"API key [0-9a-z]+", "API key ID"),
    (r"\d+(\.\d+)?", "N"),
    (r" +", " "),
)


def masked(text):
    """Replace what differs from run to run."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return [line.strip() for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def caller():
    parameters = {**PARAMETERS, "CallbackGraceSeconds": "120"}
    # Without sweeps: one that is under way when its function is deleted gets no reply.
    with running_stack(parameters, ROOT / ".local/test-commands", sweeping=False) as running:
        yield Caller(running)


@pytest.fixture
def run(caller, monkeypatch, capsys, tmp_path):
    """Run a command against the stack, as its operator; return its exit status and its output."""
    programs = {"python3.13": "3.13.9", "uv": "0.13.9", "make": "4.3", "sam": doctor.TESTED_SAM}
    for name, version in programs.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{name}, version {version}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", caller.stack.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    monkeypatch.setattr(uninstall, "_LOOK_SECONDS", 0.1)

    def command(main, *arguments):
        status = main([*arguments])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return command


def problems(output):
    return [line for line in output.splitlines() if line.startswith("problem")]


# ── doctor ────────────────────────────────────────────────────────────────────────────────────


def test_the_doctor_finds_that_the_stack_can_be_updated(caller, run):
    name = caller.stack.stack_name

    status, said = run(doctor.main, "--stack", name, "DailyBudgetUsd=5")

    assert status == 0, said
    assert f"the stack {name} is CREATE_COMPLETE: `sam deploy` updates it" in said
    assert "changes DailyBudgetUsd=5; keeps" in said
    assert "CallbackGraceSeconds=120" in said
    assert "ProviderApiKey=" not in said
    assert f"{name} can be deployed" in said.splitlines()[-1]


def test_the_doctor_finds_what_an_earlier_stack_left(caller, run):
    vault, name = caller.stack.client("secretsmanager"), "act-two"
    vault.create_secret(Name=f"{name}/provider", SecretString="x")
    vault.delete_secret(SecretId=f"{name}/provider")
    vault.create_secret(Name=f"{name}/webhook", SecretString="x")
    caller.stack.client("events").create_event_bus(Name=name)
    caller.stack.client("logs").create_log_group(
        logGroupName=f"/aws/vendedlogs/states/{name}-fallback"
    )

    status, said = run(doctor.main, "--stack", name)

    assert status == 2
    scheduled, other, bus, logs = problems(said)
    assert "delete-secret --force-delete-without-recovery --secret-id act-two/provider" in scheduled
    assert "act-two/webhook exists" in other
    assert "an event bus act-two" in bus
    assert "delete-log-group --log-group-name /aws/vendedlogs/states/act-two-fallback" in logs


# ── smoke ─────────────────────────────────────────────────────────────────────────────────────


def test_a_good_stack_passes_and_a_repeated_transfer_is_paid_for_once(caller, run):
    name = caller.stack.stack_name
    before = caller.simulator("bill")["creates_seen"]

    status, free = run(smoke.main, name)
    assert status == 0, free
    assert caller.simulator("bill")["creates_seen"] == before

    status, paid = run(smoke.main, name, "--paid")
    assert status == 0, paid
    shown = [line for line in masked(paid) if not line.startswith("N s:")]
    documented = masked(TRANSCRIPTS["make smoke STACK=act-one PAID=yes"])
    assert shown == [line for line in documented if not line.startswith("N s:")]

    status, again = run(smoke.main, name, "--paid")
    assert status == 0
    assert "was created by an earlier run" in again
    assert caller.simulator("bill")["creates_seen"] == before + 1


def test_a_transfer_that_takes_long_or_is_of_other_files_is_told(caller, run):
    name, inputs = caller.stack.stack_name, f"{caller.stack.provider_url}/inputs"
    image = ["--image", f"{inputs}/character.png"]
    given = [name, "--paid", "--key", "another-1", "--seconds", "0"]

    mixed = run(smoke.main, *given, *image)
    late = run(smoke.main, *given, *image, "--video", f"{inputs}/performance.mp4?seconds=600")
    other = run(smoke.main, *given, *image, "--video", f"{inputs}/performance.mp4?seconds=1")

    assert [status for status, _ in (mixed, late, other)] == [2, 2, 2]
    assert "both as files, or both as URLs" in mixed[1]
    assert "the same command waits for it again" in late[1]
    assert "used the key another-1 with other files" in other[1]


@contextmanager
def broken(caller):
    """Break what smoke looks at, and repair it."""
    stack = caller.stack
    of = {one.name: one.id for one in listed(caller)}
    functions, vault = stack.client("lambda"), stack.client("secretsmanager")
    events, machines = stack.client("events"), stack.client("stepfunctions")
    secret = f"{stack.stack_name}/provider"
    key = vault.get_secret_value(SecretId=secret)["SecretString"]
    rule = of["MediaRule"].rpartition("|")[2]
    machine = machines.describe_state_machine(stateMachineArn=stack.fallback_arn)["definition"]
    permission = next(
        one["Sid"]
        for one in json.loads(functions.get_policy(FunctionName=of["CallbackFunction"])["Policy"])[
            "Statement"
        ]
        if one["Action"] == "lambda:InvokeFunction"
    )
    vault.put_secret_value(SecretId=secret, SecretString="wrong")
    functions.remove_permission(FunctionName=of["CallbackFunction"], StatementId=permission)
    functions.update_event_source_mapping(UUID=of["CopyFunctionMedia"], Enabled=False)
    functions.put_function_concurrency(
        FunctionName=of["WebhooksFunction"], ReservedConcurrentExecutions=0
    )
    events.disable_rule(Name=rule, EventBusName=stack.event_bus)
    machines.update_state_machine(
        stateMachineArn=stack.fallback_arn,
        definition=re.sub(r"(:function:[\w-]+)", r"\1:7", machine),
    )
    try:
        yield
    finally:
        vault.put_secret_value(SecretId=secret, SecretString=key)
        functions.add_permission(
            FunctionName=of["CallbackFunction"],
            StatementId=permission,
            Action="lambda:InvokeFunction",
            Principal="*",
            InvokedViaFunctionUrl=True,
        )
        functions.update_event_source_mapping(UUID=of["CopyFunctionMedia"], Enabled=True)
        functions.delete_function_concurrency(FunctionName=of["WebhooksFunction"])
        events.enable_rule(Name=rule, EventBusName=stack.event_bus)
        machines.update_state_machine(stateMachineArn=stack.fallback_arn, definition=machine)


def listed(caller):
    session = boto3.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
    )
    return uninstall.list_resources(caller.stack.stack_name, session)


def test_a_broken_stack_is_seen(caller, run):
    with broken(caller):
        status, said = run(smoke.main, caller.stack.stack_name, "--paid")

    assert status == 2
    found = problems(said)
    for words in (
        "refuses the key in act-one-local/provider",
        "CallbackFunction's policy doesn't allow lambda:InvokeFunction to everybody",
        "the event source CopyFunctionMedia is Disabl",
        "WebhooksFunction may not run",
        "the rule MediaRule is disabled",
        "not FallbackFunction",
    ):
        assert [line for line in found if words in line], f"{words} is not in {said}"
    assert len(found) == 6
    assert "No transfer is paid for while a problem stands" in said


def test_what_has_no_value_and_callbacks_that_are_not_answered_are_seen(caller, run):
    of = {one.name: one.id for one in listed(caller)}
    vault, functions = caller.stack.client("secretsmanager"), caller.stack.client("lambda")
    name = f"{caller.stack.stack_name}/webhook"
    good = vault.get_secret_value(SecretId=name)["SecretString"]
    scheduler = caller.stack.client("scheduler")
    schedule = scheduler.get_schedule(Name=of["SweeperFunctionEveryMinute"])
    kept = {one: schedule[one] for one in ("Name", "ScheduleExpression", "Target")}
    kept["FlexibleTimeWindow"] = schedule["FlexibleTimeWindow"]
    vault.put_secret_value(SecretId=name, SecretString="short")
    scheduler.update_schedule(**kept, State="DISABLED")
    functions.put_function_concurrency(
        FunctionName=of["CallbackFunction"], ReservedConcurrentExecutions=0
    )

    status, said = run(smoke.main, caller.stack.stack_name)

    functions.delete_function_concurrency(FunctionName=of["CallbackFunction"])
    scheduler.update_schedule(**kept, State="ENABLED")
    vault.put_secret_value(SecretId=name, SecretString=good)
    assert status == 2
    function, secret, answer, sweeper = problems(said)
    assert "CallbackFunction may not run" in function
    assert f"the secret {name} can't be used" in secret
    assert "a callback with a wrong token gets 429" in answer
    assert "the sweeper's schedule" in sweeper
    assert run(smoke.main, caller.stack.stack_name)[0] == 0


# ── trace ─────────────────────────────────────────────────────────────────────────────────────

WEBHOOK = {"url": "http://127.0.0.1:9/hook?signature=webhook-secret", "events": ["task.succeeded"]}


def test_the_story_of_a_task_whose_callback_was_lost(caller, run):
    asked = caller.post(
        caller.body("seconds=1&callback=lost", webhook=WEBHOOK),
        {"X-Request-Id": "order-42-shot-7"},
    )
    task_id = asked.json()["id"]
    time.sleep(1.5)  # the provider is done
    caller.table.record(caller.row(task_id), due_at=time.time())
    caller.stack.sweep()
    caller.wait(task_id, {"succeeded"})
    ends_at = time.monotonic() + 60
    while not caller.row(task_id).deliveries:
        assert time.monotonic() < ends_at
        time.sleep(0.2)
    ends_at = time.monotonic() + 60  # the last lines of logs come after what they tell
    while "webhook failed" not in (said := run(trace.main, caller.stack.stack_name, task_id)[1]):
        assert time.monotonic() < ends_at, said
        time.sleep(0.2)

    for hidden in ("webhook-secret", caller.stack.api_key, "callback=lost"):
        assert hidden not in said
    assert comparable(masked(said)) == comparable(
        masked(TRANSCRIPTS["make trace STACK=act-one TASK=task_3396ce8c6b5503ae5cd17c51f65fb987"])
    )
    times = re.findall(r"^(\d{4}-\S+Z) ", said, re.MULTILINE)
    assert times == sorted(times)

    status, written = run(trace.main, caller.stack.stack_name, task_id, "--json")
    assert status == 0
    story = json.loads(written)
    assert story["task"]["id"] == task_id
    assert {"row", "Submit", "Fallback", "Copy", "Webhooks", "webhook", "file"} <= {
        entry["source"] for entry in story["timeline"]
    }
    assert story["not_read"] == []
    assert "webhook-secret" not in written


def comparable(lines):
    """Leave out what depends on who was faster: turns, repeats, the order at one moment."""
    return {
        line.partition("the account has")[0]  # the account has other tests' tasks too
        for line in lines
        if "took a turn" not in line and "due:" not in line
    }


def test_the_story_of_a_failed_task_and_of_none(caller, run):
    task_id = caller.submit("seconds=1&result=failed")
    caller.wait(task_id, {"failed"})

    status, said = run(trace.main, caller.stack.stack_name, task_id)

    assert status == 0
    assert "failed, billing charged" in said
    assert "callback  the latest callback came: failed" in said
    assert "event Task Failed" in said
    assert "callback  feed" in said.lower()

    status, said = run(trace.main, caller.stack.stack_name, "task_" + "0" * 32)
    assert (status, len(said.splitlines())) == (2, 1)
    assert "There is no task" in said


# ── uninstall ─────────────────────────────────────────────────────────────────────────────────


def test_a_stack_is_removed_with_its_data_although_the_first_run_was_interrupted(
    caller, run, monkeypatch
):
    stack, s3 = caller.stack, caller.s3
    name = stack.stack_name
    assert run(clients.main, name, "create", "shop")[0] == 0
    for content in (b"one", b"two"):
        s3.put_object(Bucket=stack.uploads_bucket, Key="outgoing/x", Body=content)
    s3.delete_object(Bucket=stack.uploads_bucket, Key="outgoing/x")
    s3.create_multipart_upload(Bucket=stack.uploads_bucket, Key="outgoing/y")
    s3.create_bucket(Bucket=f"{name}-resultsbucket-of-another")
    stack.client("cloudformation").update_termination_protection(
        StackName=name, EnableTerminationProtection=True
    )
    open_task = caller.submit("seconds=600&callback=lost")

    status, refused = run(uninstall.main, name, "--confirm", name)
    assert status == 2
    assert "are or may be paid for" in refused
    caller.table.client.delete_item(TableName=stack.tasks_table, Key={"task_id": {"S": open_task}})
    for row in caller.tasks():
        if not row.done:
            caller.table.client.delete_item(
                TableName=stack.tasks_table, Key={"task_id": {"S": row.task_id}}
            )
    for confirmation in ([], ["--confirm", "act-one"]):
        status, unconfirmed = run(uninstall.main, name, *confirmation)
        assert status == 2
        assert f"CONFIRM={name}" in unconfirmed
    described = stack.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert described[0]["StackStatus"] == "CREATE_COMPLETE"

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(uninstall, "delete_table", interrupted)
        status, first = run(uninstall.main, name, "--confirm", name)
    assert status == 130, first
    assert f"The stack {name} is deleted." in first
    assert "The API key of act-one-local-shop is deleted." in first
    assert f"The bucket {stack.uploads_bucket} is deleted." in first

    status, second = run(uninstall.main, name, "--confirm", name)
    assert status == 0, second
    assert f"The table {stack.tasks_table} is deleted." in second
    assert f"Nothing remains of {name}." in second
    goes_on = second[second.index("is deleted.") - len(f"The table {stack.tasks_table} ") :]
    together = masked(first.partition("\nInterrupted")[0] + goes_on)
    documented = masked(TRANSCRIPTS["make uninstall STACK=act-one CONFIRM=act-one"])
    assert sorted(filter(None, together)) == sorted(documented)

    buckets = {one["Name"] for one in s3.list_buckets()["Buckets"]}
    assert {one for one in buckets if one.startswith(name)} == {f"{name}-resultsbucket-of-another"}
    tables = stack.client("dynamodb").list_tables()["TableNames"]
    assert [one for one in tables if one.startswith(name)] == []
    assert stack.client("apigateway").get_api_keys()["items"] == []
    assert run(uninstall.main, name)[0] == 0
    status, free = run(doctor.main, "--stack", name)
    assert status == 0, free
    assert "the names that the stack takes are free" in free
