"""A wait for a task's end: a look a second, until time is up."""

from itertools import pairwise

import pytest

from act_one.lifecycle.waiting import wait_for_end, wait_seconds
from act_one.tasks.task import Stage
from tests.unit.examples import task
from tests.unit.fakes import BEGINNING, FakeClock

OPEN, DONE = task(Stage.RUNNING), task(Stage.SUCCEEDED)


class Looks:
    """Looks at a task that is done after some seconds; each takes a while."""

    def __init__(self, clock, *, done_after=1_000.0, takes=0.0):
        self.clock, self.done_at, self.takes = clock, clock() + done_after, takes
        self.times = []

    def __call__(self):
        self.times.append(self.clock())
        self.clock.pass_by(self.takes)
        return DONE if self.clock() >= self.done_at else OPEN


def waited(first, seconds, clock, looks):
    return wait_for_end(first, seconds, looks, clock, clock.pass_by)


@pytest.mark.parametrize(
    ("asked", "left", "seconds"),
    [(0, 28, 0), (10, 28, 10), (25, 28, 25), (60, 28, 25), (25, 20.5, 18), (25, 1, 0), (0, 0, 0)],
)
def test_a_wait_fits_into_what_the_invocation_has_left(asked, left, seconds):
    assert wait_seconds(asked, lambda: left) == seconds


def test_a_done_task_is_answered_at_once():
    clock = FakeClock()
    looks = Looks(clock)

    assert waited(DONE, 25, clock, looks) is DONE
    assert (looks.times, clock.now) == ([], BEGINNING)


def test_without_a_wait_the_task_is_not_looked_at_again():
    clock = FakeClock()
    looks = Looks(clock)

    assert waited(OPEN, 0, clock, looks) is OPEN
    assert (looks.times, clock.now) == ([], BEGINNING)


def test_a_wait_ends_with_the_task():
    clock = FakeClock()
    looks = Looks(clock, done_after=2.5)

    assert waited(OPEN, 25, clock, looks) is DONE
    assert looks.times == [BEGINNING + second for second in (1, 2, 3)]


@pytest.mark.parametrize("takes", [0.0, 0.25, 0.99, 3.0])
def test_a_wait_looks_once_a_second_at_most_until_time_is_up(takes):
    clock = FakeClock()
    looks = Looks(clock, takes=takes)

    assert waited(OPEN, 10, clock, looks) is OPEN
    times = [BEGINNING, *looks.times]
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))
    assert looks.times[-1] <= BEGINNING + 10 <= clock.now + 1
    assert len(looks.times) == 10 if takes < 1 else len(looks.times) == 4
