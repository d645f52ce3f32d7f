"""The bytes of a body: some real ones and, behind them, as many zeros as wanted.

A result of 600 MB is served without ever being held in memory.
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
    """Bytes in all."""
    return len(content.data) + content.zeros


def pieces(content: Content, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` up to, not including, `stop`, at most 256 KB at a time."""
    while start < stop:
        size = min(PIECE, stop - start)
        piece = content.data[start : start + size]
        yield piece + ZEROS[: size - len(piece)] if len(piece) < size else piece
        start += size


def sha256(content: Content) -> str:
    """Hex digest of all bytes."""
    digest = hashlib.sha256()
    for piece in pieces(content, 0, length(content)):
        digest.update(piece)
    return digest.hexdigest()
