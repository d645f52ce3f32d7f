"""A task of the provider, and its state at a moment.

      created            running_after                    seconds
         |---- queued ---------|---------- running ----------|---- result ...

A task's state is computed from its behaviour and its age.
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
    """One callback that was sent. `status` is None if there was no reply; `error` says why."""

    at: str
    attempt: int
    status: int | None
    error: str | None
    ms: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class PendingCallback:
    """A callback that is to be sent at `due`; `number` is its place among its task's callbacks.

    `attempt` counts from 1. `body` is None until the first attempt, which makes it.
    """

    provider_task_id: str
    number: int
    attempt: int
    due: datetime
    body: bytes | None = None


@dataclass(slots=True)
class ProviderTask:
    """One accepted and billed create. Only the lists and counts after `created_at` change."""

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
    """The SHA-256 of each fetched input, or the error; None until it was fetched."""


def callback_key(callback_url: str) -> str:
    """Return the task id in `<base>/callbacks/{task_id}/{token}`, else the URL's whole path."""
    path = urlsplit(callback_url).path
    found = CALLBACK_PATH.search(path)
    return found["task_id"] if found else path


def running_after(behaviour: Behaviour) -> float:
    """Return the seconds from the create until the task runs; by default a quarter of its time."""
    if behaviour.callback == "early":
        return 0
    chosen = behaviour.running_after
    return behaviour.seconds / 4 if chosen is None else chosen


def ends_after(behaviour: Behaviour) -> float | None:
    """Return the seconds from the create until the task ends; None if it never ends."""
    if behaviour.result == "never":
        return None
    return 0 if behaviour.callback == "early" else behaviour.seconds


def age(task: ProviderTask, moment: datetime) -> float:
    """Return the seconds since the create."""
    return (moment - task.created_at).total_seconds()


def since_end(task: ProviderTask, moment: datetime) -> float:
    """Return the seconds since the task ended; negative before."""
    end = ends_after(task.behaviour)
    return -1 if end is None else age(task, moment) - end


def state_at(task: ProviderTask, moment: datetime) -> State:
    """Return the task's true state at that moment, which the feed and callbacks may misreport."""
    result = task.behaviour.result
    if result != "never" and since_end(task, moment) >= 0:
        return result
    return "running" if age(task, moment) >= running_after(task.behaviour) else "queued"


def progress_at(task: ProviderTask, moment: datetime) -> float:
    """Return the progress from 0 to 1; only an ended task has 1."""
    state = state_at(task, moment)
    if state == "queued":
        return 0
    if state != "running":
        return 1
    # A task that never ends makes progress for a minute.
    duration = ends_after(task.behaviour) or 60
    return min(age(task, moment) / duration, 0.99)


def started_at(task: ProviderTask, moment: datetime) -> datetime | None:
    """Return when the task began to run, None if it hasn't."""
    begin = task.created_at + timedelta(seconds=running_after(task.behaviour))
    end = ended_at(task, moment)
    if end is not None:
        return min(begin, end)
    return begin if begin <= moment else None


def ended_at(task: ProviderTask, moment: datetime) -> datetime | None:
    """Return when the task ended, None if it hasn't."""
    end = ends_after(task.behaviour)
    if end is None or age(task, moment) < end:
        return None
    return task.created_at + timedelta(seconds=end)
