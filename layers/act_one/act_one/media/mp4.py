"""MP4 and QuickTime files: a sequence of boxes, each with a size and a kind (ISO 14496-12, QTFF).

The ``moov`` box is the index. It comes before or after the media data (``mdat``). A fragmented
file also has a ``moof`` before each fragment's media data. Media data is never read.
"""

import struct
import sys
from array import array
from dataclasses import dataclass, replace
from math import atan2, pi
from typing import Final

from act_one.media.c2pa import BOX_HEAD_BYTES, is_store_box
from act_one.media.facts import MediaFacts, MediaFileError, broken, display_size
from act_one.media.stream import MAX_CHILDREN, Parser, Stream

MAX_MOOV_BYTES: Final = 8_388_608
"""A larger ``moov`` or ``sidx`` is skipped, and its facts stay unknown."""
_MEDIA: Final = frozenset({b"moof", b"mdat"})
_MAX_TRACKS: Final = 32
_MAX_PIXEL_ASPECT: Final = 16.0
_VISUAL_SAMPLE_ENTRY_BYTES: Final = 86
_UNKNOWN_DURATIONS: Final = {0, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF}

type _Child = tuple[bytes, memoryview]
"""A box inside another box: its kind and its payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """The header of a top-level box; ``size`` includes it, None if the box is the file's rest."""

    kind: bytes
    header_size: int
    size: int | None


@dataclass(slots=True, kw_only=True)
class _Movie:
    """What has been read of a file so far."""

    facts: MediaFacts
    has_moov: bool = False
    has_media: bool = False
    mdat_missing: bool = False
    """A ``moof`` was read whose ``mdat`` has not come yet."""
    fragmented: bool = False
    data_end: int = 0
    """End of the last media data that ``moov`` or ``sidx`` refers to, as an offset in the file."""
    video_id: int = 0
    segments_end: int = 0
    """End of the fragments that ``sidx`` boxes have listed so far."""
    segments_seconds: float = 0.0
    c2pa: bool | None = None
    """True once a C2PA manifest was found; False if there is none in any box of the file."""


# ── The file ──────────────────────────────────────────────────────────────────────────────────


def parse_mp4(stream: Stream, media_type: str, *, whole: bool) -> Parser[MediaFacts]:
    """Parse an MP4 or QuickTime file to its end, or if not ``whole``, until its facts are known.

    The duration is that of the video track with its edit list, not that of the movie, which lasts
    as long as its longest track. A fragmented file has one only if ``mehd`` or ``sidx`` states it.
    """
    movie = _Movie(facts=MediaFacts(media_type=media_type))
    while stream.has_part():
        header = yield from _peek_header(stream, padded=movie.has_moov and movie.has_media)
        if header is None:
            movie.c2pa = bool(movie.c2pa) if whole else None
            break
        if header.kind in _MEDIA and movie.has_moov and not whole:
            return movie.facts
        if header.kind == b"moov" and not movie.has_moov:
            yield from _take_moov(stream, header, movie)
            known = movie.facts.duration_seconds is not None
            if not whole and (known or not movie.fragmented):
                return movie.facts
        elif header.kind == b"sidx" and movie.fragmented:
            yield from _take_sidx(stream, header, movie)
            if not whole and movie.segments_end:
                return (yield from _facts_by_sidx(stream, movie))
        else:
            if header.kind == b"uuid" and whole:
                movie.c2pa = (yield from _is_manifest(stream, header)) or movie.c2pa
            yield from _skip_box(stream, header, movie)
    yield from stream.skip_rest()
    return _facts_at_end(stream, movie)


def _peek_header(stream: Stream, *, padded: bool) -> Parser[_Header | None]:
    """Read the next box's header without taking it.

    Returns None at the file's end, or, if ``padded``, at zeros.
    """
    head = yield from stream.peek(16)
    if not head or (padded and not any(head)):
        return None
    if len(head) < 8:
        raise stream.cut_off()
    size, kind = struct.unpack_from(">I4s", head)
    if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
        raise broken(f"it has an invalid box at byte {stream.position:,}")
    if size == 0:
        return _Header(kind=kind, header_size=8, size=None)
    header_size = 8
    if size == 1:
        if len(head) < 16:
            raise stream.cut_off()
        size, header_size = int.from_bytes(head[8:]), 16
    if not header_size <= size <= sys.maxsize:
        raise broken(f"its box at byte {stream.position:,} has an invalid size")
    return _Header(kind=kind, header_size=header_size, size=size)


def _skip_box(stream: Stream, header: _Header, movie: _Movie) -> Parser[None]:
    if header.kind in _MEDIA:
        movie.has_media, movie.mdat_missing = True, header.kind == b"moof"
    if header.size is None:
        yield from stream.skip_rest()
    else:
        yield from stream.skip(header.size)


def _is_manifest(stream: Stream, header: _Header) -> Parser[bool]:
    """Return whether a ``uuid`` box has a C2PA manifest; the box is not taken."""
    size = header.header_size + BOX_HEAD_BYTES
    head = yield from stream.peek(size if header.size is None else min(size, header.size))
    return is_store_box(head[header.header_size :])


def _take_payload(stream: Stream, header: _Header) -> Parser[memoryview | None]:
    """Take a box's payload; None, and skipped, if the box is too large."""
    data = yield from stream.take_up_to(MAX_MOOV_BYTES, header.size)
    return None if data is None else memoryview(data)[header.header_size :]


def _take_moov(stream: Stream, header: _Header, movie: _Movie) -> Parser[None]:
    movie.has_moov = True
    moov = yield from _take_payload(stream, header)
    if moov is None:
        return
    try:
        _read_moov(moov, movie)
    except (struct.error, IndexError):
        raise broken("a box in its index (moov) is too short") from None
    stream.must_reach(movie.data_end)


def _take_sidx(stream: Stream, header: _Header, movie: _Movie) -> Parser[None]:
    """Take a segment index: the sizes and durations of the fragments after it.

    A ``sidx`` among fragments that an earlier one lists only subdivides them.
    """
    nested = stream.position < movie.segments_end
    sidx = yield from _take_payload(stream, header)
    if sidx is None:
        return
    try:
        track_id, scale = struct.unpack_from(">II", sidx, 4)
        at, code = (16, ">I") if sidx[0] == 0 else (20, ">Q")
        (first_offset,) = struct.unpack_from(code, sidx, at)
        at += struct.calcsize(code)
        (count,) = struct.unpack_from(">H", sidx, at + 2)
        if not stream.has_part(count):
            return
        entries = list(struct.iter_unpack(">III", sidx[at + 4 : at + 4 + 12 * count]))
    except (struct.error, IndexError):
        raise broken("its segment index (sidx) is too short") from None
    end = stream.position + first_offset + sum(entry[0] & 0x7FFF_FFFF for entry in entries)
    stream.must_reach(end)
    movie.data_end = max(movie.data_end, end)
    if track_id == movie.video_id and not nested:
        movie.segments_end = end
        movie.segments_seconds += sum(entry[1] for entry in entries) / scale if scale else 0.0


def _facts_by_sidx(stream: Stream, movie: _Movie) -> Parser[MediaFacts]:
    """Return the facts; with a duration if the first ``sidx`` lists all fragments of the file."""
    yield from stream.skip(movie.segments_end - stream.position)
    header = yield from _peek_header(stream, padded=True)
    if header is None or header.kind not in {b"sidx", b"styp", b"emsg", b"prft", b"moof", b"mdat"}:
        return replace(movie.facts, duration_seconds=movie.segments_seconds or None)
    return movie.facts


def _facts_at_end(stream: Stream, movie: _Movie) -> MediaFacts:
    if not movie.has_moov:
        raise MediaFileError("media_cut_off", "it has no index (moov): its end is missing")
    if not movie.has_media or movie.mdat_missing:
        raise MediaFileError("media_cut_off", "it has an index, but its media data is missing")
    if movie.data_end > stream.position:
        raise MediaFileError(
            "media_cut_off",
            f"it is cut off after {stream.position:,} of at least {movie.data_end:,} bytes",
        )
    seconds = movie.facts.duration_seconds or movie.segments_seconds or None
    return replace(movie.facts, duration_seconds=seconds, c2pa=movie.c2pa)


# ── moov ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    """A track of ``moov``; ``quarter_turns`` are clockwise."""

    id: int
    handler: bytes
    enabled: bool
    seconds: float | None
    quarter_turns: int
    display_size: tuple[float, float]
    sample_entry: memoryview
    """Its first sample entry, which describes the codec."""
    samples: int
    data_end: int


def _read_moov(moov: memoryview, movie: _Movie) -> None:
    children = _children(moov)
    header = _first(children, b"mvhd")
    if header is None:
        if _first(children, b"cmov") is not None:
            return  # compressed, as in old QuickTime files
        raise broken("its index (moov) has no header (mvhd)")
    scale, length, at = _times(header, 12)
    quarter_turns = _quarter_turns(header, at + 16)
    extends = _first(children, b"mvex")
    movie.fragmented = extends is not None
    trak_boxes = [child for kind, child in children if kind == b"trak"]
    found = [_read_track(trak, scale) for trak in trak_boxes[:_MAX_TRACKS]]
    tracks = [track for track in found if track is not None]
    movie.data_end = max((track.data_end for track in tracks), default=0)
    video = _main_video(tracks)
    movie.video_id = video.id
    if extends is not None:
        seconds = _fragments_seconds(_first(_children(extends), b"mehd"), scale)
    else:
        seconds = video.seconds or _seconds(length, scale)
        if not video.samples or not seconds:
            raise MediaFileError("media_empty", "its video track has no samples or no duration")
    rotation = (quarter_turns + video.quarter_turns) % 4 * 90
    width, height, pixel_aspect = _stored_size(video)
    size = display_size(width, height, rotation=rotation, pixel_aspect=pixel_aspect)
    movie.facts = replace(
        movie.facts,
        duration_seconds=seconds,
        width=size[0],
        height=size[1],
        rotation=rotation,
        pixel_aspect=pixel_aspect,
        has_audio=any(track.handler == b"soun" for track in tracks),
    )


def _main_video(tracks: list[_Track]) -> _Track:
    videos = [track for track in tracks if track.handler == b"vide"]
    if not videos:
        raise MediaFileError("media_no_video", "it has no video track")
    return max(videos, key=lambda track: (track.samples > 0, track.enabled))


def _read_track(trak: memoryview, movie_scale: int) -> _Track | None:
    """Read a track; None if it lacks a header, because no player can show it then."""
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
    width, height = struct.unpack_from(">II", header, at + 36)
    scale, media_length, _ = _times(media_header, 12)
    table = _children(_first(_children(_first(media, b"minf")), b"stbl"))
    samples, data_end = _read_sample_table(table)
    description = _first(table, b"stsd")
    return _Track(
        id=struct.unpack_from(">I", header, 20 if long else 12)[0],
        handler=bytes(handler[8:12]),
        enabled=bool(header[3] & 1),
        seconds=_seconds(length, movie_scale) or _seconds(media_length, scale),
        quarter_turns=_quarter_turns(header, at),
        display_size=(width / 65_536, height / 65_536),
        sample_entry=memoryview(b"") if description is None else description[8:],
        samples=samples,
        data_end=data_end,
    )


def _read_sample_table(table: list[_Child]) -> tuple[int, int]:
    """Return how many samples a track has, and where its last chunk ends in the file."""
    sizes = _first(table, b"stsz") or _first(table, b"stz2")
    samples = struct.unpack_from(">I", sizes, 8)[0] if sizes else 0
    offsets, code = _first(table, b"stco"), "I"
    if offsets is None:
        offsets, code = _first(table, b"co64"), "Q"
    if not offsets or not samples:
        return samples, 0
    chunks = _integers(code, offsets, 8, struct.unpack_from(">I", offsets, 4)[0])
    if not chunks:
        return samples, 0
    # The sum doesn't go into the array, whose integers have only 32 or 64 bits.
    last_end = chunks[-1] + _last_chunk_bytes(table, samples)
    return samples, max(last_end, max(chunks))  # noqa: PLW3301 - there may be a million chunks


def _last_chunk_bytes(table: list[_Child], samples: int) -> int:
    """Return the size of the last chunk; 0 if ``stsz`` or ``stsc`` is missing or too short."""
    sizes, chunk_runs = _first(table, b"stsz"), _first(table, b"stsc")
    if not sizes or not chunk_runs or len(chunk_runs) < 20:
        return 0
    (runs,) = struct.unpack_from(">I", chunk_runs, 4)
    if len(chunk_runs) < 8 + 12 * runs or not runs:
        return 0
    (samples_per_chunk,) = struct.unpack_from(">I", chunk_runs, 12 * runs)
    count = min(samples_per_chunk, samples)
    (sample_size,) = struct.unpack_from(">I", sizes, 4)
    if sample_size:
        return int(sample_size * count)
    return sum(_integers("I", sizes, 12 + 4 * (samples - count), count))


def _integers(code: str, data: memoryview, start: int, count: int) -> "array[int]":
    found = array(code)
    end = start + count * found.itemsize
    if end > len(data):
        raise broken("a table in its index (moov) is shorter than its entry count")
    found.frombytes(data[start:end])
    if sys.byteorder == "little":
        found.byteswap()
    return found


def _stored_size(video: _Track) -> tuple[int, int, float]:
    """Return the stored width and height, and the pixel aspect ratio.

    The ratio is that of ``pasp``, or else follows from the track's display size.
    """
    if len(video.sample_entry) < _VISUAL_SAMPLE_ENTRY_BYTES:
        raise broken("its video track has no complete sample entry (stsd)")
    (entry_size,) = struct.unpack_from(">I", video.sample_entry)
    width, height = struct.unpack_from(">HH", video.sample_entry, 32)
    if not width or not height:
        raise broken("its video has no width or height")
    # Some codecs append bytes here that are not boxes.
    extensions = _children(video.sample_entry[_VISUAL_SAMPLE_ENTRY_BYTES:entry_size], strict=False)
    pasp = _first(extensions, b"pasp")
    across, down = struct.unpack_from(">II", pasp) if pasp else (0, 0)
    if not across or not down:
        across, down = video.display_size[0] * height, video.display_size[1] * width
    aspect = across / down if across and down else 1.0
    return width, height, aspect if 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT else 1.0


def _fragments_seconds(mehd: memoryview | None, scale: int) -> float | None:
    if not mehd:
        return None
    (length,) = struct.unpack_from(">Q" if mehd[0] else ">I", mehd, 4)
    return _seconds(length, scale)


def _times(header: memoryview, at: int) -> tuple[int, int, int]:
    """Read time scale and duration of an ``mvhd`` or ``mdhd``; returns also where they end."""
    if header[0] == 1:
        scale, length = struct.unpack_from(">IQ", header, at + 8)
        return scale, length, at + 20
    scale, length = struct.unpack_from(">II", header, at)
    return scale, length, at + 8


def _seconds(length: int, scale: int) -> float | None:
    return length / scale if length not in _UNKNOWN_DURATIONS and scale else None


def _quarter_turns(header: memoryview, at: int) -> int:
    """Return a matrix's rotation in quarter turns clockwise, once any mirroring is undone."""
    across, along = struct.unpack_from(">ii", header, at + 12)
    return round(atan2(-across, along) / (pi / 2)) % 4


def _children(box: memoryview | None, *, strict: bool = True) -> list[_Child]:
    """List the boxes in a payload, at most ``MAX_CHILDREN``; if not strict, up to a broken one."""
    found: list[_Child] = []
    at, end = 0, 0 if box is None else len(box)
    while box is not None and at + 8 <= end and len(found) < MAX_CHILDREN:
        size, kind = struct.unpack_from(">I4s", box, at)
        header_size = 8
        if size == 1:
            size, header_size = int.from_bytes(box[at + 8 : at + 16]), 16
        elif size == 0:
            size = end - at
        if size < header_size or at + size > end:
            if not strict:
                break
            raise broken("a box in its index (moov) has an invalid size or exceeds its parent")
        found.append((kind, box[at + header_size : at + size]))
        at += size
    return found


def _first(children: list[_Child], wanted: bytes) -> memoryview | None:
    return next((child for kind, child in children if kind == wanted), None)
