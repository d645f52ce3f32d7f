"""When an open task is likely to end, by how long recent ones took, and when to read it again."""

import math
from typing import Final

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clock import HOUR
from act_one.json_types import Json
from act_one.tasks.durations import Durations, DurationTable
from act_one.tasks.task import Stage, Task

MEDIAN: Final = 0.5
SLOW: Final = 0.9
UNKNOWN_RETRY_SECONDS: Final = 10
"""When to read a task again of which nothing can be said."""
OVERDUE_RETRY_SECONDS: Final = 5
"""The same for a task that takes longer than half of the recent ones."""
STORING_RETRY_SECONDS: Final = 2
LONGEST_RETRY_SECONDS: Final = 60
HELD_AFTER_SECONDS: Final = HOUR
"""A task that is sent again later than this is held by a pause, whose end isn't known."""

logger = Logger(child=True)


def estimate(task: Task, durations: Durations, now: float) -> dict[str, Json]:
    """Return an open task's ``eta_seconds`` and ``eta_seconds_p90``; nothing for one that ended.

    In so many seconds half of the recent tasks, and 90 % of them, had ended. 0: they had already.
    None: it isn't known, or the provider may not have the task.
    """
    if task.done:
        return {}
    return {
        "eta_seconds": _left(task, durations.share(MEDIAN), now),
        "eta_seconds_p90": _left(task, durations.share(SLOW), now),
    }


def retry_after(task: Task, durations: Durations, now: float) -> int:
    """Return the seconds after which it is worth reading an open task again."""
    if task.stage is Stage.STORING:
        return STORING_RETRY_SECONDS
    left = _left(task, durations.share(MEDIAN), now)
    if left is None:
        return UNKNOWN_RETRY_SECONDS
    return min(max(left, OVERDUE_RETRY_SECONDS), LONGEST_RETRY_SECONDS)


def keep_duration(task: Task | None, table: DurationTable, timeout_seconds: float) -> None:
    """Keep how long a task took that has just succeeded within its ``timeout_seconds``.

    A late or redriven one says how long something was missed, not how long tasks take. Failures
    are logged: an estimate is worth no second copy.
    """
    if task is None or task.stage is not Stage.SUCCEEDED or task.late or task.sent_at is None:
        return
    if task.updated_at > task.deadline(timeout_seconds):
        return
    try:
        if not table.add(task.task_id, task.updated_at - task.sent_at):
            logger.info("duration left out", extra={"task_id": task.task_id})
    except (BotoCoreError, ClientError):
        logger.exception("duration not kept", extra={"task_id": task.task_id})


def _left(task: Task, duration: float | None, now: float) -> int | None:
    if duration is None or task.stage is Stage.UNCONFIRMED:
        return None
    waits = task.stage is Stage.ACCEPTED
    began_at = max(now, task.due_at or now) if waits else task.began_at
    if began_at - now > HELD_AFTER_SECONDS:
        return None
    return max(0, math.ceil(began_at + duration - now))
