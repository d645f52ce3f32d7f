"""What the fallback does for a due task in each stage."""

from dataclasses import replace

import pytest

from act_one.clock import DAY, HOUR
from act_one.lifecycle.advance import EXECUTION_LOST_SECONDS, advance
from act_one.lifecycle.callback import handle_callback
from act_one.provider.outcomes import (
    Ambiguous,
    NoAnswer,
    NotKnown,
    ProviderState,
    Report,
    Retryable,
)
from act_one.tasks.moves import COPY_START_SECONDS
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Billing, Evidence, MediaUrls, Notice, SettledBy, Stage
from tests.unit.examples import SOURCE, TASK
from tests.unit.fakes import BEGINNING, CALLBACK_KEYS, plenty

NOW = BEGINNING + 1_000.0
CALLBACK = Evidence(received_at=BEGINNING + 5, body='{"task_id": "p", "status": "3"}')
SUCCESS_BODY = '{"task_id": "p", "status": "3", "video_url": "https://cdn.example/v.mp4"}'
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
POLLED = [Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING]


@pytest.fixture
def advance_task(services, table):
    """Advance the task; return the seconds to wait and the row afterwards."""

    def advance_once():
        wait = advance(TASK.task_id, CALLBACK_KEYS, services, plenty)
        return wait, table.read(TASK.task_id)

    return advance_once


def test_a_missing_row_is_ignored(advance_task):
    assert advance_task() == (None, None)


# ── Accepted and submitting ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("outcome", "stage"),
    [
        (None, Stage.SUBMITTED),
        (Retryable(reason=REASON), Stage.ACCEPTED),
        (Ambiguous(reason=REASON), Stage.UNCONFIRMED),
    ],
)
def test_an_accepted_task_is_sent_and_due_later(
    create_task, advance_task, provider, outcome, stage
):
    create_task(Stage.ACCEPTED, billing=Billing.NONE)
    provider.outcome = outcome or provider.outcome

    wait, row = advance_task()

    assert wait is None
    assert row.stage is stage
    assert row.due_at > NOW
    assert len(provider.creates) == 1


def test_a_submitting_task_is_left_alone_until_it_is_due(create_task, advance_task, clock):
    before = create_task(Stage.SUBMITTING)
    clock.now = BEGINNING + 59.9

    wait, row = advance_task()

    assert wait is None
    assert (row.stage, row.version) == (before.stage, before.version)
    assert row.due_at == BEGINNING + 60


def test_an_overdue_submitting_task_becomes_unconfirmed_and_is_not_resent(
    create_task, advance_task, provider, clock
):
    create_task(Stage.SUBMITTING)
    clock.now = BEGINNING + 60

    wait, row = advance_task()

    assert wait is None
    assert row.stage is Stage.UNCONFIRMED
    assert row.billing is Billing.UNKNOWN
    assert [warning.code for warning in row.warnings] == ["create_unconfirmed"]
    assert row.due_at == BEGINNING + 3_600
    assert provider.creates == []


def test_an_overdue_submitting_task_with_a_callback_is_due_at_once(
    create_task, advance_task, clock
):
    create_task(Stage.SUBMITTING, evidence=CALLBACK)
    clock.now = BEGINNING + 60

    assert advance_task()[1].due_at == clock.now


def test_a_submitting_task_past_its_deadline_is_due_at_once(create_task, advance_task, clock):
    create_task(Stage.SUBMITTING)
    clock.now = BEGINNING + 5_000

    assert advance_task()[1].due_at == clock.now


# ── Unconfirmed, submitted and running ────────────────────────────────────────────────────────


def test_a_task_without_a_provider_id_is_not_polled(create_task, advance_task, provider):
    create_task(Stage.UNCONFIRMED)

    wait, row = advance_task()

    assert wait is None
    assert row.stage is Stage.UNCONFIRMED
    assert row.due_at == BEGINNING + 3_600
    assert provider.polls == []


def test_a_task_without_a_provider_id_expires_at_its_deadline(create_task, advance_task, clock):
    create_task(Stage.UNCONFIRMED, billing=Billing.UNKNOWN)
    clock.now = BEGINNING + 3_600

    wait, row = advance_task()

    assert wait is None
    assert row.stage is Stage.EXPIRED
    assert row.billing is Billing.UNKNOWN
    assert row.error.code == "no_result_in_time"
    assert row.due_at == clock.now + HOUR


def test_a_provider_id_from_a_callback_is_polled(create_task, advance_task, provider):
    create_task(Stage.UNCONFIRMED, evidence=CALLBACK)
    provider.answers["p"] = RUNNING

    wait, row = advance_task()

    assert provider.polls == ["p"]
    assert (row.stage, row.provider_task_id) == (Stage.RUNNING, "p")
    assert wait is not None


@pytest.mark.parametrize("origin", POLLED)
@pytest.mark.parametrize(
    "answer", [QUEUED, RUNNING, BARE_SUCCESS, NotKnown(), NoAnswer(reason="HTTP 500")]
)
def test_a_task_without_a_result_is_polled_again(
    create_task, advance_task, provider, origin, answer
):
    create_task(origin, provider_task_id="p", polls=2)
    provider.answers["p"] = answer

    wait, row = advance_task()

    assert 15 * 1.5**2 * 0.8 <= wait <= 15 * 1.5**2 * 1.2 + 1
    assert row.polls == 3
    assert row.feed_asked_at == NOW
    assert row.due_at == NOW + wait + EXECUTION_LOST_SECONDS


@pytest.mark.parametrize("origin", POLLED)
def test_a_result_is_stored(create_task, advance_task, provider, origin):
    create_task(origin, provider_task_id="p")
    provider.answers["p"] = DONE

    wait, row = advance_task()

    assert wait is None
    assert row.stage is Stage.STORING
    assert row.source == SOURCE
    assert row.settled_by is SettledBy.FALLBACK
    assert row.due_at == NOW + COPY_START_SECONDS


@pytest.mark.parametrize("origin", POLLED)
def test_a_failure_fails_a_task(create_task, advance_task, provider, origin):
    create_task(origin, provider_task_id="p")
    provider.answers["p"] = FAILED

    wait, row = advance_task()

    assert wait is None
    assert (row.stage, row.error) == (Stage.FAILED, FAILED.failure)
    assert row.due_at is None


@pytest.mark.parametrize("answer", [RUNNING, NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_task_past_its_deadline_expires_after_one_more_poll(
    create_task, advance_task, provider, clock, answer
):
    create_task(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = answer
    clock.now = BEGINNING + 3_600

    wait, row = advance_task()

    assert wait is None
    assert row.stage is Stage.EXPIRED
    assert row.due_at == clock.now + HOUR
    assert provider.polls == ["p"]


def test_a_result_in_the_last_poll_is_stored(create_task, advance_task, provider, clock):
    create_task(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = DONE
    clock.now = BEGINNING + 3_601

    _, row = advance_task()

    assert row.stage is Stage.STORING
    assert row.late


@pytest.mark.parametrize("elapsed", [0.0, 2.5, 4.9])
def test_polls_are_at_least_five_seconds_apart(create_task, advance_task, provider, elapsed):
    before = create_task(Stage.RUNNING, provider_task_id="p", feed_asked_at=NOW - elapsed)

    wait, row = advance_task()

    assert provider.polls == []
    assert row == replace(before, due_at=NOW + 15 + 120)
    assert wait == 15  # a client that reads with refresh must not wake the fallback each time


def test_a_poll_is_reserved_before_the_feed_is_asked(create_task, advance_task, provider, table):
    """So that a read at the same moment doesn't ask too, and a lost execution is noticed."""
    create_task(Stage.RUNNING, provider_task_id="p", polls=2)
    provider.answers["p"] = RUNNING
    during = []
    provider.during_feed = lambda: during.append(table.read(TASK.task_id))

    wait, row = advance_task()

    assert (during[0].feed_asked_at, during[0].polls) == (NOW, 3)
    assert during[0].due_at == row.due_at == NOW + wait + 120


def test_a_callback_during_a_poll_keeps_its_due_time(create_task, advance_task, provider, services):
    create_task(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = RUNNING
    provider.during_feed = lambda: handle_callback(TASK.task_id, b"{}", services)

    _, row = advance_task()

    assert len(provider.polls) == 1
    assert row.due_at == NOW + 10


def test_a_poll_that_another_reserved_meanwhile_is_not_made(
    create_task, advance_task, provider, table, monkeypatch
):
    create_task(Stage.RUNNING, provider_task_id="p")
    read = TaskTable.read

    def then_reserved(self, task_id):
        task = read(self, task_id)
        monkeypatch.undo()
        table.claim_feed(task, NOW, 5.0)
        return task

    monkeypatch.setattr(TaskTable, "read", then_reserved)

    wait, _ = advance_task()

    assert (wait, provider.polls) == (5, [])


def test_feed_failing_since_is_kept_until_a_report(create_task, advance_task, provider, clock):
    create_task(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = NoAnswer(reason="HTTP 500")
    advance_task()
    clock.pass_by(60)
    assert advance_task()[1].feed_failing_since == NOW

    provider.answers["p"] = NotKnown()
    clock.pass_by(60)
    assert advance_task()[1].feed_failing_since == NOW

    provider.answers["p"] = RUNNING
    clock.pass_by(60)

    assert advance_task()[1].feed_failing_since is None


@pytest.mark.parametrize(
    ("target", "fields", "wait"),
    [
        (Stage.RUNNING, {}, 5),
        (Stage.STORING, {"source": SOURCE}, None),
        (Stage.FAILED, {}, None),
        (Stage.EXPIRED, {}, None),
    ],
)
def test_a_task_moved_during_a_poll_is_polled_again_if_it_awaits_a_result(
    create_task, advance_task, table, provider, target, fields, wait
):
    before = create_task(Stage.SUBMITTED, provider_task_id="p")
    provider.answers["p"] = RUNNING
    provider.during_feed = lambda: table.move(before, target, NOW, **fields)

    seconds, row = advance_task()

    assert seconds == wait
    assert (row.stage, row.version) == (target, 2)


# ── Storing ───────────────────────────────────────────────────────────────────────────────────

FRESH = MediaUrls(video="https://cdn.example/fresh.mp4")


def test_a_running_copy_is_left_alone(create_task, advance_task, provider):
    before = create_task(Stage.STORING, source=SOURCE, copy_lease_until=NOW + 50)

    wait, row = advance_task()

    assert wait is None
    assert row.due_at == NOW + 50
    assert (row.version, row.copy_lease_until) == (before.version, NOW + 50)
    assert provider.polls == []


@pytest.mark.parametrize("lease", [None, NOW - 1, NOW])
def test_a_copy_without_a_live_lease_is_restarted_with_a_fresh_url(
    create_task, advance_task, provider, lease
):
    before = create_task(Stage.STORING, provider_task_id="p", source=SOURCE, copy_lease_until=lease)
    provider.answers["p"] = Report(provider_task_id="p", state=ProviderState.SUCCEEDED, media=FRESH)

    wait, row = advance_task()

    assert wait is None
    assert row.stage is Stage.STORING
    assert row.version == before.version + 1
    assert row.source == FRESH
    assert row.copy_lease_until is None
    assert row.due_at == NOW + COPY_START_SECONDS


@pytest.mark.parametrize("answer", [RUNNING, FAILED, NotKnown(), NoAnswer(reason=""), BARE_SUCCESS])
def test_a_copy_is_restarted_with_the_old_url_if_the_feed_has_none(
    create_task, advance_task, provider, answer
):
    create_task(Stage.STORING, provider_task_id="p", source=SOURCE)
    provider.answers["p"] = answer

    _, row = advance_task()

    assert (row.stage, row.source, row.version) == (Stage.STORING, SOURCE, 2)


def test_restarting_a_copy_learns_the_id_from_a_callback(create_task, advance_task, provider):
    create_task(Stage.STORING, source=SOURCE, evidence=CALLBACK)
    provider.answers["p"] = Report(provider_task_id="p", state=ProviderState.SUCCEEDED, media=FRESH)

    _, row = advance_task()

    assert (row.provider_task_id, row.source) == ("p", FRESH)


def test_a_copy_of_a_task_without_a_provider_id_is_restarted(create_task, advance_task, provider):
    create_task(Stage.STORING, source=SOURCE)

    assert advance_task()[1].version == 2
    assert provider.polls == []


def test_a_task_not_copied_within_a_day_fails_and_stays_charged(create_task, advance_task, clock):
    create_task(Stage.STORING, provider_task_id="p", source=SOURCE, billing=Billing.CHARGED)
    clock.now = BEGINNING + DAY
    assert advance_task()[1].stage is Stage.STORING

    clock.now = BEGINNING + DAY + 1
    wait, row = advance_task()

    assert wait is None
    assert (row.stage, row.error.code) == (Stage.FAILED, "media_unavailable")
    assert row.billing is Billing.CHARGED
    assert row.due_at is None


def test_a_copy_whose_end_was_never_written_has_another_attempt_to_adopt_its_files(
    create_task, advance_task, clock
):
    lease = BEGINNING + DAY - 60
    create_task(Stage.STORING, provider_task_id="p", source=SOURCE, copy_lease_until=lease)
    clock.now = BEGINNING + DAY + 1

    assert advance_task()[1].stage is Stage.STORING


def test_a_copy_whose_attempts_all_crash_fails_an_hour_later(create_task, advance_task, clock):
    lease = BEGINNING + DAY - 60
    create_task(Stage.STORING, provider_task_id="p", source=SOURCE, copy_lease_until=lease)
    clock.now = BEGINNING + DAY + HOUR + 1

    assert advance_task()[1].error.code == "media_unavailable"


# ── Ended ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("answer", [RUNNING, NotKnown(), NoAnswer(reason="HTTP 500")])
def test_an_expired_task_is_polled_hourly_for_a_day(
    create_task, advance_task, provider, clock, answer
):
    create_task(Stage.EXPIRED, provider_task_id="p")
    provider.answers["p"] = answer

    clock.now = BEGINNING + 2 * HOUR
    clock.pass_by(90)
    for _ in range(22):
        wait, row = advance_task()
        assert (wait, row.stage) == (None, Stage.EXPIRED)
        assert row.due_at == min(clock.now + HOUR, BEGINNING + DAY)
        clock.now = row.due_at

    assert clock.now == BEGINNING + DAY
    assert advance_task()[1].due_at is None


def test_a_result_for_an_expired_task_is_stored(create_task, advance_task, provider):
    create_task(Stage.EXPIRED, provider_task_id="p", error=REASON, expires_at=NOW + DAY)
    provider.answers["p"] = DONE

    _, row = advance_task()

    assert (row.stage, row.late, row.error, row.expires_at) == (Stage.STORING, True, None, None)
    assert row.due_at == NOW + COPY_START_SECONDS


def test_a_failure_fails_an_expired_task(create_task, advance_task, provider):
    create_task(Stage.EXPIRED, provider_task_id="p")
    provider.answers["p"] = FAILED

    _, row = advance_task()

    assert (row.stage, row.error, row.due_at) == (Stage.FAILED, FAILED.failure, None)


@pytest.mark.parametrize("answer", [FAILED, NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_failed_task_that_a_callback_made_due_is_polled_once(
    create_task, advance_task, provider, answer
):
    create_task(Stage.FAILED, provider_task_id="p", error=REASON)
    provider.answers["p"] = answer

    wait, row = advance_task()

    assert wait is None
    assert (row.stage, row.error, row.due_at) == (Stage.FAILED, REASON, None)
    assert provider.polls == ["p"]


@pytest.mark.parametrize("answer", [QUEUED, RUNNING, BARE_SUCCESS])
def test_a_failed_task_that_the_feed_reports_in_progress_is_polled_hourly(
    create_task, advance_task, provider, clock, answer
):
    create_task(Stage.FAILED, provider_task_id="p", error=REASON)
    provider.answers["p"] = answer

    _, row = advance_task()
    assert (row.stage, row.due_at) == (Stage.FAILED, NOW + HOUR)

    clock.now = BEGINNING + DAY - 60
    assert advance_task()[1].due_at == BEGINNING + DAY
    clock.now = BEGINNING + DAY
    assert advance_task()[1].due_at is None


def test_a_result_for_a_failed_task_is_stored(create_task, advance_task, provider):
    create_task(Stage.FAILED, provider_task_id="p", error=REASON)
    provider.answers["p"] = DONE

    _, row = advance_task()

    assert (row.stage, row.late) == (Stage.STORING, True)
    assert row.due_at == NOW + COPY_START_SECONDS


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.EXPIRED])
@pytest.mark.parametrize("answer", [NotKnown(), NoAnswer(reason="HTTP 500")])
def test_a_callbacks_success_is_trusted_after_ten_minutes(
    create_task, advance_task, provider, clock, stage, answer
):
    success = replace(CALLBACK, body=SUCCESS_BODY, received_at=BEGINNING + DAY)
    create_task(
        stage, provider_task_id="p", error=REASON, evidence=success, success_callback=success
    )
    provider.answers["p"] = answer
    clock.now = BEGINNING + DAY

    _, row = advance_task()
    assert (row.stage, row.due_at) == (stage, clock.now + 600)

    clock.now = row.due_at
    _, row = advance_task()
    assert row.stage is Stage.STORING
    assert row.settled_by is SettledBy.CALLBACK_BODY
    assert row.source == MediaUrls(video="https://cdn.example/v.mp4")


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.EXPIRED])
@pytest.mark.parametrize("answer", [RUNNING, FAILED])
def test_a_callbacks_success_that_the_feed_contradicts_is_not_trusted(
    create_task, advance_task, provider, clock, stage, answer
):
    success = replace(CALLBACK, body=SUCCESS_BODY, received_at=BEGINNING + DAY)
    create_task(
        stage, provider_task_id="p", error=REASON, evidence=success, success_callback=success
    )
    provider.answers["p"] = answer
    clock.now = BEGINNING + DAY
    advance_task()
    clock.pass_by(700)

    _, row = advance_task()

    assert row.stage is not Stage.STORING


@pytest.mark.parametrize("stage", [Stage.SUCCEEDED, Stage.CANCELED])
def test_a_succeeded_or_canceled_task_loses_its_due_time(
    create_task, advance_task, table, provider, stage
):
    before = create_task(stage, provider_task_id="p")

    wait, row = advance_task()

    assert wait is None
    assert (row.stage, row.version, row.due_at) == (stage, before.version, None)
    assert list(table.due(NOW + DAY)) == []
    assert provider.polls == []
    assert advance_task() == (None, row)
