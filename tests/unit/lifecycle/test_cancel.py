"""Withdrawing a task, while nothing was sent."""

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


def is_refused(canceled, seen):
    with pytest.raises(ProblemError) as caught:
        canceled(seen)
    assert (caught.value.status, caught.value.code) == (409, "not-cancelable")
    return caught.value.detail


def test_a_task_that_was_not_sent_can_be_canceled(canceled, table):
    row = canceled(table.create(WAITING))

    assert row.stage is Stage.CANCELED
    assert row.billing is Billing.NONE
    assert (row.due_at, row.expires_at) == (None, NOW + 15 * DAY)
    assert row == table.read(TASK.task_id)


def test_canceling_twice_is_canceling_once(canceled, table):
    first = canceled(table.create(WAITING))

    assert canceled(first) == first
    assert canceled(WAITING) == first


@pytest.mark.parametrize(
    "stage", [stage for stage in Stage if stage not in {Stage.ACCEPTED, Stage.CANCELED}]
)
def test_a_task_in_any_other_stage_cannot(canceled, table, stage):
    before = table.create(task(stage))

    detail = is_refused(canceled, before)

    assert stage in detail
    assert ("wait" in detail) == (not before.done)
    assert table.read(TASK.task_id) == before


def test_a_task_that_was_called_back_cannot(canceled, table):
    called_back = replace(WAITING, evidence=Evidence(received_at=NOW, body="{}"))

    assert "called back" in is_refused(canceled, table.create(called_back))


def test_a_task_that_is_sent_meanwhile_cannot(canceled, table):
    table.create(WAITING)
    sent = table.move(WAITING, Stage.SUBMITTING, NOW)

    is_refused(canceled, WAITING)
    assert table.read(TASK.task_id) == sent


def test_a_task_that_is_refused_once_more_meanwhile_can(canceled, table):
    table.create(WAITING)
    sent = table.move(WAITING, Stage.SUBMITTING, NOW)
    table.move(sent, Stage.ACCEPTED, NOW)

    assert canceled(WAITING).stage is Stage.CANCELED


def test_a_task_that_is_gone_cannot(canceled):
    is_refused(canceled, replace(WAITING, task_id="gone"))
