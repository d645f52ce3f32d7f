"""HTTP in, replies out: one thread for each connection, on 127.0.0.1 only."""

import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local.simulator.clock import now
from local.simulator.create import SITE_PATH, create, to_the_site
from local.simulator.feed import feed
from local.simulator.inspection import inspect
from local.simulator.ledger import AnsweredRequest, timestamp
from local.simulator.media import INPUTS, input_reply, media_reply
from local.simulator.simulation import Simulation
from local.simulator.wire import Reply, Request, html_reply, json_reply, send

LARGEST_REQUEST = 1_000_000  # bytes

type Answer = Callable[[Simulation, Request], Reply]


class ProviderServer(ThreadingHTTPServer):
    """The listening socket and its connections. `simulation` is set before it serves."""

    daemon_threads = True
    request_queue_size = 256
    simulation: Simulation

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is daily business; anything else is a bug to be seen."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Connection(BaseHTTPRequestHandler):
    """One connection and the requests that come over it."""

    protocol_version = "HTTP/1.1"
    timeout = 75  # s without a request until the connection is closed, as the gateway does
    disable_nagle_algorithm = True
    server: ProviderServer
    connection: socket.socket

    def setup(self) -> None:
        """Registers the connection, so that closing the simulator ends it."""
        super().setup()
        self.server.simulation.sockets.add(self.connection)

    def finish(self) -> None:
        """The other end of `setup`."""
        self.server.simulation.sockets.discard(self.connection)
        super().finish()

    def answer(self) -> None:
        """Reads one request to its end, answers it and writes it down."""
        simulation = self.server.simulation
        moment, begin = now(), time.monotonic()
        body = self.read_body()
        path, _, query = self.path.partition("?")
        headers = {name.lower(): text for name, text in self.headers.items()}
        if body is None:
            route = "unknown"
            error = {"error": "send at most 1 MB, with its length"}
            reply = replace(json_reply(413, error, "too_large"), ending="hang_up")
        else:
            request = Request(self.command, path, query, headers, body)
            route, answer = route_of(request)
            reply = answer(simulation, request)
        if route != "inspection":
            # Before the reply is sent: whoever has it can read about it.
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
        stays = send(self.connection, reply, self.command, simulation.closing)
        if not stays:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 (names of the base)

    def read_body(self) -> bytes | None:
        """The request's body; None when it is too large or its length isn't told."""
        if "transfer-encoding" in self.headers:
            return None
        length = self.headers.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > LARGEST_REQUEST:
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client hung up before its request was complete")
        return body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of the base)
        """Nothing: the ledger has it all, without secrets."""


def first_folder(path: str) -> str:
    """What is written down of a path that leads nowhere: the rest of it might be a token."""
    return "/" + path.split("/")[1]


def route_of(request: Request) -> tuple[str, Answer]:
    """The name of the route that a request goes to, and the function that answers it."""
    match request.method, request.path.split("/")[1:]:
        case "POST", ["runway", "pro", "act_one"]:
            return "create", create
        case "POST", ["runway", "feed"]:
            return "feed", feed
        case "GET" | "HEAD", ["media", _, _, *_]:
            return "media", media_reply
        case "GET" | "HEAD", ["inputs", name] if name in INPUTS:
            return "input", lambda _, asked: input_reply(name, asked)
        case _, ["_simulator", *_]:
            return "inspection", inspect
        case "GET" | "HEAD", _ if request.path == SITE_PATH:
            return "site", lambda _, __: html_reply(200, "A provider, simulated", "site")
        case _:
            return "unknown", lambda _, __: to_the_site("no_such_route")
