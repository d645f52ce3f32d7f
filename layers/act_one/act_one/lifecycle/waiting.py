"""Waiting for a task's end, so that a client needs no loop."""

import math
from collections.abc import Callable
from typing import Final

from act_one.clock import Clock, SecondsLeft
from act_one.tasks.task import Task

LONGEST_WAIT: Final = 25
"""Seconds. API Gateway gives up after 29 s, the start of a function included."""
ANSWER_NEEDS_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 1.0
"""The shortest time between two looks at a task."""


def wait_seconds(asked: int, seconds_left: SecondsLeft) -> int:
    """Return how many whole seconds of those that were asked for an invocation can wait."""
    possible = math.floor(seconds_left() - ANSWER_NEEDS_SECONDS)
    return max(0, min(asked, LONGEST_WAIT, possible))


def wait_for_end(
    task: Task,
    seconds: int,
    look: Callable[[], Task],
    clock: Clock,
    sleep: Callable[[float], object],
) -> Task:
    """Look at a task that was just read once a second until it is done or ``seconds`` are over."""
    looked_at = clock()
    ends_at = looked_at + seconds
    while not task.done and looked_at + LOOK_SECONDS <= ends_at:
        looked_at = max(looked_at + LOOK_SECONDS, clock())
        sleep(max(0.0, looked_at - clock()))
        task = look()
    return task
