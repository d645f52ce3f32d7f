"""Reading one HTTP/1.1 response from a peer that may misbehave.

``http.client`` parses; what it parses from is bounded. Each receive ends by a deadline, and a peer
can't make us hold more than the caller asked for, with endless headers, chunks of negative length
or a flood of interim responses.
"""

import io
import math
import socket
from collections import deque
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, override

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MARKS_PER_WINDOW: Final = 30


class DeadlineError(TimeoutError):
    """The time for the whole response is over."""


class TooSlowError(Exception):
    """The body came more slowly than the limits ask for; the message gives its speed."""


class BadResponseError(HTTPException):
    """The peer breaks the rules of HTTP; the message says which and doesn't quote the peer."""


class Response(HTTPResponse):
    """An ``HTTPResponse`` read from a ``Source``, within its bounds.

    Raises ``DeadlineError``, ``TimeoutError`` (the peer was silent), ``TooSlowError``, ``OSError``
    and ``HTTPException``. A body that is cut off is an error only if it is chunked; for one with a
    ``Content-Length``, ``length`` is what is missing.
    """

    def __init__(self, source: "Source", method: str) -> None:
        super().__init__(source, method=method)  # type: ignore[arg-type]  # calls only makefile()
        self._source = source
        self._head_bytes = 0
        self._chunked_bytes = 0

    @property
    def hung_up(self) -> bool:
        """Whether the peer has closed its side of the connection."""
        return self._source.ended

    @override
    def begin(self) -> None:
        """Read the head."""
        super().begin()
        self._head_bytes = self.fp.tell()
        self._source.begin_body(self._head_bytes)

    @override
    def tell(self) -> int:
        """Count the bytes of the body that came, even if a read that failed has lost some."""
        return self._chunked_bytes if self.chunked else self._source.received - self._head_bytes

    @override
    def read(self, amt: int | None = None) -> bytes:
        """Read ``amt`` bytes of the body, fewer only at its end; none if ``amt`` is None."""
        amount = amt or 0
        if not self.chunked:
            self._source.allow(amount)
            return super().read(amount)
        taken = bytearray()
        while len(taken) < amount and (piece := self.read1(amount - len(taken))):
            taken += piece
        return bytes(taken)

    @override
    def read1(self, n: int = -1) -> bytes:
        """Read some of the body, at most ``n`` bytes and one chunk."""
        self._source.allow(n)
        piece = super().read1(n)
        if self.chunked and (self.chunk_left or 0) < 0:
            raise BadResponseError("a chunk of negative length")
        self._chunked_bytes += len(piece)
        return piece


class Source(io.RawIOBase):
    """The bytes that a peer sends, bounded in time, size and speed.

    ``ends_at``, a time of ``monotonic``, ends the whole response. ``max_overhead_bytes`` is for
    the head with all interim responses, and again for what is around the chunks of each read. The
    body, its chunk framing included, must come with ``min_bytes_per_second`` in each window of
    ``speed_seconds``; the time between reads doesn't count.
    """

    def __init__(
        self,
        connected: socket.socket,
        *,
        ends_at: float,
        max_overhead_bytes: int,
        max_silence_seconds: float = math.inf,
        min_bytes_per_second: float = 0.0,
        speed_seconds: float = math.inf,
    ) -> None:
        super().__init__()
        self.received = 0
        self.ended = False
        self._connected = connected
        self._raw = connected.makefile("rb", buffering=0)  # keeps the connection open
        self._ends_at = ends_at
        self._max_overhead_bytes = max_overhead_bytes
        self._max_silence_seconds = max_silence_seconds
        self._min_bytes_per_second = min_bytes_per_second
        self._speed_seconds = speed_seconds
        self._timeout = 0.0
        self._in_head = True
        self._max_received = max_overhead_bytes
        self._waited = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        """Seconds waited and bytes received at moments of the last ``speed_seconds``."""
        self._next_mark = math.inf

    def makefile(self, _mode: Literal["rb"]) -> io.BufferedReader:
        """Return the buffered reader that ``HTTPResponse`` asks a socket for."""
        return io.BufferedReader(self)

    def begin_body(self, at: int) -> None:
        """Measure the speed from now on; the head was ``at`` bytes long."""
        self._in_head = False
        self._waited = self._next_mark = 0.0
        self._marks.append((0.0, at))

    def allow(self, amount: int) -> None:
        """Let ``amount`` more bytes of the body come, and the overhead around them."""
        self._max_received = self.received + amount + self._max_overhead_bytes

    @override
    def readable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        """Count what was received; ``BufferedReader`` subtracts what it still holds."""
        return self.received

    @override
    def readinto(self, buffer: "WriteableBuffer") -> int:
        began_at = monotonic()
        left = self._ends_at - began_at
        if left <= 0:
            raise DeadlineError
        seconds = min(self._max_silence_seconds, left)
        if seconds != self._timeout:  # setting one is a system call
            self._connected.settimeout(seconds)
            self._timeout = seconds
        try:
            count = self._connected.recv_into(buffer)
        except TimeoutError:
            if seconds == left:
                raise DeadlineError from None
            raise
        self._waited += monotonic() - began_at
        self.received += count
        self.ended = not count
        if self.received > self._max_received:
            what = "headers" if self._in_head else "chunk sizes, extensions or trailers"
            raise BadResponseError(f"its {what} are too long")
        if count and self._waited >= self._next_mark:
            self._check_speed()
        return count

    def _check_speed(self) -> None:
        """Compare the speed since the oldest mark with the limit, and set a new mark."""
        window = self._speed_seconds
        while self._marks and (seconds := self._waited - self._marks[0][0]) >= window:
            _, before = self._marks.popleft()
            rate = (self.received - before) / seconds
            if rate < self._min_bytes_per_second:
                raise TooSlowError(f"{rate / 1_024:,.1f} KB/s over {seconds:.3g} s")
        self._marks.append((self._waited, self.received))
        self._next_mark = self._waited + window / _MARKS_PER_WINDOW

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()
