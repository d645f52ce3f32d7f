"""The only way out to an address that somebody else chose.

A name is resolved once, every address of it must be public, and one of just these is connected to,
with TLS still verified for the name; each redirect is checked the same way. Whatever the peer does
ends in the time that was given, and in no more memory than one read asks for. Connections are never
kept: one that was may have died while the process was frozen.
"""

import io
import math
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from time import monotonic
from typing import TYPE_CHECKING, Final, Self, override

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HeaderParsingError
from urllib3.util.response import assert_header_parsing

from act_one.net.addresses import Policy, Target, UnsafeAddressError, is_public, redirected, target
from act_one.net.dialing import DialError, dial, resolve
from act_one.net.exchange import trusted

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Download", "PeerError", "Policy", "UnsafeAddressError", "get", "request", "session"]

CONNECT_SECONDS: Final = 10.0
"""For resolving, connecting and TLS together."""
READ_SECONDS: Final = 15.0
"""How long a peer may send nothing."""
MIN_BYTES_PER_SECOND: Final = 65_536
SPEED_SECONDS: Final = 30.0
"""Over so long a body must not be slower than that, what is around its chunks included; time in
which nobody reads doesn't count."""
MAX_REDIRECTS: Final = 3
MAX_HEAD_BYTES: Final = 65_536
"""Of status line and headers, those of interim answers included."""
MAX_FRAMING_BYTES: Final = 65_536
"""What chunks may have around them in one read."""

_FOLLOWED: Final = frozenset({301, 302, 303, 307, 308})


class PeerError(Exception):
    """What was asked for can't be had from this peer now; the message holds no query string.

    ``code`` is ``unreachable`` (no whole, sensible head of an answer came), or of the body
    ``encoded`` (compressed, though asked for as it is), ``too_large``, ``too_slow`` or ``cut_off``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def session(policy: Policy, tls: ssl.SSLContext | None = None) -> requests.Session:
    """Build a session that reaches only what the policy allows.

    It trusts ``tls``, or the public authorities; it knows no proxies and keeps no cookies.
    """
    made = requests.Session()
    made.trust_env = False
    adapter = _CheckedAdapter(policy, tls or trusted())
    for scheme in ("https://", "http://", ""):
        made.mount(scheme, adapter)
    return made


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
    """Ask for a URL, the answer's body still to be read; all within ``seconds`` of wall clock.

    Of GET and HEAD so many redirects are followed, ``headers`` going to each; with 0, and for other
    methods, a redirect is an answer like any other. More than ``max_bytes`` of body are an error
    when they are read. Raises ``UnsafeAddressError`` for what the session's policy refuses and
    ``PeerError`` for what the peer does.
    """
    ends_at = monotonic() + seconds
    followed = 0
    while True:
        asked = requests.PreparedRequest()
        asked.method, asked.url, asked.body = method, url, body
        asked.headers = CaseInsensitiveDict(headers or {})
        left = ends_at - monotonic()
        response = http.get_adapter(url).send(asked, stream=True, timeout=left)
        location = response.headers.get("location")
        following = redirects and method in {"GET", "HEAD"}
        if not following or response.status_code not in _FOLLOWED or location is None:
            return Download(response, ends_at=ends_at, max_bytes=max_bytes)
        response.close()
        if followed == redirects:
            raise UnsafeAddressError(f"it redirects more than {redirects} times")
        followed += 1
        url = redirected(response.url, location)


def get(url: str, http: requests.Session, *, seconds: float, max_bytes: int) -> "Download":
    """GET a URL: short for ``request``."""
    return request("GET", url, http, seconds=seconds, max_bytes=max_bytes)


class Download:
    """An answer, its body still to be read; a context manager that hangs up at its end."""

    def __init__(self, response: requests.Response, *, ends_at: float, max_bytes: int) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.length = _announced(response.headers)
        """What was announced, in bytes; None if nothing was."""
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
        """Hang up."""
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
            # The byte that is one too many is an error as soon as it comes.
            piece = read(min(amount, self._max_bytes + 1 - self.count))
        except _LateError:
            raise PeerError("too_slow", f"{self._so_far()} came in the time there was") from None
        except _SlowError as error:
            message = f"{error}, when {self._so_far()} had come"
            raise PeerError("too_slow", message) from None
        except TimeoutError:
            silence = f"nothing came for {READ_SECONDS:g} s"
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
            message = f"its body comes as {encoding[:40]!r}, though asked for as it is"
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


# ── One exchange ──────────────────────────────────────────────────────────────────────────────


class _LateError(Exception):
    """The time for all of it is over."""


class _SlowError(Exception):
    """Too little comes; the message says how much."""


class _BrokenError(HTTPException):
    """The peer breaks the rules of HTTP; the message says which, in our words."""


class _CheckedAdapter(BaseAdapter):
    """Sends a request over a connection of its own; ``timeout`` is for all of the exchange."""

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
        seconds = timeout if isinstance(timeout, int | float) else READ_SECONDS
        ends_at = monotonic() + seconds
        to = target(request.url or "", self._policy)
        try:
            with _connect(to, self._policy, self._tls, ends_at) as connected:
                _send(connected, to, request, ends_at)
                answer = _answer(connected, request.method, ends_at)
        except (_LateError, TimeoutError):
            late = monotonic() >= ends_at
            silence = "in the time there was" if late else f"for {READ_SECONDS:g} s"
            raise PeerError("unreachable", f"no answer came {silence}") from None
        except (OSError, HTTPException) as error:
            raise PeerError("unreachable", f"no answer: {_reason(error)}") from None
        response = requests.Response()
        response.request, response.url, response.raw = request, to.url, answer
        response.status_code, response.reason = answer.status, answer.reason
        for name, value in answer.headers.items():
            earlier = response.headers.get(name)
            response.headers[name] = value if earlier in {None, value} else f"{earlier}, {value}"
        return response

    @override
    def close(self) -> None:
        """Nothing is kept."""


def _reason(error: OSError | HTTPException) -> str:
    """Say what went wrong, in no words of the peer's: it might echo what it was sent."""
    match error:
        case _BrokenError():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed ({error.reason})"
    return type(error).__name__


def _connect(
    to: Target, policy: Policy, tls: ssl.SSLContext, ends_at: float
) -> socket.socket | ssl.SSLSocket:
    """Connect to a public address of a host, and check over TLS that it is the host."""
    ends_at = min(ends_at, monotonic() + CONNECT_SECONDS)
    try:
        found = resolve(to.host, to.port, ends_at)
        if not policy.allow_private and not all(is_public(str(one[0])) for _, one in found):
            raise UnsafeAddressError(f"{to.host} is at an address that is not public")
        connected = dial(found, ends_at)
    except DialError as error:
        raise PeerError("unreachable", str(error)) from None
    if to.scheme == "http":
        return connected
    try:
        connected = tls.wrap_socket(
            connected, server_hostname=to.host, do_handshake_on_connect=False
        )
        connected.settimeout(max(0.001, ends_at - monotonic()))
        connected.do_handshake()
    except TimeoutError:
        connected.close()
        raise PeerError("unreachable", "TLS was not agreed on in time") from None
    except OSError:
        connected.close()
        raise
    return connected


def _send(
    connected: socket.socket, to: Target, request: requests.PreparedRequest, ends_at: float
) -> None:
    writing = HTTPConnection(to.host, to.port)
    writing.auto_open = 0
    writing.sock = connected
    body = request.body if isinstance(request.body, bytes) else b""
    ours = {
        "Host": to.authority,
        "User-Agent": "act-one",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }
    if request.body is not None:
        ours["Content-Length"] = str(len(body))
    writing.putrequest(request.method or "GET", to.path, skip_host=True, skip_accept_encoding=True)
    for name, value in CaseInsensitiveDict(ours | dict(request.headers)).items():
        writing.putheader(name, value)
    connected.settimeout(max(0.001, ends_at - monotonic()))
    writing.endheaders()
    for start in range(0, len(body), 16_384):
        connected.settimeout(max(0.001, ends_at - monotonic()))
        connected.sendall(body[start : start + 16_384])


def _answer(connected: socket.socket, method: str | None, ends_at: float) -> "_Answer":
    answer = _Answer(connected, method, ends_at)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer


class _Answer(HTTPResponse):
    """An answer of which no more is taken in than was asked for, and no nonsense."""

    def __init__(self, connected: socket.socket, method: str | None, ends_at: float) -> None:
        super().__init__(connected, method=method)
        self._line = _Line(self.fp.detach(), connected, ends_at)
        self.fp = io.BufferedReader(self._line)
        self._head_bytes = 0
        self._chunked_bytes = 0

    @override
    def begin(self) -> None:
        try:
            super().begin()
            assert_header_parsing(self.msg)
        except (HeaderParsingError, ValueError):
            raise _BrokenError("its headers make no sense") from None
        lengths = set(self.msg.get_all("content-length", []))
        if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            raise _BrokenError("the length it announces is none")
        encodings = [value.lower() for value in self.msg.get_all("transfer-encoding", [])]
        if encodings and encodings != ["chunked"]:
            raise _BrokenError("it sends its body in a way that nobody asked for")
        self._head_bytes = self.fp.tell()
        self._line.begin_body(self._head_bytes)

    @override
    def tell(self) -> int:
        """Count what came of the body, even if a read that failed has lost it."""
        return self._chunked_bytes if self.chunked else self._line.received - self._head_bytes

    @override
    def read(self, amt: int | None = None) -> bytes:
        """Read so much of the body, less only at its end; nothing unless one says how much."""
        amount = amt or 0
        if not self.chunked:
            self._line.allow(amount)
            return super().read(amount)
        taken = bytearray()
        while len(taken) < amount and (piece := self.read1(amount - len(taken))):
            taken += piece
        return bytes(taken)

    @override
    def read1(self, n: int = -1) -> bytes:
        """Read some of the body, of one chunk at most."""
        self._line.allow(n)
        piece = super().read1(n)
        if self.chunked and (self.chunk_left or 0) < 0:
            raise _BrokenError("a chunk of negative length")
        self._chunked_bytes += len(piece)
        return piece


_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class _Line(io.RawIOBase):
    """What a peer sends, as far as there is time and room for it, and it comes fast enough."""

    def __init__(self, raw: io.RawIOBase, connected: socket.socket, ends_at: float) -> None:
        super().__init__()
        self.received = 0
        self._raw = raw
        self._connected = connected
        self._ends_at = ends_at
        self._timeout = 0.0
        self._in_head = True
        self._room = MAX_HEAD_BYTES
        self._waited = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        self._next_mark = math.inf

    def begin_body(self, at: int) -> None:
        """Watch its speed from now on; ``at`` is where the head ended."""
        self._in_head = False
        self._waited = self._next_mark = 0.0
        self._marks.append((0.0, at))

    def allow(self, amount: int) -> None:
        """Let so much of a body come, and no more around it than is sensible."""
        self._room = self.received + amount + MAX_FRAMING_BYTES

    @override
    def readable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        """Count what was received; a ``BufferedReader`` subtracts what nobody read yet."""
        return self.received

    @override
    def readinto(self, buffer: "WriteableBuffer") -> int:
        began_at = monotonic()
        left = self._ends_at - began_at
        if left <= 0:
            raise _LateError
        seconds = min(READ_SECONDS, left)
        if seconds != self._timeout:  # to set one is a system call
            self._connected.settimeout(seconds)
            self._timeout = seconds
        try:
            count = self._connected.recv_into(buffer)
        except TimeoutError:
            if seconds == left:
                raise _LateError from None
            raise
        self._waited += monotonic() - began_at
        self.received += count
        if self.received > self._room:
            longer = "longer headers" if self._in_head else "more around its chunks"
            raise _BrokenError(f"it sends {longer} than anybody needs")
        if not count and self._in_head:
            raise _BrokenError("it hung up before its answer had begun")
        if count and self._waited >= self._next_mark:
            self._check_speed()
        return count

    def _check_speed(self) -> None:
        """Look at the last 30 s of waiting, by marks that are made once a second."""
        while self._marks and (seconds := self._waited - self._marks[0][0]) >= SPEED_SECONDS:
            _, before = self._marks.popleft()
            rate = (self.received - before) / seconds
            if rate < MIN_BYTES_PER_SECOND:
                raise _SlowError(f"{rate / 1_024:,.1f} KB/s over {seconds:.3g} s")
        self._marks.append((self._waited, self.received))
        self._next_mark = self._waited + SPEED_SECONDS / 30

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()
