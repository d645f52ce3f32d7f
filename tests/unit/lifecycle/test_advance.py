"""What the fallback does for a forgotten task, by its stage."""

from dataclasses import replace

import pytest

from act_one.clock import DAY, HOUR
from act_one.lifecycle.advance import EXECUTION_LOST_SECONDS, advance
from act_one.provider.outcomes import (
    Ambiguous,
    NoAnswer,
    NotKnown,
    ProviderState,
    Report,
    Retryable,
)
from act_one.tasks.moves import COPY_START_SECONDS
from act_one.tasks.task import Billing, Evidence, MediaUrls, Notice, SettledBy, Stage
from tests.unit.examples import SOURCE, TASK
from tests.unit.fakes import BEGINNING, CALLBACK_KEYS, plenty

NOW = BEGINNING + 1_000.0
CALLED = Evidence(received_at=BEGINNING + 5, body='{"task_id": "p", "status": "3"}')
ANNOUNCED = '{"task_id": "p", "status": "3", "video_url": "https://cdn.example/v.mp4"}'
QUEUED = Report(provider_task_id="p", state=ProviderState.QUEUED)
RUNNING = Report(provider_task_id="p", state=ProviderState.RUNNING, progress=40)
DONE = Report(provider_task_id="p", state=ProviderState.SUCCEEDED, media=SOURCE)
BARE_SUCCESS = Report(provider_task_id="p", state=ProviderState.SUCCEEDED)
FAILED = Report(
    provider_task_id="p",
    state=ProviderState.FAILED,
    failure=Notice(code="provider_failed", message="no face"),
)
REASON = Notice(code="provider_unreachable", message="TimeoutError")
ASKABLE = [Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING]


@pytest.fixture
def advanced(stack, table):
    """Advance the task; answers the seconds to wait, and the row after it."""

    def advance_it():
        wait = advance(TASK.task_id, CALLBACK_KEYS, stack, plenty)
        return wait, table.read(TASK.task_id)

    return advance_it


def test_a_row_that_is_gone_needs_nothing(advanced):
    assert advanced() == (None, None)


# ── Not sent, or perhaps ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("outcome", "stage"),
    [
        (None, Stage.SUBMITTED),
        (Retryable(reason=REASON), Stage.ACCEPTED),
        (Ambiguous(reason=REASON), Stage.UNCONFIRMED),
    ],
)
def test_a_refused_task_is_sent_and_left_to_its_due_time(there, advanced, provider, outcome, stage):
    there(Stage.ACCEPTED, billing=Billing.NONE)
    provider.outcome = outcome or provider.outcome

    wait, row = advanced()

    assert wait is None
    assert row.stage is stage
    assert row.due_at > NOW
    assert len(provider.creates) == 1


def test_a_sender_that_may_still_live_is_left_alone(there, advanced, clock):
    before = there(Stage.SUBMITTING)
    clock.now = BEGINNING + 59.9

    wait, row = advanced()

    assert wait is None
    assert (row.stage, row.version) == (before.stage, before.version)
    assert row.due_at == BEGINNING + 60


def test_a_lost_sender_makes_a_task_unconfirmed_and_never_sent_again(
    there, advanced, provider, clock
):
    there(Stage.SUBMITTING)
    clock.now = BEGINNING + 60

    wait, row = advanced()

    assert wait is None
    assert row.stage is Stage.UNCONFIRMED
    assert row.billing is Billing.UNKNOWN
    assert [warning.code for warning in row.warnings] == ["create_unconfirmed"]
    assert row.due_at == BEGINNING + 3_600
    assert provider.creates == []


def test_a_lost_sender_whose_task_was_called_back_is_looked_after_at_once(there, advanced, clock):
    there(Stage.SUBMITTING, evidence=CALLED)
    clock.now = BEGINNING + 60

    assert advanced()[1].due_at == clock.now


def test_a_lost_sender_of_long_ago_is_due_at_once(there, advanced, clock):
    there(Stage.SUBMITTING)
    clock.now = BEGINNING + 5_000

    assert advanced()[1].due_at == clock.now


# ── Sent ──────────────────────────────────────────────────────────────────────────────────────


def test_without_an_id_there_is_nothing_to_ask_until_the_deadline(there, advanced, provider):
    there(Stage.UNCONFIRMED)

    wait, row = advanced()

    assert wait is None
    assert row.stage is Stage.UNCONFIRMED
    assert row.due_at == BEGINNING + 3_600
    assert provider.looks == []


def test_without_an_id_a_task_expires_at_its_deadline(there, advanced, clock):
    there(Stage.UNCONFIRMED, billing=Billing.UNKNOWN)
    clock.now = BEGINNING + 3_600

    wait, row = advanced()

    assert wait is None
    assert row.stage is Stage.EXPIRED
    assert row.billing is Billing.UNKNOWN
    assert row.error.code == "no_result_in_time"
    assert row.due_at == clock.now + HOUR


def test_an_id_from_a_stored_callback_is_tried(there, advanced, provider):
    there(Stage.UNCONFIRMED, evidence=CALLED)
    provider.answers["p"] = RUNNING

    wait, row = advanced()

    assert provider.looks == ["p"]
    assert (row.stage, row.provider_task_id) == (Stage.RUNNING, "p")
    assert wait is not None


@pytest.mark.parametrize("origin", ASKABLE)
@pytest.mark.parametrize(
    "answer", [QUEUED, RUNNING, BARE_SUCCESS, NotKnown(), NoAnswer(reason="HTTP 500")]
)
def test_a_task_without_a_result_is_looked_at_again(there, advanced, provider, origin, answer):
    there(origin, provider_task_id="p", polls=2)
    provider.answers["p"] = answer

    wait, row = advanced()

    assert 15 * 1.5**2 * 0.8 <= wait <= 15 * 1.5**2 * 1.2 + 1
    assert row.polls == 3
    assert row.feed_asked_at == NOW
    assert row.due_at == NOW + wait + EXECUTION_LOST_SECONDS


@pytest.mark.parametrize("origin", ASKABLE)
def test_a_result_is_stored(there, advanced, provider, origin):
    there(origin, provider_task_id="p")
    provider.answers["p"] = DONE

    wait, row = advanced()

    assert wait is None
    assert row.stage is Stage.STORING
    assert row.source == SOURCE
    assert row.settled_by is SettledBy.FALLBACK
    assert row.due_at == NOW + COPY_START_SECONDS


@pytest.mark.parametrize("origin", ASKABLE)
def test_a_failure_ends_a_task(there, advanced, provider, origin):
    there(origin, provider_task_id="p")
    provider.answers["p"] = FAILED

    wait, row = advanced()

    assert wait is None
    assert (row.stage, row.error) == (Stage.FAILED, FAILED.failure)
    assert row.due_at is None


@pytest.mark.parametrize("answer", [RUNNING, NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_task_past_its_deadline_expires_after_one_more_look(
    there, advanced, provider, clock, answer
):
    there(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = answer
    clock.now = BEGINNING + 3_600

    wait, row = advanced()

    assert wait is None
    assert row.stage is Stage.EXPIRED
    assert row.due_at == clock.now + HOUR
    assert provider.looks == ["p"]


def test_a_result_that_comes_with_the_last_look_is_stored(there, advanced, provider, clock):
    there(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = DONE
    clock.now = BEGINNING + 3_601

    _, row = advanced()

    assert row.stage is Stage.STORING
    assert row.late


@pytest.mark.parametrize("rested", [0.0, 2.5, 4.9])
def test_the_feed_is_not_asked_faster_than_once_in_five_seconds(there, advanced, provider, rested):
    before = there(Stage.RUNNING, provider_task_id="p", feed_asked_at=NOW - rested)

    wait, row = advanced()

    assert provider.looks == []
    assert row == before
    assert 5 - rested <= wait < 6 - rested


def test_the_feeds_silence_is_remembered(there, advanced, provider, clock):
    there(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = NoAnswer(reason="HTTP 500")
    advanced()
    clock.pass_by(60)
    assert advanced()[1].feed_failing_since == NOW

    provider.answers["p"] = NotKnown()
    clock.pass_by(60)
    assert advanced()[1].feed_failing_since == NOW

    provider.answers["p"] = RUNNING
    clock.pass_by(60)

    assert advanced()[1].feed_failing_since is None


@pytest.mark.parametrize(
    ("target", "fields", "wait"),
    [
        (Stage.RUNNING, {}, 5),
        (Stage.STORING, {"source": SOURCE}, None),
        (Stage.FAILED, {}, None),
        (Stage.EXPIRED, {}, None),
    ],
)
def test_a_row_that_another_moves_meanwhile_is_looked_at_again_if_it_is_not_over(
    there, advanced, table, provider, target, fields, wait
):
    before = there(Stage.SUBMITTED, provider_task_id="p")
    provider.answers["p"] = RUNNING
    provider.during_feed = lambda: table.move(before, target, NOW, **fields)

    found, row = advanced()

    assert found == wait
    assert (row.stage, row.version) == (target, 2)


# ── Storing ───────────────────────────────────────────────────────────────────────────────────

FRESH = MediaUrls(video="https://cdn.example/fresh.mp4")


def test_a_copy_that_is_going_on_is_left_alone(there, advanced, provider):
    before = there(Stage.STORING, source=SOURCE, copy_lease_until=NOW + 50)

    wait, row = advanced()

    assert wait is None
    assert row.due_at == NOW + 50
    assert (row.version, row.copy_lease_until) == (before.version, NOW + 50)
    assert provider.looks == []


@pytest.mark.parametrize("lease", [None, NOW - 1, NOW])
def test_a_copy_that_was_lost_is_started_again_with_a_fresh_url(there, advanced, provider, lease):
    before = there(Stage.STORING, provider_task_id="p", source=SOURCE, copy_lease_until=lease)
    provider.answers["p"] = Report(provider_task_id="p", state=ProviderState.SUCCEEDED, media=FRESH)

    wait, row = advanced()

    assert wait is None
    assert row.stage is Stage.STORING
    assert row.version == before.version + 1
    assert row.source == FRESH
    assert row.copy_lease_until is None
    assert row.due_at == NOW + COPY_START_SECONDS


@pytest.mark.parametrize("answer", [RUNNING, FAILED, NotKnown(), NoAnswer(reason=""), BARE_SUCCESS])
def test_a_copy_is_started_again_with_the_old_url_when_the_feed_has_no_other(
    there, advanced, provider, answer
):
    there(Stage.STORING, provider_task_id="p", source=SOURCE)
    provider.answers["p"] = answer

    _, row = advanced()

    assert (row.stage, row.source, row.version) == (Stage.STORING, SOURCE, 2)


def test_the_id_that_a_callback_told_is_learnt_with_the_next_attempt_at_a_copy(
    there, advanced, provider
):
    there(Stage.STORING, source=SOURCE, evidence=CALLED)
    provider.answers["p"] = Report(provider_task_id="p", state=ProviderState.SUCCEEDED, media=FRESH)

    _, row = advanced()

    assert (row.provider_task_id, row.source) == ("p", FRESH)


def test_a_copy_of_a_task_without_an_id_is_started_again(there, advanced, provider):
    there(Stage.STORING, source=SOURCE)

    assert advanced()[1].version == 2
    assert provider.looks == []


def test_a_copy_that_cannot_be_had_for_a_day_fails_the_task_which_stays_charged(
    there, advanced, clock
):
    there(Stage.STORING, provider_task_id="p", source=SOURCE, billing=Billing.CHARGED)
    clock.now = BEGINNING + DAY
    assert advanced()[1].stage is Stage.STORING

    clock.now = BEGINNING + DAY + 1
    wait, row = advanced()

    assert wait is None
    assert (row.stage, row.error.code) == (Stage.FAILED, "media_unavailable")
    assert row.billing is Billing.CHARGED
    assert row.due_at is None


def test_a_copy_whose_end_was_never_written_has_another_attempt_to_adopt_its_files(
    there, advanced, clock
):
    lease = BEGINNING + DAY - 60
    there(Stage.STORING, provider_task_id="p", source=SOURCE, copy_lease_until=lease)
    clock.now = BEGINNING + DAY + 1

    assert advanced()[1].stage is Stage.STORING


def test_a_copy_whose_attempts_all_crash_fails_an_hour_later(there, advanced, clock):
    lease = BEGINNING + DAY - 60
    there(Stage.STORING, provider_task_id="p", source=SOURCE, copy_lease_until=lease)
    clock.now = BEGINNING + DAY + HOUR + 1

    assert advanced()[1].error.code == "media_unavailable"


# ── Ended ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("answer", [RUNNING, NotKnown(), NoAnswer(reason="HTTP 500")])
def test_an_expired_task_is_looked_at_hourly_for_a_day(there, advanced, provider, clock, answer):
    there(Stage.EXPIRED, provider_task_id="p")
    provider.answers["p"] = answer

    clock.now = BEGINNING + 2 * HOUR
    clock.pass_by(90)
    for _ in range(22):
        wait, row = advanced()
        assert (wait, row.stage) == (None, Stage.EXPIRED)
        assert row.due_at == min(clock.now + HOUR, BEGINNING + DAY)
        clock.now = row.due_at

    assert clock.now == BEGINNING + DAY
    assert advanced()[1].due_at is None


def test_a_result_for_an_expired_task_is_stored(there, advanced, provider):
    there(Stage.EXPIRED, provider_task_id="p", error=REASON, expires_at=NOW + DAY)
    provider.answers["p"] = DONE

    _, row = advanced()

    assert (row.stage, row.late, row.error, row.expires_at) == (Stage.STORING, True, None, None)
    assert row.due_at == NOW + COPY_START_SECONDS


def test_a_failure_of_an_expired_task_ends_it(there, advanced, provider):
    there(Stage.EXPIRED, provider_task_id="p")
    provider.answers["p"] = FAILED

    _, row = advanced()

    assert (row.stage, row.error, row.due_at) == (Stage.FAILED, FAILED.failure, None)


@pytest.mark.parametrize("answer", [FAILED, NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_failed_task_that_a_callback_made_due_is_polled_once(there, advanced, provider, answer):
    there(Stage.FAILED, provider_task_id="p", error=REASON)
    provider.answers["p"] = answer

    wait, row = advanced()

    assert wait is None
    assert (row.stage, row.error, row.due_at) == (Stage.FAILED, REASON, None)
    assert provider.looks == ["p"]


@pytest.mark.parametrize("answer", [QUEUED, RUNNING, BARE_SUCCESS])
def test_a_failed_task_that_the_feed_says_is_in_progress_is_polled_hourly_for_a_day(
    there, advanced, provider, clock, answer
):
    there(Stage.FAILED, provider_task_id="p", error=REASON)
    provider.answers["p"] = answer

    _, row = advanced()
    assert (row.stage, row.due_at) == (Stage.FAILED, NOW + HOUR)

    clock.now = BEGINNING + DAY - 60
    assert advanced()[1].due_at == BEGINNING + DAY
    clock.now = BEGINNING + DAY
    assert advanced()[1].due_at is None


def test_a_result_for_a_failed_task_is_stored(there, advanced, provider):
    there(Stage.FAILED, provider_task_id="p", error=REASON)
    provider.answers["p"] = DONE

    _, row = advanced()

    assert (row.stage, row.late) == (Stage.STORING, True)
    assert row.due_at == NOW + COPY_START_SECONDS


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.EXPIRED])
@pytest.mark.parametrize("answer", [NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_success_that_only_a_callback_told_is_waited_for_until_it_is_believed(
    there, advanced, provider, clock, stage, answer
):
    announced = replace(CALLED, body=ANNOUNCED, received_at=BEGINNING + DAY)
    there(stage, provider_task_id="p", error=REASON, evidence=announced, success_callback=announced)
    provider.answers["p"] = answer
    clock.now = BEGINNING + DAY

    _, row = advanced()
    assert (row.stage, row.due_at) == (stage, clock.now + 600)

    clock.now = row.due_at
    _, row = advanced()
    assert row.stage is Stage.STORING
    assert row.settled_by is SettledBy.CALLBACK_BODY
    assert row.source == MediaUrls(video="https://cdn.example/v.mp4")


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.EXPIRED])
@pytest.mark.parametrize("answer", [RUNNING, FAILED])
def test_a_success_that_the_feed_denies_is_not_waited_for(
    there, advanced, provider, clock, stage, answer
):
    announced = replace(CALLED, body=ANNOUNCED, received_at=BEGINNING + DAY)
    there(stage, provider_task_id="p", error=REASON, evidence=announced, success_callback=announced)
    provider.answers["p"] = answer
    clock.now = BEGINNING + DAY
    advanced()
    clock.pass_by(700)

    _, row = advanced()

    assert row.stage is not Stage.STORING


@pytest.mark.parametrize("stage", [Stage.SUCCEEDED, Stage.CANCELED])
def test_a_task_that_never_changes_is_taken_off_the_watch(there, advanced, table, provider, stage):
    before = there(stage, provider_task_id="p")

    wait, row = advanced()

    assert wait is None
    assert (row.stage, row.version, row.due_at) == (stage, before.version, None)
    assert list(table.due(NOW + DAY)) == []
    assert provider.looks == []
    assert advanced() == (None, row)
