"""Errors that mypy must find: unknown fields of a task, and values of wrong types.

`make check` runs mypy over this file. Each comment below expects one error, and mypy
reports a comment without its error as unused.
"""

from act_one.settings import Settings
from act_one.tasks.moves import Step, to_failed
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Notice, Stage, Task, TaskChanges


def refused(table: TaskTable, task: Task, step: Step, error: Notice, settings: Settings) -> None:
    table.move(task, Stage.RUNNING, 0.0, progres=40)  # type: ignore[call-arg]
    table.move(task, Stage.RUNNING, 0.0, due_att="soon")  # type: ignore[call-arg]
    table.move(task, Stage.RUNNING, 0.0, billing=3)  # type: ignore[arg-type]
    table.apply(task, step, 0.0, progres=40)  # type: ignore[call-arg]
    table.record(task, due_at="soon")  # type: ignore[arg-type]
    table.release_copy(task, 0.0, due_att=1.0)  # type: ignore[call-arg]
    table.learn_id(task, "id", billing="charged")  # type: ignore[arg-type]
    to_failed(error, 0.0, settings, settled=None)  # type: ignore[call-arg]
    Step(Stage.RUNNING, {"progres": 40})  # type: ignore[typeddict-unknown-key]


def stage_is_not_a_change() -> TaskChanges:
    return {"stage": Stage.RUNNING}  # type: ignore[typeddict-unknown-key]
