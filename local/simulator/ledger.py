"""What happened: tasks made, requests answered, callbacks sent. Nothing in it is a secret."""

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
# Requests beyond these are forgotten, the oldest first.
REQUESTS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """One request. `status` is None when no reply was sent; `task_id` is ours, on creates.

    `runway_version` is the header of that name. Neither keys nor URLs' queries are in it.
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
    """The simulator's books. Every method may be called from any thread."""

    def __init__(self, log: TextIO | None = None) -> None:
        self._lock = Lock()
        self._log = log
        self._tasks: dict[str, ProviderTask] = {}
        self._requests: deque[AnsweredRequest] = deque(maxlen=REQUESTS_KEPT)
        self._creates_seen = 0
        self._creates_by_video: Counter[str] = Counter()

    def count_create(self) -> None:
        """A request has reached the create route."""
        with self._lock:
            self._creates_seen += 1

    def count_video(self, video: str) -> int:
        """A valid create names this video; tells how many did before."""
        with self._lock:
            self._creates_by_video[video] += 1
            return self._creates_by_video[video] - 1

    def add_task(self, task: ProviderTask) -> None:
        """A create was accepted: this is what is billed."""
        with self._lock:
            self._tasks[task.provider_task_id] = task
            self._write(
                "task", {"provider_task_id": task.provider_task_id, "task_id": task_id_of(task)}
            )

    def find_task(self, provider_task_id: str) -> ProviderTask | None:
        """The task with that id."""
        with self._lock:
            return self._tasks.get(provider_task_id)

    def all_tasks(self) -> list[ProviderTask]:
        """Every task, the oldest first."""
        with self._lock:
            return list(self._tasks.values())

    def count_feed(self, task: ProviderTask) -> None:
        """The feed was asked for this task."""
        with self._lock:
            task.feeds += 1

    def count_download(self, task: ProviderTask) -> int:
        """A GET of the task's video begins; tells how many did before."""
        with self._lock:
            task.downloads += 1
            return task.downloads - 1

    def count_refused_download(self, task: ProviderTask) -> None:
        """The task's video was asked for under a URL that had expired."""
        with self._lock:
            task.refused_downloads += 1

    def add_callback(self, task: ProviderTask, attempt: CallbackAttempt) -> None:
        """A callback was sent, whatever came of it."""
        with self._lock:
            task.callbacks.append(attempt)
            self._write("callback", {"provider_task_id": task.provider_task_id} | asdict(attempt))

    def add_request(self, request: AnsweredRequest) -> None:
        """A request is about to be answered."""
        with self._lock:
            self._requests.append(request)
            self._write("request", asdict(request))

    def requests(self) -> list[dict[str, Any]]:
        """Every request that is still remembered, the oldest first."""
        with self._lock:
            return [asdict(request) for request in self._requests]

    def bill(self) -> dict[str, Any]:
        """What the account owes, and for what: see `GET /_simulator/bill`."""
        with self._lock:
            tasks = list(self._tasks.values())
            seen = self._creates_seen
        return {
            "creates_seen": seen,
            "creates_accepted": len(tasks),
            "micro_dollars": PRICE_MICRO_DOLLARS * len(tasks),
            "by_video": dict(Counter(shown_url(task.video) for task in tasks)),
            "by_callback": dict(Counter(task_id_of(task) for task in tasks)),
        }

    def stop_logging(self) -> None:
        """The log is about to be closed: what happens from now on isn't written to it."""
        with self._lock:
            self._log = None

    def _write(self, event: str, entry: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(json.dumps({"event": event} | entry) + "\n")
            self._log.flush()


def task_id_of(task: ProviderTask) -> str:
    """Our own id of the task, out of its callback URL."""
    return callback_key(task.callback_url)


def shown_url(url: str) -> str:
    """A URL without the signature that the query of somebody else's URL may hold."""
    parts = urlsplit(url)
    return url if parts.path == OWN_VIDEO_PATH else parts._replace(query="", fragment="").geturl()


def timestamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
