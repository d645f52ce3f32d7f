"""A task with a callback exists at the provider: it is never sent again, refused or canceled.

In each test the callback arrives between a function's read of the row and its write.
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
    make_services,
    no_warnings,
    plenty,
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


def test_a_callback_prevents_a_resend(table, services, provider):
    seen = table.create(WAITING)
    called_back(table)

    with pytest.raises(MovedOnError):
        resend(seen, CALLBACK_KEYS, services, plenty, no_warnings)

    assert provider.creates == []
    assert table.read(TASK.task_id).stage is Stage.ACCEPTED


def test_the_fallback_makes_an_accepted_task_with_a_callback_unconfirmed(table, services, provider):
    table.create(WAITING)
    called_back(table)

    advance(TASK.task_id, CALLBACK_KEYS, services, plenty, no_warnings)

    after = table.read(TASK.task_id)
    assert (after.stage, after.billing) == (Stage.UNCONFIRMED, Billing.UNKNOWN)
    assert provider.creates == []


def test_a_callback_prevents_a_cancel(table):
    seen = table.create(WAITING)
    called_back(table)

    with pytest.raises(ProblemError) as caught:
        cancel(seen, table, settings(), FakeClock(NOW))

    assert (caught.value.status, caught.value.code) == (409, "not-cancelable")
    assert table.read(TASK.task_id).stage is Stage.ACCEPTED


@pytest.mark.parametrize("outcome", [Rejected(reason=REASON), Retryable(reason=REASON)])
def test_a_refusal_after_a_callback_leaves_the_task_unconfirmed(table, services, provider, outcome):
    provider.outcome = outcome
    provider.during_create = lambda: called_back(table)
    seen = table.create(WAITING)

    after = resend(seen, CALLBACK_KEYS, services, plenty, no_warnings)

    assert (after.stage, after.billing) == (Stage.UNCONFIRMED, Billing.UNKNOWN)
    assert after.error is None
    assert len(provider.creates) == 1


@pytest.mark.parametrize("step", [to_submitting(WAITING, NOW), to_canceled(NOW, settings())])
def test_sending_and_canceling_are_not_written_after_a_callback(table, step):
    seen = table.create(WAITING)
    called_back(table)

    with pytest.raises(MovedOnError):
        table.apply(seen, step, NOW)


def test_a_callback_prevents_giving_up_after_six_hours(table, provider):
    table.create(WAITING)
    seen = table.read(TASK.task_id)
    called_back(table)
    late = make_services(table, provider, FakeClock(BEGINNING + 7 * HOUR))

    with pytest.raises(MovedOnError):
        resend(seen, CALLBACK_KEYS, late, plenty, no_warnings)

    assert table.read(TASK.task_id).stage is Stage.ACCEPTED


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("secret", ["{", None], ids=["malformed", "not set"])
def test_without_a_usable_key_a_resend_sends_nothing_and_waits(table, provider, secret):
    provider.key_ring._client.secret = secret  # noqa: SLF001 - our own fake
    seen = table.create(WAITING)

    after = resend(
        seen, CALLBACK_KEYS, make_services(table, provider, FakeClock(NOW)), plenty, no_warnings
    )

    assert (after.stage, after.billing, provider.creates) == (Stage.ACCEPTED, Billing.NONE, [])
    assert after.due_at > NOW


def test_a_repeated_request_needs_no_provider_key(provider, services):
    first, _ = submitted(services, REQUEST)
    provider.key_ring._client.secret = None  # noqa: SLF001
    provider.key_ring._keys = None  # noqa: SLF001

    again, replayed = submitted(services, REQUEST)

    assert (again.task_id, replayed) == (first.task_id, True)
