"""A read that asks the feed: it makes up for a lost callback, as the fallback does later."""

from typing import Final

from act_one.clock import SecondsLeft
from act_one.lifecycle.next_step import HAS_CREATE
from act_one.lifecycle.poll import poll_provider
from act_one.lifecycle.services import Services
from act_one.tasks.moves import LATE_SECONDS
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import SettledBy, Stage, Task

READ_FEED_SECONDS: Final = 5.0
WRITE_NEEDS_SECONDS: Final = 3.0
"""For the claim before, and the write after the feed's answer."""

_LATE: Final = frozenset({Stage.EXPIRED, Stage.FAILED})


def refresh(task: Task, services: Services, seconds_left: SecondsLeft) -> Task:
    """Ask the feed about a task, and return its row; nothing is sent.

    Nothing is asked about a task whose result is known or that the feed can't know, nor within
    ``MinPollSeconds`` of the last poll, whoever made it.
    """
    now = services.clock()
    rest_seconds = services.settings.min_poll_seconds
    rested = now - (task.feed_asked_at or 0.0) >= rest_seconds
    seconds = min(READ_FEED_SECONDS, seconds_left() - WRITE_NEEDS_SECONDS)
    if not rested or not _may_know_more(task, now) or seconds <= 0:
        return task
    try:
        claimed = services.table.claim_feed(task, now, rest_seconds)
        return poll_provider(claimed, SettledBy.READ, services, seconds=seconds)
    except MovedOnError as error:
        return error.current or task


def _may_know_more(task: Task, now: float) -> bool:
    """Return whether the feed can be asked for a result: also for one that comes late."""
    if task.provider_task_id is None and task.evidence is None:
        return False
    late = task.stage in _LATE and now - task.began_at < LATE_SECONDS
    return late or task.stage in HAS_CREATE
