"""Replies, and putting them on a connection: whole, cut, spread thin or never finished."""

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

# A reply that never comes is held this long at most (s), so that nothing is held for ever.
LONGEST_STALL = 300.0
# Into how many pieces a reply that takes its time is divided, unless it has fewer bytes.
SPREAD_PIECES = 500


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, its body read to the end. Header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and how.

    - `status`: None sends not a single byte;
    - `outcome`: the word for it in the record of requests;
    - `start`, `stop`: the part of the content that is the body (`stop` None: to its end);
    - `framing`: how the client learns where the body ends: its length, chunks, or the
      connection's end;
    - `cut_after`: so many bytes of the body are sent instead of all of them;
    - `spread_seconds`: how long sending takes, a byte at a time when the reply is short;
    - `ending`: keep the connection, hang up, or hold it and say nothing more.
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
    """The JSON document of a request. Raises ValueError."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def json_reply(status: int, document: object, outcome: str, headers: Headers = ()) -> Reply:
    """A JSON document."""
    content = Content(json.dumps(document, ensure_ascii=False).encode())
    return Reply(status, outcome, content, headers=headers)


def html_reply(status: int, title: str, outcome: str, headers: Headers = ()) -> Reply:
    """A page as a proxy or a web site answers it."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
        f"<body><center><h1>{title}</h1></center><hr></body></html>\n"
    )
    return Reply(status, outcome, Content(page.encode()), "text/html; charset=utf-8", headers)


class OpenSockets:
    """The connections that are open now, so that closing can end them all."""

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._lock = Lock()

    def add(self, connection: socket.socket) -> None:
        """Remembers a connection until it is discarded."""
        with self._lock:
            self._sockets.add(connection)

    def discard(self, connection: socket.socket) -> None:
        """Forgets a connection; nothing happens if it isn't known."""
        with self._lock:
            self._sockets.discard(connection)

    def hang_up(self) -> None:
        """Ends every connection; whoever waits on one is woken."""
        with self._lock:
            for connection in self._sockets:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was faster


def send(connection: socket.socket, reply: Reply, method: str, closing: Event) -> bool:
    """Sends a reply as it says; tells whether the connection can serve another request.

    Raises OSError when the client is gone. Stops early when `closing` is set.
    """
    if reply.status is not None:
        head = head_of(reply, reply.status)
        body = iter(()) if method == "HEAD" else body_of(reply)
        # Head and first piece in one packet: apart they'd wait for each other's acknowledgement.
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
    """The status line and the headers."""
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
    """As much of the body as is sent."""
    body = pieces(reply.content, reply.start, sent_stop(reply))
    if reply.framing != "chunked":
        yield from body
        return
    for piece in body:
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    if reply.cut_after is None:
        yield b"0\r\n\r\n"


def body_stop(reply: Reply) -> int:
    """Where in the content the body ends."""
    return length(reply.content) if reply.stop is None else reply.stop


def sent_stop(reply: Reply) -> int:
    """Where in the content the body is cut, its end if it isn't."""
    stop = body_stop(reply)
    return stop if reply.cut_after is None else min(reply.start + reply.cut_after, stop)


def reason_phrase(status: int) -> str:
    """The words after the status; statuses of proxies have none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def resized(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes, `size` at a time."""
    for part in parts:
        for start in range(0, len(part), size):
            yield part[start : start + size]


def hold(connection: socket.socket, closing: Event) -> None:
    """Says nothing until the client hangs up, the simulator closes or 300 s are over."""
    end = time.monotonic() + LONGEST_STALL
    connection.settimeout(0.2)
    while time.monotonic() < end and not closing.is_set():
        try:
            if not connection.recv(1, socket.MSG_PEEK):
                return
            closing.wait(0.2)  # one more request on this connection: it waits as well
        except TimeoutError:
            continue
