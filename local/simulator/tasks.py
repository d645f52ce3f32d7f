"""A task as the provider has it, and how far it has come at a moment.

      created            running_after                    seconds
         |---- queued ---------|---------- running ----------|---- result ...

Nothing moves a task: its state follows from its behaviour and its age.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from local.simulator.behaviour import Behaviour

State = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]

CALLBACK_PATH = re.compile(r"/callbacks/(?P<task_id>[^/]+)/[^/]+/?$")


@dataclass(frozen=True, slots=True)
class CallbackAttempt:
    """One callback that was sent. `status` is None when no reply came; `error` then says why."""

    at: str
    attempt: int
    status: int | None
    error: str | None
    ms: int
    body_bytes: int


@dataclass(slots=True)
class ProviderTask:
    """One accepted, billed create. The facts never change; the counts below them do."""

    provider_task_id: str
    upstream_id: str
    account: int
    video: str
    image: str
    callback_url: str
    behaviour: Behaviour
    created_at: datetime
    callbacks: list[CallbackAttempt] = field(default_factory=list)
    feeds: int = 0
    downloads: int = 0
    refused_downloads: int = 0
    inputs: dict[str, str | None] = field(default_factory=dict)
    """What came of fetching them: their SHA-256, or why not; None: not there yet."""


def callback_key(callback_url: str) -> str:
    """Our own task id out of `<base>/callbacks/{task_id}/{token}`, else the URL's whole path."""
    path = urlsplit(callback_url).path
    found = CALLBACK_PATH.search(path)
    return found["task_id"] if found else path


def running_after(behaviour: Behaviour) -> float:
    """Seconds from the create until the task runs: a quarter of its time unless chosen."""
    if behaviour.callback == "early":
        return 0
    chosen = behaviour.running_after
    return behaviour.seconds / 4 if chosen is None else chosen


def ends_after(behaviour: Behaviour) -> float | None:
    """Seconds from the create until the task ends; None for a task that never does."""
    if behaviour.result == "never":
        return None
    return 0 if behaviour.callback == "early" else behaviour.seconds


def age(task: ProviderTask, moment: datetime) -> float:
    """Seconds since the create."""
    return (moment - task.created_at).total_seconds()


def since_end(task: ProviderTask, moment: datetime) -> float:
    """Seconds since the task ended, negative before that."""
    end = ends_after(task.behaviour)
    return -1 if end is None else age(task, moment) - end


def state_at(task: ProviderTask, moment: datetime) -> State:
    """What is true of the task at that moment, whatever the feed or a callback says of it."""
    result = task.behaviour.result
    if result != "never" and since_end(task, moment) >= 0:
        return result
    return "running" if age(task, moment) >= running_after(task.behaviour) else "queued"


def progress_at(task: ProviderTask, moment: datetime) -> float:
    """0 to 1; only an ended task reaches 1."""
    state = state_at(task, moment)
    if state == "queued":
        return 0
    if state != "running":
        return 1
    # A task that never ends still seems to move for a while.
    duration = ends_after(task.behaviour) or 60
    return min(age(task, moment) / duration, 0.99)


def started_at(task: ProviderTask, moment: datetime) -> datetime | None:
    """When the task began to run, None if it hasn't."""
    begin = task.created_at + timedelta(seconds=running_after(task.behaviour))
    end = ended_at(task, moment)
    if end is not None:
        return min(begin, end)
    return begin if begin <= moment else None


def ended_at(task: ProviderTask, moment: datetime) -> datetime | None:
    """When the task ended, None if it hasn't."""
    end = ends_after(task.behaviour)
    if end is None or age(task, moment) < end:
        return None
    return task.created_at + timedelta(seconds=end)
