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
from tests.unit.fakes import BEGINNING, CALLBACK_KEYS, no_warnings, plenty

NOW = BEGINNING + 1_000.0
OWN_ID = "p"
BARE_SUCCESS = Report(provider_task_id=OWN_ID, state=ProviderState.SUCCEEDED)
SUCCESS = {"task_id": OWN_ID, "status": "3", "video_url": "https://cdn.example/v.mp4"}


def call_back(services, **body):
    return handle_callback(TASK.task_id, json.dumps(body).encode(), services)


def advance_task(services):
    advance(TASK.task_id, CALLBACK_KEYS, services, plenty, no_warnings)
    return services.table.read(TASK.task_id)


# ── What is kept of callbacks ─────────────────────────────────────────────────────────────────


def test_a_callback_over_8_kilobytes_is_read_whole(create_task, services):
    create_task(Stage.UNCONFIRMED)

    row = call_back(services, padding="x" * 9_000, **SUCCESS)

    assert len(row.evidence.body) == 8_192
    assert row.callback_task_id == OWN_ID
    assert json.loads(row.success_callback.body)["result_url"] == SUCCESS["video_url"]


def test_a_callback_without_an_id_keeps_the_earlier_one(create_task, services, clock, provider):
    create_task(Stage.UNCONFIRMED)
    call_back(services, task_id=OWN_ID, status="RUNNING")
    clock.pass_by(60)
    provider.answers[OWN_ID] = Report(
        provider_task_id=OWN_ID, state=ProviderState.RUNNING, created_at=BEGINNING
    )

    row = call_back(services, status="RUNNING")

    assert (row.provider_task_id, row.stage) == (OWN_ID, Stage.RUNNING)


def test_another_id_in_a_later_callback_does_not_replace_the_first(
    create_task, services, clock, provider
):
    create_task(Stage.UNCONFIRMED, polls=1)
    call_back(services, **SUCCESS)
    provider.answers[OWN_ID] = Report(
        provider_task_id=OWN_ID, state=ProviderState.SUCCEEDED, media=SOURCE, created_at=BEGINNING
    )
    clock.pass_by(60)
    call_back(services, task_id="upstream-1", status="RUNNING")
    clock.pass_by(60)

    row = advance_task(services)

    assert (row.provider_task_id, row.stage) == (OWN_ID, Stage.STORING)


# ── A success without media ───────────────────────────────────────────────────────────────────


def test_a_success_without_media_lets_a_callback_with_media_be_trusted(
    create_task, services, clock, provider
):
    create_task(Stage.SUBMITTED, provider_task_id=OWN_ID)
    provider.answers[OWN_ID] = BARE_SUCCESS
    call_back(services, **SUCCESS)
    clock.pass_by(TRUST_CALLBACK_AFTER_SECONDS)

    row = advance_task(services)

    assert (row.stage, row.settled_by) == (Stage.STORING, "callback_body")
    assert row.billing is Billing.CHARGED


def test_a_success_without_media_or_callback_is_polled_again(create_task, services, provider):
    create_task(Stage.SUBMITTED, provider_task_id=OWN_ID)
    provider.answers[OWN_ID] = BARE_SUCCESS

    row = advance_task(services)

    assert (row.stage, row.feed_failing_since) == (Stage.SUBMITTED, NOW)


def test_a_callback_alone_is_not_trusted_for_a_rejected_task(create_task, services, clock):
    reason = Notice(code="provider_rejected", message="no")
    create_task(Stage.FAILED, billing=Billing.NONE, error=reason, feed_failing_since=BEGINNING)
    call_back(services, **SUCCESS)
    clock.pass_by(TRUST_CALLBACK_AFTER_SECONDS)

    assert advance_task(services).stage is Stage.FAILED


# ── Reports about other tasks ─────────────────────────────────────────────────────────────────

FAILURE = Notice(code="provider_failed", message="no face")


@pytest.mark.parametrize("named", ["req_9", None])
@pytest.mark.parametrize("state", ProviderState)
def test_a_report_with_another_id_or_none_changes_no_stage(
    create_task, services, provider, named, state
):
    create_task(Stage.SUBMITTED, provider_task_id=OWN_ID)
    provider.answers[OWN_ID] = Report(
        provider_task_id=named,
        state=state,
        failure=FAILURE if state is ProviderState.FAILED else None,
        media=SOURCE if state is ProviderState.SUCCEEDED else None,
    )

    row = advance_task(services)

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
def test_a_success_with_another_id_counts_if_its_time_fits_and_no_task_owns_it(
    create_task, services, table, provider, created_at, owner, stage
):
    create_task(Stage.SUBMITTED, provider_task_id=OWN_ID)
    if owner:
        table.create(task(Stage.RUNNING, task_id=owner, provider_task_id="upstream-1"))
    provider.answers[OWN_ID] = Report(
        provider_task_id="upstream-1",
        state=ProviderState.SUCCEEDED,
        media=SOURCE,
        created_at=created_at,
    )

    assert advance_task(services).stage is stage


def test_an_answer_with_another_id_than_the_callback_is_not_learned(
    create_task, services, provider
):
    create_task(Stage.UNCONFIRMED)
    provider.answers["a"] = Report(
        provider_task_id="b", state=ProviderState.RUNNING, created_at=BEGINNING
    )

    row = call_back(services, task_id="a", status="RUNNING")

    assert (row.stage, row.provider_task_id) == (Stage.UNCONFIRMED, None)


# ── How long a copy is retried ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("answer", [NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_copy_is_retried_for_a_day_after_its_result_was_known(
    create_task, services, clock, provider, answer
):
    known_at = BEGINNING + DAY - 60
    create_task(Stage.STORING, provider_task_id=OWN_ID, source=SOURCE, source_known_at=known_at)
    provider.answers[OWN_ID] = answer

    clock.now = known_at + DAY - 1
    assert advance_task(services).stage is Stage.STORING
    clock.now = known_at + DAY + 1
    row = advance_task(services)
    assert (row.stage, row.error.code) == (Stage.FAILED, "media_unavailable")


def test_a_result_reported_again_is_copied_for_another_day(create_task, services, clock, provider):
    create_task(Stage.FAILED, provider_task_id=OWN_ID, source=SOURCE, source_known_at=BEGINNING)
    clock.now = BEGINNING + 3 * DAY
    provider.answers[OWN_ID] = Report(
        provider_task_id=OWN_ID, state=ProviderState.SUCCEEDED, media=SOURCE
    )

    row = advance_task(services)

    assert (row.stage, row.source_known_at) == (Stage.STORING, clock.now)
