"""The sweep starts one execution for each due row."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Barrier, Lock

import pytest

from act_one.lifecycle.sweep import START_LEASE_SECONDS, SWEEP_SECONDS, UNREADABLE_SECONDS, sweep
from act_one.tasks import moves
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Stage
from tests.unit.examples import TASK, task
from tests.unit.fakes import BEGINNING, FakeClock, not_paused

ARN = "arn:aws:states:us-east-1:000000000000:stateMachine:fallback"
NOW = BEGINNING + 100.0


class FakeStepFunctions:
    """Step Functions, where the name of an execution can be used once."""

    class exceptions:  # noqa: N801 - where boto3's clients have theirs
        class ExecutionAlreadyExists(Exception):  # noqa: N818 - boto3's name
            pass

    def __init__(self, taken=()):
        self.names = list(taken)
        self.started = []
        self.lock = Lock()

    def start_execution(self, **request):
        with self.lock:
            if request["name"] in self.names:
                raise self.exceptions.ExecutionAlreadyExists
            self.names.append(request["name"])
            self.started.append(request)


def test_due_rows_are_started_longest_overdue_first(table):
    for name, wait in {"a": -5, "b": -50, "c": 1, "d": 0}.items():
        table.create(replace(TASK, task_id=name, due_at=NOW + wait))
    executions = FakeStepFunctions()

    started = sweep(table, executions, ARN, FakeClock(NOW), not_paused)

    assert started == 3
    assert [request["name"] for request in executions.started] == ["b-1", "a-1", "d-1"]
    assert executions.started[0] == {
        "stateMachineArn": ARN,
        "name": "b-1",
        "input": '{"task_id": "b"}',
    }


@pytest.mark.parametrize("stage", Stage)
def test_a_due_row_in_any_stage_is_started_and_leased(table, stage):
    table.create(task(stage))

    assert sweep(table, FakeStepFunctions(), ARN, FakeClock(NOW), not_paused) == 1
    assert table.read(TASK.task_id).due_at == NOW + START_LEASE_SECONDS
    assert sweep(table, FakeStepFunctions(), ARN, FakeClock(NOW), not_paused) == 0


def test_a_row_still_due_after_its_lease_is_started_under_another_name(table):
    table.create(TASK)
    executions, clock = FakeStepFunctions(), FakeClock(NOW)
    for _ in range(3):
        sweep(table, executions, ARN, clock, not_paused)
        clock.pass_by(START_LEASE_SECONDS)

    assert executions.names == [f"{TASK.task_id}-{run}" for run in (1, 2, 3)]


def test_an_execution_that_exists_counts_as_started(table):
    table.create(TASK)
    table.create(replace(TASK, task_id="task_next", due_at=TASK.due_at + 1))
    executions = FakeStepFunctions(taken=[f"{TASK.task_id}-1"])

    assert sweep(table, executions, ARN, FakeClock(NOW), not_paused) == 2
    assert [request["name"] for request in executions.started] == ["task_next-1"]
    assert table.read(TASK.task_id).fallback_runs == 1


def test_a_row_that_another_sweep_claimed_is_not_started(table):
    table.create(TASK)

    class StaleTable:
        """A table whose first due row is claimed between listing and claiming."""

        def due(self, now):
            due = list(table.due(now))
            table.claim_due(*due[0], now, START_LEASE_SECONDS)
            return iter(due)

        claim_due = staticmethod(table.claim_due)
        held = staticmethod(table.held)

    executions = FakeStepFunctions()

    assert sweep(StaleTable(), executions, ARN, FakeClock(NOW), not_paused) == 0
    assert executions.started == []


def test_concurrent_sweeps_start_one_execution_per_row(table):
    names = [f"task_{number:02}" for number in range(12)]
    for number, name in enumerate(names):
        table.create(replace(TASK, task_id=name, due_at=NOW - number))
    executions, barrier = FakeStepFunctions(), Barrier(3)

    def sweep_at_once(_):
        barrier.wait(5)
        return sweep(table, executions, ARN, FakeClock(NOW), not_paused)

    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(sweep_at_once, range(3)))

    assert sum(counts) == len(names)
    assert sorted(executions.names) == [f"{name}-1" for name in names]


def test_a_slow_sweep_leaves_the_rest_to_the_next(table):
    for number in range(6):
        table.create(replace(TASK, task_id=f"task_{number}", due_at=NOW - number))
    clock = FakeClock(NOW)
    executions = FakeStepFunctions()
    start = executions.start_execution

    def start_slowly(**request):
        clock.pass_by(SWEEP_SECONDS / 2)
        start(**request)

    executions.start_execution = start_slowly

    assert sweep(table, executions, ARN, clock, not_paused) == 3
    assert sweep(table, executions, ARN, clock, not_paused) == 3
    assert len(set(executions.names)) == 6


def test_an_unreadable_row_holds_up_no_other_and_is_not_claimed_each_minute(table):
    table.create(replace(TASK, task_id="task_bad", due_at=NOW - 50))
    table.create(replace(TASK, task_id="task_good", due_at=NOW))
    table.client.update_item(
        TableName=table.name,
        Key={"task_id": {"S": "task_bad"}},
        UpdateExpression="SET stage = :x",
        ExpressionAttributeValues={":x": {"S": "a stage of newer code"}},
    )
    executions, clock = FakeStepFunctions(), FakeClock(NOW)

    assert sweep(table, executions, ARN, clock, not_paused) == 1
    assert executions.names == ["task_good-1"]
    clock.pass_by(START_LEASE_SECONDS + 1)
    assert [task_id for task_id, _ in table.due(clock.now)] == ["task_good"]
    clock.pass_by(UNREADABLE_SECONDS)
    assert "task_bad" in {task_id for task_id, _ in table.due(clock.now)}


def test_a_sweep_starts_no_more_executions_than_an_account_can_run(table, monkeypatch):
    monkeypatch.setattr("act_one.lifecycle.sweep.MAX_STARTS", 2)
    for number in range(3):
        table.create(replace(TASK, task_id=f"task_{number}", due_at=NOW - number))
    executions = FakeStepFunctions()

    assert sweep(table, executions, ARN, FakeClock(NOW), not_paused) == 2
    assert sweep(table, executions, ARN, FakeClock(NOW), not_paused) == 1
    assert executions.names == ["task_2-1", "task_1-1", "task_0-1"]


def test_an_empty_table_needs_no_sweep(table):
    assert sweep(table, FakeStepFunctions(), ARN, FakeClock(NOW), not_paused) == 0


# ── The pause ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def held_tasks(table):
    """Write three tasks that a pause holds, of which the second is the oldest."""
    for name, age in {"a": 1.0, "b": 2.0, "c": 0.0}.items():
        row = replace(task(Stage.ACCEPTED), task_id=name, created_at=NOW - age)
        table.create(replace(row, **moves.held(row).changes))


@pytest.mark.usefixtures("held_tasks")
def test_tasks_are_held_while_sending_is_paused(table):
    assert sweep(table, FakeStepFunctions(), ARN, FakeClock(NOW), lambda: True) == 0
    assert [name for name, _ in table.held()] == ["b", "a", "c"]


@pytest.mark.usefixtures("held_tasks")
def test_held_tasks_are_started_oldest_first_once_sending_is_resumed(table):
    executions = FakeStepFunctions()

    assert sweep(table, executions, ARN, ticking(NOW), not_paused) == 3

    assert [json.loads(run["input"])["task_id"] for run in executions.started] == ["b", "a", "c"]
    assert table.read("a").released_at >= NOW
    assert list(table.held()) == []


@pytest.mark.usefixtures("held_tasks")
def test_a_task_that_another_sweep_released_is_not_released_again(table):
    [(name, due_at), *_] = table.held()
    table.release_held(name, due_at, NOW)

    with pytest.raises(MovedOnError):
        table.release_held(name, due_at, NOW + 1)


def ticking(moment):
    """A clock that goes on by a millisecond at each call."""
    times = (moment + number / 1_000 for number in count())
    return lambda: next(times)
