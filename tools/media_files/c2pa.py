"""C2PA manifest stores as files carry them: the boxes are real, the manifest is not signed."""

import struct

from tools.media_files import edit
from tools.media_files.edit import box, boxes, long_box

BOX_TYPE = bytes.fromhex("d8fec3d6 1b0e 483c 9297 5828877ec481")
TYPE_END = bytes.fromhex("0011 0010 8000 00aa00389b71")
"""A type of JUMBF is four letters and this."""


def jumbf(kind, label, *inside):
    """A JUMBF superbox of a type, such as ``c2pa``: its description, then the boxes inside."""
    described = kind + TYPE_END + b"\x03" + label + b"\0"
    return box(b"jumb", box(b"jumd", described) + b"".join(inside))


def store(kind=b"c2pa"):
    """A manifest store with one manifest, whose claim says next to nothing."""
    claim = jumbf(b"c2cl", b"c2pa.claim.v2", box(b"cbor", b"\xa1\x63alg\x66sha256"))
    manifest = jumbf(b"c2ma", b"urn:c2pa:00000000-0000-4000-8000-000000000000", claim)
    return jumbf(kind, b"c2pa", manifest)


def manifest_box(purpose=b"manifest", *, long=False):
    """A ``uuid`` box with a manifest store, or for ``merkle`` with hashes."""
    content = bytes(8) + store() if purpose != b"merkle" else b"\xa0"
    payload = BOX_TYPE + bytes(4) + purpose + b"\0" + content
    return long_box(b"uuid", payload) if long else box(b"uuid", payload)


def after_ftyp(mp4, added):
    """An MP4 with boxes after its ``ftyp``, and its chunk offsets moved by their size."""
    (_, _, end), *_ = boxes(mp4)
    moved = edit.shifted(mp4, len(added))
    return moved[:end] + added + moved[end:]


def open_box(added):
    """A box with size 0: it extends to the file's end."""
    return bytes(4) + added[4:]


def with_chunk(png, payload, kind=b"caBX"):
    """A PNG with one more chunk after its header."""
    return png[:33] + edit.png_chunk(kind, payload) + png[33:]


def with_segments(jpeg, jumbf_box, *, size=65_000):
    """A JPEG with a JUMBF box in APP11 segments of ``size`` bytes each, which repeat its header."""
    segments = b""
    for number, start in enumerate(range(8, len(jumbf_box), size), 1):
        part = jumbf_box[:8] + jumbf_box[start : start + size]
        payload = struct.pack(">2sHI", b"JP", 1, number) + part
        segments += struct.pack(">BBH", 0xFF, 0xEB, 2 + len(payload)) + payload
    return jpeg[:2] + segments + jpeg[2:]


def with_riff_chunk(webp, payload, kind=b"C2PA"):
    """A WebP with one more chunk at its end, and the size of its RIFF moved."""
    added = struct.pack("<4sI", kind, len(payload)) + payload + bytes(len(payload) % 2)
    size = len(webp) - 8 + len(added)
    return webp[:4] + struct.pack("<I", size) + webp[8:] + added
