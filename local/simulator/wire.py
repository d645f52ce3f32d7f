"""Sends a reply over a socket: whole, cut, slowly or never."""

import socket
import time
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from itertools import chain
from threading import Event

from local.simulator.content import pieces
from local.simulator.messages import Reply, body_stop, sent_stop

# A connection without a reply is held at most this long (s).
MAX_STALL_SECONDS = 300.0
# A slow reply is sent in this many pieces, or byte by byte if it is shorter.
SPREAD_PIECES = 500


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
