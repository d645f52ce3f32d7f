"""Webhook endpoints: one whose answers a test chooses, and the two of `examples/receivers`."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from local.emulator import ROOT

RECEIVERS = ROOT / "examples/receivers"
NODE = shutil.which("node")
COMMANDS = {
    "Python": [sys.executable, str(RECEIVERS / "receiver.py")],
    "Node": [NODE, str(RECEIVERS / "receiver.mjs")],
}


@dataclass(frozen=True)
class Received:
    """A received request, with lower-case header names."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass(frozen=True)
class Answer:
    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    """A server on 127.0.0.1 and the requests that it received."""

    url: str
    over: Event
    received: list[Received]

    def of(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path.partition("?")[0] == path]

    def wait(self, count: int = 1, path: str | None = None, seconds: float = 120) -> list[Received]:
        """Wait for at least `count` requests and return them."""
        ends_at = time.monotonic() + seconds
        while len(received := self.received if path is None else self.of(path)) < count:
            assert time.monotonic() < ends_at, f"{len(received)} requests came, not {count}"
            time.sleep(0.02)
        return list(received)


@contextmanager
def endpoint(answer: Callable[[Received, "Endpoint"], Answer] = lambda *_: Answer()):
    """Run an endpoint that sends `answer(request, endpoint)`, which must end once `over` is set."""
    running: Endpoint

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.path, headers, body, time.time())
            running.received.append(received)
            reply = answer(received, running)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST  # noqa: N815 (the name of the base)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_):
            """Ignore callers that hang up, as tests make them do."""

    with Server(("127.0.0.1", 0), Handler) as server:
        running = Endpoint(f"http://127.0.0.1:{server.server_port}", Event(), [])
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield running
        finally:
            running.over.set()
            server.shutdown()
            serving.join(10)


@contextmanager
def receiver(language: str, secret: str):
    """Run an example; yield its URL and a function that stops it and returns its output lines."""
    process = subprocess.Popen(
        [*COMMANDS[language], "0"],
        env={**os.environ, "WEBHOOK_SECRET": secret},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines: list[str] = []

    def stop() -> list[str]:
        process.terminate()
        lines.extend(process.communicate(timeout=10)[0].splitlines())
        return lines

    try:
        yield process.stdout.readline().strip(), stop
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
