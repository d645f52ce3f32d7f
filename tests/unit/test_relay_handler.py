"""The relay's handler: its metrics are written in stacks that are watched, and once."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from act_one.tasks.task import Billing, Stage
from tests.unit.examples import TASK
from tests.unit.lifecycle.test_relay import FakeEvents, record

CONTEXT = SimpleNamespace(
    function_name="relay",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:relay",
    aws_request_id="request",
)
SENDING = replace(TASK, billing=Billing.UNKNOWN, price=400_000)
SUBMITTED = replace(SENDING, stage=Stage.SUBMITTED, version=2, billing=Billing.CHARGED)
EXPIRED = replace(SUBMITTED, stage=Stage.EXPIRED, version=3)
RECORDS = [record(1, SUBMITTED, SENDING), record(2, EXPIRED, SUBMITTED)]


@pytest.fixture
def app(import_handler, monkeypatch):
    module = import_handler("relay.app")
    monkeypatch.setattr(module, "events", FakeEvents())
    return module


def watched(app, monkeypatch, *, is_watched):
    monkeypatch.setattr(app, "settings", replace(app.settings, watched=is_watched))


def metrics_of(capsys):
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def test_a_stack_that_is_not_watched_writes_no_metrics(app, monkeypatch, capsys):
    watched(app, monkeypatch, is_watched=False)

    assert app.handler({"Records": RECORDS}, CONTEXT) == {"batchItemFailures": []}
    assert metrics_of(capsys) == []


def test_a_batch_writes_one_line_of_metrics(app, monkeypatch, capsys):
    watched(app, monkeypatch, is_watched=True)

    app.handler({"Records": RECORDS}, CONTEXT)

    [line] = metrics_of(capsys)
    counted = {name: line[name] for name in ("TasksSubmitted", "SpentUsd", "TasksFailed")}
    assert counted == {"TasksSubmitted": [1.0], "SpentUsd": [0.4], "TasksFailed": [1.0]}


def test_a_batch_whose_events_are_not_taken_is_not_counted_yet(app, monkeypatch, capsys):
    watched(app, monkeypatch, is_watched=True)
    monkeypatch.setattr(app, "events", FakeEvents(refused=[TASK.task_id]))

    answer = app.handler({"Records": RECORDS}, CONTEXT)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert metrics_of(capsys) == []
