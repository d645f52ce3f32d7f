"""One poll of the provider for one task: ask the feed, and write what it says."""

from typing import Final, Unpack

from aws_lambda_powertools import Logger

from act_one.lifecycle.next_step import next_step
from act_one.lifecycle.services import Services
from act_one.provider.outcomes import FeedAnswer, NoAnswer, NotKnown, Report
from act_one.provider.replies import read_callback
from act_one.tasks.moves import Step
from act_one.tasks.task import SettledBy, Task, TaskChanges

CLOCK_SKEW_SECONDS: Final = 300.0
"""How far the provider's creation time may be from our send for an id to be ours."""

logger = Logger(child=True)


def poll_provider(
    task: Task,
    by: SettledBy,
    services: Services,
    *,
    seconds: float,
    **changes: Unpack[TaskChanges],
) -> Task:
    """Ask the feed about a task, within ``seconds``, and write what it says.

    ``changes`` are written along. Raises ``MovedOnError`` when the row moved meanwhile.
    """
    answer, learnt = ask_feed(task, services, seconds)
    now = services.clock()
    step = next_step(task, answer, now, by, services.settings)
    _log_answer(task, answer, step)
    along: TaskChanges = {**changes, **learnt}
    return services.table.apply(task, step, now, **along)


def ask_feed(task: Task, services: Services, seconds: float) -> tuple[FeedAnswer, TaskChanges]:
    """Ask the feed by the task's id or, while that isn't known, by the one in its callback.

    Returns the answer and, if it proves that the callback's id is this task's, that id to write.
    """
    if task.provider_task_id is not None:
        return services.provider.feed(task.provider_task_id, seconds=seconds), {}
    callback = read_callback(task.evidence.body) if task.evidence else None
    if callback is None or callback.provider_task_id is None:
        return NotKnown(), {}
    candidate = callback.provider_task_id
    answer = services.provider.feed(candidate, seconds=seconds)
    if not isinstance(answer, Report) or not _fits_send(task, answer):
        return (answer if isinstance(answer, NoAnswer) else NotKnown()), {}
    if any(owner != task.task_id for owner in services.table.owners_of(candidate)):
        return NotKnown(), {}
    return answer, {"provider_task_id": candidate}


def _fits_send(task: Task, report: Report) -> bool:
    created_at = report.created_at
    return created_at is None or abs(created_at - task.began_at) <= CLOCK_SKEW_SECONDS


def _log_answer(task: Task, answer: FeedAnswer, step: Step) -> None:
    logger.info(
        "feed",
        extra={
            "task_id": task.task_id,
            "stage": task.stage,
            "answer": type(answer).__name__,
            "says": answer.state if isinstance(answer, Report) else None,
            "reason": answer.reason if isinstance(answer, NoAnswer) else None,
            "to": step.target,
        },
    )
