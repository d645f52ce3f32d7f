"""A client of the simulator: creates tasks, polls and downloads them, receives callbacks."""

import json
import socket
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition
from urllib.parse import urlencode, urlsplit

import requests

from local.simulator import Provider

KEY = "sim-key-1"
OTHER_KEY = "sim-key-2"
# The default behaviour of tasks in tests.
QUICK = {"seconds": 0.03, "not_exist_seconds": 0}


@dataclass
class Caller:
    provider: Provider
    callbacks: "Callbacks"
    key: str = KEY

    def order(self, **behaviour):
        """Return a new task id and the body of a create for it."""
        task_id = uuid.uuid4().hex
        # Each video is unique, because `create_times` counts by video.
        query = urlencode(QUICK | {"reason": f"reason-{task_id}"} | behaviour)
        return task_id, {
            "video": f"{self.provider.url}/inputs/performance.mp4?{query}",
            "image": f"{self.provider.url}/inputs/character.png",
            "callback_url": f"{self.callbacks.url}/callbacks/{task_id}/tok-{task_id}",
        }

    def post(self, route, document, timeout=5):
        return requests.post(
            self.provider.url + route,
            json=document,
            headers={"Authorization": f"Bearer {self.key}"},
            allow_redirects=False,
            timeout=timeout,
        )

    def create(self, **behaviour):
        """Send a create and return the reply."""
        return self.post("/runway/pro/act_one", self.order(**behaviour)[1])

    def accepted(self, **behaviour):
        """Create a task; returns the backend's task id and the provider's."""
        task_id, order = self.order(**behaviour)
        reply = self.post("/runway/pro/act_one", order)
        assert reply.status_code == 200, reply.text
        return task_id, reply.json()["data"]["task_id"]

    def feed(self, provider_task_id, timeout=5):
        return self.post("/runway/feed", {"task_id": provider_task_id}, timeout)

    def ended(self, provider_task_id):
        """Poll until the feed has a URL, and return the legacy object in its answer."""

        def look():
            data = self.feed(provider_task_id).json().get("data")
            return (data or {}).get("data") or data

        return until(look, lambda data: bool(data and data.get("video_url")))

    def result_url(self, **behaviour):
        """Create a task; returns the provider's task id and the URL of its video."""
        _, provider_task_id = self.accepted(**behaviour)
        return provider_task_id, self.ended(provider_task_id)["video_url"]

    def task(self, provider_task_id):
        return self.inspect(f"/tasks/{provider_task_id}")

    def task_of(self, task_id):
        """Return the provider's task for a task id of the backend, None if there is none."""
        found = [task for task in self.inspect("/tasks") if task["task_id"] == task_id]
        return found[0] if found else None

    def inspect(self, route):
        return requests.get(f"{self.provider.url}/_simulator{route}", timeout=5).json()

    def billed(self, task_id):
        return self.inspect("/bill")["by_callback"].get(task_id, 0)


def until(look, good=bool, seconds=5.0):
    """Call `look` until its result is good, and return that."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        assert time.monotonic() < end, f"still {seen!r} after {seconds} s"
        time.sleep(0.02)


def sent_after(task):
    """Return the seconds from the create to each of the task's callbacks."""
    created = datetime.fromisoformat(task["created_at"])
    return [
        (datetime.fromisoformat(attempt["at"]) - created).total_seconds()
        for attempt in task["callbacks"]
    ]


def raw_reply(url, data, seconds=5.0):
    """Send bytes and return everything up to the end of the connection."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def raw_create(caller, order):
    """Return the bytes of a create request."""
    body = json.dumps(order).encode()
    return (
        f"POST /runway/pro/act_one HTTP/1.1\r\nHost: provider\r\nConnection: close\r\n"
        f"Authorization: Bearer {caller.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def raw_get(url, method="GET"):
    """Download until the end of the connection; returns the head and the body."""
    parts = urlsplit(url)
    asked = f"{method} {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, body = raw_reply(url, asked.encode()).partition(b"\r\n\r\n")
    return head.decode().lower(), body


@dataclass
class Callback:
    path: str
    host: str
    body: bytes

    @property
    def task_id(self):
        return self.path.partition("/callbacks/")[2].partition("/")[0]

    def json(self):
        return json.loads(self.body)


@dataclass
class Callbacks:
    """A server that receives callbacks and records them."""

    server: ThreadingHTTPServer
    received: list[Callback] = field(default_factory=list)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    changed: Condition = field(default_factory=Condition)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def of(self, task_id):
        with self.changed:
            return [callback for callback in self.received if callback.task_id == task_id]

    def wait_for(self, task_id, count=1, seconds=5.0):
        """Wait for `count` callbacks of a task and return them."""
        with self.changed:
            there = self.changed.wait_for(lambda: len(self.of(task_id)) >= count, seconds)
            assert there, f"{len(self.of(task_id))} callbacks in {seconds} s, not {count}"
            return self.of(task_id)

    def answer(self, callback):
        """Record a callback; returns the status to answer."""
        with self.changed:
            self.received.append(callback)
            self.changed.notify_all()
            statuses = self.statuses.get(callback.task_id)
            return statuses.pop(0) if statuses else 204


class CallbackServer(ThreadingHTTPServer):
    # The callbacks of fifty tasks may come at once.
    request_queue_size = 100
    callbacks: Callbacks


class CallbackHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.callbacks.answer(Callback(self.path, self.headers["host"], body))
        self.send_response(status)
        if status == 307:
            self.send_header("Location", self.path)
        self.end_headers()

    def log_message(self, *_):
        pass
