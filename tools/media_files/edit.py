"""Edits files by their boxes and elements, independently of the parsers under test."""

import struct
from zlib import crc32

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"edts"}


def box(kind, payload=b""):
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def long_box(kind, payload=b""):
    return struct.pack(">I4sQ", 1, kind, 16 + len(payload)) + payload


def boxes(data):
    """List the boxes in ``data``: kind, start and end of each."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, at, at + size))
        at += size
    return found


def place(data, kind, number=0):
    return [(start, end) for found, start, end in boxes(data) if found == kind][number]


def cut(data, kind, where, number=0):
    """Return a file cut off at one of its boxes."""
    start, end = place(data, kind, number)
    return data[
        : {
            "before": start,
            "in the size of": start + 3,
            "after the header of": start + 8,
            "in the middle of": (start + end) // 2,
            "a byte before the end of": end - 1,
            "after": end,
        }[where]
    ]


def without(data, *kinds):
    return b"".join(data[start:end] for kind, start, end in boxes(data) if kind not in kinds)


def renamed(data, kind, name):
    start, _ = place(data, kind)
    return data[: start + 4] + name + data[start + 8 :]


def edited(data, path, change):
    """Return a file with ``change`` applied to the payload of the box at ``path``.

    The box is removed if ``change`` returns None.
    """
    kind, *inner = path
    start, end = place(data, kind)
    payload = data[start + 8 : end]
    payload = edited(payload, inner, change) if inner else change(payload)
    new = b"" if payload is None else box(kind, payload)
    return data[:start] + new + data[end:]


def patched(at, code, *values):
    """Return a change that writes these values at an offset."""

    def change(payload):
        raw = bytearray(payload)
        struct.pack_into(code, raw, at, *values)
        return bytes(raw)

    return change


def shifted(data, by):
    """Return a file with ``by`` added to each chunk offset."""

    def moved(payload):
        (count,) = struct.unpack_from(">I", payload, 4)
        offsets = struct.unpack_from(f">{count}I", payload, 8)
        return payload[:8] + struct.pack(f">{count}I", *(offset + by for offset in offsets))

    def change(payload):
        return b"".join(
            box(kind, moved(payload[start + 8 : end]))
            if kind == b"stco"
            else box(kind, change(payload[start + 8 : end]))
            if kind in CONTAINERS
            else payload[start:end]
            for kind, start, end in boxes(payload)
        )

    return edited(data, [b"moov"], change)


def wide_offsets(payload):
    """Return the payload of a ``co64`` with the offsets of an ``stco``."""
    (count,) = struct.unpack_from(">I", payload, 4)
    return payload[:8] + struct.pack(f">{count}Q", *struct.unpack_from(f">{count}I", payload, 8))


def long_times(payload, *, track=False):
    """Return the payload of an ``mvhd``, ``mdhd`` or ``tkhd`` as version 1, with 64-bit times."""
    flags = payload[1:4]
    created, changed = struct.unpack_from(">II", payload, 4)
    start = b"\x01" + flags + struct.pack(">QQ", created, changed)
    if track:
        number, reserved, length = struct.unpack_from(">III", payload, 12)
        return start + struct.pack(">IIQ", number, reserved, length) + payload[24:]
    scale, length = struct.unpack_from(">II", payload, 12)
    return start + struct.pack(">IQ", scale, length) + payload[20:]


def png_chunk(kind, payload):
    return (
        struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", crc32(kind + payload))
    )


# ── WebM ──────────────────────────────────────────────────────────────────────────────────────


def element_at(data, at):
    """Return an element's id, start, payload start, and its end or None if that is unknown."""
    id_end = at + 9 - data[at].bit_length()
    start = id_end + 9 - data[id_end].bit_length()
    bits = 7 * (start - id_end)
    size = int.from_bytes(data[id_end:start]) & ((1 << bits) - 1)
    return data[at:id_end].hex(), at, start, None if size == (1 << bits) - 1 else start + size


def segment_children(data):
    """List the children of a WebM file's Segment and of its Clusters of unknown size."""
    _, _, _, header_end = element_at(data, 0)
    _, _, at, _ = element_at(data, header_end)
    found = []
    while at < len(data):
        found.append(element_at(data, at))
        _, _, start, end = found[-1]
        at = end or start
    return found


def element(name, payload, size=None):
    """Return an element; ``size`` replaces the size field, by default one of eight bytes."""
    raw = bytes.fromhex(name) if isinstance(name, str) else name
    return raw + (struct.pack(">Q", len(payload) | 1 << 56) if size is None else size) + payload


def number(name, value, size=2):
    return element(name, value.to_bytes(size))
