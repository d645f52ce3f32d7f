"""The provider called back: keep what it said, then ask the feed, which is what is believed."""

from typing import Final

from aws_lambda_powertools import Logger

from act_one.lifecycle.poll import EXECUTION_LOST_SECONDS, poll_provider
from act_one.lifecycle.services import Services
from act_one.provider.outcomes import ProviderState, Report
from act_one.provider.replies import read_callback, write_success
from act_one.tasks import moves
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Evidence, SettledBy, Stage, Task, TaskChanges

EVIDENCE_BYTES: Final = 8_192
DUE_AGAIN_SECONDS: Final = 10.0
"""When the sweeper takes up the task, if this callback's work is lost or the feed lags behind."""
CALLBACK_FEED_SECONDS: Final = 3.0
"""The provider waits for our reply meanwhile."""

_SENT: Final = frozenset({Stage.SUBMITTED, Stage.RUNNING})
_IN_PROGRESS: Final = frozenset({ProviderState.QUEUED, ProviderState.RUNNING})

logger = Logger(child=True)


def handle_callback(task_id: str, body: bytes, services: Services) -> Task | None:
    """Handle a callback for a task whose token was verified; return its row, None without one.

    Never raises for what the body says or the feed does. Raises ``NewerRowError`` for a row of a
    newer release.
    """
    now = services.clock()
    report = read_callback(body)
    evidence = Evidence(received_at=now, body=body[:EVIDENCE_BYTES].decode("utf-8", "replace"))
    success = write_success(report) if report and report.media else None
    task, may_ask = services.table.record_callback(
        task_id,
        evidence,
        now + DUE_AGAIN_SECONDS,
        services.settings.min_poll_seconds,
        success=Evidence(received_at=now, body=success) if success else None,
        provider_task_id=report.provider_task_id if report else None,
    )
    if task is None or not may_ask:
        logger.info("callback", extra={"stage": task.stage if task else None, "asks": False})
        return task
    try:
        if task.stage is Stage.ACCEPTED:
            # A caller back has the task, so the create was not refused: never send it again.
            due_at = now + DUE_AGAIN_SECONDS
            step = moves.to_unconfirmed(task, now, services.settings, due_at=due_at)
            task = services.table.apply(task, step, now)
        return poll_provider(
            task,
            SettledBy.CALLBACK,
            services,
            seconds=CALLBACK_FEED_SECONDS,
            **_due_after(report, task, now, services),
        )
    except MovedOnError as error:
        return error.current


def _due_after(report: Report | None, task: Task, now: float, services: Services) -> TaskChanges:
    """Keep the usual due time after a report of progress: it is no reason for a fallback."""
    if report is None or report.state not in _IN_PROGRESS or task.stage not in _SENT:
        return {}
    settings = services.settings
    if task.polls:  # an execution is polling the task, and must not count as lost before its turn
        return {"due_at": now + settings.poll_max_interval_seconds + EXECUTION_LOST_SECONDS}
    return {"due_at": max(now + DUE_AGAIN_SECONDS, task.began_at + settings.callback_grace_seconds)}
