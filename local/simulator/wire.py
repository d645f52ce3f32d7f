"""Requests and replies, and sending a reply: whole, cut, slowly or never."""

import json
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from itertools import chain
from threading import Event, Lock
from typing import Literal

from local.simulator.content import EMPTY, Content, length, pieces

type Headers = tuple[tuple[str, str], ...]

# A connection without a reply is held at most this long (s).
MAX_STALL_SECONDS = 300.0
# A slow reply is sent in this many pieces, or byte by byte if it is shorter.
SPREAD_PIECES = 500


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with its body. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply and how to send it.

    - `status`: None sends nothing;
    - `outcome`: the `outcome` in the record of requests;
    - `start`, `stop`: the part of the content that is the body (`stop` None: to its end);
    - `framing`: what marks the end of the body: its length, chunks, or the connection's end;
    - `cut_after`: how many bytes of the body are sent, None for all;
    - `spread_seconds`: how long sending takes;
    - `ending`: keep the connection open, hang up, or hold it and send nothing more.
    """

    status: int | None
    outcome: str
    content: Content = EMPTY
    content_type: str = "application/json"
    headers: Headers = ()
    start: int = 0
    stop: int | None = None
    framing: Literal["length", "chunked", "close"] = "length"
    cut_after: int | None = None
    spread_seconds: float = 0
    ending: Literal["keep", "hang_up", "stall"] = "keep"
    provider_task_id: str | None = None
    task_id: str | None = None


def json_of(body: bytes) -> object:
    """Parse the JSON body of a request. Raises ValueError."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def json_reply(status: int, document: object, outcome: str, headers: Headers = ()) -> Reply:
    """Return a reply with a JSON document."""
    content = Content(json.dumps(document, ensure_ascii=False).encode())
    return Reply(status, outcome, content, headers=headers)


def html_reply(status: int, title: str, outcome: str, headers: Headers = ()) -> Reply:
    """Return an HTML page like those of proxies and web sites."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
        f"<body><center><h1>{title}</h1></center><hr></body></html>\n"
    )
    return Reply(status, outcome, Content(page.encode()), "text/html; charset=utf-8", headers)


class OpenSockets:
    """The open connections, so that closing can end all of them."""

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._lock = Lock()

    def add(self, connection: socket.socket) -> None:
        """Add a connection."""
        with self._lock:
            self._sockets.add(connection)

    def discard(self, connection: socket.socket) -> None:
        """Remove a connection if it was added."""
        with self._lock:
            self._sockets.discard(connection)

    def hang_up(self) -> None:
        """Shut down every connection, which wakes the threads that wait on them."""
        with self._lock:
            for connection in self._sockets:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client has hung up already


def send(connection: socket.socket, reply: Reply, method: str, closing: Event) -> bool:
    """Send a reply; returns whether the connection can serve another request.

    Raises OSError if the client has hung up. Stops early when `closing` is set.
    """
    if reply.status is not None:
        head = head_of(reply, reply.status)
        body = iter(()) if method == "HEAD" else body_of(reply)
        # One packet for head and first piece: two would cost a round trip.
        parts: Iterable[bytes] = chain([head + next(body, b"")], body)
        pause = 0.0
        if reply.spread_seconds:
            total = len(head) + sent_stop(reply) - reply.start
            size = max(1, total // SPREAD_PIECES)
            pause = reply.spread_seconds * size / total
            parts = resized(parts, size)
        for part in parts:
            connection.sendall(part)
            if pause and closing.wait(pause):
                return False
    if reply.ending == "stall" and (reply.status is None or method != "HEAD"):
        hold(connection, closing)
    return reply.ending == "keep" and reply.framing != "close"


def head_of(reply: Reply, status: int) -> bytes:
    """Return the status line and headers."""
    lines = [
        f"HTTP/1.1 {status} {reason_phrase(status)}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {reply.content_type}",
        *(f"{name}: {text}" for name, text in reply.headers),
    ]
    if reply.framing == "length":
        lines.append(f"Content-Length: {body_stop(reply) - reply.start}")
    elif reply.framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    if reply.framing == "close" or reply.ending != "keep":
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def body_of(reply: Reply) -> Iterator[bytes]:
    """Yield the part of the body that is sent."""
    body = pieces(reply.content, reply.start, sent_stop(reply))
    if reply.framing != "chunked":
        yield from body
        return
    for piece in body:
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    if reply.cut_after is None:
        yield b"0\r\n\r\n"


def body_stop(reply: Reply) -> int:
    """Return the offset in the content where the body ends."""
    return length(reply.content) if reply.stop is None else reply.stop


def sent_stop(reply: Reply) -> int:
    """Return the offset in the content where the body is cut, or its end."""
    stop = body_stop(reply)
    return stop if reply.cut_after is None else min(reply.start + reply.cut_after, stop)


def reason_phrase(status: int) -> str:
    """Return the reason phrase; empty for statuses that only proxies use."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def resized(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes, `size` at a time."""
    for part in parts:
        for start in range(0, len(part), size):
            yield part[start : start + size]


def hold(connection: socket.socket, closing: Event) -> None:
    """Wait until the client hangs up, the simulator closes or 300 s have passed."""
    end = time.monotonic() + MAX_STALL_SECONDS
    connection.settimeout(0.2)
    while time.monotonic() < end and not closing.is_set():
        try:
            if not connection.recv(1, socket.MSG_PEEK):
                return
            closing.wait(0.2)  # there is another request on this connection, which waits too
        except TimeoutError:
            continue
