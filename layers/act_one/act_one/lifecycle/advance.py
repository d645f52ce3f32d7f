"""What a task needs next, decided from its row and the feed.

The callback, the fallback and (later) reads share this: `next_step` is the pure decision,
`poll_provider` asks the feed and writes it down, `advance` does what the task's stage calls for.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aws_lambda_powertools import Logger

from act_one.clock import DAY, HOUR, SecondsLeft
from act_one.keys import Keys
from act_one.lifecycle.services import Services
from act_one.lifecycle.submission import (
    SEND_LEASE_SECONDS,
    UNCONFIRMED_WARNING,
    poll_soon_if_called_back,
    resend,
)
from act_one.provider.outcomes import FeedAnswer, NoAnswer, NotKnown, ProviderState, Report
from act_one.provider.replies import read_callback
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Billing, Notice, SettledBy, Stage, Task

WATCH_SECONDS: Final = 120.0
"""How long after its own next look an execution counts as lost."""
COPY_START_SECONDS: Final = 180.0
"""How long the event and its queue may take until a copy claims the task."""
LATE_SECONDS: Final = DAY
"""How long after the send a result may still turn up: URLs of the provider live no longer."""
FALLBACK_FEED_SECONDS: Final = 10.0
BELIEVED_AFTER_SECONDS: Final = 600.0
"""How long the feed must have had no answer until a callback's body is believed instead."""
CLOCK_SKEW_SECONDS: Final = 300.0
_ASKABLE: Final = frozenset({Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING})

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class Step:
    """What to write: a move to ``target``, or facts of a row that stays where it is."""

    target: Stage | None = None
    changes: Mapping[str, object] = field(default_factory=dict)


def next_step(
    task: Task, answer: FeedAnswer, now: float, by: SettledBy, services: Services
) -> Step:
    """Decide what the feed's answer means for a task. Never moves it to where it may not go."""
    heard = _step_of_answer(task, answer, now, by, services)
    if not isinstance(answer, Report) and (announced := _believable(task, now)):
        return _step_of_report(task, announced, now, SettledBy.CALLBACK_BODY, services)
    expired = now >= task.deadline(services.settings.task_timeout_seconds)
    if heard.target is None and expired and task.stage in _ASKABLE:
        return Step(
            Stage.EXPIRED,
            {
                **heard.changes,
                "due_at": now + HOUR,
                "expires_at": services.settings.row_expires_at(now),
                "error": Notice(
                    code="no_result_in_time",
                    message="the provider gave no result by the deadline; "
                    "one that comes within 24 hours is still stored",
                ),
            },
        )
    return heard


def _step_of_answer(
    task: Task, answer: FeedAnswer, now: float, by: SettledBy, services: Services
) -> Step:
    match answer:
        case NoAnswer() | NotKnown():
            return Step(changes={} if task.feed_failing_since else {"feed_failing_since": now})
        case Report():
            return _step_of_report(task, answer, now, by, services)


def _step_of_report(
    task: Task, report: Report, now: float, by: SettledBy, services: Services
) -> Step:
    facts = _known_by_now(task)
    if task.stage in {Stage.SUCCEEDED, Stage.CANCELED, Stage.ACCEPTED}:
        return Step()
    if report.state is ProviderState.SUCCEEDED and report.media is not None:
        return _step_to_storing(task, report, facts, now, by, services)
    if task.stage is Stage.FAILED and report.state is not ProviderState.SUCCEEDED:
        facts["due_at"] = None  # the feed says otherwise than the callback that made it due
    if report.state is ProviderState.FAILED:
        if task.stage in {Stage.STORING, Stage.FAILED}:
            return Step(changes=facts)
        ended = {
            "error": report.failure,
            "settled_by": by,
            "due_at": None,
            "expires_at": services.settings.row_expires_at(now),
        }
        return Step(Stage.FAILED, facts | ended)
    if report.progress is not None and report.progress > task.progress and not task.done:
        facts["progress"] = min(report.progress, 99)
    if report.state is ProviderState.RUNNING and task.stage in {
        Stage.SUBMITTING,
        Stage.UNCONFIRMED,
        Stage.SUBMITTED,
    }:
        return Step(Stage.RUNNING, facts)
    if task.stage in {Stage.SUBMITTING, Stage.UNCONFIRMED}:
        return Step(Stage.SUBMITTED, facts)
    return Step(changes=facts)


def _known_by_now(task: Task) -> dict[str, object]:
    """The feed knows the task, so it was accepted, and what is accepted is billed."""
    facts: dict[str, object] = {}
    if task.feed_failing_since is not None:
        facts["feed_failing_since"] = None
    if task.billing is not Billing.CHARGED:
        facts["billing"] = Billing.CHARGED
    return facts


def announced_success(task: Task) -> Report | None:
    """Return what a tokened callback announced, if one announced a success with a media URL."""
    return read_callback(task.success_callback.body) if task.success_callback else None


def _believable(task: Task, now: float) -> Report | None:
    """A tokened callback's success is believed where the feed can't answer, a failure never."""
    silent_since = task.feed_failing_since
    if silent_since is None or now - silent_since < BELIEVED_AFTER_SECONDS:
        return None
    return announced_success(task)


def _step_to_storing(
    task: Task,
    report: Report,
    facts: Mapping[str, object],
    now: float,
    by: SettledBy,
    services: Services,
) -> Step:
    if task.stage is Stage.STORING:
        return Step(changes=facts)
    return Step(
        Stage.STORING,
        {
            **facts,
            "source": report.media,
            "progress": 99,
            "settled_by": by,
            "late": task.done or now > task.deadline(services.settings.task_timeout_seconds),
            "error": None,
            "copy_attempts": 0,
            "copy_lease_until": None,
            "due_at": now + COPY_START_SECONDS,
            "expires_at": None,
        },
    )


# ── Asking the feed ───────────────────────────────────────────────────────────────────────────


def poll_provider(
    task: Task,
    by: SettledBy,
    services: Services,
    *,
    seconds: float = FALLBACK_FEED_SECONDS,
    facts: Mapping[str, object] | None = None,
) -> Task:
    """Ask the feed about a task, within ``seconds``, and write down what it says.

    ``facts`` are written along. Without a provider id, the one in a stored callback is tried.
    Raises ``MovedOnError`` when the row moved meanwhile.
    """
    answer, learnt = _ask(task, services, seconds)
    now = services.clock()
    step = next_step(task, answer, now, by, services)
    changes = {**(facts or {}), **learnt, **step.changes}
    _log_answer(task, answer, step)
    if step.target is not None:
        return services.table.move(task, step.target, now, **changes)
    return services.table.record(task, **changes) if changes else task


def _ask(task: Task, services: Services, seconds: float) -> tuple[FeedAnswer, dict[str, object]]:
    """Ask the feed by the task's id or, while that isn't known, by the one in its callback."""
    if task.provider_task_id is not None:
        return services.provider.feed(task.provider_task_id, seconds=seconds), {}
    return _feed_by_callback(task, services, seconds)


def _feed_by_callback(
    task: Task, services: Services, seconds: float
) -> tuple[FeedAnswer, dict[str, object]]:
    """Try the id that a callback named: ours only if the feed knows it and it fits our send."""
    called = read_callback(task.evidence.body) if task.evidence else None
    if called is None or called.provider_task_id is None:
        return NotKnown(), {}
    candidate = called.provider_task_id
    answer = services.provider.feed(candidate, seconds=seconds)
    if not isinstance(answer, Report) or not _fits(task, answer):
        return (answer if isinstance(answer, NoAnswer) else NotKnown()), {}
    if any(owner != task.task_id for owner in services.table.owners_of(candidate)):
        return NotKnown(), {}
    return answer, {"provider_task_id": candidate}


def _fits(task: Task, report: Report) -> bool:
    sent_at = task.sent_at or task.created_at
    return report.created_at is None or abs(report.created_at - sent_at) <= CLOCK_SKEW_SECONDS


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


# ── Whatever the stage needs ──────────────────────────────────────────────────────────────────


def advance(task_id: str, keys: Keys, services: Services, seconds_left: SecondsLeft) -> int | None:
    """Do what a forgotten task needs now; answer the seconds until its next look.

    None: nothing is left to wait for here; the row's `due_at`, if any, brings it back.
    """
    task = services.table.read(task_id)
    if task is None:
        return None
    try:
        return _advance(task, keys, services, seconds_left)
    except MovedOnError as error:
        # Somebody else moved it, so somebody else has it; look again shortly if it isn't over.
        moved_on = error.current is not None and error.current.stage in _ASKABLE
        return math.ceil(services.settings.min_poll_seconds) if moved_on else None


def _advance(task: Task, keys: Keys, services: Services, seconds_left: SecondsLeft) -> int | None:
    now = services.clock()
    match task.stage:
        case Stage.ACCEPTED:
            resend(task, keys, services, seconds_left)
            return None
        case Stage.SUBMITTING:
            _give_up_sender(task, now, services)
            return None
        case Stage.UNCONFIRMED | Stage.SUBMITTED | Stage.RUNNING:
            return _poll(task, now, services)
        case Stage.STORING:
            _copy_again(task, now, services)
            return None
        case Stage.EXPIRED:
            _look_late(task, now, services)
            return None
        case Stage.FAILED:
            # Due only because a callback rang: a paid result may have turned up after all.
            poll_provider(
                task, SettledBy.FALLBACK, services, facts={"due_at": _trust_callback_at(task, now)}
            )
            return None
        case Stage.SUCCEEDED | Stage.CANCELED:
            if task.due_at is not None:
                services.table.record(task, due_at=None)
            return None


def _give_up_sender(task: Task, now: float, services: Services) -> None:
    """Move a `submitting` whose sender is gone to `unconfirmed`: it may be billed."""
    sender_gone_at = (task.sent_at or task.created_at) + SEND_LEASE_SECONDS
    if now < sender_gone_at:
        services.table.record(task, due_at=sender_gone_at)
        return
    unconfirmed = services.table.move(
        task,
        Stage.UNCONFIRMED,
        now,
        billing=Billing.UNKNOWN,
        warnings=task.with_warning(UNCONFIRMED_WARNING),
        # A callback may have told the id already; otherwise only one still to come can.
        due_at=now if task.evidence else _next_due_without_id(task, now, services),
    )
    poll_soon_if_called_back(unconfirmed, now, services)


def _poll(task: Task, now: float, services: Services) -> int | None:
    """Ask the feed, no faster than allowed, and say when to ask again."""
    rested = now - (task.feed_asked_at or 0.0)
    if rested < services.settings.min_poll_seconds:
        return math.ceil(services.settings.min_poll_seconds - rested)
    wait = poll_seconds(task.polls, services)
    watched = {"feed_asked_at": now, "polls": task.polls + 1, "due_at": now + wait + WATCH_SECONDS}
    if task.provider_task_id is None and task.evidence is None:
        watched = {"due_at": _next_due_without_id(task, now, services)}
    after = poll_provider(task, SettledBy.FALLBACK, services, facts=watched)
    if after.stage not in _ASKABLE or after.provider_task_id is None:
        return None
    return wait


def _next_due_without_id(task: Task, now: float, services: Services) -> float:
    """Nothing can be asked without an id; a callback brings one, or the deadline the end."""
    return max(now, task.deadline(services.settings.task_timeout_seconds))


def poll_seconds(polls: int, services: Services) -> int:
    """Space out looks: the interval times 1.5 each, up to a maximum, ±20 %; whole seconds."""
    settings = services.settings
    interval = settings.poll_interval_seconds * 1.5 ** min(polls, 20)
    spread = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
    wait = min(settings.poll_max_interval_seconds, interval) * spread
    return math.ceil(max(settings.min_poll_seconds, wait))


def _trust_callback_at(task: Task, now: float) -> float | None:
    """When a success that only a callback announced may be believed, if that is yet to come."""
    silent_since = task.feed_failing_since or now
    believed_at = silent_since + BELIEVED_AFTER_SECONDS
    heard = (
        task.success_callback is not None and now - task.success_callback.received_at < LATE_SECONDS
    )
    return believed_at if heard and announced_success(task) and now < believed_at else None


def _copy_again(task: Task, now: float, services: Services) -> None:
    """Start another attempt at a copy that was lost or failed, with fresh URLs if there are any."""
    if task.copy_lease_until is not None and task.copy_lease_until > now:
        services.table.record(task, due_at=task.copy_lease_until)
        return
    if now - (task.sent_at or task.created_at) > LATE_SECONDS:
        services.table.move(
            task,
            Stage.FAILED,
            now,
            error=Notice(
                code="media_unavailable",
                message="the provider's result could not be fetched within 24 hours",
            ),
            due_at=None,
            expires_at=services.settings.row_expires_at(now),
        )
        return
    answer, learnt = _ask(task, services, FALLBACK_FEED_SECONDS)
    fresh = answer.media if isinstance(answer, Report) else None
    if fresh is None and task.settled_by is SettledBy.CALLBACK_BODY:
        told = announced_success(task)
        fresh = told.media if told else None
    services.table.move(
        task,
        Stage.STORING,
        now,
        source=fresh or task.source,
        copy_lease_until=None,
        due_at=now + COPY_START_SECONDS,
        **learnt,
    )


def _look_late(task: Task, now: float, services: Services) -> None:
    """Ask hourly for a result that missed the deadline, for a day after the send."""
    ends_at = (task.sent_at or task.created_at) + LATE_SECONDS
    next_due = now + HOUR if now + HOUR <= ends_at else _trust_callback_at(task, now)
    poll_provider(
        task, SettledBy.FALLBACK, services, facts={"feed_asked_at": now, "due_at": next_due}
    )
