"""Withdrawing a task, which is possible only while nothing was sent: the provider has no cancel."""

from act_one.clock import Clock
from act_one.problems import ProblemError
from act_one.settings import Settings
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage, Task


def cancel(task: Task, table: TaskTable, settings: Settings, clock: Clock) -> Task:
    """Cancel an `accepted` task; a canceled one is answered as it is.

    Raises ``ProblemError`` 409 in any other stage: the provider has the task, or may have it.
    """
    if task.stage is Stage.CANCELED:
        return task
    if task.stage is Stage.ACCEPTED:
        now = clock()
        try:
            return table.move(
                task,
                Stage.CANCELED,
                now,
                due_at=None,
                expires_at=settings.row_expires_at(now),
            )
        except MovedOnError as error:
            if error.current is not None:
                return cancel(error.current, table, settings, clock)
    raise ProblemError(
        409,
        "not-cancelable",
        "The task can't be canceled any more",
        f"the task is {task.stage}: it was handed to the provider, which has no way to take it "
        "back; wait for its end",
    )
