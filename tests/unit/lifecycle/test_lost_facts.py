"""Facts that callbacks and the feed report are neither lost nor taken from another task."""

import json

import pytest

from act_one.clock import DAY, HOUR
from act_one.lifecycle.advance import advance
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.next_step import TRUST_CALLBACK_AFTER_SECONDS
from act_one.provider.outcomes import NoAnswer, NotKnown, ProviderState, Report
from act_one.tasks.task import Billing, Notice, Stage
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import BEGINNING, CALLBACK_KEYS, plenty

NOW = BEGINNING + 1_000.0
OURS = "p"
BARE_SUCCESS = Report(provider_task_id=OURS, state=ProviderState.SUCCEEDED)
SUCCESS = {"task_id": OURS, "status": "3", "video_url": "https://cdn.example/v.mp4"}


def called(stack, **body):
    return handle_callback(TASK.task_id, json.dumps(body).encode(), stack)


def advanced(stack):
    advance(TASK.task_id, CALLBACK_KEYS, stack, plenty)
    return stack.table.read(TASK.task_id)


# ── Callbacks keep what they said ─────────────────────────────────────────────────────────────


def test_a_callback_larger_than_what_is_kept_of_it_is_read_whole(there, stack):
    there(Stage.UNCONFIRMED)

    row = called(stack, padding="x" * 9_000, **SUCCESS)

    assert len(row.evidence.body) == 8_192
    assert row.callback_task_id == OURS
    assert json.loads(row.success_callback.body)["result_url"] == SUCCESS["video_url"]


def test_a_later_callback_without_an_id_keeps_the_one_that_was_named(there, stack, clock, provider):
    there(Stage.UNCONFIRMED)
    called(stack, task_id=OURS, status="RUNNING")
    clock.pass_by(60)
    provider.answers[OURS] = Report(
        provider_task_id=OURS, state=ProviderState.RUNNING, created_at=BEGINNING
    )

    row = called(stack, status="RUNNING")

    assert (row.provider_task_id, row.stage) == (OURS, Stage.RUNNING)


def test_an_id_of_another_system_in_a_later_callback_does_not_hide_the_first(
    there, stack, clock, provider
):
    there(Stage.UNCONFIRMED, polls=1)
    called(stack, **SUCCESS)
    provider.answers[OURS] = Report(
        provider_task_id=OURS, state=ProviderState.SUCCEEDED, media=SOURCE, created_at=BEGINNING
    )
    clock.pass_by(60)
    called(stack, task_id="upstream-1", status="RUNNING")
    clock.pass_by(60)

    row = advanced(stack)

    assert (row.provider_task_id, row.stage) == (OURS, Stage.STORING)


# ── A success without media ───────────────────────────────────────────────────────────────────


def test_a_success_without_media_lets_a_callback_with_media_be_trusted(
    there, stack, clock, provider
):
    there(Stage.SUBMITTED, provider_task_id=OURS)
    provider.answers[OURS] = BARE_SUCCESS
    called(stack, **SUCCESS)
    clock.pass_by(TRUST_CALLBACK_AFTER_SECONDS)

    row = advanced(stack)

    assert (row.stage, row.settled_by) == (Stage.STORING, "callback_body")
    assert row.billing is Billing.CHARGED


def test_a_success_without_media_is_polled_on_if_no_callback_had_one(there, stack, provider):
    there(Stage.SUBMITTED, provider_task_id=OURS)
    provider.answers[OURS] = BARE_SUCCESS

    row = advanced(stack)

    assert (row.stage, row.feed_failing_since) == (Stage.SUBMITTED, NOW)


def test_a_callback_for_a_rejected_task_is_not_trusted_on_its_word(there, stack, clock):
    reason = Notice(code="provider_rejected", message="no")
    there(Stage.FAILED, billing=Billing.NONE, error=reason, feed_failing_since=BEGINNING)
    called(stack, **SUCCESS)
    clock.pass_by(TRUST_CALLBACK_AFTER_SECONDS)

    assert advanced(stack).stage is Stage.FAILED


# ── Reports about other tasks ─────────────────────────────────────────────────────────────────

FAILURE = Notice(code="provider_failed", message="no face")


@pytest.mark.parametrize("named", ["req_9", None])
@pytest.mark.parametrize("state", ProviderState)
def test_a_report_under_another_id_or_none_ends_nothing(there, stack, provider, named, state):
    there(Stage.SUBMITTED, provider_task_id=OURS)
    provider.answers[OURS] = Report(
        provider_task_id=named,
        state=state,
        failure=FAILURE if state is ProviderState.FAILED else None,
        media=SOURCE if state is ProviderState.SUCCEEDED else None,
    )

    row = advanced(stack)

    assert (row.stage, row.error, row.source) == (Stage.SUBMITTED, None, None)
    assert row.feed_failing_since == NOW


@pytest.mark.parametrize(
    ("created_at", "owner", "stage"),
    [
        (BEGINNING + 5, None, Stage.STORING),
        (BEGINNING + 5, "task_other", Stage.SUBMITTED),
        (BEGINNING + HOUR, None, Stage.SUBMITTED),
        (None, None, Stage.SUBMITTED),
    ],
)
def test_a_success_under_another_id_counts_if_it_fits_our_send_and_no_other_task_has_it(
    there, stack, table, provider, created_at, owner, stage
):
    there(Stage.SUBMITTED, provider_task_id=OURS)
    if owner:
        table.create(task(Stage.RUNNING, task_id=owner, provider_task_id="upstream-1"))
    provider.answers[OURS] = Report(
        provider_task_id="upstream-1",
        state=ProviderState.SUCCEEDED,
        media=SOURCE,
        created_at=created_at,
    )

    assert advanced(stack).stage is stage


def test_an_answer_about_another_id_than_the_callbacks_is_not_learnt(there, stack, provider):
    there(Stage.UNCONFIRMED)
    provider.answers["a"] = Report(
        provider_task_id="b", state=ProviderState.RUNNING, created_at=BEGINNING
    )

    row = called(stack, task_id="a", status="RUNNING")

    assert (row.stage, row.provider_task_id) == (Stage.UNCONFIRMED, None)


# ── How long a result is fetched for ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("answer", [NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_result_that_became_known_late_is_fetched_for_a_day_from_then(
    there, stack, clock, provider, answer
):
    known_at = BEGINNING + DAY - 60
    there(Stage.STORING, provider_task_id=OURS, source=SOURCE, source_known_at=known_at)
    provider.answers[OURS] = answer

    clock.now = known_at + DAY - 1
    assert advanced(stack).stage is Stage.STORING
    clock.now = known_at + DAY + 1
    row = advanced(stack)
    assert (row.stage, row.error.code) == (Stage.FAILED, "media_unavailable")


def test_a_result_found_again_is_fetched_for_another_day(there, stack, clock, provider):
    there(Stage.FAILED, provider_task_id=OURS, source=SOURCE, source_known_at=BEGINNING)
    clock.now = BEGINNING + 3 * DAY
    provider.answers[OURS] = Report(
        provider_task_id=OURS, state=ProviderState.SUCCEEDED, media=SOURCE
    )

    row = advanced(stack)

    assert (row.stage, row.source_known_at) == (Stage.STORING, clock.now)
