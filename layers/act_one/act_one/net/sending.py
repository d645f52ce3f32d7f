"""Writing one HTTP/1.1 request, within a deadline."""

import socket
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Final

from act_one.net.dialing import set_deadline
from act_one.net.urls import Url

_PIECE_BYTES: Final = 16_384


def write_head(
    connected: socket.socket, method: str, url: Url, headers: Mapping[str, str]
) -> HTTPConnection:
    """Put a request's head together; ``send`` sends it.

    Raises ``ValueError`` or ``HTTPException`` for what is not a header.
    """
    writing = HTTPConnection(url.host, url.port)
    writing.auto_open = 0
    writing.sock = connected
    writing.putrequest(method, url.path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": url.authority, **headers}.items():
        writing.putheader(name, value)
    return writing


def send(writing: HTTPConnection, body: bytes, ends_at: float) -> None:
    """Send head and body before ``ends_at``, a time of ``monotonic``. Raises ``OSError``."""
    connected = writing.sock
    set_deadline(connected, ends_at)
    writing.endheaders()
    for start in range(0, len(body), _PIECE_BYTES):
        set_deadline(connected, ends_at)
        connected.sendall(body[start : start + _PIECE_BYTES])
