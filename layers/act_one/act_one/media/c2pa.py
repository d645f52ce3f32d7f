"""Where files carry a C2PA manifest store (C2PA 2.4, appendix A): found, never verified."""

from typing import Final

BOX_UUID: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The type of C2PA's ``uuid`` boxes in MP4."""
_STORE_PURPOSES: Final = (b"manifest\0", b"original\0", b"update\0")
"""Purposes of such a box with a manifest store; one of ``merkle`` has hashes only."""
BOX_HEAD_BYTES: Final = len(BOX_UUID) + 4 + max(map(len, _STORE_PURPOSES))

_STORE_TYPE: Final = bytes.fromhex("63327061 00110010 800000aa00389b71")
STORE_HEAD_BYTES: Final = 40
"""What ``begins_store`` looks at, at most."""


def is_store_box(payload: bytes) -> bool:
    """Return whether the payload of a ``uuid`` box is a C2PA box with a manifest store."""
    return payload.startswith(BOX_UUID) and payload[20:].startswith(_STORE_PURPOSES)


def begins_store(jumbf: bytes) -> bool:
    """Return whether a JUMBF box is a manifest store, where boxes of other types may be too.

    A JUMBF box (``jumb``) begins with a box (``jumd``) that begins with its type.
    """
    start = 16 if jumbf.startswith(b"\0\0\0\1") else 8
    described = jumbf[start:]
    return jumbf[4:8] == b"jumb" and described[4:8] == b"jumd" and described[8:24] == _STORE_TYPE
