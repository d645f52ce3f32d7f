"""A read that asks the feed, once in a while and for all readers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

import pytest

from act_one.clock import DAY
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.refresh import READ_FEED_SECONDS, refresh
from act_one.provider.outcomes import NoAnswer, ProviderState, Report
from act_one.tasks.task import Evidence, Notice, SettledBy, Stage
from tests.unit.examples import SOURCE, TASK
from tests.unit.fakes import BEGINNING, plenty

NOW = BEGINNING + 100.0
DONE = Report(state=ProviderState.SUCCEEDED, provider_task_id="p", media=SOURCE)
RUNNING = Report(state=ProviderState.RUNNING, provider_task_id="p", progress=40)
FAILED = Report(
    state=ProviderState.FAILED,
    provider_task_id="p",
    failure=Notice(code="provider_failed", message="no face"),
)


@pytest.fixture
def known(create_task):
    """Create a task whose id the feed knows."""
    return lambda stage=Stage.SUBMITTED, **fields: create_task(
        stage, **{"provider_task_id": "p", "due_at": BEGINNING + 900, **fields}
    )


def test_a_lost_callback_is_made_up_for(services, known, provider):
    provider.answers["p"] = DONE

    row = refresh(known(), services, plenty)

    assert (row.stage, row.settled_by, row.late) == (Stage.STORING, SettledBy.READ, False)
    assert row.source == SOURCE
    assert row == services.table.read(TASK.task_id)


def test_a_failure_is_settled_by_the_read(services, known, provider):
    provider.answers["p"] = FAILED

    row = refresh(known(Stage.RUNNING), services, plenty)

    assert (row.stage, row.settled_by, row.error.code) == (
        *(Stage.FAILED, SettledBy.READ, "provider_failed"),
    )


def test_progress_is_kept_and_the_fallbacks_time_too(services, known, provider):
    provider.answers["p"] = RUNNING

    row = refresh(known(polls=3), services, plenty)

    assert (row.stage, row.progress, row.polls) == (Stage.RUNNING, 40, 3)
    assert (row.due_at, row.feed_asked_at) == (BEGINNING + 900, NOW)


@pytest.mark.parametrize("stage", [Stage.EXPIRED, Stage.FAILED])
@pytest.mark.parametrize("due_at", [None, BEGINNING + 3_600])
def test_a_late_result_is_found(services, known, provider, stage, due_at):
    provider.answers["p"] = DONE

    row = refresh(known(stage, due_at=due_at), services, plenty)

    assert (row.stage, row.settled_by, row.late) == (Stage.STORING, SettledBy.READ, True)


@pytest.mark.parametrize("answer", [FAILED, RUNNING, NoAnswer(reason="HTTP 500")])
def test_a_failed_task_without_a_result_stays_failed(services, known, provider, answer):
    provider.answers["p"] = answer
    before = known(Stage.FAILED, due_at=None)

    row = refresh(before, services, plenty)

    assert (row.stage, row.version, row.feed_asked_at) == (Stage.FAILED, before.version, NOW)
    assert row == services.table.read(TASK.task_id)
    assert len(provider.polls) == 1


@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        (Stage.ACCEPTED, {}),
        (Stage.SUBMITTING, {}),
        (Stage.STORING, {"source": SOURCE}),
        (Stage.SUCCEEDED, {}),
        (Stage.CANCELED, {}),
        (Stage.UNCONFIRMED, {"provider_task_id": None}),
        (Stage.FAILED, {"provider_task_id": None}),
        (Stage.FAILED, {"sent_at": NOW - DAY}),
        (Stage.EXPIRED, {"sent_at": NOW - DAY}),
    ],
)
def test_the_feed_is_not_asked_for_what_it_cannot_know(services, known, provider, stage, fields):
    before = known(stage, **fields)

    assert refresh(before, services, plenty) == before
    assert services.table.read(TASK.task_id) == before
    assert (provider.polls, provider.creates) == ([], [])


def test_an_id_from_a_callback_is_asked_for(services, create_task, provider):
    body = '{"data": {"task_id": "p", "status": "SUCCESS"}}'
    task = create_task(
        Stage.UNCONFIRMED,
        evidence=Evidence(received_at=NOW - 50, body=body),
        callback_task_id="p",
    )
    provider.answers["p"] = replace(DONE, created_at=BEGINNING)

    row = refresh(task, services, plenty)

    assert (row.stage, row.provider_task_id) == (Stage.STORING, "p")


def test_a_task_past_its_deadline_expires(services, known, provider, clock):
    provider.answers["p"] = RUNNING
    clock.now = BEGINNING + 3_601

    assert refresh(known(Stage.RUNNING), services, plenty).stage is Stage.EXPIRED


@pytest.mark.parametrize(("elapsed", "asked"), [(0.0, 0), (4.999, 0), (5.0, 1), (60.0, 1)])
def test_the_feed_rests_between_polls_whoever_asked(services, known, provider, elapsed, asked):
    provider.answers["p"] = RUNNING
    task = known(feed_asked_at=NOW - elapsed)

    refresh(task, services, plenty)

    assert len(provider.polls) == asked


def test_readers_of_the_same_row_ask_once(services, known, provider, clock):
    """Each has read the row before another claimed the poll."""
    provider.answers["p"] = RUNNING
    task = known()

    rows = []
    for _ in range(3):
        rows.append(refresh(task, services, plenty))
        clock.pass_by(1)

    assert provider.polls == ["p"]
    assert {row.progress for row in rows} == {40}


def test_twenty_readers_at_once_ask_once(services, known, provider):
    provider.answers["p"] = RUNNING
    task = known()
    together, others_ended = Barrier(20), Event()
    provider.during_feed = lambda: others_ended.wait(10)
    ended = []

    def reading(_):
        together.wait(10)
        row = refresh(task, services, plenty)
        ended.append(row)
        if len(ended) == 19:
            others_ended.set()

    with ThreadPoolExecutor(20) as readers:
        list(readers.map(reading, range(20)))

    assert others_ended.is_set(), "the others waited for the one that asks"
    assert provider.polls == ["p"]


def test_a_callback_and_a_read_share_the_poll(services, known, provider):
    provider.answers["p"] = RUNNING
    task = known()
    handle_callback(TASK.task_id, b"{}", services)

    refresh(task, services, plenty)
    handle_callback(TASK.task_id, b"{}", services)

    assert len(provider.polls) == 1


def test_a_row_that_moved_during_the_poll_is_returned_as_it_is(services, known, provider, table):
    provider.answers["p"] = FAILED
    task = known(Stage.RUNNING)
    provider.during_feed = lambda: table.move(task, Stage.STORING, NOW, source=SOURCE)

    row = refresh(task, services, plenty)

    assert row.stage is Stage.STORING
    assert row == table.read(TASK.task_id)


@pytest.mark.parametrize(("left", "seconds"), [(28, READ_FEED_SECONDS), (7, 4), (3, None)])
def test_a_poll_fits_into_what_the_invocation_has_left(services, known, provider, left, seconds):
    given = []

    class Timed:
        def feed(self, _id, *, seconds):
            given.append(seconds)
            return RUNNING

    refresh(known(), replace(services, provider=Timed()), lambda: left)

    assert given == ([] if seconds is None else [seconds])
    del provider
