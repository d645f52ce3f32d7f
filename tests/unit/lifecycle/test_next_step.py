"""What `next_step` makes of the feed's answer, for all stages and answers."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_one.clock import HOUR
from act_one.lifecycle.advance import poll_seconds
from act_one.lifecycle.next_step import next_step
from act_one.provider.outcomes import NoAnswer, NotKnown, ProviderState, Report
from act_one.tasks.moves import COPY_START_SECONDS, MOVES, Step
from act_one.tasks.task import SETTLED, Billing, Evidence, MediaUrls, Notice, SettledBy, Stage
from tests.sizes import size
from tests.unit.examples import SOURCE, notices, sources, task
from tests.unit.fakes import BEGINNING, make_services

OPEN = sorted(set(Stage) - SETTLED)
POLLED = [Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING]
TIMEOUT = 3_600.0
SERVICES = make_services(task_timeout_seconds=TIMEOUT)
NOW = BEGINNING + 100.0
SUCCESS = Report(provider_task_id="p", state=ProviderState.SUCCEEDED, media=SOURCE)
BARE_SUCCESS = Report(provider_task_id="p", state=ProviderState.SUCCEEDED)
FAILURE = Report(
    provider_task_id="p",
    state=ProviderState.FAILED,
    failure=Notice(code="provider_failed", message="no face"),
)


def report_of(state, progress=None):
    return Report(provider_task_id="p", state=ProviderState(state), progress=progress)


def step_of(origin, answer, *, now=NOW, **fields):
    return next_step(task(origin, **fields), answer, now, SettledBy.CALLBACK, SERVICES.settings)


# ── Single steps ──────────────────────────────────────────────────────────────────────────────

TARGETS = """
    answer        | unconfirmed | submitted | running | expired | failed  | storing | submitting
    --------------+-------------+-----------+---------+---------+---------+---------+-----------
    queued        | submitted   | -         | -       | -       | -       | -       | submitted
    running       | running     | running   | -       | -       | -       | -       | running
    unknown       | submitted   | -         | -       | -       | -       | -       | submitted
    bare success  | submitted   | -         | -       | -       | -       | -       | submitted
    success       | storing     | storing   | storing | storing | storing | -       | storing
    failure       | failed      | failed    | failed  | failed  | -       | -       | failed
    not known     | -           | -         | -       | -       | -       | -       | -
    no answer     | -           | -         | -       | -       | -       | -       | -
"""
ANSWERS = {
    "queued": report_of("queued"),
    "running": report_of("running", 40),
    "unknown": report_of("unknown"),
    "bare success": BARE_SUCCESS,
    "success": SUCCESS,
    "failure": FAILURE,
    "not known": NotKnown(),
    "no answer": NoAnswer(reason="HTTP 500"),
}
TABLE = [[cell.strip() for cell in line.split("|")] for line in TARGETS.split("\n") if "|" in line]


@pytest.mark.parametrize(
    ("answer", "origin", "target"),
    [
        (row[0], origin, target)
        for row in TABLE[1:]
        for origin, target in zip(TABLE[0][1:], row[1:], strict=True)
    ],
)
def test_each_answer_moves_each_stage_as_in_the_table(answer, origin, target):
    step = step_of(Stage(origin), ANSWERS[answer])

    assert step.target == (None if target == "-" else Stage(target))


@pytest.mark.parametrize("origin", POLLED)
@pytest.mark.parametrize(
    "answer", ["queued", "running", "unknown", "bare success", "not known", "no answer"]
)
def test_a_task_without_a_result_expires_at_its_deadline(origin, answer):
    # A task that the answer moves, say to running, expires with the next poll.
    at = BEGINNING + TIMEOUT
    quiet = step_of(origin, ANSWERS[answer], now=at - 0.001).target is None

    step = step_of(origin, ANSWERS[answer], now=at)

    if quiet:
        assert step.target is Stage.EXPIRED
        assert step.changes["error"].code == "no_result_in_time"
        assert step.changes["due_at"] == at + HOUR
    else:
        assert step.target in {Stage.SUBMITTED, Stage.RUNNING}


@pytest.mark.parametrize("origin", POLLED)
def test_a_result_after_the_deadline_is_stored_as_late(origin):
    step = step_of(origin, SUCCESS, now=BEGINNING + TIMEOUT + 1)

    assert step.target is Stage.STORING
    assert step.changes["late"] is True


@pytest.mark.parametrize("origin", [Stage.EXPIRED, Stage.FAILED])
def test_a_result_for_a_failed_or_expired_task_is_stored_as_late(origin):
    error = Notice(code="no_result_in_time", message="")

    step = step_of(origin, SUCCESS, error=error, expires_at=NOW + 1)

    assert step.target is Stage.STORING
    assert step.changes["late"] is True
    assert step.changes["error"] is None
    assert step.changes["expires_at"] is None
    assert step.changes["due_at"] == NOW + COPY_START_SECONDS


def test_a_result_in_time_is_not_late_and_sets_settled_by():
    changes = step_of(Stage.RUNNING, SUCCESS).changes

    assert changes["late"] is False
    assert changes["settled_by"] is SettledBy.CALLBACK
    assert changes["source"] == SOURCE
    assert changes["billing"] is Billing.CHARGED
    assert (changes["copy_attempts"], changes["copy_lease_until"]) == (0, None)


def test_a_failure_keeps_the_providers_reason_and_ends_polling():
    changes = step_of(Stage.RUNNING, FAILURE).changes

    assert changes["error"] == FAILURE.failure
    assert changes["due_at"] is None
    assert changes["billing"] is Billing.CHARGED


def test_progress_only_grows_and_stays_below_100():
    assert step_of(Stage.RUNNING, report_of("running", 40), progress=30).changes["progress"] == 40
    assert "progress" not in step_of(Stage.RUNNING, report_of("running", 30), progress=30).changes
    assert "progress" not in step_of(Stage.RUNNING, report_of("running", 10), progress=30).changes
    assert step_of(Stage.RUNNING, report_of("running", 100), progress=30).changes["progress"] == 99
    assert step_of(Stage.RUNNING, SUCCESS).changes["progress"] == 99


def test_feed_failing_since_is_kept_until_the_feed_answers():
    for silent in (NoAnswer(reason="HTTP 500"), NotKnown()):
        assert step_of(Stage.RUNNING, silent).changes == {"feed_failing_since": NOW}
        assert step_of(Stage.RUNNING, silent, feed_failing_since=NOW - 50).changes == {}
    changes = step_of(Stage.RUNNING, report_of("running", 0), feed_failing_since=NOW - 50).changes
    assert changes["feed_failing_since"] is None


@pytest.mark.parametrize("silent", [NoAnswer(reason="HTTP 500"), NotKnown()])
@pytest.mark.parametrize("stage", [Stage.UNCONFIRMED, Stage.RUNNING, Stage.EXPIRED, Stage.FAILED])
def test_a_callbacks_success_is_trusted_after_ten_minutes_without_a_report(stage, silent):
    body = '{"task_id": "p", "status": "3", "video_url": "https://cdn.example/v.mp4"}'
    evidence = Evidence(received_at=NOW - 700, body=body)
    fields = {"evidence": evidence, "success_callback": evidence}

    early = step_of(stage, silent, feed_failing_since=NOW - 599, **fields)
    trusted = step_of(stage, silent, feed_failing_since=NOW - 600, **fields)

    assert early.target is not Stage.STORING
    assert trusted.target is Stage.STORING
    assert trusted.changes["source"] == MediaUrls(video="https://cdn.example/v.mp4")
    assert trusted.changes["settled_by"] is SettledBy.CALLBACK_BODY


@pytest.mark.parametrize(
    "body",
    [
        '{"task_id": "p", "status": "2", "msg": "no face"}',
        '{"task_id": "p", "status": "3"}',
        '{"task_id": "p", "status": "1", "video_url": "https://cdn.example/v.mp4"}',
        "success",
    ],
)
def test_only_a_callbacks_success_with_a_url_is_trusted(body):
    evidence = Evidence(received_at=NOW - 7_000, body=body)

    step = step_of(Stage.RUNNING, NotKnown(), feed_failing_since=NOW - 7_000, evidence=evidence)

    assert step.target not in {Stage.STORING, Stage.FAILED}


# ── Any task and answer ───────────────────────────────────────────────────────────────────────

moments = st.integers(-10_000, 200_000).map(lambda seconds: BEGINNING + seconds)
answers = st.one_of(
    st.just(NotKnown()),
    st.builds(NoAnswer, reason=st.text(max_size=10), key_refused=st.booleans()),
    *(
        st.builds(
            Report,
            provider_task_id=st.just("p"),
            state=st.just(state),
            progress=st.none() | st.integers(0, 100),
            media=st.none() | sources if state is ProviderState.SUCCEEDED else st.none(),
            failure=notices if state is ProviderState.FAILED else st.none(),
            created_at=st.none() | moments,
        )
        for state in ProviderState
    ),
)
watched = st.builds(
    task,
    stage=st.sampled_from(Stage),
    sent_at=st.none() | moments,
    created_at=moments,
    due_at=moments,
    billing=st.sampled_from(Billing),
    progress=st.integers(0, 100),
    feed_failing_since=st.none() | moments,
    provider_task_id=st.none() | st.just("p"),
    source=st.none() | st.just(SOURCE),
    copy_attempts=st.integers(0, 5),
    copy_lease_until=st.none() | moments,
)


@st.composite
def steps(draw):
    """Draw a task, an answer, its time and the retention; return them with their step."""
    before, answer, now = draw(watched), draw(answers), draw(moments)
    retention, by = draw(st.sampled_from([0, 1, 90])), draw(st.sampled_from(SettledBy))
    services = make_services(task_timeout_seconds=TIMEOUT, result_retention_days=retention)
    step = next_step(before, answer, now, by, services.settings)
    after = dataclasses.replace(before, stage=step.target or before.stage, **step.changes)
    return before, answer, now, retention, step, after


@settings(max_examples=size(100, 300))
@given(steps())
def test_every_step_is_a_legal_move_that_its_answer_supports(case):
    before, answer, now, retention, step, after = case
    report = isinstance(answer, Report)

    match step.target:
        case Stage.STORING:
            assert report
            assert after.source == answer.media is not None
            assert after.copy_lease_until is None
        case Stage.FAILED:
            assert report
            assert answer.state is ProviderState.FAILED
            assert after.error == answer.failure
        case Stage.EXPIRED:
            assert now >= before.deadline(TIMEOUT)
            assert after.error is not None
        case Stage.SUBMITTED | Stage.RUNNING:
            assert report
        case other:
            assert other is None
    assert step.target is None or step.target in MOVES[before.stage] - {before.stage}
    if step.target in {Stage.FAILED, Stage.EXPIRED} and retention:
        assert after.expires_at >= now + (retention + 1) * 86_400


@settings(max_examples=size(66, 200))
@given(steps())
def test_answers_change_no_copy_and_no_final_task(case):
    before, _, _, _, step, _ = case

    if before.stage in {Stage.ACCEPTED, Stage.STORING, Stage.SUCCEEDED, Stage.CANCELED}:
        assert step == Step()


@settings(max_examples=size(100, 300))
@given(steps())
def test_answers_never_undo_a_charge_progress_or_the_due_time(case):
    before, answer, _, _, step, after = case

    if before.billing is Billing.CHARGED or not isinstance(answer, Report):
        assert after.billing is before.billing
    if before.stage not in SETTLED or step.target is not None:
        assert after.progress >= before.progress or step.target is Stage.STORING
    assert after.progress <= max(99, before.progress)
    if after.stage not in SETTLED or after.stage is Stage.EXPIRED:
        assert after.due_at is not None


# ── Poll intervals ────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 10_000))
def test_poll_intervals_grow_by_half_from_15_to_120_seconds(polls):
    interval = min(120.0, 15.0 * 1.5 ** min(polls, 50))

    wait = poll_seconds(polls, SERVICES)

    assert type(wait) is int
    assert math.floor(interval * 0.8) <= wait <= math.ceil(interval * 1.2)


def test_poll_intervals_are_jittered():
    assert len({poll_seconds(5, SERVICES) for _ in range(200)}) > 10


@given(
    st.integers(0, 50),
    st.floats(0.1, 600, allow_nan=False),
    st.floats(0.1, 600, allow_nan=False),
    st.floats(0.1, 60, allow_nan=False),
)
def test_poll_intervals_respect_the_minimum(polls, interval, longest, least):
    services = make_services(
        poll_interval_seconds=interval, poll_max_interval_seconds=longest, min_poll_seconds=least
    )

    wait = poll_seconds(polls, services)

    assert type(wait) is int
    assert wait >= least
    assert wait <= max(math.ceil(least), math.ceil(longest * 1.2))
