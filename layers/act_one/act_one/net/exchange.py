"""One HTTP exchange whose outcome is never guessed: connecting and sending are separate steps.

``requests`` raises one ``ConnectionError`` for a reset during the TLS handshake and for one after
the whole request was received. Around a call that costs money these are two different things, so
this talks over a connection of its own: fresh each time, no redirects, no retries, and one
wall-clock bound on all of it, however slowly the peer dribbles.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import certifi

from act_one.net.dialing import DialError, dial, resolve

CONNECT_SECONDS: Final = 3.0
MAX_REPLY_BYTES: Final = 1_048_576


class NotSentError(Exception):
    """No byte of the request left: the name didn't resolve, connecting or TLS failed."""


class NoReplyError(Exception):
    """The request may have been received, but no whole reply came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole HTTP reply; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@cache
def trusted() -> ssl.SSLContext:
    """Trust the public authorities, read once per process."""
    return ssl.create_default_context(cafile=certifi.where())


def retry_after(text: str | None, now: float, *, longest: float) -> float | None:
    """Read a ``Retry-After`` header, seconds or a date: seconds from now, at most ``longest``.

    None for no header, or one that makes no sense.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), longest)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now), longest)


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """POST once, within ``seconds`` of wall clock for everything.

    Raises ``NotSentError`` when not a byte of the request was sent and ``NoReplyError`` when one
    may have been, so that only the first may be tried again.
    """
    target = urlsplit(url)
    ends_at = monotonic() + seconds
    connected = _connect(url, min(CONNECT_SECONDS, seconds), tls or trusted())
    with _closing_at(ends_at, connected):
        connection = http.client.HTTPConnection(target.netloc)
        connection.sock = connected
        path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
        _write_head(connection, path, {**headers, "Content-Length": str(len(body))})
        try:
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read(MAX_REPLY_BYTES + 1)
            expected = response.length
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoReplyError(type(error).__name__) from error
    if expected or len(content) > MAX_REPLY_BYTES or monotonic() >= ends_at:
        message = "the reply was cut off, endless or too slow"
        raise NoReplyError(message)
    names = {name.lower(): value for name, value in response.getheaders()}
    return Reply(status=response.status, headers=names, body=content)


def _write_head(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]
) -> None:
    """Put the head together; it leaves with `endheaders`, so what is no header is never sent."""
    try:
        connection.putrequest("POST", path, skip_accept_encoding=True)
        connection.putheader("Accept-Encoding", "identity")
        for name, value in headers.items():
            connection.putheader(name, value)
    except (http.client.HTTPException, ValueError) as error:
        raise NotSentError(type(error).__name__) from error


def _connect(url: str, seconds: float, tls: ssl.SSLContext) -> socket.socket:
    target = urlsplit(url)
    if target.hostname is None:
        message = f"{url!r} has no host"
        raise NotSentError(message)
    secure = target.scheme == "https"
    ends_at = monotonic() + seconds
    try:
        port = target.port or (443 if secure else 80)
        connected = dial(resolve(target.hostname, port, ends_at), ends_at)
        if not secure:
            return connected
        connected = tls.wrap_socket(
            connected, server_hostname=target.hostname, do_handshake_on_connect=False
        )
        with _shutting_down_at(ends_at, connected):
            connected.do_handshake()
    except DialError as error:
        raise NotSentError(str(error)) from error
    except (OSError, ValueError) as error:
        raise NotSentError(type(error).__name__) from error
    return connected


@contextmanager
def _shutting_down_at(ends_at: float, connected: socket.socket) -> Iterator[None]:
    """Cut a connection at a moment: a socket's own time-out bounds each read, not the whole."""
    watchdog = threading.Timer(max(0.0, ends_at - monotonic()), _shut_down, [connected])
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


@contextmanager
def _closing_at(ends_at: float, connected: socket.socket) -> Iterator[None]:
    connected.settimeout(max(0.001, ends_at - monotonic()))
    try:
        with _shutting_down_at(ends_at, connected):
            yield
    finally:
        connected.close()


def _shut_down(connected: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown, which would take the TLS state from under the reading thread.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return
