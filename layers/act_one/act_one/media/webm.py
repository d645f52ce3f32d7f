"""WebM files: elements within elements, each with its id and size (RFC 8794, RFC 9559).

Of the levels in the file only the outer two are walked: the parts of the one ``Segment``, and the
parts of a ``Cluster`` that doesn't know its size, as live writers leave it. No id is used on both,
so they are read as one row.
"""

import struct
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from act_one.media.stream import MAX_PARTS, MediaFacts, MediaFileError, Stream, Waits, displayed

_MAX_PART_BYTES: Final = 1_048_576
"""Larger tracks or information are not read, which leaves the facts open."""
_MAX_HEADER_BYTES: Final = 4_096
_MAX_CHILDREN: Final = 128
_MAX_SIDE: Final = 65_535

_EBML: Final = 0x1A45DFA3
_DOC_TYPE: Final = 0x4282
_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_TIMESTAMP_SCALE: Final = 0x2AD7B1
_DURATION: Final = 0x4489
_TRACKS: Final = 0x1654AE6B
_TRACK: Final = 0xAE
_TRACK_TYPE: Final = 0x83
_VIDEO: Final = 0xE0
_PIXEL_WIDTH: Final = 0xB0
_PIXEL_HEIGHT: Final = 0xBA
_CROP_LEFT, _CROP_RIGHT, _CROP_TOP, _CROP_BOTTOM = 0x54CC, 0x54DD, 0x54BB, 0x54AA
_DISPLAY_WIDTH: Final = 0x54B0
_DISPLAY_HEIGHT: Final = 0x54BA
_DISPLAY_UNIT: Final = 0x54B2
_PROJECTION: Final = 0x7670
_ROLL: Final = 0x7675
_CLUSTER: Final = 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF

type _Parts = dict[int, list[memoryview]]
"""The elements in an element, by their ids."""


@dataclass(frozen=True, slots=True)
class _Element:
    """An element's header; ``size`` is that of what it holds, None where it doesn't know it."""

    id: int
    head_size: int
    size: int | None


# ── The file ──────────────────────────────────────────────────────────────────────────────────


def webm(stream: Stream, media_type: str, *, whole: bool) -> Waits[MediaFacts]:
    """Walk a WebM file: all of it, or until it is known what it is.

    A file that a live writer left says no duration, and can't be told from one that was cut
    off between two of its blocks.
    """
    yield from _check_header(stream)
    end = yield from _enter_segment(stream)
    facts = MediaFacts(media_type=media_type)
    seen: set[int] = set()
    for _ in range(MAX_PARTS):
        element = None if stream.position == end else (yield from _next(stream))
        if element is None or element.id == _EBML or (element.id == _CLUSTER and not whole):
            break
        _check_within(stream, element, end)
        if element.id in {_INFO, _TRACKS} and element.id not in seen:
            parts = yield from _contents(stream, element)
            read = _read_info if element.id == _INFO else _read_tracks
            facts = facts if parts is None else read(parts, facts)
        else:
            yield from _pass_by(stream, element)
        seen.add(element.id)
        if not whole and {_INFO, _TRACKS} <= seen:
            break
    if whole:
        yield from _check_end(stream, end, seen)
    elif _TRACKS not in seen:
        raise MediaFileError("media_unclear", "its tracks don't come before its pictures")
    return facts


def _check_header(stream: Stream) -> Waits[None]:
    """Read the header that every EBML file begins with."""
    header = yield from _next(stream)
    if header is None or header.size is None or header.size > _MAX_HEADER_BYTES:
        raise _broken("its first header has a size that can't be")
    parts = yield from _contents(stream, header)
    names = parts.get(_DOC_TYPE) if parts else None
    if not names or bytes(names[0]).rstrip(b"\0") != b"webm":
        raise MediaFileError("media_wrong_type", "it is Matroska or another kin of WebM, not WebM")


def _enter_segment(stream: Stream) -> Waits[int | None]:
    """Go to the first part of the segment and say where its last one ends, if it knows."""
    for _ in range(MAX_PARTS):
        element = yield from _next(stream)
        if element is not None and element.id == _SEGMENT:
            yield from stream.skip(element.head_size)
            if element.size is None:
                return None
            stream.must_reach(stream.position + element.size)
            return stream.position + element.size
        if element is None or element.id not in {_VOID, _CRC}:
            break
        yield from _pass_by(stream, element)
    raise _broken("it has no segment")


def _check_end(stream: Stream, end: int | None, seen: set[int]) -> Waits[None]:
    yield from stream.skip_rest()
    if end is not None and stream.position < end:
        raise stream.cut_off()
    if not {_TRACKS, _CLUSTER} <= seen:
        raise MediaFileError("media_cut_off", "its tracks or its pictures are missing")


def _next(stream: Stream) -> Waits[_Element | None]:
    """Look at the next element; None at the file's end."""
    head = yield from stream.peek(12)
    if not head:
        return None
    try:
        return _header(head, 0)
    except IndexError:
        raise stream.cut_off() from None


def _header(data: bytes | memoryview, at: int) -> _Element:
    """Read an element's header, whose size may be cut: what it holds is missing then as well.

    Raises ``IndexError`` when there are too few bytes to say how long the header is.
    """
    id_size = 9 - data[at].bit_length()
    if id_size > 4:
        raise _broken("there is no element where one begins")
    size_at = at + id_size
    size_size = 9 - data[size_at].bit_length()
    if size_size > 8:
        raise _broken("an element has a size that can't be")
    end = size_at + size_size
    bits = (1 << 7 * size_size) - 1
    size = int.from_bytes(data[size_at:end]) & bits
    return _Element(int.from_bytes(data[at:size_at]), end - at, None if size == bits else size)


def _check_within(stream: Stream, element: _Element, end: int | None) -> None:
    if element.size is None:
        if element.id != _CLUSTER:
            raise _broken("an element doesn't know its size, and isn't one that may not")
    elif end is not None and stream.position + element.head_size + element.size > end:
        raise _broken("an element is larger than the segment that it lies in")


def _pass_by(stream: Stream, element: _Element) -> Waits[None]:
    """Go past an element, or into a cluster that doesn't know its size."""
    yield from stream.skip(element.head_size + (element.size or 0))


def _contents(stream: Stream, element: _Element) -> Waits[_Parts | None]:
    """Take an element; None if it is too large to be read."""
    if element.size is None or element.size > _MAX_PART_BYTES:
        yield from _pass_by(stream, element)
        return None
    data = yield from stream.take(element.head_size + element.size)
    return _parts(memoryview(data)[element.head_size :])


# ── What it says ──────────────────────────────────────────────────────────────────────────────


def _read_info(info: _Parts, facts: MediaFacts) -> MediaFacts:
    seconds = _real(info, _DURATION) * _whole(info, _TIMESTAMP_SCALE, 1_000_000) / 1e9
    return replace(facts, duration_seconds=seconds if seconds > 0 and isfinite(seconds) else None)


def _read_tracks(tracks: _Parts, facts: MediaFacts) -> MediaFacts:
    entries = [_parts(entry) for entry in tracks.get(_TRACK, [])]
    kinds = [_whole(entry, _TRACK_TYPE, 0) for entry in entries]
    if 1 not in kinds:
        raise MediaFileError("media_no_video", "it has no video track")
    videos = entries[kinds.index(1)].get(_VIDEO)
    if not videos:
        raise _broken("its video track doesn't say how large it is")
    video = _parts(videos[0])
    stored_width, stored_height = _whole(video, _PIXEL_WIDTH, 0), _whole(video, _PIXEL_HEIGHT, 0)
    width = stored_width - _whole(video, _CROP_LEFT, 0) - _whole(video, _CROP_RIGHT, 0)
    height = stored_height - _whole(video, _CROP_TOP, 0) - _whole(video, _CROP_BOTTOM, 0)
    if not (0 < width <= stored_width <= _MAX_SIDE and 0 < height <= stored_height <= _MAX_SIDE):
        raise _broken("its pictures have a size that can't be")
    wide, high = _whole(video, _DISPLAY_WIDTH, width), _whole(video, _DISPLAY_HEIGHT, height)
    aspect = wide * height / (high * width) if wide and high else 1.0
    # In pixels (0) the two are the size itself, in any other unit only its proportions.
    if not _whole(video, _DISPLAY_UNIT, 0) and 0 < wide <= _MAX_SIDE and 0 < high <= _MAX_SIDE:
        width, height, shape = wide, high, 1.0
    else:
        shape = aspect
    turn = round(-_real(_parts(video[_PROJECTION][0]), _ROLL) / 90) if _PROJECTION in video else 0
    rotation = turn % 4 * 90
    size = displayed(width, height, rotation=rotation, pixel_aspect=shape)
    return replace(
        facts,
        width=size[0],
        height=size[1],
        rotation=rotation,
        pixel_aspect=aspect,
        has_audio=2 in kinds,
    )


def _parts(element: memoryview) -> _Parts:
    """List the elements in an element, at most 128 of them."""
    found: _Parts = {}
    at = count = 0
    while at < len(element) and count < _MAX_CHILDREN:
        try:
            child = _header(element, at)
        except IndexError:
            raise _broken("an element ends in the middle of another") from None
        start = at + child.head_size
        if child.size is None or start + child.size > len(element):
            raise _broken("an element is larger than the one that it lies in")
        at = start + child.size
        found.setdefault(child.id, []).append(element[start:at])
        count += 1
    return found


def _whole(parts: _Parts, wanted: int, default: int) -> int:
    """Read an unsigned number; at most eight bytes are one."""
    found = parts.get(wanted)
    return int.from_bytes(found[0]) if found and 0 < len(found[0]) <= 8 else default


def _real(parts: _Parts, wanted: int) -> float:
    found = parts.get(wanted)
    code = {4: ">f", 8: ">d"}.get(len(found[0])) if found else None
    number: float = struct.unpack(code, found[0])[0] if found and code else 0.0
    return number if isfinite(number) else 0.0


def _broken(message: str) -> MediaFileError:
    return MediaFileError("media_broken", message)
