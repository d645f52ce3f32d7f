"""A tap on the line between the functions and the outside: it sees each call, and kills at some.

The functions are pointed at it by their own settings, so nothing in them knows of it. It forwards
requests byte for byte (their signatures cover the Host header too), except where a trap says that
the worker dies: *before* the call goes out, *midway* through its body, or *after* it was carried
out and before its reply comes back.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

from local.stack import LocalStack
from tests.crashes.calls import AwsReader, Call, Reader, Request, aws_calls, provider_calls
from tests.crashes.workers import Worker, kill, worker_behind
from tests.e2e.caller import Caller

PIECE = 65_536
PASSED_ON_SECONDS = 0.3
"""How long a worker has for what came midway, so that some of it is on its way further."""
_PER_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}

type When = Literal["before", "midway", "after"]


@dataclass(eq=False, kw_only=True)
class Trap:
    """Kills the first worker of a function that makes a call, for a task or (None) for any."""

    function: str
    call: str
    when: When
    task_id: str | None
    sprung: threading.Event = field(default_factory=threading.Event)

    def catches(self, function: str, calls: list[Call]) -> bool:
        """Tell whether a request of a function is the one to die at."""
        return function == self.function and any(
            call.name == self.call and self.task_id in {None, call.task_id} for call in calls
        )


class Watch:
    """The traps that are set, and how often which call of which function was seen."""

    def __init__(self) -> None:
        self.aws_url = ""
        self.seen: Counter[tuple[str, Call]] = Counter()
        self.carried_out: Counter[tuple[str, Call]] = Counter()
        self.last_worker: dict[str, Worker] = {}
        """Task → the worker that last made a call about it."""
        self._traps: list[Trap] = []
        self._lock = threading.Lock()

    def set(self, trap: Trap) -> None:
        """Wait for a call."""
        with self._lock:
            self._traps.append(trap)

    def notice(self, worker: Worker, calls: list[Call]) -> Trap | None:
        """Record what a worker calls; return the trap that this springs."""
        function = worker.function
        with self._lock:
            self.last_worker.update({call.task_id: worker for call in calls if call.task_id})
            self.seen.update((function, call) for call in calls)
            caught = next((trap for trap in self._traps if trap.catches(function, calls)), None)
            if caught is not None:
                self._traps.remove(caught)
            return caught

    def conclude(self, function: str, calls: list[Call]) -> None:
        """Take down that calls were carried out, whether their reply arrived or not."""
        with self._lock:
            self.carried_out.update((function, call) for call in calls)


@contextmanager
def tapped(stack: LocalStack, read_aws: AwsReader = aws_calls) -> Iterator[Watch]:
    """Put taps before a stack's AWS and before its provider, for all of its functions."""
    watch = Watch()
    caller = Caller(stack)
    owners: dict[str, str | None] = {}

    def owner_of(provider_task_id: str) -> str | None:
        if provider_task_id not in owners:
            shown = caller.simulator(f"tasks/{provider_task_id}")
            owners[provider_task_id] = shown.get("task_id")
        return owners[provider_task_id]

    with (
        _Tap(stack.endpoint_url, partial(read_aws, owner_of=owner_of), watch).running() as aws_url,
        _Tap(
            stack.provider_url, partial(provider_calls, owner_of=owner_of), watch
        ).running() as provider_url,
    ):
        watch.aws_url = aws_url
        _point_functions_at(stack, aws_url, provider_url)
        yield watch


def _point_functions_at(stack: LocalStack, aws_url: str, provider_url: str) -> None:
    client = stack.client("lambda")
    functions = client.list_functions()["Functions"]
    for function in functions:
        variables = function["Environment"]["Variables"]
        taps = {"AWS_ENDPOINT_URL": aws_url, "PROVIDER_BASE_URL": provider_url}
        client.update_function_configuration(
            FunctionName=function["FunctionName"], Environment={"Variables": {**variables, **taps}}
        )
    for function in functions:
        client.get_waiter("function_updated_v2").wait(
            FunctionName=function["FunctionName"], WaiterConfig={"Delay": 1}
        )


class _Tap(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, upstream: str, read_calls: Reader, watch: Watch) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.read_calls = read_calls
        self.watch = watch

    @contextmanager
    def running(self) -> Iterator[str]:
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self.url
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: who was killed hangs up, and so do we."""


class _Connection(BaseHTTPRequestHandler):
    """A worker's connection, and the requests that come over it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Tap
    connection: socket.socket
    worker: Worker | None

    def setup(self) -> None:
        super().setup()
        self.worker = worker_behind(self.client_address[1], self.server.server_port)

    def answer(self) -> None:
        self.close_connection = True  # until it went well
        length = int(self.headers.get("content-length") or 0)
        body = b"" if self.command == "PUT" else self.rfile.read(length)
        calls = self._calls(body)
        trap = self._trap(calls)
        if trap is not None and trap.when == "before":
            return self._die(trap)
        target = urlsplit(self.server.upstream)
        upstream = HTTPConnection(target.hostname or "", target.port)
        try:
            if not self._pass_on(upstream, body, length, trap):
                return None
            response = upstream.getresponse()
            content = response.read()
        except (HTTPException, OSError):
            return None
        finally:
            upstream.close()
        if self.worker is not None:
            self.server.watch.conclude(self.worker.function, calls)
        if trap is not None and trap.when == "after":
            return self._die(trap)
        self._reply(response, self._as_from_here(response, content), trap)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of the base

    def _calls(self, body: bytes) -> list[Call]:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self.server.read_calls(Request(self.command, self.path, headers, body))

    def _trap(self, calls: list[Call]) -> Trap | None:
        if self.worker is None:  # it died meanwhile
            return None
        return self.server.watch.notice(self.worker, calls)

    def _pass_on(
        self, upstream: HTTPConnection, body: bytes, length: int, trap: Trap | None
    ) -> bool:
        """Send the request on; False if its sender died over it."""
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":  # the base class has answered that already
                upstream.putheader(name, value)
        upstream.endheaders(body)
        if self.command != "PUT":
            return True
        midway = trap is not None and trap.when == "midway"
        left = length // 2 if midway else length
        while left:
            piece = self.rfile.read(min(PIECE, left))
            if not piece:
                return False
            upstream.send(piece)
            left -= len(piece)
        if trap is not None and midway:
            self._die(trap)
        return not midway

    def _as_from_here(self, response: HTTPResponse, content: bytes) -> bytes:
        """Let the media links in a reply lead through here as well."""
        if response.getheader("content-type", "").startswith("application/json"):
            return content.replace(self.server.upstream.encode(), self.server.url.encode())
        return content

    def _reply(self, response: HTTPResponse, content: bytes, trap: Trap | None) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _PER_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if trap is not None:  # midway
            self.wfile.write(content[: len(content) // 2])
            time.sleep(PASSED_ON_SECONDS)
            self._die(trap)
            return
        self.wfile.write(content)
        self.close_connection = False

    def _die(self, trap: Trap) -> None:
        assert self.worker is not None
        kill(self.worker)
        trap.sprung.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base
        """Nothing."""
