"""What there is to say of a task at a moment, before a form or a lie is made of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from local.simulator.media import NO_URLS, MediaUrls, media_urls
from local.simulator.simulation import Simulation
from local.simulator.tasks import ProviderTask, State, ended_at, progress_at, started_at, state_at

Said = State | Literal["unknown"]


@dataclass(frozen=True, slots=True)
class Report:
    """What is said of a task. Times are Unix seconds, 0 while unknown; progress is 0 to 1.

    `nested_id` and `nested_state` are those of the upstream's object inside the wrapped shape.
    """

    task_id: str
    nested_id: str
    state: Said
    nested_state: Said
    progress: float
    reason: str
    urls: MediaUrls
    submitted: int
    started: int
    finished: int


def truth(simulation: Simulation, task: ProviderTask, moment: datetime) -> Report:
    """What is true of the task at that moment, with freshly signed URLs."""
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
