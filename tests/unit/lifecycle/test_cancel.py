"""Canceling a task, which is possible until it is sent."""

from dataclasses import replace

import pytest

from act_one.clock import DAY
from act_one.lifecycle.cancel import cancel
from act_one.problems import ProblemError
from act_one.tasks.task import Billing, Evidence, Stage
from tests.unit.examples import TASK, task
from tests.unit.fakes import BEGINNING, FakeClock, settings

NOW = BEGINNING + 100.0
WAITING = task(Stage.ACCEPTED, billing=Billing.NONE)


@pytest.fixture
def canceled(table):
    return lambda seen: cancel(seen, table, settings(result_retention_days=1), FakeClock(NOW))


def refusal_of(canceled, seen):
    with pytest.raises(ProblemError) as caught:
        canceled(seen)
    assert (caught.value.status, caught.value.code) == (409, "not-cancelable")
    return caught.value.detail


def test_an_accepted_task_can_be_canceled(canceled, table):
    row = canceled(table.create(WAITING))

    assert row.stage is Stage.CANCELED
    assert row.billing is Billing.NONE
    assert (row.due_at, row.expires_at) == (None, NOW + 15 * DAY)
    assert row == table.read(TASK.task_id)


def test_canceling_is_idempotent(canceled, table):
    first = canceled(table.create(WAITING))

    assert canceled(first) == first
    assert canceled(WAITING) == first


@pytest.mark.parametrize(
    "stage", [stage for stage in Stage if stage not in {Stage.ACCEPTED, Stage.CANCELED}]
)
def test_a_task_in_any_other_stage_cannot_be_canceled(canceled, table, stage):
    before = table.create(task(stage))

    detail = refusal_of(canceled, before)

    assert stage in detail
    assert ("wait" in detail) == (not before.done)
    assert table.read(TASK.task_id) == before


def test_a_task_that_was_called_back_cannot_be_canceled(canceled, table):
    called_back = replace(WAITING, evidence=Evidence(received_at=NOW, body="{}"))

    assert "called back" in refusal_of(canceled, table.create(called_back))


def test_a_task_sent_meanwhile_cannot_be_canceled(canceled, table):
    table.create(WAITING)
    sent = table.move(WAITING, Stage.SUBMITTING, NOW)

    refusal_of(canceled, WAITING)
    assert table.read(TASK.task_id) == sent


def test_a_task_sent_and_refused_meanwhile_can_be_canceled(canceled, table):
    table.create(WAITING)
    sent = table.move(WAITING, Stage.SUBMITTING, NOW)
    table.move(sent, Stage.ACCEPTED, NOW)

    assert canceled(WAITING).stage is Stage.CANCELED


def test_a_missing_task_cannot_be_canceled(canceled):
    refusal_of(canceled, replace(WAITING, task_id="gone"))
