"""WebM: nested EBML elements, each with an id and a size (RFC 8794, RFC 9559).

The file is parsed at two levels: the children of its Segment, and the children of a Cluster of
unknown size, as live encoders write them. No id occurs at both levels, so one loop reads both.
"""

import struct
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from act_one.media.facts import MediaFacts, MediaFileError, broken, display_size
from act_one.media.stream import MAX_CHILDREN, Parser, Stream

_MAX_ELEMENT_BYTES: Final = 1_048_576
"""A larger Tracks or Info element is skipped, and its facts stay unknown."""
_MAX_HEADER_BYTES: Final = 4_096
_MAX_SIDE: Final = 65_535
_MAX_SECONDS: Final = 2.0**64
"""The longest duration of an MP4 file; a row can't hold every double."""

_EBML: Final = 0x1A45DFA3
_DOC_TYPE: Final = 0x4282
_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_TIMESTAMP_SCALE: Final = 0x2AD7B1
_DURATION: Final = 0x4489
_TRACKS: Final = 0x1654AE6B
_TRACK_ENTRY: Final = 0xAE
_TRACK_TYPE: Final = 0x83
_VIDEO: Final = 0xE0
_PIXEL_WIDTH: Final = 0xB0
_PIXEL_HEIGHT: Final = 0xBA
_CROP_LEFT, _CROP_RIGHT, _CROP_TOP, _CROP_BOTTOM = 0x54CC, 0x54DD, 0x54BB, 0x54AA
_DISPLAY_WIDTH: Final = 0x54B0
_DISPLAY_HEIGHT: Final = 0x54BA
_DISPLAY_UNIT: Final = 0x54B2
_PROJECTION: Final = 0x7670
_POSE_ROLL: Final = 0x7675
_CLUSTER: Final = 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF

_VIDEO_TRACK, _AUDIO_TRACK = 1, 2

type _Children = dict[int, list[memoryview]]
"""The payloads of an element's children by their ids."""


@dataclass(frozen=True, slots=True)
class _Header:
    """An element's header; ``size`` is that of its payload, None if it is unknown."""

    id: int
    header_size: int
    size: int | None


# ── The file ──────────────────────────────────────────────────────────────────────────────────


def parse_webm(stream: Stream, media_type: str, *, whole: bool) -> Parser[MediaFacts]:
    """Parse a WebM file to its end, or if not ``whole``, until its facts are known.

    A live recording states no duration. If it is cut off exactly between two blocks, that can't be
    noticed.
    """
    yield from _check_ebml_header(stream)
    end = yield from _enter_segment(stream)
    facts = MediaFacts(media_type=media_type)
    seen: set[int] = set()
    while stream.has_part():
        header = None if stream.position == end else (yield from _peek_header(stream))
        if header is None or header.id == _EBML or (header.id == _CLUSTER and not whole):
            break
        _check_size(stream, header, end)
        if header.id in {_INFO, _TRACKS} and header.id not in seen:
            children = yield from _take_element(stream, header)
            read = _read_info if header.id == _INFO else _read_tracks
            facts = facts if children is None else read(children, facts)
        else:  # of an element of unknown size only the header is skipped: its children come next
            yield from stream.skip(header.header_size + (header.size or 0))
        seen.add(header.id)
        if not whole and {_INFO, _TRACKS} <= seen:
            break
    if whole:
        yield from _check_end(stream, end, seen)
    elif _TRACKS not in seen:
        message = "its Tracks element doesn't come before its first Cluster"
        raise MediaFileError("media_unclear", message)
    return facts


def _check_ebml_header(stream: Stream) -> Parser[None]:
    header = yield from _peek_header(stream)
    if header is None or header.size is None or header.size > _MAX_HEADER_BYTES:
        raise broken("its EBML header has an invalid size")
    children = yield from _take_element(stream, header)
    doc_types = children.get(_DOC_TYPE) if children else None
    if not doc_types or bytes(doc_types[0]).rstrip(b"\0") != b"webm":
        message = "it is Matroska or another EBML format, not WebM"
        raise MediaFileError("media_wrong_type", message)


def _enter_segment(stream: Stream) -> Parser[int | None]:
    """Skip to the Segment's first child; returns the Segment's end, None if it is unknown."""
    while stream.has_part():
        header = yield from _peek_header(stream)
        if header is not None and header.id == _SEGMENT:
            yield from stream.skip(header.header_size)
            if header.size is None:
                return None
            stream.must_reach(stream.position + header.size)
            return stream.position + header.size
        if header is None or header.id not in {_VOID, _CRC}:
            break
        yield from stream.skip(header.header_size + (header.size or 0))
    raise broken("it has no Segment element")


def _check_end(stream: Stream, end: int | None, seen: set[int]) -> Parser[None]:
    yield from stream.skip_rest()
    if end is not None and stream.position < end:
        raise stream.cut_off()
    if not {_TRACKS, _CLUSTER} <= seen:
        raise MediaFileError("media_cut_off", "its Tracks or its Clusters are missing")


def _peek_header(stream: Stream) -> Parser[_Header | None]:
    """Read the next element's header without taking it; None at the file's end."""
    head = yield from stream.peek(12)
    if not head:
        return None
    try:
        return _header(head, 0)
    except IndexError:
        raise stream.cut_off() from None


def _header(data: bytes | memoryview, at: int) -> _Header:
    """Read an element's header, whose last bytes may be missing: then so is its payload.

    Raises ``IndexError`` if there are too few bytes to tell how long the header is.
    """
    id_size = 9 - data[at].bit_length()
    if id_size > 4:
        raise broken("it has an element with an invalid id")
    size_at = at + id_size
    size_size = 9 - data[size_at].bit_length()
    if size_size > 8:
        raise broken("an element has an invalid size")
    end = size_at + size_size
    bits = (1 << 7 * size_size) - 1
    size = int.from_bytes(data[size_at:end]) & bits
    return _Header(int.from_bytes(data[at:size_at]), end - at, None if size == bits else size)


def _check_size(stream: Stream, header: _Header, end: int | None) -> None:
    if header.size is None:
        if header.id != _CLUSTER:
            raise broken("an element other than a Cluster has an unknown size")
    elif end is not None and stream.position + header.header_size + header.size > end:
        raise broken("an element is larger than the Segment that contains it")


def _take_element(stream: Stream, header: _Header) -> Parser[_Children | None]:
    """Take an element of known size; None, and skipped, if it is too large."""
    limit = header.header_size + _MAX_ELEMENT_BYTES
    data = yield from stream.take_up_to(limit, header.header_size + (header.size or 0))
    return None if data is None else _children(memoryview(data)[header.header_size :])


# ── Its elements ──────────────────────────────────────────────────────────────────────────────


def _read_info(info: _Children, facts: MediaFacts) -> MediaFacts:
    seconds = _float(info, _DURATION) * _uint(info, _TIMESTAMP_SCALE, 1_000_000) / 1e9
    return replace(facts, duration_seconds=seconds if 0 < seconds <= _MAX_SECONDS else None)


def _read_tracks(tracks: _Children, facts: MediaFacts) -> MediaFacts:
    entries = [_children(entry) for entry in tracks.get(_TRACK_ENTRY, [])]
    kinds = [_uint(entry, _TRACK_TYPE, 0) for entry in entries]
    if _VIDEO_TRACK not in kinds:
        raise MediaFileError("media_no_video", "it has no video track")
    videos = entries[kinds.index(_VIDEO_TRACK)].get(_VIDEO)
    if not videos:
        raise broken("its video track has no Video element")
    return _read_video(_children(videos[0]), replace(facts, has_audio=_AUDIO_TRACK in kinds))


def _read_video(video: _Children, facts: MediaFacts) -> MediaFacts:
    width, height = _cropped_size(video)
    display_width = _uint(video, _DISPLAY_WIDTH, width)
    display_height = _uint(video, _DISPLAY_HEIGHT, height)
    stated = bool(display_width and display_height)
    aspect = display_width * height / (display_height * width) if stated else 1.0
    # In unit 0 (pixels) they are the displayed size; in any other unit only their ratio counts.
    in_pixels = not _uint(video, _DISPLAY_UNIT, 0)
    if in_pixels and 0 < display_width <= _MAX_SIDE and 0 < display_height <= _MAX_SIDE:
        width, height, stretch = display_width, display_height, 1.0
    else:
        stretch = aspect
    roll = _float(_children(video[_PROJECTION][0]), _POSE_ROLL) if _PROJECTION in video else 0.0
    rotation = round(-roll / 90) % 4 * 90
    size = display_size(width, height, rotation=rotation, pixel_aspect=stretch)
    return replace(facts, width=size[0], height=size[1], rotation=rotation, pixel_aspect=aspect)


def _cropped_size(video: _Children) -> tuple[int, int]:
    stored_width, stored_height = _uint(video, _PIXEL_WIDTH, 0), _uint(video, _PIXEL_HEIGHT, 0)
    width = stored_width - _uint(video, _CROP_LEFT, 0) - _uint(video, _CROP_RIGHT, 0)
    height = stored_height - _uint(video, _CROP_TOP, 0) - _uint(video, _CROP_BOTTOM, 0)
    if not (0 < width <= stored_width <= _MAX_SIDE and 0 < height <= stored_height <= _MAX_SIDE):
        raise broken("its video has an invalid width or height")
    return width, height


def _children(payload: memoryview) -> _Children:
    """List an element's children, at most ``MAX_CHILDREN`` of them."""
    found: _Children = {}
    at = count = 0
    while at < len(payload) and count < MAX_CHILDREN:
        try:
            child = _header(payload, at)
        except IndexError:
            raise broken("an element ends within the header of a child") from None
        start = at + child.header_size
        if child.size is None or start + child.size > len(payload):
            raise broken("an element is larger than the one that contains it")
        at = start + child.size
        found.setdefault(child.id, []).append(payload[start:at])
        count += 1
    return found


def _uint(children: _Children, wanted: int, default: int) -> int:
    """Read an unsigned integer of one to eight bytes."""
    found = children.get(wanted)
    return int.from_bytes(found[0]) if found and 0 < len(found[0]) <= 8 else default


def _float(children: _Children, wanted: int) -> float:
    """Read a float of four or eight bytes; 0 if it is missing or not finite."""
    found = children.get(wanted)
    code = {4: ">f", 8: ">d"}.get(len(found[0])) if found else None
    number: float = struct.unpack(code, found[0])[0] if found and code else 0.0
    return number if isfinite(number) else 0.0
