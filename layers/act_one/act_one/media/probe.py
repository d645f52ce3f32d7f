"""Checks a media file while it is downloaded (``Scan``) or by a few ranged reads (``probe``).

Both check the container only: that it is complete and contains a video or an image. Neither does
I/O of its own, decodes pictures or sound.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from act_one.media.facts import MediaFacts, MediaFileError
from act_one.media.images import parse_gif, parse_jpeg, parse_png, parse_webp
from act_one.media.mp4 import parse_mp4
from act_one.media.sniff import SNIFF_BYTES, sniff, unsupported_type
from act_one.media.stream import Parser, Stream
from act_one.media.webm import parse_webm

FIRST_READ_BYTES: Final = 65_536
MAX_READS: Final = 12
MAX_READ_BYTES: Final = 4_194_304
_MAX_BYTES_PER_READ: Final = 524_288

type Read = Callable[[int, int], bytes]
"""Reads ``length`` bytes at ``offset``; fewer only at the file's end."""


class _ParseFormat(Protocol):
    def __call__(self, stream: Stream, media_type: str, *, whole: bool) -> Parser[MediaFacts]: ...


_PARSERS: Final[Mapping[str, _ParseFormat]] = {
    "video/mp4": parse_mp4,
    "video/quicktime": parse_mp4,
    "video/webm": parse_webm,
    "image/png": parse_png,
    "image/jpeg": parse_jpeg,
    "image/webp": parse_webp,
    "image/gif": parse_gif,
}


def _parse(stream: Stream, *, whole: bool) -> Parser[MediaFacts]:
    head = yield from stream.peek(SNIFF_BYTES)
    media_type = sniff(head)
    if media_type is None or media_type not in _PARSERS:
        raise unsupported_type(head)
    return (yield from _PARSERS[media_type](stream, media_type, whole=whole))


class Scan:
    """Checks a file whose bytes arrive in order: feed all of them, then call ``finish``.

    ``size`` is the file's size in bytes, if known. A file whose structure extends beyond its size
    is then refused before its end has arrived.
    """

    def __init__(self, size: int | None = None) -> None:
        self._stream = Stream(size)
        self._parser = _parse(self._stream, whole=True)
        self._facts: MediaFacts | None = None
        self._failure: MediaFileError | None = None
        self._resume()

    def feed(self, chunk: bytes | memoryview) -> None:
        """Check the next bytes. Raises ``MediaFileError`` once the file is known to be bad."""
        self._stream.feed(chunk)
        if not self._stream.to_skip:
            self._resume()

    def finish(self) -> MediaFacts:
        """Return the facts once all bytes were fed. Raises ``MediaFileError``."""
        self._stream.ended = True
        self._resume()
        if self._facts is None:
            raise RuntimeError("the parser did not finish at the end of the file")
        return self._facts

    def _resume(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._facts is not None:
            return
        try:
            next(self._parser)
        except StopIteration as done:
            self._facts = done.value
        except MediaFileError as error:
            self._failure = error
            raise


def probe(read: Read, size: int | None) -> MediaFacts:
    """Return the facts of a remote file with as few reads as possible: one to three for most.

    ``size`` is the file's size in bytes, if the server states it. Without it, a file that is cut
    off after its index passes. Raises ``MediaFileError``: ``media_unclear`` if 12 reads and 4 MiB
    are not enough.
    """
    stream = Stream(size)
    parser = _parse(stream, whole=False)
    reader = _Reader(read, size)
    while True:
        try:
            next(parser)
        except StopIteration as done:
            facts: MediaFacts = done.value
            if facts.width is None:
                raise MediaFileError("media_unclear", "its index is too large to read") from None
            return facts
        if stream.to_skip == sys.maxsize:
            stream.ended = True
        elif stream.to_skip:
            reader.skip(stream.to_skip)
            stream.to_skip = 0
        elif data := reader.next(stream.needed):
            stream.feed(data)
        else:
            stream.ended = True


class _Reader:
    """Reads forward through a remote file; each read is twice as large as the one before."""

    def __init__(self, read: Read, size: int | None) -> None:
        self._read = read
        self._size = size
        self._at = self._reads = self._bytes = 0
        self._next_bytes = FIRST_READ_BYTES
        self._skipped = False

    def skip(self, count: int) -> None:
        self._at += count
        self._skipped = True

    def next(self, least: int) -> bytes:
        """Read ``least`` bytes or more; fewer only at the file's end, where it returns none."""
        if self._size is not None and self._at >= self._size:
            return b""
        left = MAX_READ_BYTES if self._size is None else self._size - self._at
        least = min(least, left)
        count = min(max(least, self._next_bytes), left, MAX_READ_BYTES - self._bytes)
        if self._reads == MAX_READS or count < least:
            raise MediaFileError(
                "media_unclear",
                f"its facts are still unknown after {self._reads} reads of {self._bytes:,} bytes",
            )
        # If the size is unknown, reading the last skipped byte proves that the file has it.
        overlap = 1 if self._skipped and self._size is None else 0
        data = self._read(self._at - overlap, count + overlap)
        self._reads += 1
        self._bytes += len(data)
        self._next_bytes = min(2 * self._next_bytes, _MAX_BYTES_PER_READ)
        if overlap and not data:
            raise MediaFileError("media_cut_off", f"it is cut off before byte {self._at:,}")
        self._skipped = False
        self._at += len(data) - overlap
        return data[overlap:]
