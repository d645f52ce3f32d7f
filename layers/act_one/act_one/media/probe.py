"""What a media file is: told while it streams by (``Scan``), or by a few ranged reads (``probe``).

Neither does any I/O, nor looks at pictures or sound: what is checked is that the container is
whole and holds a video or an image.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from act_one.media.images import gif, jpeg, png, webp
from act_one.media.mp4 import movie
from act_one.media.stream import (
    SNIFF_BYTES,
    MediaFacts,
    MediaFileError,
    Stream,
    Waits,
    sniff,
    wrong_type,
)
from act_one.media.webm import webm

FIRST_READ_BYTES: Final = 65_536
MAX_READS: Final = 12
MAX_READ_BYTES: Final = 4_194_304
_LONGEST_READ_BYTES: Final = 524_288

type Read = Callable[[int, int], bytes]
"""Reads that many bytes at an offset, fewer only where the file ends."""


class _Format(Protocol):
    def __call__(self, stream: Stream, media_type: str, *, whole: bool) -> Waits[MediaFacts]: ...


_FORMATS: Final[Mapping[str, _Format]] = {
    "video/mp4": movie,
    "video/quicktime": movie,
    "video/webm": webm,
    "image/png": png,
    "image/jpeg": jpeg,
    "image/webp": webp,
    "image/gif": gif,
}


def _walk(stream: Stream, *, whole: bool) -> Waits[MediaFacts]:
    head = yield from stream.peek(SNIFF_BYTES)
    media_type = sniff(head)
    if media_type is None or media_type not in _FORMATS:
        raise wrong_type(head)
    return (yield from _FORMATS[media_type](stream, media_type, whole=whole))


class Scan:
    """A file that streams by, checked on the way: feed it all, then finish.

    ``size`` is the length that was announced, if one was: what points beyond it is found at once.
    """

    def __init__(self, size: int | None = None) -> None:
        self._stream = Stream(size)
        self._walk = _walk(self._stream, whole=True)
        self._facts: MediaFacts | None = None
        self._failure: MediaFileError | None = None
        self._resume()

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes. Raises ``MediaFileError`` once the file is certain to be broken."""
        self._stream.bring(chunk)
        if not self._stream.to_skip:
            self._resume()

    def finish(self) -> MediaFacts:
        """Say what the file is, after its last byte was fed. Raises ``MediaFileError``."""
        self._stream.ended = True
        self._resume()
        if self._facts is None:
            raise RuntimeError("a walk goes to the file's end, and ends there")
        return self._facts

    def _resume(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._facts is not None:
            return
        try:
            next(self._walk)
        except StopIteration as done:
            self._facts = done.value
        except MediaFileError as error:
            self._failure = error
            raise


def probe(read: Read, size: int | None) -> MediaFacts:
    """Say what a remote file is, by as few reads as will do: one to three for most files.

    ``size`` is the file's, if its server tells it; without it, a file that is cut off behind its
    index is not noticed. Raises ``MediaFileError``, with ``media_unclear`` after 12 reads or 4 MiB.
    """
    stream = Stream(size)
    walk = _walk(stream, whole=False)
    reader = _Reader(read, size)
    while True:
        try:
            next(walk)
        except StopIteration as done:
            facts: MediaFacts = done.value
            if facts.width is None:
                raise MediaFileError("media_unclear", "its index is too large to be read") from None
            return facts
        if stream.to_skip == sys.maxsize:
            stream.ended = True
        elif stream.to_skip:
            reader.jump(stream.to_skip)
            stream.to_skip = 0
        elif data := reader.next(stream.wanted):
            stream.bring(data)
        else:
            stream.ended = True


class _Reader:
    """Reads on from where it is, each time twice as much: most files need one read or two."""

    def __init__(self, read: Read, size: int | None) -> None:
        self._read = read
        self._size = size
        self._at = self._reads = self._bytes = 0
        self._pace = FIRST_READ_BYTES
        self._jumped = False

    def jump(self, count: int) -> None:
        self._at += count
        self._jumped = True

    def next(self, least: int) -> bytes:
        """Read at least that much if there is as much; empty: the file ends here."""
        if self._size is not None and self._at >= self._size:
            return b""
        left = MAX_READ_BYTES if self._size is None else self._size - self._at
        least = min(least, left)
        count = min(max(least, self._pace), left, MAX_READ_BYTES - self._bytes)
        if self._reads == MAX_READS or count < least:
            raise MediaFileError(
                "media_unclear",
                f"{self._reads} reads of {self._bytes:,} bytes didn't tell what it is",
            )
        # Of a file without a size, whatever was jumped over must end with a byte that is there.
        early = 1 if self._jumped and self._size is None else 0
        data = self._read(self._at - early, count + early)
        self._reads += 1
        self._bytes += len(data)
        self._pace = min(2 * self._pace, _LONGEST_READ_BYTES)
        if early and not data:
            raise MediaFileError("media_cut_off", f"it ends before byte {self._at:,}")
        self._jumped = False
        self._at += len(data) - early
        return data[early:]
