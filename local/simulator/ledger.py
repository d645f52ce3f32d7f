"""Records tasks, answered requests and sent callbacks, without any secrets.

`MemoryLedger` is that of a process, `local.simulator.table.TableLedger` that of a function.
"""

import json
from collections import Counter, deque
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any, Protocol, TextIO
from urllib.parse import urlsplit

from local.simulator.behaviour import OWN_VIDEO_PATH
from local.simulator.outages import Faults
from local.simulator.tasks import CallbackAttempt, ProviderTask, callback_key

# The listed price of one accepted create.
PRICE_MICRO_DOLLARS = 400_000
# Older requests are dropped.
REQUESTS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """One request. `status` is None if no reply was sent; `task_id` is the backend's, on creates.

    `runway_version` is the header `X-Runway-Version`. Keys and URL queries are left out.
    """

    at: str
    route: str
    method: str
    path: str
    status: int | None
    outcome: str
    provider_task_id: str | None
    task_id: str | None
    runway_version: str | None
    ms: int


class Ledger(Protocol):
    """The record of one simulator. All methods may be called by several threads at once."""

    def count_create(self) -> None:
        """Count a request to the create route."""

    def count_video(self, video: str) -> int:
        """Count a valid create with this video; returns how many came before it."""

    def add_task(self, task: ProviderTask) -> None:
        """Add the task of an accepted create, which is billed."""

    def find_task(self, provider_task_id: str) -> ProviderTask | None:
        """Return the task with that id, None if there is none."""

    def all_tasks(self) -> list[ProviderTask]:
        """Return all tasks, oldest first."""

    def count_feed(self, task: ProviderTask) -> None:
        """Count a feed request for this task."""

    def count_download(self, task: ProviderTask) -> int:
        """Count a GET of the task's video; returns how many came before it."""

    def count_refused_download(self, task: ProviderTask) -> None:
        """Count a request for the task's video with an expired URL."""

    def add_callback(self, task: ProviderTask, attempt: CallbackAttempt) -> None:
        """Add a callback that was sent."""

    def add_request(self, request: AnsweredRequest) -> None:
        """Add a request that is about to be answered."""

    def requests(self) -> list[dict[str, Any]] | None:
        """Return the recorded requests, oldest first; None if they are kept elsewhere."""

    def creates_seen(self) -> int:
        """Return how many requests to the create route were counted."""

    def faults(self) -> Faults:
        """Return the outages that were started, whether or not they have ended."""

    def set_faults(self, faults: Faults) -> None:
        """Replace the outages."""


class MemoryLedger:
    """The record of one simulator, in this process."""

    def __init__(self, log: TextIO | None = None) -> None:
        self._lock = Lock()
        self._log = log
        self._tasks: dict[str, ProviderTask] = {}
        self._requests: deque[AnsweredRequest] = deque(maxlen=REQUESTS_KEPT)
        self._creates_seen = 0
        self._creates_by_video: Counter[str] = Counter()
        self._faults: Faults = {}

    def count_create(self) -> None:
        """Count a request to the create route."""
        with self._lock:
            self._creates_seen += 1

    def count_video(self, video: str) -> int:
        """Count a valid create with this video; returns how many came before it."""
        with self._lock:
            self._creates_by_video[video] += 1
            return self._creates_by_video[video] - 1

    def add_task(self, task: ProviderTask) -> None:
        """Add the task of an accepted create, which is billed."""
        with self._lock:
            self._tasks[task.provider_task_id] = task
            self._write(
                "task", {"provider_task_id": task.provider_task_id, "task_id": task_id_of(task)}
            )

    def find_task(self, provider_task_id: str) -> ProviderTask | None:
        """Return the task with that id, None if there is none."""
        with self._lock:
            return self._tasks.get(provider_task_id)

    def all_tasks(self) -> list[ProviderTask]:
        """Return all tasks, oldest first."""
        with self._lock:
            return list(self._tasks.values())

    def count_feed(self, task: ProviderTask) -> None:
        """Count a feed request for this task."""
        with self._lock:
            task.feeds += 1

    def count_download(self, task: ProviderTask) -> int:
        """Count a GET of the task's video; returns how many came before it."""
        with self._lock:
            task.downloads += 1
            return task.downloads - 1

    def count_refused_download(self, task: ProviderTask) -> None:
        """Count a request for the task's video with an expired URL."""
        with self._lock:
            task.refused_downloads += 1

    def add_callback(self, task: ProviderTask, attempt: CallbackAttempt) -> None:
        """Add a callback that was sent."""
        with self._lock:
            task.callbacks.append(attempt)
            self._write("callback", {"provider_task_id": task.provider_task_id} | asdict(attempt))

    def add_request(self, request: AnsweredRequest) -> None:
        """Add a request that is about to be answered."""
        with self._lock:
            self._requests.append(request)
            self._write("request", asdict(request))

    def requests(self) -> list[dict[str, Any]]:
        """Return the recorded requests, oldest first."""
        with self._lock:
            return [asdict(request) for request in self._requests]

    def creates_seen(self) -> int:
        """Return how many requests to the create route were counted."""
        with self._lock:
            return self._creates_seen

    def faults(self) -> Faults:
        """Return the outages that were started."""
        with self._lock:
            return self._faults

    def set_faults(self, faults: Faults) -> None:
        """Replace the outages."""
        with self._lock:
            self._faults = faults

    def stop_logging(self) -> None:
        """Stop writing to the log, which is about to be closed."""
        with self._lock:
            self._log = None

    def _write(self, event: str, entry: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(json.dumps({"event": event} | entry) + "\n")
            self._log.flush()


def bill(ledger: Ledger) -> dict[str, Any]:
    """Return the document of `GET /_simulator/bill`."""
    tasks = ledger.all_tasks()
    return {
        "creates_seen": ledger.creates_seen(),
        "creates_accepted": len(tasks),
        "micro_dollars": PRICE_MICRO_DOLLARS * len(tasks),
        "by_video": dict(Counter(without_signature(task.video) for task in tasks)),
        "by_callback": dict(Counter(task_id_of(task) for task in tasks)),
    }


def task_id_of(task: ProviderTask) -> str:
    """Return the backend's id of the task, from its callback URL."""
    return callback_key(task.callback_url)


def without_signature(url: str) -> str:
    """Return a URL without its query, which may be a signature; the simulator's own keeps it."""
    parts = urlsplit(url)
    is_own = parts.path.endswith(OWN_VIDEO_PATH)
    return url if is_own else parts._replace(query="", fragment="").geturl()
