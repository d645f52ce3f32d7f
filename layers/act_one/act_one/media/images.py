"""PNG, JPEG, WebP and GIF: the structure of the file and the size of the picture."""

import struct
from dataclasses import replace
from typing import Final

from act_one.media.c2pa import STORE_HEAD_BYTES, begins_store
from act_one.media.facts import MediaFacts, broken, display_size
from act_one.media.stream import MAX_CHILDREN, Parser, Stream

_EXIF_ROTATIONS: Final = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
"""Degrees clockwise by Exif orientation. Mirroring is ignored: it doesn't change the size."""
_EXIF_ORIENTATION: Final = 0x0112

_APP1: Final = 0xE1
_APP11: Final = 0xEB
_START_OF_SCAN: Final = 0xDA
_START_OF_FRAME: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}

_GIF_TRAILER: Final = 0x3B
_GIF_EXTENSION: Final = 0x21
_GIF_IMAGE: Final = 0x2C


# ── PNG ───────────────────────────────────────────────────────────────────────────────────────


def parse_png(stream: Stream, media_type: str, *, whole: bool) -> Parser[MediaFacts]:
    """Parse a PNG up to its IEND chunk, or only its IHDR. Bytes after IEND are ignored."""
    yield from stream.skip(8)
    width = height = 0
    c2pa: bool | None = None
    kinds: set[bytes] = set()
    while stream.has_part():
        size, kind = struct.unpack(">I4s", (yield from stream.take(8)))
        if size > 0x7FFF_FFFF or (kind == b"IHDR") != (not kinds):
            raise broken("it has an invalid chunk")
        if kind == b"IHDR":
            if size != 13:
                raise broken("its IHDR chunk has an invalid size")
            width, height = struct.unpack(">II", (yield from stream.take(8)))
            size -= 8
            if not whole:
                break
        elif kind == b"caBX":
            c2pa = begins_store((yield from stream.peek(min(size, STORE_HEAD_BYTES)))) or c2pa
        kinds.add(kind)
        yield from stream.skip(size + 4)
        if kind == b"IEND":
            if b"IDAT" not in kinds:
                raise broken("it has no image data (IDAT)")
            c2pa = bool(c2pa)
            break
    if whole:
        yield from stream.skip_rest()
    return _facts(media_type, width, height, c2pa=c2pa)


# ── JPEG ──────────────────────────────────────────────────────────────────────────────────────


def parse_jpeg(stream: Stream, media_type: str, *, whole: bool) -> Parser[MediaFacts]:
    """Parse a JPEG's segments up to its scan, then search for the end marker."""
    yield from stream.skip(2)
    width = height = rotation = 0
    c2pa: bool | None = None
    while stream.has_part():
        marker, size = yield from _next_segment(stream)
        if marker == _APP1:
            rotation = _exif_rotation((yield from stream.take(size))) or rotation
        elif marker in _START_OF_FRAME:
            frame = yield from stream.take(size)
            if len(frame) < 5:
                raise broken("its frame header is too short")
            height, width = struct.unpack_from(">HH", frame, 1)
        else:
            if marker == _APP11 and whole:
                c2pa = (yield from _begins_manifest(stream, size)) or c2pa
            yield from stream.skip(size)
        if marker == _START_OF_SCAN or (width and not whole):
            c2pa = bool(c2pa) if whole else None
            break
    facts = _facts(media_type, width, height, rotation, c2pa=c2pa)
    if whole:
        yield from _skip_to_end_marker(stream)
    return facts


def _next_segment(stream: Stream) -> Parser[tuple[int, int]]:
    """Take a segment's marker and length; returns the marker and the size of the payload."""
    fill, marker = yield from stream.take(2)
    if fill != 0xFF:
        raise broken("it has no marker where a segment should begin")
    while marker == 0xFF and stream.has_part():
        marker = (yield from stream.take(1))[0]
    if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or marker == 0xFF:
        raise broken("it has an invalid marker")
    (size,) = struct.unpack(">H", (yield from stream.take(2)))
    if size < 2:
        raise broken("a segment has an invalid size")
    return marker, size - 2


def _begins_manifest(stream: Stream, size: int) -> Parser[bool]:
    """Return whether an APP11 segment begins a C2PA manifest; the segment is not taken.

    Its JUMBF follows "JP", the number of the box and the number of the segment.
    """
    segment = yield from stream.peek(min(size, 8 + STORE_HEAD_BYTES))
    return segment.startswith(b"JP") and begins_store(segment[8:])


def _skip_to_end_marker(stream: Stream) -> Parser[None]:
    """Search the scans for the end marker, whose bytes never occur in entropy-coded data."""
    last = b""
    while True:
        data = yield from stream.take_available()
        if not data:
            raise stream.cut_off()
        if (last == b"\xff" and data[:1] == b"\xd9") or b"\xff\xd9" in data:
            break
        last = data[-1:]
    yield from stream.skip_rest()


def _exif_rotation(segment: bytes) -> int:
    """Return the rotation that an APP1 segment states, in degrees clockwise; 0 if none."""
    if not segment.startswith(b"Exif\0\0"):
        return 0
    exif = segment[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return 0
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for number in range(min(count, MAX_CHILDREN)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * number)
            if tag == _EXIF_ORIENTATION and kind == 3:
                return _EXIF_ROTATIONS.get(value, 0)
    except struct.error:
        pass  # the picture can be shown without its Exif data
    return 0


# ── WebP ──────────────────────────────────────────────────────────────────────────────────────


def parse_webp(stream: Stream, media_type: str, *, whole: bool) -> Parser[MediaFacts]:
    """Read a WebP's header; if ``whole``, check that the file has the size that RIFF states.

    Its chunks are only searched for a C2PA manifest: invalid ones leave that unknown.
    """
    head = yield from stream.peek(30)
    size = 8 + int.from_bytes(head[4:8], "little")
    stream.must_reach(size)
    if len(head) < 30:
        raise stream.cut_off()
    kind = head[12:16]
    width = height = 0
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 26))
    facts = _facts(media_type, width, height)
    if whole:
        c2pa = yield from _skip_chunks(stream, size)
        yield from stream.skip_rest()
        return replace(facts, c2pa=c2pa)
    return facts


def _skip_chunks(stream: Stream, end: int) -> Parser[bool | None]:
    """Skip the chunks of a RIFF file that ends at ``end``; returns whether one is C2PA's.

    None if that can't be told.
    """
    found = False
    yield from stream.skip(min(12, end))
    while stream.position + 8 <= end and stream.has_part():
        kind, size = struct.unpack("<4sI", (yield from stream.take(8)))
        if stream.position + size > end:
            break
        found = found or kind == b"C2PA"
        yield from stream.skip(min(size + size % 2, end - stream.position))
    complete = stream.position == end
    yield from stream.skip(end - stream.position)
    return found or (False if complete else None)


# ── GIF ───────────────────────────────────────────────────────────────────────────────────────


def parse_gif(stream: Stream, media_type: str, *, whole: bool) -> Parser[MediaFacts]:
    """Parse a GIF's blocks up to its trailer, or only its header."""
    head = yield from stream.take(13)
    width, height = struct.unpack_from("<HH", head, 6)
    facts = _facts(media_type, width, height)
    if not whole:
        return facts
    yield from stream.skip(_colour_table_bytes(head[10]))
    images = 0
    while stream.has_part():
        block = (yield from stream.take(1))[0]
        if block == _GIF_TRAILER:
            if not images:
                raise broken("it has no image")
            break
        if block == _GIF_EXTENSION:
            yield from stream.skip(1)
        elif block == _GIF_IMAGE:
            descriptor = yield from stream.take(9)
            yield from stream.skip(_colour_table_bytes(descriptor[8]) + 1)
            images += 1
        else:
            raise broken("it has an invalid block")
        yield from _skip_sub_blocks(stream)
    yield from stream.skip_rest()
    return facts


def _skip_sub_blocks(stream: Stream) -> Parser[None]:
    """Skip a block's sub-blocks, up to and including the empty one."""
    while stream.has_part():
        size = (yield from stream.peek(1)) or b"\xff"
        yield from stream.skip(1 + size[0])
        if not size[0]:
            break


def _colour_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _facts(
    media_type: str, width: int, height: int, rotation: int = 0, *, c2pa: bool | None = None
) -> MediaFacts:
    if not width or not height:
        raise broken("its width or height is 0 or missing")
    size = display_size(width, height, rotation=rotation)
    return MediaFacts(
        media_type=media_type, width=size[0], height=size[1], rotation=rotation, c2pa=c2pa
    )
