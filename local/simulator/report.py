"""A task's state at a moment, before a fault distorts it and a form encodes it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from local.simulator.media import NO_URLS, MediaUrls, media_urls
from local.simulator.simulation import Simulation
from local.simulator.tasks import ProviderTask, State, ended_at, progress_at, started_at, state_at

ReportedState = State | Literal["unknown"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a feed or callback reports. Times are Unix seconds, 0 if unknown; progress is 0 to 1.

    `nested_id` and `nested_state` are those of the upstream object in the wrapped shape.
    """

    task_id: str
    nested_id: str
    state: ReportedState
    nested_state: ReportedState
    progress: float
    reason: str
    urls: MediaUrls
    submitted: int
    started: int
    finished: int


def true_report(simulation: Simulation, task: ProviderTask, moment: datetime) -> Report:
    """Return the task's true state at that moment, with newly signed URLs."""
    state = state_at(task, moment)
    started, ended = started_at(task, moment), ended_at(task, moment)
    own_upstream_id = task.behaviour.callback == "upstream_id"
    return Report(
        task_id=task.provider_task_id,
        nested_id=task.upstream_id if own_upstream_id else task.provider_task_id,
        state=state,
        nested_state=state,
        progress=progress_at(task, moment),
        reason=task.behaviour.reason if state in ("failed", "canceled", "expired") else "",
        urls=media_urls(simulation, task, moment) if state == "succeeded" else NO_URLS,
        submitted=int(task.created_at.timestamp()),
        started=int(started.timestamp()) if started else 0,
        finished=int(ended.timestamp()) if ended else 0,
    )
