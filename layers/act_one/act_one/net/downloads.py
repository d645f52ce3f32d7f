"""Downloads from addresses that others chose, and calls to them.

A name is resolved once, all of its addresses must be public, and only those are connected to; TLS
verifies the name, and each redirect is checked in the same way. Whatever the peer does, a download
ends within its time and holds no more memory than one read asks for. Connections are not reused:
they may have died while the process was frozen.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from http.client import HTTPException
from time import monotonic
from typing import Final, Self, override

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HeaderParsingError
from urllib3.util.response import assert_header_parsing

from act_one.net.addresses import Policy
from act_one.net.dialing import DialError, connect, describe, public_authorities
from act_one.net.response import (
    BadResponseError,
    DeadlineError,
    Response,
    Source,
    TooSlowError,
)
from act_one.net.sending import send, write_head
from act_one.net.urls import UnsafeAddressError, parse_url, redirect_url

__all__ = ["Download", "PeerError", "Policy", "UnsafeAddressError", "get", "request", "session"]

MEDIA_CONNECT_SECONDS: Final = 10.0
"""For resolving, connecting and TLS together."""
SILENCE_SECONDS: Final = 15.0
"""How long a peer may send nothing."""
MIN_BYTES_PER_SECOND: Final = 65_536
SPEED_SECONDS: Final = 30.0
"""The window in which a body must keep that speed; the time between reads doesn't count."""
MAX_REDIRECTS: Final = 3
MAX_OVERHEAD_BYTES: Final = 65_536
"""For the head with all interim responses, and again around the chunks of each read."""

_HEADERS: Final = {"User-Agent": "act-one", "Accept": "*/*", "Accept-Encoding": "identity"}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class PeerError(Exception):
    """A peer doesn't give what was asked for; the message holds no query string.

    ``code`` is ``unreachable`` (no complete, valid head of a response came), or, of the body,
    ``encoded`` (compressed, although that was not asked for), ``too_large``, ``too_slow`` or
    ``cut_off``. ``certain``: the name has no address, or the host refuses connections.
    """

    def __init__(self, code: str, message: str, *, certain: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.certain = certain


def session(policy: Policy, tls: ssl.SSLContext | None = None) -> requests.Session:
    """Build a session that reaches only what the policy allows.

    It trusts ``tls``, or the public authorities, uses no proxies and keeps no cookies.
    """
    return _Session(_CheckedAdapter(policy, tls or public_authorities()))


def request(
    method: str,
    url: str,
    http: requests.Session,
    *,
    seconds: float,
    max_bytes: int,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    redirects: int = MAX_REDIRECTS,
) -> "Download":
    """Send a request and read the head of the response, all within ``seconds`` of wall clock.

    GET and HEAD follow up to ``redirects`` redirects and send ``headers`` to each; with 0, and for
    other methods, a redirect is a response like any other. A body of more than ``max_bytes`` is an
    error when it is read. Raises ``UnsafeAddressError`` for what the session's policy refuses and
    ``PeerError`` for what the peer does.
    """
    ends_at = monotonic() + seconds
    followed = 0
    while True:
        to = parse_url(url)
        prepared = http.prepare_request(
            requests.Request(method, to.origin, headers=headers, data=body)
        )
        # requests would decode parts of the path, which breaks some signatures.
        prepared.url = str(to)
        left = ends_at - monotonic()
        response = http.send(prepared, stream=True, timeout=left, allow_redirects=False)
        location = response.headers.get("location")
        following = redirects and method in {"GET", "HEAD"}
        if not following or response.status_code not in _REDIRECTS or location is None:
            return Download(response, ends_at=ends_at, max_bytes=max_bytes)
        response.close()
        if followed == redirects:
            message = f"it redirects more than {redirects} times"
            raise UnsafeAddressError("redirects", message)
        followed += 1
        url = redirect_url(response.url, location)


def get(url: str, http: requests.Session, *, seconds: float, max_bytes: int) -> "Download":
    """GET a URL; see ``request``."""
    return request("GET", url, http, seconds=seconds, max_bytes=max_bytes)


class Download:
    """A response whose body is still to be read; a context manager that closes the connection."""

    def __init__(self, response: requests.Response, *, ends_at: float, max_bytes: int) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.length = _announced(response.headers)
        """The body's announced length in bytes; None if there is none."""
        self.count = 0
        """Bytes of the body read so far."""
        self._response = response
        self._bodiless = response.request.method == "HEAD" or self.status in {204, 304}
        self._ends_at = ends_at
        self._max_bytes = max_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    def read(self, amount: int) -> bytes:
        """Read ``amount`` bytes, fewer only at the end. Raises ``PeerError``."""
        piece = self._read(self._response.raw.read, amount)
        if len(piece) < amount:
            self._check_end()
        return piece

    def read1(self, amount: int) -> bytes:
        """Read what has come, at least one byte and at most ``amount``; ``b""`` at the end.

        Raises ``PeerError``.
        """
        piece = self._read(self._response.raw.read1, amount)
        if not piece:
            self._check_end()
        return piece

    def _read(self, read: Callable[[int], bytes], amount: int) -> bytes:
        if self._bodiless:
            return b""
        if not self.count:
            self._check_announced()
        try:
            # One byte more than allowed, so that too long a body fails as soon as it is.
            piece = read(min(amount, self._max_bytes + 1 - self.count))
        except DeadlineError:
            message = f"time ran out after {self._so_far()}"
            raise PeerError("too_slow", message) from None
        except TooSlowError as error:
            raise PeerError("too_slow", f"{error}, after {self._so_far()}") from None
        except TimeoutError:
            silence = f"nothing came for {SILENCE_SECONDS:g} s"
            raise PeerError("cut_off", f"{silence} after {self._so_far()}") from None
        except (OSError, HTTPException) as error:
            raise PeerError("cut_off", f"{_reason(error)} after {self._so_far()}") from None
        self.count += len(piece)
        if self.count > self._max_bytes:
            raise PeerError("too_large", f"it has more than {self._max_bytes:,} bytes")
        return piece

    def _check_end(self) -> None:
        if not self._bodiless and self.length not in {None, self.count}:
            raise PeerError("cut_off", f"only {self._so_far()} came")

    def _check_announced(self) -> None:
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            message = f"its body is encoded as {encoding[:40]!r}, which was not asked for"
            raise PeerError("encoded", message)
        if self.length is not None and self.length > self._max_bytes:
            raise PeerError("too_large", f"it announces {self.length:,} bytes")

    def _so_far(self) -> str:
        of_all = "" if self.length is None else f" of {self.length:,}"
        return f"{self._response.raw.tell():,}{of_all} bytes"


def _announced(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (text.isascii() and text.isdigit()):
        return None
    return int(text)


# ── The transport under requests ──────────────────────────────────────────────────────────────


class _Session(requests.Session):
    """A session whose redirects are left to ``request``, which checks where they lead."""

    def __init__(self, adapter: "_CheckedAdapter") -> None:
        super().__init__()
        self.trust_env = False
        self.headers = CaseInsensitiveDict(_HEADERS)
        for scheme in ("https://", "http://"):
            self.mount(scheme, adapter)

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _CheckedAdapter(BaseAdapter):
    """Sends each request over a new connection; ``timeout`` bounds all of it, in wall clock."""

    def __init__(self, policy: Policy, tls: ssl.SSLContext) -> None:
        super().__init__()
        self._policy = policy
        self._tls = tls

    @override
    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        verify: object = True,
        cert: object = None,
        proxies: object = None,
    ) -> requests.Response:
        seconds = timeout if isinstance(timeout, int | float) else SILENCE_SECONDS
        ends_at = monotonic() + seconds
        try:
            answer = self._exchange(request, ends_at)
        except DialError as error:
            raise PeerError("unreachable", str(error), certain=error.certain) from None
        except TimeoutError:
            late = monotonic() >= ends_at
            waited = "in the time allowed" if late else f"for {SILENCE_SECONDS:g} s"
            raise PeerError("unreachable", f"no response came {waited}") from None
        except (OSError, HTTPException) as error:
            raise PeerError("unreachable", f"no response: {_reason(error)}") from None
        return _as_requests_has_it(request, answer)

    def _exchange(self, request: requests.PreparedRequest, ends_at: float) -> Response:
        """Send a request and read the head of its response."""
        method = request.method or "GET"
        body = request.body if isinstance(request.body, bytes) else b""
        to = parse_url(request.url or "")
        self._policy.check_url(to)
        connect_by = min(ends_at, monotonic() + MEDIA_CONNECT_SECONDS)
        with connect(to, connect_by, self._tls, self._policy) as connected:
            send(write_head(connected, method, to, request.headers), body, ends_at)
            source = Source(
                connected,
                ends_at=ends_at,
                max_overhead_bytes=MAX_OVERHEAD_BYTES,
                max_silence_seconds=SILENCE_SECONDS,
                min_bytes_per_second=MIN_BYTES_PER_SECOND,
                speed_seconds=SPEED_SECONDS,
            )
            answer = Response(source, method)
            try:
                answer.begin()
                _check_head(answer)
            except BaseException:
                answer.close()
                raise
        return answer

    @override
    def close(self) -> None:
        """Do nothing: no connection is kept."""


def _as_requests_has_it(request: requests.PreparedRequest, answer: Response) -> requests.Response:
    response = requests.Response()
    response.request, response.url, response.raw = request, request.url or "", answer
    response.status_code, response.reason = answer.status, answer.reason
    for name, value in answer.headers.items():
        earlier = response.headers.get(name)
        response.headers[name] = value if earlier in {None, value} else f"{earlier}, {value}"
    return response


def _check_head(answer: Response) -> None:
    """Refuse a head that is incomplete or that two readers could understand differently."""
    if answer.hung_up:
        raise BadResponseError("the connection closed within its headers")
    try:
        assert_header_parsing(answer.msg)
    except HeaderParsingError:
        raise BadResponseError("its headers are malformed") from None
    lengths = set(answer.msg.get_all("content-length", []))
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise BadResponseError("its Content-Length is not one number")
    encodings = [value.lower() for value in answer.msg.get_all("transfer-encoding", [])]
    if encodings and encodings != ["chunked"]:
        raise BadResponseError("its Transfer-Encoding is not supported")


def _reason(error: OSError | HTTPException) -> str:
    return str(error) if isinstance(error, BadResponseError) else describe(error)
