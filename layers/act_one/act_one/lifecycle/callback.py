"""A callback rang: keep what it said, then ask the feed, which is what gets believed."""

from typing import Final

from aws_lambda_powertools import Logger

from act_one.lifecycle.advance import WATCH_SECONDS, poll_provider
from act_one.lifecycle.services import Services
from act_one.provider.outcomes import ProviderState
from act_one.provider.replies import read_callback
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Billing, Evidence, SettledBy, Stage, Task

EVIDENCE_BYTES: Final = 8_192
DUE_AGAIN_SECONDS: Final = 10.0
"""If this callback's work is lost, or the feed lags behind it, the sweeper looks after this."""
CALLBACK_FEED_SECONDS: Final = 3.0
"""The provider waits for our answer meanwhile."""

_SENT: Final = frozenset({Stage.SUBMITTED, Stage.RUNNING})

logger = Logger(child=True)


def handle_callback(task_id: str, body: bytes, services: Services) -> Task | None:
    """Take a callback for a task whose token was verified; answer the row, None if it is gone.

    Never raises for what the body says or the feed does.
    """
    now = services.clock()
    evidence = Evidence(received_at=now, body=body[:EVIDENCE_BYTES].decode("utf-8", "replace"))
    said = read_callback(evidence.body)
    task, may_ask = services.table.record_callback(
        task_id,
        evidence,
        now + DUE_AGAIN_SECONDS,
        services.settings.min_poll_seconds,
        announces_success=said is not None and said.media is not None,
    )
    if task is None or not may_ask:
        logger.info("callback", extra={"stage": task.stage if task else None, "asks": False})
        return task
    try:
        if task.stage is Stage.ACCEPTED:
            # Who calls back has the task, so the refusal was none: it must never be sent again.
            task = services.table.move(task, Stage.UNCONFIRMED, now, billing=Billing.UNKNOWN)
        return poll_provider(
            task,
            SettledBy.CALLBACK,
            services,
            seconds=CALLBACK_FEED_SECONDS,
            facts=_due_after(evidence, task, now, services),
        )
    except MovedOnError as error:
        return error.current


def _due_after(evidence: Evidence, task: Task, now: float, services: Services) -> dict[str, float]:
    """A callback in mid-task is no reason to start the fallback earlier than usual."""
    said = read_callback(evidence.body)
    in_progress = {ProviderState.QUEUED, ProviderState.RUNNING}
    if said is None or said.state not in in_progress or task.stage not in _SENT:
        return {}
    if task.polls:  # an execution is on it, and must not be given up before its next look
        return {"due_at": now + services.settings.poll_max_interval_seconds + WATCH_SECONDS}
    usual = (task.sent_at or now) + services.settings.callback_grace_seconds
    return {"due_at": max(now + DUE_AGAIN_SECONDS, usual)}
