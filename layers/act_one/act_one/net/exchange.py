"""One paid HTTP exchange whose outcome is never guessed: connecting and sending are separate steps.

``requests`` raises one ``ConnectionError`` for a reset during the TLS handshake and for one after
the whole request was received. Around a call that costs money these are two different things, so
this makes its own connection: a new one each time, without redirects or retries, and with one
wall-clock bound on all of it.
"""

import ssl
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
MAX_REPLY_OVERHEAD_BYTES: Final = 8_388_608
"""More than ``http.client`` takes for a head, so that no whole reply is lost to this bound."""


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
                content = response.read(MAX_REPLY_BYTES + 1)
                missing = response.length
        except (OSError, HTTPException, ValueError) as error:
            raise NoReplyError(type(error).__name__) from error
    if missing or len(content) > MAX_REPLY_BYTES:
        raise NoReplyError("the reply was cut off or too long")
    names = {name.lower(): value for name, value in response.getheaders()}
    return Reply(status=response.status, headers=names, body=content)
