"""What the fallback does for a task that is due: whatever its stage needs next."""

import math
import random
from typing import Final, Unpack

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from act_one.clock import HOUR, SecondsLeft
from act_one.inputs.request import InputsCheck
from act_one.keys import Keys
from act_one.lifecycle.next_step import (
    HAS_CREATE,
    TRUST_CALLBACK_AFTER_SECONDS,
    success_callback,
)
from act_one.lifecycle.poll import EXECUTION_LOST_SECONDS, ask_feed, poll_provider
from act_one.lifecycle.services import Services
from act_one.lifecycle.submission import poll_soon_if_called_back, resend
from act_one.provider.outcomes import Report
from act_one.tasks import moves
from act_one.tasks.moves import LATE_SECONDS, SEND_LEASE_SECONDS
from act_one.tasks.schema import NewerRowError
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Notice, SettledBy, Stage, Task, TaskChanges

FALLBACK_FEED_SECONDS: Final = 10.0
LOST_COPY_SECONDS: Final = HOUR
"""How much later a copy is given up whose last attempt was lost."""
MEDIA_UNAVAILABLE: Final = Notice(
    code="media_unavailable",
    message="the provider's result could not be fetched within 24 hours",
)

logger = Logger(child=True)
metrics = Metrics()


def advance(
    task_id: str,
    keys: Keys,
    services: Services,
    seconds_left: SecondsLeft,
    check_inputs: InputsCheck,
) -> int | None:
    """Do what a due task needs now; return the seconds until the execution's next turn.

    None: this execution may end; the row's ``due_at``, if any, brings the task back. A row of a
    newer release is left to the newer code in that way.
    """
    try:
        task = services.table.read(task_id)
        if task is None:
            return None
        if services.settings.watched and not task.done:
            age = round(services.clock() - task.created_at, 3)
            metrics.add_metric("OpenTaskSeconds", MetricUnit.Seconds, age)
        return _advance(task, keys, services, seconds_left, check_inputs)
    except NewerRowError:
        logger.warning("newer row")
        metrics.add_metric("NewerRows", MetricUnit.Count, 1)
        return None
    except MovedOnError as error:
        # Another function moved the task at this moment. Come back soon if it is not over.
        moved_on = error.current is not None and error.current.stage in HAS_CREATE
        return math.ceil(services.settings.min_poll_seconds) if moved_on else None


def _advance(
    task: Task,
    keys: Keys,
    services: Services,
    seconds_left: SecondsLeft,
    check_inputs: InputsCheck,
) -> int | None:
    now = services.clock()
    match task.stage:
        case Stage.ACCEPTED:
            resend(task, keys, services, seconds_left, check_inputs)
        case Stage.SUBMITTING:
            _give_up_sender(task, now, services)
        case Stage.UNCONFIRMED | Stage.SUBMITTED | Stage.RUNNING:
            return _poll(task, now, services)
        case Stage.STORING:
            _copy_again(task, now, services)
        case Stage.EXPIRED:
            _poll_expired(task, now, services)
        case Stage.FAILED:
            # A failed task is due only after a callback: a paid result may have turned up.
            _ask(task, services, due_at=_trust_callback_at(task, now))
        case Stage.SUCCEEDED | Stage.CANCELED:
            if task.due_at is not None:
                services.table.record(task, due_at=None)
    return None


def _give_up_sender(task: Task, now: float, services: Services) -> None:
    """Move a task whose sender is gone to `unconfirmed`: its create may be billed."""
    sender_gone_at = task.began_at + SEND_LEASE_SECONDS
    if now < sender_gone_at:
        services.table.record(task, due_at=sender_gone_at)
        return
    step = moves.to_unconfirmed(task, now, services.settings)
    logger.warning("sender lost")
    unconfirmed = services.table.apply(task, step, now)
    poll_soon_if_called_back(unconfirmed, now, services)


def _poll(task: Task, now: float, services: Services) -> int | None:
    """Ask the feed, no faster than allowed, and return when to ask again."""
    settings, table = services.settings, services.table
    if task.provider_task_id is None and task.evidence is None:
        # Without an id the feed can't be asked: a callback brings one, or the deadline comes.
        _ask(task, services, due_at=max(now, task.deadline(settings.task_timeout_seconds)))
        return None
    rest_seconds = settings.min_poll_seconds
    if now - (task.feed_asked_at or 0.0) < rest_seconds:
        # A callback or a read has asked. One that goes on must not wake us each time.
        wait = math.ceil(max(rest_seconds, settings.poll_interval_seconds))
        table.record(task, due_at=now + wait + EXECUTION_LOST_SECONDS)
        return wait
    wait = poll_seconds(task.polls, services)
    due_at = now + wait + EXECUTION_LOST_SECONDS
    claimed = table.claim_feed(task, now, rest_seconds, polls=task.polls + 1, due_at=due_at)
    after = _ask(claimed, services)
    return wait if after.stage in HAS_CREATE and after.provider_task_id is not None else None


def poll_seconds(polls: int, services: Services) -> int:
    """Return the wait after a number of polls, in whole seconds.

    The interval grows by half with each poll, up to the maximum, and varies by 20 %.
    """
    settings = services.settings
    interval = settings.poll_interval_seconds * 1.5 ** min(polls, 20)
    spread = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
    wait = min(settings.poll_max_interval_seconds, interval) * spread
    return math.ceil(max(settings.min_poll_seconds, wait))


def _copy_again(task: Task, now: float, services: Services) -> None:
    """Start another attempt at a copy that was lost or failed, with fresh URLs if there are any."""
    if task.copy_lease_until is not None and task.copy_lease_until > now:
        services.table.record(task, due_at=task.copy_lease_until)
        return
    # An attempt that neither ended nor gave its lease back may have stored everything.
    lost = task.copy_lease_until is not None
    allowed = LATE_SECONDS + (LOST_COPY_SECONDS if lost else 0.0)
    if now - (task.source_known_at or task.began_at) > allowed:
        failed = moves.to_failed(MEDIA_UNAVAILABLE, now, services.settings)
        logger.warning("copy given up", extra={"attempts": task.copy_attempts})
        services.table.apply(task, failed, now)
        return
    answer, learnt = ask_feed(task, services, FALLBACK_FEED_SECONDS)
    media = answer.media if isinstance(answer, Report) else None
    if media is None and task.settled_by is SettledBy.CALLBACK_BODY:
        callback = success_callback(task)
        media = callback.media if callback else None
    again = moves.to_storing_again(media or task.source, now)
    logger.info("copy again", extra={"answer": type(answer).__name__, "fresh": media is not None})
    services.table.apply(task, again, now, **learnt)


def _poll_expired(task: Task, now: float, services: Services) -> None:
    """Ask hourly, for a day after the send, for a result that missed the deadline."""
    due_at = moves.late_poll_at(task, now) or _trust_callback_at(task, now)
    _ask(task, services, feed_asked_at=now, due_at=due_at)


def _ask(task: Task, services: Services, **changes: Unpack[TaskChanges]) -> Task:
    return poll_provider(
        task, SettledBy.FALLBACK, services, seconds=FALLBACK_FEED_SECONDS, **changes
    )


def _trust_callback_at(task: Task, now: float) -> float | None:
    """Return when a success that only a callback reported is trusted; None: never or already."""
    trusted_at = (task.feed_failing_since or now) + TRUST_CALLBACK_AFTER_SECONDS
    callback = task.success_callback
    recent = callback is not None and now - callback.received_at < LATE_SECONDS
    return trusted_at if recent and success_callback(task) and now < trusted_at else None
