"""`make trace`: what the story of a task shows, and what it never does."""

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from act_one.tasks.task import Delivery, Evidence, Notice, Stage, Webhook
from ops import log_lines, trace
from ops.deployed import Resource, Stack
from tests.unit.examples import BEGINNING, task

TOKEN = "0123abcd." + "A" * 43
SECRETS = ("sig=secret", "Signature=abc", "sk-live-1234", TOKEN)
GROUP = Resource(name="CopyLogs", type="AWS::Logs::LogGroup", id="copy")


class Logs:
    """A client of CloudWatch Logs that ignores patterns, and one group of lines."""

    def __init__(self, *lines):
        self.lines = lines
        self.patterns = []

    def get_paginator(self, _name):
        return self

    def paginate(self, **asked):
        self.patterns.append(asked["filterPattern"])
        events = [
            {
                "timestamp": (BEGINNING + n) * 1000,
                "message": one if isinstance(one, str) else json.dumps(one),
            }
            for n, one in enumerate(self.lines)
        ]
        return [{"events": events[:1]}, {"events": events[1:]}]


def stack(**clients):
    return Stack(
        session=SimpleNamespace(client=clients.__getitem__),
        name="act-one",
        id="id",
        status="CREATE_COMPLETE",
        changed_at="",
        outputs={
            "FallbackArn": "arn:aws:states:eu-central-1:1:stateMachine:f",
            "ResultsBucket": "results",
            "UploadsBucket": "uploads",
            "TasksTable": "tasks",
            "LedgerTable": "ledger",
        },
        parameters={},
        resources={"CopyLogs": GROUP},
    )


def lines_of(logs, **fields):
    found = trace.log_entries(task(**fields), "Copy", "copy", stack(logs=logs))
    return [entry.what for entry in found]


def test_only_lines_about_the_task_are_shown():
    mine = task().task_id
    logs = Logs(
        {"message": "by task", "task_id": mine},
        {"message": "by request", "correlation_id": "order-1"},
        {"message": "of another", "task_id": "task_2", "correlation_id": "order-1"},
        {"message": "of another request", "correlation_id": "order-2"},
        {"message": "of nothing"},
        "START RequestId: 1",
        "[]",
    )

    assert lines_of(logs, correlation_id="order-1") == ["by task", "by request"]
    assert lines_of(logs, correlation_id=None) == ["by task"]
    assert f'($.task_id = "{mine}")' in logs.patterns[0]
    assert '($.correlation_id = "order-1")' in logs.patterns[0]


def test_a_crash_of_an_invocation_about_the_task_is_shown():
    logs = Logs(
        {"message": "copy", "task_id": task().task_id, "function_request_id": "r-1"},
        {"level": "ERROR", "requestId": "r-1", "errorMessage": "boom", "errorType": "ValueError"},
        {"type": "platform.report", "record": {"requestId": "r-1", "status": "timeout"}},
        {"level": "ERROR", "requestId": "r-2", "errorMessage": "of another"},
    )

    first, crash, timeout = lines_of(logs)

    assert first == "copy"
    assert crash == "ERROR  errorMessage=boom errorType=ValueError"
    assert "timeout" in timeout
    assert len(max(logs.patterns, key=len)) <= 1_024


def test_patterns_of_many_invocations_stay_short():
    logs = Logs(
        *(
            {"message": "a", "task_id": task().task_id, "function_request_id": f"{n:036}"}
            for n in range(20)
        )
    )

    assert len(lines_of(logs)) == 20
    assert len(logs.patterns) == 1 + 4
    assert len(max(logs.patterns, key=len)) <= 1_024


def test_a_line_is_written_short_with_its_fields():
    line = {
        "level": "WARNING",
        "message": "copy failed",
        "task_id": "task_1",
        "service": "act-one",
        "code": "media_refused",
        "outcome": {"kind": "created"},
        "exception": "Traceback (most recent call last):\n  File …\nValueError: no",
    }

    assert log_lines.line_text(line) == (
        'WARNING copy failed code=media_refused outcome={"kind": "created"} ValueError: no'
    )


def full_task():
    return task(
        Stage.FAILED,
        video="https://media.example/a.mp4?sig=secret",
        image="s3://uploads/uploads/default/u/image",
        webhook=Webhook(url="https://hooks.example/x?sig=secret", events=("task.failed",)),
        error=Notice(code="provider_failed", message="GET https://cdn.example/v?Signature=abc 403"),
        warnings=(Notice(code="note", message="Bearer sk-live-1234 was refused"),),
        evidence=Evidence(
            received_at=BEGINNING + 5.0,
            body='{"task_id": "p-1", "status": "SUCCESS", "result_url": "https://c.example/v?sig=secret"}',
        ),
        success_callback=Evidence(received_at=BEGINNING + 4.0, body="an unknown form: 18"),
        deliveries=(
            Delivery(
                webhook_id="task_1#3",
                event="task.failed",
                attempt=1,
                at=BEGINNING + 9.0,
                milliseconds=12,
                error=f"answered 500 at https://hooks.example/callbacks/t/{TOKEN}?sig=secret",
            ),
        ),
        retry_of="task_0",
        retried_by="task_2",
        released_at=BEGINNING + 1.0,
        webhook_asked_at=BEGINNING + 8.0,
        feed_failing_since=BEGINNING + 6.0,
        due_at=BEGINNING + 100.0,
        expires_at=BEGINNING + 1_000.0,
        correlation_id="line\nforged",
    )


def story():
    found = trace.Story(full_task(), facts=["spent $0.4"], missing=["log lines of Copy: no"])
    found.entries += [*trace.row_entries(found.task), *trace.delivery_entries(found.task)]
    found.entries.append(
        trace.Entry(BEGINNING + 7.0, "Copy", "reason=https://cdn.example/v?Signature=abc&x=1")
    )
    found.entries.sort()
    return found


def test_nothing_secret_is_printed_in_either_form():
    text = trace.text_of(story(), BEGINNING + 50.0)
    written = json.dumps(trace.document_of(story()))

    for secret in SECRETS:
        assert secret not in text
        assert secret not in written
    assert "https://cdn.example/v" in text
    assert "line forged" in text


def test_the_story_is_in_the_order_of_time_with_what_is_to_come_at_the_end():
    text = trace.text_of(story(), BEGINNING + 50.0)
    lines = text.partition("\n\n")[2].splitlines()
    *timed, missing = lines

    assert timed == sorted(timed, key=lambda line: line[:24])
    assert missing == "not read: log lines of Copy: no"
    now = next(n for n, line in enumerate(timed) if line.endswith("  now"))
    assert "due: the next sweep" in timed[now + 1]
    assert "an earlier callback: 19 bytes that name no task" in text
    assert "the latest callback came: succeeded with a result, p-1" in text


def test_an_erased_task_has_a_story_too():
    erased = task(
        Stage.SUCCEEDED, video="", image="", erasing_since=BEGINNING, erased_at=BEGINNING + 1.0
    )
    found = trace.Story(erased, entries=[*trace.row_entries(erased)])

    text = trace.text_of(found, BEGINNING + 2.0)

    assert "erased, billing" in text
    assert "event Task Erased" in text


class Machines:
    """A client of Step Functions with the histories of some executions."""

    def __init__(self, **histories):
        self.histories = histories
        error = type("ExecutionDoesNotExist", (ClientError,), {})
        self.exceptions = SimpleNamespace(ExecutionDoesNotExist=error)

    def get_paginator(self, _name):
        return self

    def paginate(self, executionArn):  # noqa: N803 - boto3's name
        assert executionArn.startswith("arn:aws:states:eu-central-1:1:execution:f:task_")
        number = executionArn.rpartition("-")[2]
        if number not in self.histories:
            raise self.exceptions.ExecutionDoesNotExist({"Error": {"Code": "x"}}, "any")
        yield {"events": self.histories[number]}


def test_executions_are_told_by_their_turns_and_failures():
    def event(kind, **details):
        when = SimpleNamespace(timestamp=lambda: BEGINNING)
        return {"timestamp": when, "type": kind, "id": 1, **details}

    machines = Machines(
        **{
            "2": [
                event("ExecutionStarted", executionStartedEventDetails={"input": "{}"}),
                event(
                    "TaskSucceeded", taskSucceededEventDetails={"output": '{"wait_seconds": 15}'}
                ),
                event("WaitStateEntered", stateEnteredEventDetails={"name": "Wait"}),
                event("TaskFailed", taskFailedEventDetails={"error": "Lambda.X", "cause": "why"}),
                event("ExecutionSucceeded", executionSucceededEventDetails={"output": "{}"}),
            ]
        }
    )

    found = [*trace.execution_entries(task(fallback_runs=3), stack(stepfunctions=machines))]

    assert [(one.source, one.what) for one in found] == [
        ("fallback 2", "started"),
        ("fallback 2", "took a turn; the next in 15 s"),
        ("fallback 2", "TaskFailed: Lambda.X why"),
        ("fallback 2", "ended"),
    ]


@pytest.mark.parametrize("arguments", [[], ["act-one"], ["act-one", " "], ["a", "b", "c"]])
def test_a_mistake_is_told_in_one_sentence(arguments, capsys):
    assert trace.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "make trace STACK=" in captured.err
