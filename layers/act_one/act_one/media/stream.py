"""A media file as its bytes tell it: the facts, the error, the first bytes, the bytes in order.

What knows a format (``boxes``, ``webm``, ``images``) is a generator over a ``Stream``: it takes the
bytes that it needs, says how many it doesn't, and waits with a bare ``yield`` where none have come.
Who brings them is no matter there: ``probe.Scan`` pushes a body through as it arrives,
``probe.probe`` jumps about in a remote file.
"""

import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

MAX_PARTS: Final = 65_536
"""Boxes, elements or chunks walked in one file. What lies behind them is let through unread."""
SNIFF_BYTES: Final = 64
_SNIFF_LEAST: Final = 12

type Waits[T] = Generator[None, None, T]
"""Something that may have to wait for bytes before it can answer."""


class MediaFileError(Exception):
    """A file is not a whole media file of a kind known here.

    ``code`` is ``media_cut_off`` (its end is missing), ``media_broken``, ``media_wrong_type`` (it
    is something else), ``media_unknown_type`` (it may be anything), ``media_no_video`` (a video
    without a video track), ``media_empty`` (a video without a single picture) or ``media_unclear``
    (can't be told within the bounds). The message says what was found and holds nothing of the
    file; ``media_type`` is that of a wrong type, where it is known.
    """

    def __init__(self, code: str, message: str, media_type: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.media_type = media_type


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What a media file says of itself; None: it doesn't say, or its index is too large to read."""

    media_type: str
    """``video/mp4``, ``video/quicktime``, ``video/webm``, ``image/png``, ``image/jpeg``, …"""
    duration_seconds: float | None = None
    """How long its picture is shown; None for images and for videos that were never finished."""
    width: int | None = None
    height: int | None = None
    """Pixels as displayed: turned, and of square pixels."""
    rotation: int = 0
    """Degrees clockwise (0, 90, 180 or 270) that a player turns what is stored."""
    pixel_aspect: float = 1.0
    """Width of a stored pixel over its height."""
    has_audio: bool | None = None


def displayed(
    width: int, height: int, *, rotation: int = 0, pixel_aspect: float = 1.0
) -> tuple[int, int]:
    """Say how large a stored picture is shown, in square pixels."""
    wide = max(1, round(width * pixel_aspect))
    return (height, wide) if rotation % 180 else (wide, height)


# ── What the first bytes say ──────────────────────────────────────────────────────────────────

_OTHER_BRANDS: Final = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"M4P ": "audio/mp4",
    b"F4A ": "audio/mp4",
    b"F4B ": "audio/mp4",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"avio": "image/avif",
    b"jxl ": "image/jxl",
    b"jp2 ": "image/jp2",
    b"crx ": "image/x-canon-cr3",
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
        "image/heic",
    ),
}
_OLD_MOVIE_STARTS: Final = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}


def sniff(head: bytes) -> str | None:
    """Name the media type of a file by its first bytes, whatever its sender called it.

    Twelve bytes tell; 64 also tell a WebM from other Matroska. None for what is no such medium.
    """
    kind = head[4:8]
    if kind == b"ftyp":
        return _OTHER_BRANDS.get(head[8:12], "video/mp4")
    if kind in _OLD_MOVIE_STARTS and (kind == b"mdat" or head[0] == 0):
        return "video/quicktime"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/x-matroska" if b"\x42\x82\x88matroska" in head else "video/webm"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


def wrong_type(head: bytes) -> MediaFileError:
    """Say what a file is that is none of ours."""
    if len(head) < _SNIFF_LEAST:
        return MediaFileError("media_cut_off", f"it has {len(head)} bytes")
    found = sniff(head)
    if found is not None:
        return MediaFileError("media_wrong_type", f"it is {found}", found)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--")):
        found = "a web page or XML, such as servers send in place of a file that is gone"
    elif start.startswith((b"{", b"[")):
        found = "JSON, such as servers send in place of a file that is gone"
    elif head.startswith(b"\x1f\x8b"):
        found = "compressed by gzip"
    else:
        message = "it is neither a video nor an image of a kind known here"
        return MediaFileError("media_unknown_type", message)
    return MediaFileError("media_wrong_type", f"it is {found}")


# ── The bytes in order ────────────────────────────────────────────────────────────────────────


class Stream:
    """The bytes of a file in order: a format's generator takes them, somebody else brings them.

    ``size`` is the file's, where it is known: what points beyond it is found at once then.
    """

    __slots__ = ("_held", "ended", "position", "size", "to_skip", "wanted")

    def __init__(self, size: int | None = None) -> None:
        self.size = size
        self.position = 0
        """Of the next byte to be taken."""
        self.to_skip = 0
        """Bytes that need not be brought: the next one to bring comes after them."""
        self.wanted = 0
        """Bytes waited for, beyond those that are held."""
        self.ended = False
        """Set by who brings the bytes: there are no more."""
        self._held = bytearray()

    def bring(self, data: bytes | memoryview) -> None:
        """Add the bytes that come next."""
        if self.to_skip:
            skipped = min(self.to_skip, len(data))
            self.to_skip -= skipped
            data = memoryview(data)[skipped:]
        self._held += data

    def peek(self, count: int) -> Waits[bytes]:
        """Look at that many bytes, or at those that are left."""
        while len(self._held) < count and not self.ended:
            self.wanted = count - len(self._held)
            yield
        return bytes(self._held[:count])

    def take(self, count: int) -> Waits[bytes]:
        """Take that many bytes; a file that has fewer is cut off."""
        self.must_reach(self.position + count)
        data = yield from self.peek(count)
        if len(data) < count:
            raise self.cut_off()
        del self._held[:count]
        self.position += count
        return data

    def some(self) -> Waits[bytes]:
        """Take what has come, at least a byte; nothing is left when it is empty."""
        yield from self.peek(1)
        data = bytes(self._held)
        self._held.clear()
        self.position += len(data)
        return data

    def take_rest(self, most: int) -> Waits[bytes | None]:
        """Take all that is left, in whatever pieces it comes; None if it is more than that."""
        data = bytearray()
        while len(data) <= most:
            piece = yield from self.some()
            if not piece:
                return bytes(data)
            data += piece
        yield from self.skip_rest()
        return None

    def skip(self, count: int) -> Waits[None]:
        """Leave out that many bytes; a file that has fewer is cut off."""
        self.must_reach(self.position + count)
        self.to_skip = max(0, count - len(self._held))
        del self._held[:count]
        self.position += count
        while self.to_skip and not self.ended:
            self.wanted = 0
            yield
        if self.to_skip:
            self.position -= self.to_skip
            raise self.cut_off()

    def skip_rest(self) -> Waits[None]:
        """Leave out all that is left, however much."""
        self.position += len(self._held)
        self._held.clear()
        self.to_skip = sys.maxsize
        while not self.ended:
            self.wanted = 0
            yield
        self.position += sys.maxsize - self.to_skip
        self.to_skip = 0

    def must_reach(self, offset: int) -> None:
        """Refuse a file that is known to end before an offset."""
        if self.size is not None and offset > self.size:
            raise self.cut_off()

    def cut_off(self) -> MediaFileError:
        """The error of a file that ends too soon."""
        where = self.position + len(self._held) if self.ended else self.size
        ends = "too soon" if where is None else f"after {where:,} bytes"
        return MediaFileError("media_cut_off", f"it ends {ends}, in the middle of something")
