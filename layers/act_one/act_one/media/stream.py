"""A stream of bytes that a format's parser reads, wherever the bytes come from.

A parser is a generator. It takes or skips bytes of the ``Stream`` and yields when it needs more
input; its caller then feeds the stream and resumes the parser. ``probe.Scan`` feeds a download as
it arrives, ``probe.probe`` reads only the ranges of a remote file that the parser doesn't skip.
"""

import sys
from collections.abc import Generator
from typing import Final

from act_one.media.facts import MediaFileError

MAX_PARTS: Final = 65_536
"""How many parts of a file are parsed, as ``Stream.has_part`` counts them."""
MAX_CHILDREN: Final = 128
"""Boxes or elements read inside one box or element."""

type Parser[T] = Generator[None, None, T]
"""Yields whenever it needs more input, and returns its result."""


class Stream:
    """The bytes of one file, in order.

    ``size`` is the file's size in bytes, if known: a file whose structure extends beyond its size
    is then refused at once.
    """

    __slots__ = ("_buffer", "_parts_left", "ended", "needed", "position", "size", "to_skip")

    def __init__(self, size: int | None = None) -> None:
        self.size = size
        self.position = 0
        """Offset of the next byte to take."""
        self.to_skip = 0
        """How many of the bytes that come next the parser skips; they need not be fed."""
        self.needed = 0
        """How many more bytes the parser needs before it can go on."""
        self.ended = False
        """Set by the caller when there is no more input."""
        self._buffer = bytearray()
        self._parts_left = MAX_PARTS

    def has_part(self, count: int = 1) -> bool:
        """Return whether ``count`` more parts of the file may be parsed, and count them.

        Every loop over the file's content asks first: a part is whatever costs a turn, such as a
        box, an element, a segment, a fill byte or an entry. What follows the last part that is
        allowed isn't checked.
        """
        self._parts_left -= count
        return self._parts_left >= 0

    def feed(self, data: bytes | memoryview) -> None:
        """Add the next bytes of the file."""
        if self.to_skip:
            skipped = min(self.to_skip, len(data))
            self.to_skip -= skipped
            data = memoryview(data)[skipped:]
        self._buffer += data

    def peek(self, count: int) -> Parser[bytes]:
        """Return the next ``count`` bytes without taking them; fewer only at the file's end."""
        while len(self._buffer) < count and not self.ended:
            self.needed = count - len(self._buffer)
            yield
        return bytes(self._buffer[:count])

    def take(self, count: int) -> Parser[bytes]:
        """Take the next ``count`` bytes. Raises ``media_cut_off`` if there are fewer."""
        self.must_reach(self.position + count)
        data = yield from self.peek(count)
        if len(data) < count:
            raise self.cut_off()
        del self._buffer[:count]
        self.position += count
        return data

    def take_available(self) -> Parser[bytes]:
        """Take the bytes that have arrived, at least one; empty at the file's end."""
        yield from self.peek(1)
        data = bytes(self._buffer)
        self._buffer.clear()
        self.position += len(data)
        return data

    def take_up_to(self, limit: int, count: int | None) -> Parser[bytes | None]:
        """Take ``count`` bytes (None: the rest); if that is more than ``limit``, skip them.

        Returns None if they were skipped.
        """
        if count is None:
            return (yield from self._take_rest(limit))
        if count <= limit:
            return (yield from self.take(count))
        yield from self.skip(count)
        return None

    def _take_rest(self, limit: int) -> Parser[bytes | None]:
        data = bytearray()
        while len(data) <= limit:
            piece = yield from self.take_available()
            if not piece:
                return bytes(data)
            data += piece
        yield from self.skip_rest()
        return None

    def skip(self, count: int) -> Parser[None]:
        """Skip ``count`` bytes. Raises ``media_cut_off`` if there are fewer."""
        self.must_reach(self.position + count)
        self.to_skip = max(0, count - len(self._buffer))
        del self._buffer[:count]
        self.position += count
        while self.to_skip and not self.ended:
            self.needed = 0
            yield
        if self.to_skip:
            self.position -= self.to_skip
            raise self.cut_off()

    def skip_rest(self) -> Parser[None]:
        """Skip to the file's end."""
        self.position += len(self._buffer)
        self._buffer.clear()
        self.to_skip = sys.maxsize
        while not self.ended:
            self.needed = 0
            yield
        self.position += sys.maxsize - self.to_skip
        self.to_skip = 0

    def must_reach(self, offset: int) -> None:
        """Raise ``media_cut_off`` if the file is known to end before ``offset``."""
        if self.size is not None and offset > self.size:
            raise self.cut_off()

    def cut_off(self) -> MediaFileError:
        """Return the error for a file that ends too early."""
        end = self.position + len(self._buffer) if self.ended else self.size
        where = "" if end is None else f" after {end:,} bytes"
        return MediaFileError("media_cut_off", f"it is cut off{where}")
