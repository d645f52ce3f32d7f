"""Images: PNG, JPEG, WebP and GIF, as far as their outer structure."""

import struct
from typing import Final

from act_one.media.stream import MAX_PARTS, MediaFacts, MediaFileError, Stream, Waits, displayed

_TURNS: Final = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
"""Degrees clockwise by Exif orientation; those that also mirror keep their size all the same."""
_ORIENTATION: Final = 0x0112
_EXIF: Final = 0xE1
_SCAN: Final = 0xDA
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def png(stream: Stream, media_type: str, *, whole: bool) -> Waits[MediaFacts]:
    """Walk a PNG, up to its end chunk; what may come after that is nobody's business."""
    yield from stream.skip(8)
    width = height = 0
    kinds: set[bytes] = set()
    for _ in range(MAX_PARTS):
        size, kind = struct.unpack(">I4s", (yield from stream.take(8)))
        if size > 0x7FFF_FFFF or (kind == b"IHDR") != (not kinds):
            raise _broken("there is no chunk where one begins")
        if kind == b"IHDR":
            if size != 13:
                raise _broken("its header has a size that can't be")
            width, height = struct.unpack(">II", (yield from stream.take(8)))
            size -= 8
            if not whole:
                break
        kinds.add(kind)
        yield from stream.skip(size + 4)
        if kind == b"IEND":
            if b"IDAT" not in kinds:
                raise _broken("it has no picture")
            break
    if whole:
        yield from stream.skip_rest()
    return _facts(media_type, width, height)


def jpeg(stream: Stream, media_type: str, *, whole: bool) -> Waits[MediaFacts]:
    """Walk a JPEG, segment by segment up to its picture, then look for the mark of its end."""
    yield from stream.skip(2)
    width = height = rotation = 0
    for _ in range(MAX_PARTS):
        marker, size = yield from _next_segment(stream)
        if marker == _EXIF:
            rotation = _exif_rotation((yield from stream.take(size))) or rotation
        elif marker in _FRAMES:
            frame = yield from stream.take(size)
            if len(frame) < 5:
                raise _broken("its header has a size that can't be")
            height, width = struct.unpack_from(">HH", frame, 1)
        else:
            yield from stream.skip(size)
        if marker == _SCAN or (width and not whole):
            break
    facts = _facts(media_type, width, height, rotation)
    if whole:
        yield from _find_end(stream)
    return facts


def _next_segment(stream: Stream) -> Waits[tuple[int, int]]:
    """Take a segment's marker and the size of what it holds."""
    fill, marker = yield from stream.take(2)
    if fill != 0xFF:
        raise _broken("there is no marker where one begins")
    for _ in range(MAX_PARTS):
        if marker != 0xFF:
            break
        marker = (yield from stream.take(1))[0]
    if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or marker == 0xFF:
        raise _broken("a marker stands where it can't")
    (size,) = struct.unpack(">H", (yield from stream.take(2)))
    if size < 2:
        raise _broken("a segment has a size that can't be")
    return marker, size - 2


def _find_end(stream: Stream) -> Waits[None]:
    """Look for the end mark. In coded pictures, 0xFF is never followed by it."""
    last = b""
    while True:
        data = yield from stream.some()
        if not data:
            raise stream.cut_off()
        if (last == b"\xff" and data[:1] == b"\xd9") or b"\xff\xd9" in data:
            break
        last = data[-1:]
    yield from stream.skip_rest()


def _exif_rotation(segment: bytes) -> int:
    if not segment.startswith(b"Exif\0\0"):
        return 0
    exif = segment[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return 0
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for number in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * number)
            if tag == _ORIENTATION and kind == 3:
                return _TURNS.get(value, 0)
    except struct.error:
        pass  # a picture with broken notices is a picture
    return 0


def webp(stream: Stream, media_type: str, *, whole: bool) -> Waits[MediaFacts]:
    """Read a WebP's header and check that all is there of the length that it says."""
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
        yield from stream.skip(size)
        yield from stream.skip_rest()
    return facts


def gif(stream: Stream, media_type: str, *, whole: bool) -> Waits[MediaFacts]:
    """Walk a GIF, block by block up to its trailer."""
    head = yield from stream.take(13)
    width, height = struct.unpack_from("<HH", head, 6)
    facts = _facts(media_type, width, height)
    if not whole:
        return facts
    yield from stream.skip(_colours(head[10]))
    pictures = 0
    parts = iter(range(MAX_PARTS))
    for _ in parts:
        block = (yield from stream.take(1))[0]
        if block == 0x3B:
            if not pictures:
                raise _broken("it has no picture")
            break
        if block == 0x21:
            yield from stream.skip(1)
        elif block == 0x2C:
            descriptor = yield from stream.take(9)
            yield from stream.skip(_colours(descriptor[8]) + 1)
            pictures += 1
        else:
            raise _broken("there is no block where one begins")
        for _ in parts:
            size = (yield from stream.peek(1)) or b"\xff"
            yield from stream.skip(1 + size[0])
            if not size[0]:
                break
    yield from stream.skip_rest()
    return facts


def _colours(flags: int) -> int:
    """Say how many bytes a GIF's colour table has."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _facts(media_type: str, width: int, height: int, rotation: int = 0) -> MediaFacts:
    if not width or not height:
        raise _broken("its picture has no size")
    size = displayed(width, height, rotation=rotation)
    return MediaFacts(media_type=media_type, width=size[0], height=size[1], rotation=rotation)


def _broken(message: str) -> MediaFileError:
    return MediaFileError("media_broken", message)
