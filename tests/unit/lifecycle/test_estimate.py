"""When a task is likely to end, by the durations of others."""

import pytest
from botocore.exceptions import EndpointConnectionError

from act_one.lifecycle.estimate import estimate, keep_duration, retry_after
from act_one.lifecycle.read import reading_headers
from act_one.tasks.durations import Durations
from act_one.tasks.task import SETTLED, Stage
from tests.unit.examples import task
from tests.unit.fakes import BEGINNING

RECENT = Durations((100.0, 110.0, 120.0, 130.0, 300.0))
FEW = Durations((100.0, 110.0, 120.0, 130.0))
OPEN = [stage for stage in Stage if stage not in SETTLED]


def etas(stage, after, durations=RECENT, **fields):
    return tuple(estimate(task(stage, **fields), durations, BEGINNING + after).values())


@pytest.mark.parametrize("stage", [Stage.SUBMITTING, Stage.SUBMITTED, Stage.RUNNING, Stage.STORING])
@pytest.mark.parametrize(
    ("after", "expected"),
    [(0, (120, 300)), (20.5, (100, 280)), (119.9, (1, 181)), (200, (0, 100)), (900, (0, 0))],
)
def test_what_is_left_counts_from_the_send(stage, after, expected):
    assert etas(stage, after) == expected


def test_a_task_that_waits_to_be_sent_begins_when_it_is_due():
    assert etas(Stage.ACCEPTED, 10, due_at=BEGINNING + 40) == (150, 330)
    assert etas(Stage.ACCEPTED, 50, due_at=BEGINNING + 40) == (120, 300)


def test_nothing_is_estimated_while_a_pause_holds_a_task():
    assert etas(Stage.ACCEPTED, 10, due_at=BEGINNING + 100 * 365 * 86_400) == (None, None)


def test_nothing_is_estimated_of_what_the_provider_may_not_have():
    assert etas(Stage.UNCONFIRMED, 10) == (None, None)


@pytest.mark.parametrize("stage", OPEN)
def test_nothing_is_estimated_from_fewer_than_five_durations(stage):
    assert etas(stage, 10, FEW) == (None, None)


@pytest.mark.parametrize("stage", sorted(SETTLED))
def test_an_ended_task_has_no_estimate_and_no_time_to_come_back(stage):
    assert etas(stage, 10) == ()
    assert reading_headers(task(stage), RECENT, 0, BEGINNING) == {}


@pytest.mark.parametrize(
    ("stage", "after", "durations", "seconds"),
    [
        (Stage.SUBMITTED, 0, FEW, 10),
        (Stage.UNCONFIRMED, 0, RECENT, 10),
        (Stage.SUBMITTED, 0, RECENT, 60),
        (Stage.RUNNING, 90, RECENT, 30),
        (Stage.RUNNING, 118, RECENT, 5),
        (Stage.RUNNING, 500, RECENT, 5),
        (Stage.STORING, 0, RECENT, 2),
    ],
)
def test_a_reader_comes_back_when_the_task_is_likely_to_have_ended(
    stage, after, durations, seconds
):
    assert retry_after(task(stage), durations, BEGINNING + after) == seconds
    headers = reading_headers(task(stage), durations, 7, BEGINNING + after)
    assert headers == {"Retry-After": str(seconds), "Preference-Applied": "wait=7"}


class Kept:
    def __init__(self, error=None):
        self.durations, self.error = {}, error

    def add(self, task_id, seconds):
        if self.error:
            raise self.error
        self.durations[task_id] = seconds
        return False


def test_a_task_that_succeeded_in_time_is_counted_from_its_send():
    ended, kept = task(Stage.SUCCEEDED, sent_at=BEGINNING + 5, updated_at=BEGINNING + 125), Kept()

    keep_duration(ended, kept, 3_600)

    assert kept.durations == {ended.task_id: 120}


@pytest.mark.parametrize(
    "ended",
    [
        None,
        task(Stage.STORING),
        task(Stage.FAILED),
        task(Stage.SUCCEEDED, late=True),
        task(Stage.SUCCEEDED, sent_at=None),
        task(Stage.SUCCEEDED, updated_at=BEGINNING + 3_601),
    ],
)
def test_no_other_task_is_counted(ended):
    kept = Kept()

    keep_duration(ended, kept, 3_600)

    assert kept.durations == {}


def test_a_duration_that_cannot_be_kept_harms_nothing():
    error = EndpointConnectionError(endpoint_url="https://dynamodb.example")

    keep_duration(task(Stage.SUCCEEDED), Kept(error), 3_600)
