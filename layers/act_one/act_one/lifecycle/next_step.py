"""What the feed's answer means for a task. Pure: the decision that callback and fallback share.

The feed is believed. A callback's body is trusted only where the feed can't answer: if it has
given no answer for ten minutes, and only a success with a media URL, never a failure.
"""

from typing import Final

from act_one.provider.outcomes import FeedAnswer, NoAnswer, NotKnown, ProviderState, Report
from act_one.provider.replies import read_callback
from act_one.settings import Settings
from act_one.tasks import moves
from act_one.tasks.moves import Step
from act_one.tasks.task import Billing, SettledBy, Stage, Task, TaskChanges

TRUST_CALLBACK_AFTER_SECONDS: Final = 600.0
"""How long the feed must have given no answer before a callback's body is trusted instead."""

HAS_CREATE: Final = frozenset({Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING})
"""Stages in which the provider has the task, or may have it, and a result is awaited."""

_NOT_POLLED: Final = frozenset({Stage.ACCEPTED, Stage.STORING, Stage.SUCCEEDED, Stage.CANCELED})
"""Stages that no answer changes. For a `storing` task, `advance` asks for fresh URLs only."""


def next_step(
    task: Task, answer: FeedAnswer, now: float, by: SettledBy, settings: Settings
) -> Step:
    """Decide what to write after an answer of the feed.

    ``by`` is who asked. Never moves a task to a stage that it may not go to.
    """
    if task.stage in _NOT_POLLED:
        return Step()
    step = _step_after(task, answer, now, by, settings)
    if not isinstance(answer, Report) or _is_bare_success(answer):
        callback = success_callback(task)
        silent_since = task.feed_failing_since
        silent = silent_since is not None and now - silent_since >= TRUST_CALLBACK_AFTER_SECONDS
        # A task that the provider said it did not accept needs the feed's word that it did.
        if callback is not None and silent and task.billing is not Billing.NONE:
            return _step_after_report(task, callback, now, SettledBy.CALLBACK_BODY, settings)
    overdue = now >= task.deadline(settings.task_timeout_seconds)
    if step.target is None and overdue and task.stage in HAS_CREATE:
        return _along(moves.to_expired(now, settings), step.changes)
    return step


def success_callback(task: Task) -> Report | None:
    """Return what a callback reported, if one reported a success with a media URL."""
    return read_callback(task.success_callback.body.encode()) if task.success_callback else None


def _is_bare_success(report: Report) -> bool:
    """Return whether a success came without its media: the feed can't answer what matters."""
    return report.state is ProviderState.SUCCEEDED and report.media is None


def _step_after(
    task: Task, answer: FeedAnswer, now: float, by: SettledBy, settings: Settings
) -> Step:
    match answer:
        case NoAnswer() | NotKnown():
            return Step(changes={} if task.feed_failing_since else {"feed_failing_since": now})
        case Report():
            return _step_after_report(task, answer, now, by, settings)


def _step_after_report(
    task: Task, report: Report, now: float, by: SettledBy, settings: Settings
) -> Step:
    known = _known_from_report(task, report, now)
    if report.state is ProviderState.SUCCEEDED and report.media is not None:
        return _along(moves.to_storing(task, report.media, by, now, settings), known)
    if task.stage is Stage.FAILED:
        return Step(changes={**known, **_due_after_failure(task, report, now)})
    if report.state is ProviderState.FAILED and report.failure is not None:
        return _along(moves.to_failed(report.failure, now, settings, settled_by=by), known)
    if report.progress is not None and report.progress > task.progress and not task.done:
        known["progress"] = min(report.progress, 99)
    return Step(_stage_in_progress(task.stage, report.state), known)


def _known_from_report(task: Task, report: Report, now: float) -> TaskChanges:
    """Return what any report proves: the provider accepted the task, and so it is billed."""
    known: TaskChanges = {}
    if _is_bare_success(report):
        if task.feed_failing_since is None:
            known["feed_failing_since"] = now
    elif task.feed_failing_since is not None:
        known["feed_failing_since"] = None
    if task.billing is not Billing.CHARGED:
        known["billing"] = Billing.CHARGED
    return known


def _due_after_failure(task: Task, report: Report, now: float) -> TaskChanges:
    """Return when to ask again about a failed task that a callback made due."""
    if report.state is ProviderState.FAILED:
        return {"due_at": None}  # the feed contradicts the callback
    late_poll_at = moves.late_poll_at(task, now)
    return {} if late_poll_at is None else {"due_at": late_poll_at}


def _stage_in_progress(stage: Stage, state: ProviderState) -> Stage | None:
    """Return the stage to move to while the provider works on the task; None: stay."""
    unconfirmed = stage in {Stage.SUBMITTING, Stage.UNCONFIRMED}
    if state is ProviderState.RUNNING and (unconfirmed or stage is Stage.SUBMITTED):
        return Stage.RUNNING
    return Stage.SUBMITTED if unconfirmed else None


def _along(step: Step, changes: TaskChanges) -> Step:
    """Add changes to a step, whose own changes win."""
    return Step(step.target, {**changes, **step.changes})
