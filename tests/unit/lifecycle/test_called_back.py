"""A task that was called back is with the provider: it is never sent again, refused or canceled.

The callback comes between another function's read of the row and its write.
"""

import pytest

from act_one.clock import HOUR
from act_one.lifecycle.advance import advance
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.submission import resend
from act_one.problems import ProblemError
from act_one.provider.outcomes import Rejected, Retryable
from act_one.tasks.moves import to_canceled, to_submitting
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Billing, Evidence, Notice, Stage
from tests.unit.examples import TASK, task
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    FakeClock,
    plenty,
    services,
    settings,
    submitted,
)
from tests.unit.lifecycle.test_submission import REQUEST

NOW = BEGINNING + 100.0
WAITING = task(Stage.ACCEPTED, billing=Billing.NONE, due_at=NOW)
CALLBACK = Evidence(received_at=NOW, body='{"status": "RUNNING"}')
REASON = Notice(code="provider_rejected", message="no")


def called_back(table, task_id=TASK.task_id):
    table.record_callback(task_id, CALLBACK, NOW + 10.0, 5.0)


def test_a_task_called_back_since_it_was_read_is_not_sent_again(table, stack, provider):
    seen = table.create(WAITING)
    called_back(table)

    with pytest.raises(MovedOnError):
        resend(seen, CALLBACK_KEYS, stack, plenty)

    assert provider.creates == []
    assert table.read(TASK.task_id).stage is Stage.ACCEPTED


def test_the_fallback_makes_such_a_task_unconfirmed_at_its_next_turn(table, stack, provider):
    table.create(WAITING)
    called_back(table)

    advance(TASK.task_id, CALLBACK_KEYS, stack, plenty)

    after = table.read(TASK.task_id)
    assert (after.stage, after.billing) == (Stage.UNCONFIRMED, Billing.UNKNOWN)
    assert provider.creates == []


def test_a_task_called_back_since_it_was_read_is_not_canceled(table):
    seen = table.create(WAITING)
    called_back(table)

    with pytest.raises(ProblemError) as caught:
        cancel(seen, table, settings(), FakeClock(NOW))

    assert (caught.value.status, caught.value.code) == (409, "not-cancelable")
    assert table.read(TASK.task_id).stage is Stage.ACCEPTED


@pytest.mark.parametrize("outcome", [Rejected(reason=REASON), Retryable(reason=REASON)])
def test_a_refusal_of_a_task_that_was_called_back_is_not_believed(table, stack, provider, outcome):
    provider.outcome = outcome
    provider.during_create = lambda: called_back(table)
    seen = table.create(WAITING)

    after = resend(seen, CALLBACK_KEYS, stack, plenty)

    assert (after.stage, after.billing) == (Stage.UNCONFIRMED, Billing.UNKNOWN)
    assert after.error is None
    assert len(provider.creates) == 1


@pytest.mark.parametrize("step", [to_submitting(WAITING, NOW), to_canceled(NOW, settings())])
def test_a_step_that_needs_no_callback_is_not_written_after_one(table, step):
    seen = table.create(WAITING)
    called_back(table)

    with pytest.raises(MovedOnError):
        table.apply(seen, step, NOW)


def test_a_task_given_up_after_six_hours_was_not_called_back(table, provider):
    table.create(WAITING)
    seen = table.read(TASK.task_id)
    called_back(table)
    late = services(table, provider, FakeClock(BEGINNING + 7 * HOUR))

    with pytest.raises(MovedOnError):
        resend(seen, CALLBACK_KEYS, late, plenty)

    assert table.read(TASK.task_id).stage is Stage.ACCEPTED


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────


def test_a_resend_with_a_malformed_key_sends_nothing_and_stays_accepted(table, provider):
    provider.key_ring._client.secret = "{"  # noqa: SLF001 - it is malformed
    seen = table.create(WAITING)

    after = resend(seen, CALLBACK_KEYS, services(table, provider, FakeClock(NOW)), plenty)

    assert (after.stage, after.billing, provider.creates) == (Stage.ACCEPTED, Billing.NONE, [])


def test_a_resend_while_the_key_is_not_set_waits(table, provider):
    provider.key_ring._client.secret = None  # noqa: SLF001
    seen = table.create(WAITING)

    after = resend(seen, CALLBACK_KEYS, services(table, provider, FakeClock(NOW)), plenty)

    assert (after.stage, after.billing, provider.creates) == (Stage.ACCEPTED, Billing.NONE, [])
    assert after.due_at > NOW


def test_a_repeat_is_answered_while_the_provider_key_is_not_set(provider, stack):
    first, _ = submitted(stack, REQUEST)
    provider.key_ring._client.secret = None  # noqa: SLF001
    provider.key_ring._keys = None  # noqa: SLF001

    again, replayed = submitted(stack, REQUEST)

    assert (again.task_id, replayed) == (first.task_id, True)
