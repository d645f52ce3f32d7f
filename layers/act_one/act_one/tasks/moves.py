"""The moves of a task: which stages lead where, and what each move writes. Pure: no I/O, no clock.

    accepted ─▶ submitting ─▶ submitted ─▶ running ─▶ storing ─▶ succeeded
                    │                                    ▲
                    └─▶ unconfirmed (may be billed) ─────┤
                                                         │
        failed, expired ── a paid result turns up ───────┘

Each ``to_…`` function states one move: its target stage and the lease, due time, billing and
warning that go with it. ``table`` writes it, and refuses a move that ``MOVES`` does not list.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Unpack

from act_one.clock import DAY, HOUR
from act_one.settings import Settings
from act_one.tasks.task import (
    Billing,
    MediaUrls,
    Notice,
    Output,
    SettledBy,
    Stage,
    Task,
    TaskChanges,
)

MOVES: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.ACCEPTED: frozenset({Stage.SUBMITTING, Stage.FAILED, Stage.CANCELED, Stage.UNCONFIRMED}),
    Stage.SUBMITTING: frozenset(
        {
            Stage.ACCEPTED,
            Stage.SUBMITTED,
            Stage.RUNNING,
            Stage.STORING,
            Stage.FAILED,
            Stage.UNCONFIRMED,
        }
    ),
    Stage.UNCONFIRMED: frozenset(
        {Stage.SUBMITTED, Stage.RUNNING, Stage.STORING, Stage.FAILED, Stage.EXPIRED}
    ),
    Stage.SUBMITTED: frozenset({Stage.RUNNING, Stage.STORING, Stage.FAILED, Stage.EXPIRED}),
    Stage.RUNNING: frozenset({Stage.STORING, Stage.FAILED, Stage.EXPIRED}),
    Stage.STORING: frozenset({Stage.SUCCEEDED, Stage.FAILED, Stage.STORING}),
    Stage.SUCCEEDED: frozenset(),
    Stage.FAILED: frozenset({Stage.STORING}),
    Stage.CANCELED: frozenset(),
    Stage.EXPIRED: frozenset({Stage.STORING, Stage.FAILED}),
}
"""Every allowed move. ``storing`` to itself is a new attempt at the copy."""

SEND_LEASE_SECONDS: Final = 60.0
"""A `submitting` task older than this has lost its sender; no sender may live longer."""
RESEND_SECONDS: Final = 30.0
RESEND_MAX_SECONDS: Final = 900.0
COPY_START_SECONDS: Final = 180.0
"""How long the event and its queue may take until a copy claims the task."""
LATE_POLL_SECONDS: Final = HOUR
LATE_SECONDS: Final = DAY
"""How long after the send a result is still looked for: the provider's URLs live no longer."""

HELD_SECONDS: Final = 36_525 * DAY
"""How long after its creation a held task is due: no one comes to that."""

_HELD: Final = Notice(
    code="sending_paused",
    message="sending is paused by the stack's operator; the task waits, and nothing is billed",
)
_UNCONFIRMED: Final = Notice(
    code="create_unconfirmed",
    message="it is not known whether the provider accepted the task; it is not sent again, "
    "and its result is stored if the provider calls back",
)
_NO_RESULT: Final = Notice(
    code="no_result_in_time",
    message="the provider gave no result by the deadline; "
    "one that comes within 24 hours is still stored",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One write to a row: a move to ``target``, or only ``changes`` if there is no target."""

    target: Stage | None = None
    changes: TaskChanges = field(default_factory=TaskChanges)
    unless_called_back: bool = False
    """Whether a callback, which proves that the provider has the task, forbids the step."""


def may_move(origin: Stage, target: Stage) -> bool:
    """Return whether a task may go from one stage to another."""
    return target in MOVES[origin]


def late_poll_at(task: Task, now: float) -> float | None:
    """Return when to ask next for a late result: hourly, and at the end of the day; None: never."""
    last = task.began_at + LATE_SECONDS
    return min(now + LATE_POLL_SECONDS, last) if now < last else None


def applied(task: Task, step: Step, now: float) -> Task:
    """Return a task as it is once a step was written, but for its ``claim_id``."""
    changed = replace(task, **step.changes)
    if step.target is None:
        return changed
    return replace(changed, stage=step.target, version=task.version + 1, updated_at=now)


# ── Sending ───────────────────────────────────────────────────────────────────────────────────


def to_submitting(task: Task, now: float) -> Step:
    """Claim the right to call the provider, for as long as a sender may live."""
    changes: TaskChanges = {
        "sent_at": now,
        "attempt": task.attempt + 1,
        "billing": Billing.UNKNOWN,
        "due_at": now + SEND_LEASE_SECONDS,
    }
    return Step(Stage.SUBMITTING, changes, unless_called_back=True)


def back_to_accepted(task: Task, now: float) -> Step:
    """Give up a send that has not begun, so that another sender can take it at once."""
    changes: TaskChanges = {
        "attempt": task.attempt - 1,
        "billing": Billing.NONE,
        "due_at": now,
    }
    return Step(Stage.ACCEPTED, changes, unless_called_back=True)


def to_accepted(task: Task, refusal: Notice, now: float, retry_after_seconds: float | None) -> Step:
    """Wait after a refusal that is certainly not billed: with backoff, and as long as asked."""
    backoff = min(RESEND_MAX_SECONDS, RESEND_SECONDS * 2.0 ** min(task.attempt - 1, 10))
    jittered = backoff * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
    changes: TaskChanges = {
        "warnings": task.with_warning(refusal),
        "billing": Billing.NONE,
        "due_at": now + max(jittered, retry_after_seconds or 0.0),
    }
    return Step(Stage.ACCEPTED, changes, unless_called_back=True)


def held(task: Task) -> Step:
    """Keep an `accepted` task while sending is paused: until an operator lets it go.

    Due times a century away keep the order in which tasks were created.
    """
    due_at = task.created_at + HELD_SECONDS
    return Step(changes={"due_at": due_at, "warnings": task.with_warning(_HELD)})


def to_unconfirmed(
    task: Task, now: float, settings: Settings, *, due_at: float | None = None
) -> Step:
    """Record that the create may be billed; it is never repeated.

    Without an id the feed can't be asked, so the task is due at its deadline, or now if a callback
    may have brought the id. A caller that polls it next gives a ``due_at`` of its own.
    """
    if due_at is None:
        deadline = max(now, task.deadline(settings.task_timeout_seconds))
        due_at = now if task.evidence else deadline
    return _step(
        Stage.UNCONFIRMED,
        warnings=task.with_warning(_UNCONFIRMED),
        billing=Billing.UNKNOWN,
        due_at=due_at,
    )


def to_submitted(provider_task_id: str, now: float, settings: Settings) -> Step:
    """Record the id that the create returned; the callback has its grace time from now on."""
    return _step(
        Stage.SUBMITTED,
        provider_task_id=provider_task_id,
        billing=Billing.CHARGED,
        due_at=now + settings.callback_grace_seconds,
    )


# ── Storing ───────────────────────────────────────────────────────────────────────────────────


def to_storing(task: Task, media: MediaUrls, by: SettledBy, now: float, settings: Settings) -> Step:
    """Hand a result over to the copy."""
    return _step(
        Stage.STORING,
        source=media,
        source_known_at=now,
        progress=99,
        settled_by=by,
        late=task.done or now > task.deadline(settings.task_timeout_seconds),
        error=None,
        copy_attempts=0,
        copy_lease_until=None,
        due_at=now + COPY_START_SECONDS,
        expires_at=None,
    )


def to_storing_again(source: MediaUrls | None, now: float) -> Step:
    """Start another attempt at a copy that was lost or failed."""
    return _step(
        Stage.STORING, source=source, copy_lease_until=None, due_at=now + COPY_START_SECONDS
    )


# ── The ends ──────────────────────────────────────────────────────────────────────────────────


def to_succeeded(
    output: Output, warnings: tuple[Notice, ...], now: float, settings: Settings
) -> Step:
    """End a task whose result is stored."""
    changes: TaskChanges = {
        "output": output,
        "warnings": warnings,
        "progress": 100,
        "copy_lease_until": None,
    }
    return _end(Stage.SUCCEEDED, changes, now, settings)


def to_failed(
    error: Notice, now: float, settings: Settings, /, **changes: Unpack[TaskChanges]
) -> Step:
    """End a task that has no result. ``changes`` are other fields to write along."""
    return _end(Stage.FAILED, {**changes, "error": error}, now, settings)


def to_rejected(error: Notice, now: float, settings: Settings) -> Step:
    """End a task whose create the provider rejected: it is certainly not billed."""
    changes: TaskChanges = {"error": error, "billing": Billing.NONE}
    return _end(Stage.FAILED, changes, now, settings, unless_called_back=True)


def to_canceled(now: float, settings: Settings) -> Step:
    """End a task of which nothing was sent."""
    return _end(Stage.CANCELED, {}, now, settings, unless_called_back=True)


def to_expired(now: float, settings: Settings) -> Step:
    """End the wait for a result; the task stays due, to find a late one."""
    return _step(
        Stage.EXPIRED,
        error=_NO_RESULT,
        due_at=now + LATE_POLL_SECONDS,
        expires_at=settings.row_expires_at(now),
    )


def _end(
    target: Stage,
    changes: TaskChanges,
    now: float,
    settings: Settings,
    *,
    unless_called_back: bool = False,
) -> Step:
    """Make an end: nothing is due any more, and the row may be deleted after its objects."""
    expires_at = settings.row_expires_at(now)
    ended: TaskChanges = {**changes, "due_at": None, "expires_at": expires_at}
    return Step(target, ended, unless_called_back)


def _step(target: Stage, **changes: Unpack[TaskChanges]) -> Step:
    return Step(target, changes)
