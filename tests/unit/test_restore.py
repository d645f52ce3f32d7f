"""`make restore`: rows of a point in time come back without being sent again."""

from dataclasses import replace

import pytest

from act_one.lifecycle.sweep import sweep
from act_one.tasks.rows import to_item
from act_one.tasks.task import Billing, Stage
from ops.restore import FORGOTTEN_VERSIONS, copy_missing
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import BEGINNING, FakeClock, not_paused, settings
from tests.unit.lifecycle.test_sweep import ARN, FakeStepFunctions

NOW = BEGINNING + 50_000.0
OPEN = [Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING, Stage.STORING]
WAITING = [Stage.ACCEPTED, Stage.SUBMITTING]
ENDED = [Stage.SUCCEEDED, Stage.FAILED, Stage.CANCELED, Stage.EXPIRED]


@pytest.fixture
def restored(dynamodb, create_table):
    """A table as AWS restores one, with an old row in it for each given task."""
    name = create_table("TasksTable")

    def put(*tasks):
        for one in tasks:
            dynamodb.put_item(TableName=name, Item=to_item(one))
        return name

    return put


@pytest.mark.parametrize("stage", WAITING)
def test_a_task_that_waited_is_unconfirmed_and_never_sent_again(table, restored, stage):
    name = restored(task(stage, billing=Billing.NONE, due_at=NOW - 1))

    done = copy_missing(name, table, settings(), NOW)

    row = table.read(TASK.task_id)
    assert (done.copied, done.unconfirmed) == (1, 1)
    assert (row.stage, row.billing, row.due_at) == (Stage.UNCONFIRMED, Billing.UNKNOWN, NOW)
    assert row.version > TASK.version + FORGOTTEN_VERSIONS
    assert [warning.code for warning in row.warnings] == ["create_unconfirmed"]


@pytest.mark.parametrize("stage", OPEN)
def test_an_open_task_becomes_due(table, restored, stage):
    name = restored(task(stage, source=SOURCE, due_at=NOW + 900, copy_lease_until=NOW + 300))

    copy_missing(name, table, settings(), NOW)

    row = table.read(TASK.task_id)
    assert (row.stage, row.due_at, row.copy_lease_until) == (stage, NOW, None)
    assert sweep(table, FakeStepFunctions(), ARN, FakeClock(NOW), not_paused) == 1


@pytest.mark.parametrize("stage", ENDED)
def test_an_ended_task_comes_back_as_it_was(table, restored, stage):
    before = task(stage, due_at=None, expires_at=NOW + 1)
    name = restored(before, replace(before, task_id="task_over", expires_at=NOW))

    done = copy_missing(name, table, settings(), NOW)

    row = table.read(TASK.task_id)
    assert replace(row, claim_id=before.claim_id) == before
    assert table.read("task_over") is None
    assert (done.copied, done.expired) == (1, 1)


@pytest.mark.parametrize("stage", Stage)
def test_a_row_that_is_there_is_not_changed(table, restored, stage):
    now = table.create(task(stage, version=7, provider_task_id="newer"))
    name = restored(task(Stage.ACCEPTED))

    assert copy_missing(name, table, settings(), NOW).present == 1
    assert table.read(TASK.task_id) == now


def test_a_second_run_changes_nothing(table, restored):
    name = restored(task(Stage.ACCEPTED))
    copy_missing(name, table, settings(), NOW)
    first = table.read(TASK.task_id)

    assert copy_missing(name, table, settings(), NOW + 60).present == 1
    assert table.read(TASK.task_id) == first


def test_an_unreadable_row_is_left_out_and_reported(table, restored, dynamodb, capsys):
    name = restored(task(Stage.RUNNING))
    dynamodb.put_item(TableName=name, Item={"task_id": {"S": "task_bad"}})

    done = copy_missing(name, table, settings(), NOW)

    assert (done.copied, done.unreadable) == (1, 1)
    assert "task_bad" in capsys.readouterr().err


def test_a_task_that_comes_back_leaves_the_ledger_as_it_is(table, restored):
    ours = replace(task(Stage.SUBMITTED), price=400_000, accounts=("client#client-1",))

    copy_missing(restored(ours), table, settings(), NOW)

    assert table.read(ours.task_id).accounts == ()
    assert table.client.scan(TableName=table.ledger_name)["Items"] == []
