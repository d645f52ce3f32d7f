"""One paid HTTP exchange whose outcome is never guessed: connecting and sending are separate steps.

``requests`` raises one ``ConnectionError`` for a reset during the TLS handshake and for one after
the whole request was received. Around a call that costs money these are two different things, so
this makes its own connection: a new one each time, without redirects or retries, and with one
wall-clock bound on all of it.
"""

import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from time import monotonic
from typing import Final

from act_one.net.dialing import DialError, connect, public_authorities
from act_one.net.response import Response, Source
from act_one.net.sending import send, write_head
from act_one.net.urls import UnsafeAddressError, parse_url

PROVIDER_CONNECT_SECONDS: Final = 3.0
MAX_REPLY_BYTES: Final = 1_048_576
_PIECE_BYTES: Final = 65_536
_ANY_ZLIB: Final = 32 + zlib.MAX_WBITS
"""Window bits by which zlib recognises gzip and zlib headers."""
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
MAX_REPLY_OVERHEAD_BYTES: Final = 8_388_608
"""More than ``http.client`` takes for a head, so that no whole reply is lost to this bound."""


class NotSentError(Exception):
    """No byte of the request left: the name didn't resolve, connecting or TLS failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP reply; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReplyError(Exception):
    """The request may have been received, but no whole reply came back.

    ``partial`` is what came of the reply, if its head did: the id of a paid create may be in it.
    """

    def __init__(self, message: str, partial: Reply | None = None) -> None:
        super().__init__(message)
        self.partial = partial


def retry_after(text: str | None, now: float, *, longest: float) -> float | None:
    """Read a ``Retry-After`` header, seconds or a date, as seconds from now, at most ``longest``.

    None if there is no header or it can't be read.
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
    began_at = monotonic()
    ends_at = began_at + seconds
    connect_by = min(ends_at, began_at + PROVIDER_CONNECT_SECONDS)
    try:
        to = parse_url(url)
        connected = connect(to, connect_by, tls or public_authorities())
    except (UnsafeAddressError, DialError) as error:
        raise NotSentError(str(error)) from error
    with connected:
        try:
            asked = {"Accept-Encoding": "identity", **headers, "Content-Length": str(len(body))}
            request = write_head(connected, "POST", to, asked)
        except (HTTPException, ValueError) as error:
            raise NotSentError(type(error).__name__) from error
        try:
            send(request, body, ends_at)
            source = Source(connected, ends_at=ends_at, max_overhead_bytes=MAX_REPLY_OVERHEAD_BYTES)
            with Response(source, "POST") as response:
                response.begin()
                return _read_reply(response)
        except (OSError, HTTPException, ValueError) as error:
            raise NoReplyError(type(error).__name__) from error


def _read_reply(response: Response) -> Reply:
    """Read the body piece by piece, so that what came of a broken one is not lost."""
    content = bytearray()
    failure: str | None = None
    try:
        while len(content) <= MAX_REPLY_BYTES and (piece := response.read1(_PIECE_BYTES)):
            content += piece
    except (OSError, HTTPException, ValueError) as error:
        failure = type(error).__name__
    if failure is None and (response.length or len(content) > MAX_REPLY_BYTES):
        failure = "the reply was cut off or too long"
    headers = {name.lower(): value for name, value in response.getheaders()}
    body = _decoded(bytes(content[:MAX_REPLY_BYTES]), headers.get("content-encoding", ""))
    reply = Reply(status=response.status, headers=headers, body=body)
    if failure is not None:
        raise NoReplyError(failure, reply)
    return reply


def _decoded(body: bytes, encoding: str) -> bytes:
    """Decompress a body that was compressed though it was asked for as it is."""
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        return body
    for window in (_ANY_ZLIB, _RAW_DEFLATE):
        try:
            return zlib.decompressobj(window).decompress(body, MAX_REPLY_BYTES)
        except zlib.error:
            continue
    return body
