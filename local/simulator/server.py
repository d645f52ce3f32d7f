"""The HTTP server; one thread per connection, on 127.0.0.1 only."""

import re
import socket
import sys
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from local.simulator.callbacks import deliver
from local.simulator.clock import now
from local.simulator.messages import Request
from local.simulator.routes import MAX_REQUEST_BYTES, answer
from local.simulator.simulation import Simulation
from local.simulator.tasks import PendingCallback
from local.simulator.wire import send


class ProviderServer(ThreadingHTTPServer):
    """The listening socket and its connections. `simulation` must be set before it serves."""

    daemon_threads = True
    request_queue_size = 256
    simulation: Simulation

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that hang up; print other errors, which are bugs."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Connection(BaseHTTPRequestHandler):
    """One connection and its requests."""

    protocol_version = "HTTP/1.1"
    timeout = 75  # s; the gateway closes an idle connection after this time
    disable_nagle_algorithm = True
    server: ProviderServer
    connection: socket.socket

    def setup(self) -> None:
        """Register the connection, so that closing the simulator ends it."""
        super().setup()
        self.server.simulation.sockets.add(self.connection)

    def finish(self) -> None:
        """Unregister the connection."""
        self.server.simulation.sockets.discard(self.connection)
        super().finish()

    def answer(self) -> None:
        """Read one request, record it and answer it."""
        simulation = self.server.simulation
        body = self.read_body()
        path, _, query = self.path.partition("?")
        headers = {name.lower(): text for name, text in self.headers.items()}
        request = None if body is None else Request(self.command, path, query, headers, body)
        reply = answer(simulation, request, self.command, path)
        if request is None:  # what is left of the body would be read as the next request
            reply = replace(reply, ending="hang_up")
        keep_open = send(self.connection, reply, self.command, simulation.closing)
        if not keep_open:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 (names of the base)

    def read_body(self) -> bytes | None:
        """Return the request's body; None if it is too large or has no Content-Length."""
        if "transfer-encoding" in self.headers:
            return None
        length = self.headers.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_REQUEST_BYTES:
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client hung up before its request was complete")
        return body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of the base)
        """Log nothing: the ledger records requests without secrets."""


def deliver_in_thread(simulation: Simulation, pending: PendingCallback) -> None:
    """Deliver a callback when it is due, unless the simulator stops first."""

    def wait() -> None:
        if not simulation.closing.wait(max(0, (pending.due - now()).total_seconds())):
            deliver(simulation, pending)

    name = f"callback-{pending.provider_task_id}"
    Thread(target=wait, name=name, daemon=True).start()
