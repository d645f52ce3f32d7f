"""The content of a body: some bytes followed by any number of zeros.

So that a result of 600 MB need not be held in memory.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

PIECE = 256 * 1024
ZEROS = bytes(PIECE)


@dataclass(frozen=True, slots=True)
class Content:
    """`data` followed by `zeros` zero bytes."""

    data: bytes = b""
    zeros: int = 0


EMPTY = Content()


def length(content: Content) -> int:
    """Return the length in bytes."""
    return len(content.data) + content.zeros


def pieces(content: Content, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes from `start` up to, not including, `stop`, at most 256 KiB at a time."""
    while start < stop:
        size = min(PIECE, stop - start)
        piece = content.data[start : start + size]
        yield piece + ZEROS[: size - len(piece)] if len(piece) < size else piece
        start += size


def sha256(content: Content) -> str:
    """Return the SHA-256 of the content in hex."""
    digest = hashlib.sha256()
    for piece in pieces(content, 0, length(content)):
        digest.update(piece)
    return digest.hexdigest()
