"""Records tasks, answered requests and sent callbacks, without any secrets."""

import json
from collections import Counter, deque
from dataclasses import asdict, dataclass
from datetime import datetime
from threading import Lock
from typing import Any, TextIO
from urllib.parse import urlsplit

from local.simulator.behaviour import OWN_VIDEO_PATH
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


class Ledger:
    """The record of one simulator. All methods are thread-safe."""

    def __init__(self, log: TextIO | None = None) -> None:
        self._lock = Lock()
        self._log = log
        self._tasks: dict[str, ProviderTask] = {}
        self._requests: deque[AnsweredRequest] = deque(maxlen=REQUESTS_KEPT)
        self._creates_seen = 0
        self._creates_by_video: Counter[str] = Counter()

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

    def bill(self) -> dict[str, Any]:
        """Return the document of `GET /_simulator/bill`."""
        with self._lock:
            tasks = list(self._tasks.values())
            seen = self._creates_seen
        return {
            "creates_seen": seen,
            "creates_accepted": len(tasks),
            "micro_dollars": PRICE_MICRO_DOLLARS * len(tasks),
            "by_video": dict(Counter(without_signature(task.video) for task in tasks)),
            "by_callback": dict(Counter(task_id_of(task) for task in tasks)),
        }

    def stop_logging(self) -> None:
        """Stop writing to the log, which is about to be closed."""
        with self._lock:
            self._log = None

    def _write(self, event: str, entry: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(json.dumps({"event": event} | entry) + "\n")
            self._log.flush()


def task_id_of(task: ProviderTask) -> str:
    """Return the backend's id of the task, from its callback URL."""
    return callback_key(task.callback_url)


def without_signature(url: str) -> str:
    """Return a URL without its query, which may be a signature; the simulator's own keeps it."""
    parts = urlsplit(url)
    return url if parts.path == OWN_VIDEO_PATH else parts._replace(query="", fragment="").geturl()


def timestamp(moment: datetime) -> str:
    """Format a time as RFC 3339 with milliseconds, in UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
