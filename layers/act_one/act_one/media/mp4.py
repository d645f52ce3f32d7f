"""MP4 and QuickTime files: a row of boxes, each with its size and kind (ISO 14496-12, QTFF).

The index is the ``moov`` box, before or after the media data (``mdat``); a fragmented file has an
index per fragment (``moof``) besides. The media themselves are never looked at.
"""

import struct
import sys
from array import array
from dataclasses import dataclass, replace
from math import atan2, pi
from typing import Final

from act_one.media.stream import MAX_PARTS, MediaFacts, MediaFileError, Stream, Waits, displayed

MAX_INDEX_BYTES: Final = 8_388_608
"""A larger ``moov`` is not read, which leaves the facts open."""
_MAX_CHILDREN: Final = 128
_MAX_TRACKS: Final = 32
_MAX_PIXEL_ASPECT: Final = 16.0
_VISUAL_ENTRY_BYTES: Final = 86

type _Child = tuple[bytes, memoryview]
"""A box inside the index: its kind and what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A box of the file; ``size`` counts its header, None: it goes on to the file's end."""

    kind: bytes
    head_size: int
    size: int | None


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What a walk has met so far."""

    facts: MediaFacts
    index: bool = False
    media: bool = False
    owed: bool = False
    """A fragment's index came, its media data didn't yet."""
    fragmented: bool = False
    reach: int = 0
    """Where the last media data that an index speaks of ends in the file."""
    video_id: int = 0
    segments_end: int = 0
    segments_seconds: float = 0.0


# ── The file ──────────────────────────────────────────────────────────────────────────────────


def movie(stream: Stream, media_type: str, *, whole: bool) -> Waits[MediaFacts]:
    """Walk an MP4 or QuickTime file: all of it, or until it is known what it is.

    The duration is that of the video track as it is shown, its edit list included. The movie as a
    whole lasts as long as its longest track, and what counts here is the picture. A fragmented
    file has one if it tells it ahead (``mehd``, ``sidx``).
    """
    seen = _Seen(facts=MediaFacts(media_type=media_type))
    for _ in range(MAX_PARTS):
        box = yield from _next_box(stream, padded=seen.index and seen.media)
        if box is None:
            break
        if not whole and seen.index and box.kind in {b"moof", b"mdat"}:
            return seen.facts
        if box.kind == b"moov" and not seen.index:
            yield from _see_index(stream, box, seen)
            told = seen.facts.duration_seconds is not None
            if not whole and (told or not seen.fragmented):
                return seen.facts
        elif box.kind == b"sidx" and seen.fragmented:
            yield from _see_segments(stream, box, seen)
            if not whole and seen.segments_end:
                return (yield from _told_by_segments(stream, seen))
        else:
            if box.kind in {b"moof", b"mdat"}:
                seen.media, seen.owed = True, box.kind == b"moof"
            yield from _pass_by(stream, box)
    yield from stream.skip_rest()
    return _conclude(stream, seen)


def _next_box(stream: Stream, *, padded: bool) -> Waits[_Box | None]:
    """Look at the next box; None at the file's end, or at the zeros that may pad it."""
    head = yield from stream.peek(16)
    if not head or (padded and not any(head)):
        return None
    if len(head) < 8:
        raise stream.cut_off()
    size, kind = struct.unpack_from(">I4s", head)
    if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
        raise _broken(f"there is no box where one begins, at {stream.position:,}")
    if size == 0:
        return _Box(kind=kind, head_size=8, size=None)
    head_size = 8
    if size == 1:
        if len(head) < 16:
            raise stream.cut_off()
        size, head_size = int.from_bytes(head[8:]), 16
    if not head_size <= size <= sys.maxsize:
        raise _broken(f"the box at {stream.position:,} has a size that can't be")
    return _Box(kind=kind, head_size=head_size, size=size)


def _pass_by(stream: Stream, box: _Box) -> Waits[None]:
    if box.size is None:
        yield from stream.skip_rest()
    else:
        yield from stream.skip(box.size)


def _contents(stream: Stream, box: _Box) -> Waits[memoryview | None]:
    """Take a box of the index; None if it is too large to be read."""
    data: bytes | None = None
    if box.size is None:
        data = yield from stream.take_rest(MAX_INDEX_BYTES)
    elif box.size <= MAX_INDEX_BYTES:
        data = yield from stream.take(box.size)
    else:
        yield from stream.skip(box.size)
    return None if data is None else memoryview(data)[box.head_size :]


def _see_index(stream: Stream, box: _Box, seen: _Seen) -> Waits[None]:
    seen.index = True
    moov = yield from _contents(stream, box)
    if moov is None:
        return
    try:
        _read_index(moov, seen)
    except (struct.error, IndexError):
        raise _broken("a box of its index is too short for what it must hold") from None
    stream.must_reach(seen.reach)


def _see_segments(stream: Stream, box: _Box, seen: _Seen) -> Waits[None]:
    """Read a segment index: how long the fragments after it are, in bytes and in time.

    One that lies among those that an earlier one tells of goes into detail, and adds nothing.
    """
    detail = stream.position < seen.segments_end
    sidx = yield from _contents(stream, box)
    if sidx is None:
        return
    try:
        track, scale = struct.unpack_from(">II", sidx, 4)
        at, code = (16, ">I") if sidx[0] == 0 else (20, ">Q")
        (first,) = struct.unpack_from(code, sidx, at)
        at += struct.calcsize(code)
        (count,) = struct.unpack_from(">H", sidx, at + 2)
        entries = list(struct.iter_unpack(">III", sidx[at + 4 : at + 4 + 12 * count]))
    except (struct.error, IndexError):
        raise _broken("its segment index is too short for what it must hold") from None
    end = stream.position + first + sum(entry[0] & 0x7FFF_FFFF for entry in entries)
    stream.must_reach(end)
    seen.reach = max(seen.reach, end)
    if track == seen.video_id and not detail:
        seen.segments_end = end
        seen.segments_seconds += sum(entry[1] for entry in entries) / scale if scale else 0.0


def _told_by_segments(stream: Stream, seen: _Seen) -> Waits[MediaFacts]:
    """Say how long a fragmented file is, if its first segment index tells of all of it."""
    yield from stream.skip(seen.segments_end - stream.position)
    box = yield from _next_box(stream, padded=True)
    if box is None or box.kind not in {b"sidx", b"styp", b"emsg", b"prft", b"moof", b"mdat"}:
        return replace(seen.facts, duration_seconds=seen.segments_seconds or None)
    return seen.facts


def _conclude(stream: Stream, seen: _Seen) -> MediaFacts:
    if not seen.index:
        raise MediaFileError("media_cut_off", "it has no index (moov): its end is missing")
    if not seen.media or seen.owed:
        raise MediaFileError("media_cut_off", "it has an index, and no media data (mdat) after it")
    if seen.reach > stream.position:
        raise MediaFileError(
            "media_cut_off",
            f"it ends after {stream.position:,} bytes, and its index speaks of {seen.reach:,}",
        )
    if seen.facts.duration_seconds is None and seen.segments_seconds:
        return replace(seen.facts, duration_seconds=seen.segments_seconds)
    return seen.facts


# ── The index ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    """A track of the index: times in seconds, ``turn`` in quarters clockwise."""

    id: int
    handler: bytes
    enabled: bool
    seconds: float | None
    turn: int
    shown: tuple[float, float]
    entry: memoryview
    """Its first sample entry, which says how it is coded."""
    samples: int
    reach: int


def _read_index(moov: memoryview, seen: _Seen) -> None:
    children = _children(moov)
    header = _first(children, b"mvhd")
    if header is None:
        if _first(children, b"cmov") is not None:
            return  # compressed, as QuickTime did last century
        raise _broken("its index (moov) has no header (mvhd)")
    scale, length, at = _times(header, 12)
    turn = _turn(header, at + 16)
    extends = _first(children, b"mvex")
    seen.fragmented = extends is not None
    trak_boxes = [child for kind, child in children if kind == b"trak"]
    found = [_read_track(trak, scale) for trak in trak_boxes[:_MAX_TRACKS]]
    tracks = [track for track in found if track is not None]
    seen.reach = max((track.reach for track in tracks), default=0)
    videos = [track for track in tracks if track.handler == b"vide"]
    if not videos:
        raise MediaFileError("media_no_video", "it has no video track")
    video = max(videos, key=lambda track: (track.samples > 0, track.enabled))
    if extends is not None:
        seconds = _announced(_first(_children(extends), b"mehd"), scale)
    else:
        seconds = video.seconds or _seconds(length, scale)
        if not video.samples or not seconds:
            raise MediaFileError("media_empty", "its video track holds no picture, or for no time")
    seen.video_id = video.id
    rotation = (turn + video.turn) % 4 * 90
    width, height, pixel_aspect = _coded(video)
    size = displayed(width, height, rotation=rotation, pixel_aspect=pixel_aspect)
    seen.facts = replace(
        seen.facts,
        duration_seconds=seconds,
        width=size[0],
        height=size[1],
        rotation=rotation,
        pixel_aspect=pixel_aspect,
        has_audio=any(track.handler == b"soun" for track in tracks),
    )


def _read_track(trak: memoryview, movie_scale: int) -> _Track | None:
    """Read a track; None if it lacks a header, as nobody can show it then."""
    children = _children(trak)
    header = _first(children, b"tkhd")
    media = _children(_first(children, b"mdia"))
    media_header = _first(media, b"mdhd")
    handler = _first(media, b"hdlr")
    if header is None or media_header is None or handler is None:
        return None
    long = header[0] == 1
    (length,) = struct.unpack_from(">Q" if long else ">I", header, 28 if long else 20)
    at = 52 if long else 40
    wide, high = struct.unpack_from(">II", header, at + 36)
    scale, media_length, _ = _times(media_header, 12)
    table = _children(_first(_children(_first(media, b"minf")), b"stbl"))
    samples, reach = _read_table(table)
    description = _first(table, b"stsd")
    return _Track(
        id=struct.unpack_from(">I", header, 20 if long else 12)[0],
        handler=bytes(handler[8:12]),
        enabled=bool(header[3] & 1),
        seconds=_seconds(length, movie_scale) or _seconds(media_length, scale),
        turn=_turn(header, at),
        shown=(wide / 65_536, high / 65_536),
        entry=memoryview(b"") if description is None else description[8:],
        samples=samples,
        reach=reach,
    )


def _read_table(table: list[_Child]) -> tuple[int, int]:
    """Count a track's samples and say where its last chunk of them ends in the file."""
    sizes = _first(table, b"stsz") or _first(table, b"stz2")
    samples = struct.unpack_from(">I", sizes, 8)[0] if sizes else 0
    offsets, code = _first(table, b"stco"), "I"
    if offsets is None:
        offsets, code = _first(table, b"co64"), "Q"
    if not offsets or not samples:
        return samples, 0
    chunks = _numbers(code, offsets, 8, struct.unpack_from(">I", offsets, 4)[0])
    if not chunks:
        return samples, 0
    chunks[-1] += _last_chunk_bytes(table, samples)
    return samples, max(chunks)


def _last_chunk_bytes(table: list[_Child], samples: int) -> int:
    """Add up the samples of the last chunk; 0 where the tables don't say it simply."""
    sizes, spread = _first(table, b"stsz"), _first(table, b"stsc")
    if not sizes or not spread or len(spread) < 20:
        return 0
    (runs,) = struct.unpack_from(">I", spread, 4)
    if len(spread) < 8 + 12 * runs or not runs:
        return 0
    (per_chunk,) = struct.unpack_from(">I", spread, 12 * runs)
    count = min(per_chunk, samples)
    (each,) = struct.unpack_from(">I", sizes, 4)
    if each:
        return int(each * count)
    return sum(_numbers("I", sizes, 12 + 4 * (samples - count), count))


def _numbers(code: str, data: memoryview, start: int, count: int) -> "array[int]":
    found = array(code)
    end = start + count * found.itemsize
    if end > len(data):
        raise _broken("a table of its index is shorter than it says")
    found.frombytes(data[start:end])
    if sys.byteorder == "little":
        found.byteswap()
    return found


def _coded(video: _Track) -> tuple[int, int, float]:
    """Say how large its pictures are stored, and how wide a pixel of them is for its height.

    ``pasp`` says the latter; where it is missing, the size at which the track is shown does.
    """
    if len(video.entry) < _VISUAL_ENTRY_BYTES:
        raise _broken("its video track does not say how it is coded")
    (entry_size,) = struct.unpack_from(">I", video.entry)
    width, height = struct.unpack_from(">HH", video.entry, 32)
    if not width or not height:
        raise _broken("its pictures have no size")
    # What follows in the entry is the codec's own, and not always boxes.
    extensions = _children(video.entry[_VISUAL_ENTRY_BYTES:entry_size], strict=False)
    pasp = _first(extensions, b"pasp")
    across, down = struct.unpack_from(">II", pasp) if pasp else (0, 0)
    if not across or not down:
        across, down = video.shown[0] * height, video.shown[1] * width
    aspect = across / down if across and down else 1.0
    return width, height, aspect if 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT else 1.0


def _announced(mehd: memoryview | None, scale: int) -> float | None:
    if not mehd:
        return None
    (length,) = struct.unpack_from(">Q" if mehd[0] else ">I", mehd, 4)
    return _seconds(length, scale)


def _times(header: memoryview, at: int) -> tuple[int, int, int]:
    """Read the time scale and the duration of an ``mvhd`` or ``mdhd``, and where they end."""
    if header[0] == 1:
        scale, length = struct.unpack_from(">IQ", header, at + 8)
        return scale, length, at + 20
    scale, length = struct.unpack_from(">II", header, at)
    return scale, length, at + 8


def _seconds(length: int, scale: int) -> float | None:
    # All ones are "not known", in either width.
    known = length not in {0, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF}
    return length / scale if known and scale else None


def _turn(header: memoryview, at: int) -> int:
    """Say by how many quarters clockwise a matrix turns the picture, once it has mirrored it."""
    across, along = struct.unpack_from(">ii", header, at + 12)
    return round(atan2(-across, along) / (pi / 2)) % 4


def _children(box: memoryview | None, *, strict: bool = True) -> list[_Child]:
    """List the boxes in a box, at most 128 of them; if not strictly, those before a broken one."""
    found: list[_Child] = []
    at, end = 0, 0 if box is None else len(box)
    while box is not None and at + 8 <= end and len(found) < _MAX_CHILDREN:
        size, kind = struct.unpack_from(">I4s", box, at)
        head_size = 8
        if size == 1:
            size, head_size = int.from_bytes(box[at + 8 : at + 16]), 16
        elif size == 0:
            size = end - at
        if size < head_size or at + size > end:
            if not strict:
                break
            raise _broken("a box of its index is larger than what it lies in, or has no size")
        found.append((kind, box[at + head_size : at + size]))
        at += size
    return found


def _first(children: list[_Child], wanted: bytes) -> memoryview | None:
    return next((child for kind, child in children if kind == wanted), None)


def _broken(message: str) -> MediaFileError:
    return MediaFileError("media_broken", message)
