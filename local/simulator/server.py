"""The HTTP server: routes requests; one thread per connection, on 127.0.0.1 only."""

import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local.simulator.clock import now
from local.simulator.create import SITE_PATH, create, redirect_to_site
from local.simulator.feed import feed
from local.simulator.inspection import inspect
from local.simulator.ledger import AnsweredRequest, timestamp
from local.simulator.media import INPUTS, input_reply, media_reply
from local.simulator.simulation import Simulation
from local.simulator.wire import Reply, Request, html_reply, json_reply, send

MAX_REQUEST_BYTES = 1_000_000  # bytes

type Answer = Callable[[Simulation, Request], Reply]


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
        moment, begin = now(), time.monotonic()
        body = self.read_body()
        path, _, query = self.path.partition("?")
        headers = {name.lower(): text for name, text in self.headers.items()}
        if body is None:
            route = "unknown"
            error = {"error": "send at most 1 MB, with a Content-Length"}
            reply = replace(json_reply(413, error, "too_large"), ending="hang_up")
        else:
            request = Request(self.command, path, query, headers, body)
            route, answer = route_of(request)
            reply = answer(simulation, request)
        if route != "inspection":
            # Before the reply is sent, so that a client with a reply finds the request recorded.
            simulation.ledger.add_request(
                AnsweredRequest(
                    at=timestamp(moment),
                    route=route,
                    method=self.command,
                    path=path if route != "unknown" else first_folder(path),
                    status=reply.status,
                    outcome=reply.outcome,
                    provider_task_id=reply.provider_task_id,
                    task_id=reply.task_id,
                    runway_version=headers.get("x-runway-version"),
                    ms=round((time.monotonic() - begin) * 1000),
                )
            )
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


def first_folder(path: str) -> str:
    """Return what is recorded of an unknown path, the rest of which might be a token."""
    return "/" + path.split("/")[1]


def route_of(request: Request) -> tuple[str, Answer]:
    """Return a request's route and the function that answers it."""
    match request.method, request.path.split("/")[1:]:
        case "POST", ["runway", "pro", "act_one"]:
            return "create", create
        case "POST", ["runway", "feed"]:
            return "feed", feed
        case "GET" | "HEAD", ["media", _, _, *_]:
            return "media", media_reply
        case "GET" | "HEAD", ["inputs", name] if name in INPUTS:
            return "input", lambda _, request: input_reply(name, request)
        case _, ["_simulator", *_]:
            return "inspection", inspect
        case "GET" | "HEAD", _ if request.path == SITE_PATH:
            return "site", lambda _, __: html_reply(200, "A provider, simulated", "site")
        case _:
            return "unknown", lambda _, __: redirect_to_site("no_such_route")
