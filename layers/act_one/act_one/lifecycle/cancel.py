"""Canceling a task, which is possible only before anything was sent: the provider can't cancel."""

from act_one.clock import Clock
from act_one.problems import ProblemError
from act_one.settings import Settings
from act_one.tasks import moves
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage, Task


def cancel(task: Task, table: TaskTable, settings: Settings, clock: Clock) -> Task:
    """Cancel an `accepted` task; a canceled one is returned as it is.

    Raises ``ProblemError`` 409 in any other stage, and for a task that was called back: the
    provider has it, or may have it.
    """
    if task.stage is Stage.CANCELED:
        return task
    if task.stage is Stage.ACCEPTED and task.evidence is None:
        now = clock()
        try:
            return table.apply(task, moves.to_canceled(now, settings), now)
        except MovedOnError as error:
            if error.current is not None:
                return cancel(error.current, table, settings, clock)
    raise ProblemError(409, "not-cancelable", "The task can no longer be canceled", _why_not(task))


def _why_not(task: Task) -> str:
    if task.done:
        return f"the task is {task.stage}: it has ended, so there is nothing to cancel"
    if task.stage is Stage.ACCEPTED:
        return (
            "the provider called back, so it has the task, which it can't cancel; wait for its end"
        )
    return (
        f"the task is {task.stage}: the provider has it or may have it, and can't cancel it; "
        "wait for its end"
    )
