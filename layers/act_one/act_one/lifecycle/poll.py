"""One poll of the provider for one task: ask the feed, and write what it says."""

from typing import Final, Unpack

from aws_lambda_powertools import Logger

from act_one.lifecycle.next_step import next_step, success_callback
from act_one.lifecycle.services import Services
from act_one.provider.outcomes import FeedAnswer, NoAnswer, NotKnown, Report
from act_one.provider.replies import read_callback
from act_one.tasks.moves import Step
from act_one.tasks.task import SettledBy, Task, TaskChanges

EXECUTION_LOST_SECONDS: Final = 120.0
"""How long after its own next poll an execution of the fallback counts as lost."""
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
        answer = services.provider.feed(task.provider_task_id, seconds=seconds)
        if isinstance(answer, Report) and not _is_about(task, answer, services):
            return NoAnswer(reason="the report is about another task"), {}
        return answer, {}
    candidate = _id_from_callbacks(task)
    if candidate is None:
        return NotKnown(), {}
    answer = services.provider.feed(candidate, seconds=seconds)
    if not isinstance(answer, Report):
        return answer, {}
    fits = answer.created_at is None or _fits_send(task, answer.created_at)
    if answer.provider_task_id != candidate or not fits:
        return NotKnown(), {}
    if _has_other_owner(task, candidate, services):
        return NotKnown(), {}
    return answer, {"provider_task_id": candidate}


def _is_about(task: Task, report: Report, services: Services) -> bool:
    """Return whether a report is about this task.

    A reseller may answer with the upstream's own id. So a success under another id counts if it
    was created when the task was sent, and no other task has that id.
    """
    task_id, created_at = report.provider_task_id, report.created_at
    if task_id == task.provider_task_id:
        return True
    if task_id is None or created_at is None or report.media is None:
        return False
    return _fits_send(task, created_at) and not _has_other_owner(task, task_id, services)


def _id_from_callbacks(task: Task) -> str | None:
    """Return the id to try: the latest named, or in turn the one of the reported success."""
    evidence = read_callback(task.evidence.body.encode()) if task.evidence else None
    success = success_callback(task)
    found = (task.callback_task_id, *(one.provider_task_id for one in (success, evidence) if one))
    candidates = [*dict.fromkeys(one for one in found if one is not None)]
    return candidates[task.polls % len(candidates)] if candidates else None


def _fits_send(task: Task, created_at: float) -> bool:
    return abs(created_at - task.began_at) <= CLOCK_SKEW_SECONDS


def _has_other_owner(task: Task, provider_task_id: str, services: Services) -> bool:
    owners = services.table.owners_of(provider_task_id)
    return any(owner != task.task_id for owner in owners)


def _log_answer(task: Task, answer: FeedAnswer, step: Step) -> None:
    logger.info(
        "feed",
        extra={
            "stage": task.stage,
            "answer": type(answer).__name__,
            "says": answer.state if isinstance(answer, Report) else None,
            "reason": answer.reason if isinstance(answer, NoAnswer) else None,
            "to": step.target,
        },
    )
