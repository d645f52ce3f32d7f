"""Media files, whole and broken, and what must be said of each."""

import base64
import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass

from act_one.media.stream import MediaFacts, MediaFileError
from tools.media_files import edit
from tools.media_files.edit import box, cut, edited, patched, without
from tools.media_files.sources import Sources

STBL = (b"mdia", b"minf", b"stbl")
VIDEO = (b"moov", b"trak")
"""The first track: that of the picture, where ffmpeg puts it unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file, and what probe and Scan say of it, as ``said`` puts it."""

    name: str
    make: Callable[[Sources], bytes]
    probe: str
    scan: str
    reads: int
    kib: int
    """At most so many KiB are read by probe."""


def said(what: MediaFacts | MediaFileError) -> str:
    if isinstance(what, MediaFileError):
        return f"`{what.code}`"
    words = [what.media_type.split("/")[1]]
    if what.width is not None:
        words.append(f"{what.width}x{what.height}")
    if what.duration_seconds is not None:
        words.append(f"{what.duration_seconds:.2f} s")
    if what.rotation:
        words.append(f"turned {what.rotation}°")
    if what.pixel_aspect != 1.0:
        words.append(f"pixels {what.pixel_aspect:.2f}")
    if what.has_audio:
        words.append("sound")
    return " ".join(words)


# ── Files that are made here ──────────────────────────────────────────────────────────────────

PROGRESSIVE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKra"
    "rYqMyP/L2u71////m8H////6/+b9//j/2wBDASstLTw1PHZBQXb4pYyl+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4"
    "+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj/wgARCAAkAEADASIAAhEBAxEB/8QAGAABAQEBAQAAAAAAAAAAAAAA"
    "AQIAAwT/xAAXAQEBAQEAAAAAAAAAAAAAAAABAgAE/9oADAMBAAIQAxAAAAHyN1iG9VS0ly0l86pOKWnXLSXFUl83"
    "Z412LXYtdi//xAAZEAEAAgMAAAAAAAAAAAAAAAARABAgMED/2gAIAQEAAQUCohDQZHN//8QAFxEBAQEBAAAAAAAA"
    "AAAAAAAAAQAREP/aAAgBAwEBPwHYYYbYYYekX//EABoRAAICAwAAAAAAAAAAAAAAAAABESEQIEH/2gAIAQIBAT8B"
    "VlZTokkkXNP/xAAUEAEAAAAAAAAAAAAAAAAAAABQ/9oACAEBAAY/AiP/xAAaEAEBAQADAQAAAAAAAAAAAAAAEQEQ"
    "IEEh/9oACAEBAAE/IYnQREZjMROERGYjCIiIzE+oiIiMY8edf//aAAwDAQACAAMAAAAQSFNPyOCiAAAA/8QAFxEB"
    "AQEBAAAAAAAAAAAAAAAAASAAEP/aAAgBAwEBPxAiqQAMdP/EABwRAAMAAgMBAAAAAAAAAAAAAAABIRFRMUFxwf/a"
    "AAgBAgEBPxBA0kHjQ2tGCCIiCDgF14P4M//EAB8QAQEAAQQDAQEAAAAAAAAAAAEAERAhUWExcfBBkf/aAAgBAQAB"
    "PxApSEIGDB4dVwPcJgHmOBC6I7OjsO9Ay8QT3C9EcSPhp75ucXAjH83jnu3b+R8IkAIMZQBlABtYDGLAYxADgv/Z"
)
HTML = b"<!DOCTYPE html>\n<html><head><title>403</title></head><body>Gone.</body></html>\n"
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>ExpiredToken</Code></Error>'
JSON = b'{"error": {"code": "expired", "message": "This link has expired."}}'
TEXT = b"The free trial of this account is over. " * 40
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180"></svg>'


def file(name):
    return lambda sources: sources(name)


def of(name, change, *more, **named):
    return lambda sources: change(sources(name), *more, **named)


def these(content):
    return lambda _: content


def changed(path, change, source="mute.mp4"):
    """A file of which one box, named by those that it lies in, holds something else."""
    names = [name.encode() for name in path.split("/")]
    return lambda sources: edited(sources(source), names, change)


def with_exif(jpeg, orientation, order=">"):
    """A JPEG with an Exif segment that has an orientation and a thumbnail."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    exif = mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    thumbnail = b"\xff\xd8\xff\xda\0\x02thumbnail\xff\xd9"
    return jpeg[:2] + jpeg_segment(0xE1, b"Exif\0\0" + exif + thumbnail) + jpeg[2:]


def jpeg_segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(payload)) + payload


def with_profile(jpeg, *, segments=6):
    """A JPEG with a colour profile so large that its picture begins far behind."""
    return jpeg[:2] + jpeg_segment(0xE2, bytes(65_000)) * segments + jpeg[2:]


def without_ftyp(mov, first=b""):
    """A QuickTime file as they began before there was ``ftyp``."""
    (_, _, end), *_ = edit.boxes(mov)
    return first + edit.shifted(mov, len(first) - end)[end:]


def long_media(mp4):
    """The same with a media box whose size has 64 bits, for which ffmpeg left room."""
    at = mp4.index(b"\0\0\0\x08free")
    size, kind = struct.unpack_from(">I4s", mp4, at + 8)
    assert kind == b"mdat"
    return mp4[:at] + struct.pack(">I4sQ", 1, b"mdat", size + 8) + mp4[at + 16 :]


def open_media(mp4):
    """The same with a media box without a size: it goes on to the file's end."""
    start, end = edit.place(mp4, b"mdat")
    assert end == len(mp4)
    return mp4[:start] + bytes(4) + mp4[start + 4 :]


def with_co64(mp4):
    data = edited(mp4, [*VIDEO, *STBL, b"stco"], edit.wide_offsets)
    return data.replace(b"stco", b"co64", 1)


def with_long_times(mp4):
    data = edited(mp4, [b"moov", b"mvhd"], edit.long_times)
    data = edited(data, [*VIDEO, b"tkhd"], lambda tkhd: edit.long_times(tkhd, track=True))
    return edited(data, [*VIDEO, b"mdia", b"mdhd"], edit.long_times)


def with_mehd(fragments, *, long=False):
    scale = struct.unpack_from(">I", fragments, fragments.index(b"mvhd") + 16)[0]
    mehd = box(b"mehd", struct.pack(">IQ" if long else ">II", long << 24, 2 * scale))
    return edited(fragments, [b"moov", b"mvex"], lambda mvex: mehd + mvex)


def with_detail(segments):
    """A file with a second index of the same fragments, right behind the first."""
    start, end = edit.place(segments, b"sidx")
    raw = bytearray(segments[start:end])
    (gap,) = struct.unpack_from(">Q", raw, 28)
    struct.pack_into(">Q", raw, 28, gap + end - start)
    return segments[:start] + raw + segments[start:]


def with_flags(mp4, *flags):
    """A file of two video tracks, these flags in their headers: 1 is for enabled."""
    raw = bytearray(mp4)
    at = 0
    for flag in flags:
        at = mp4.index(b"tkhd", at + 1)
        raw[at + 7] = flag
    return bytes(raw)


def junk_behind(stsd):
    """A sample description whose entry ends in what is no box."""
    (size,) = struct.unpack_from(">I", stsd, 8)
    return stsd[:8] + struct.pack(">I", size + 12) + stsd[12 : 8 + size] + b"\xff" * 12


def without_durations(mp4, *kinds, length=0):
    """A file of which these boxes don't say how long it is."""
    paths = {b"mvhd": ([b"moov"], 16), b"tkhd": (VIDEO, 20), b"mdhd": ([*VIDEO, b"mdia"], 16)}
    for kind in kinds:
        path, at = paths[kind]
        mp4 = edited(mp4, [*path, kind], patched(at, ">I", length))
    return mp4


def without_pasp(mp4):
    return mp4.replace(b"pasp", b"free")


def open_index(mp4):
    """The same with an index without a size, at the end."""
    start, end = edit.place(mp4, b"moov")
    assert end == len(mp4)
    return mp4[:start] + bytes(4) + mp4[start + 4 :]


def with_large_index(mp4, size):
    return edited(mp4, [b"moov"], lambda moov: moov + box(b"free", bytes(size)))


def shortened(mp4, by):
    """A file that ends earlier, its last box as well: all boxes are whole."""
    (_, start, end) = edit.boxes(mp4)[-1]
    short = mp4[: end - by]
    return short[:start] + struct.pack(">I", end - by - start) + short[start + 4 :]


def cut_webm(webm, number, where):
    """A WebM file cut off at the part of its segment with that number."""
    parts = edit.parts(webm)
    _, start, holds, end = parts[number]
    end = end or len(webm)
    return webm[
        : {"before": start, "in its size": holds - 1, "in its middle": (start + end) // 2}[where]
    ]


def open_clusters(webm):
    """The same with clusters that don't know their sizes, nor the segment its own."""
    raw = bytearray(webm)
    _, _, _, header_end = edit.first(webm, 0)
    _, at, holds, _ = edit.first(webm, header_end)
    for found, start, inside in [("18538067", at, holds), *(p[:3] for p in edit.parts(webm))]:
        if found in {"18538067", "1f43b675"}:
            width = inside - start - 4
            raw[start + 4 : inside] = ((1 << 7 * width + 1) - 1).to_bytes(width)
    return bytes(raw)


def without_parts(webm, *ids):
    """A WebM file without some parts, its segment of no known size."""
    _, _, _, header_end = edit.first(webm, 0)
    kept = b"".join(webm[at:end] for found, at, _, end in edit.parts(webm) if found not in ids)
    return webm[:header_end] + bytes.fromhex("1853806701ffffffffffffff") + kept


WEBM_HEADER = edit.element("1a45dfa3", edit.element("4282", b"webm"))
SIZE = edit.number("b0", 320) + edit.number("ba", 180)


def webm_of(video, info=b"", *, before=b"", after=b"", size=None):
    """A WebM file of one video track and one cluster, as small as they get."""
    track = edit.element("ae", edit.number("83", 1, 1) + edit.element("e0", video))
    content = before + edit.element(INFO, info) + edit.element(TRACKS, track)
    content += edit.element(CLUSTERS, edit.element("a3", bytes(100))) + after
    return these(WEBM_HEADER + edit.element("18538067", content, size))


def with_large_part():
    """A segment whose last part is larger than it, though the file goes on."""
    return lambda _: webm_of(SIZE, after=edit.element("ec", b"", b"\x84"))(None) + bytes(4)


def with_open_tracks():
    """A file whose tracks don't know their size, though what they hold is there."""
    whole = webm_of(SIZE)(None)
    at = whole.index(bytes.fromhex(TRACKS)) + 4
    return these(whole[:at] + b"\x01" + b"\xff" * 7 + whole[at + 8 :])


def lasting(seconds):
    return edit.element("4489", struct.pack(">d", seconds * 1000))


def half(data):
    return data[: len(data) // 2]


def less_one(data):
    return data[:-1]


CLUSTERS, TRACKS, INFO = "1f43b675", "1654ae6b", "1549a966"


# ── The table ─────────────────────────────────────────────────────────────────────────────────

TABLE_PATH = "moov/trak/mdia/minf/stbl"
WEBM_SIZE = "webm 320x180"
CUT, BROKEN, WRONG = "`media_cut_off`", "`media_broken`", "`media_wrong_type`"
UNKNOWN = "`media_unknown_type`"
NO_VIDEO, EMPTY, UNCLEAR = "`media_no_video`", "`media_empty`", "`media_unclear`"
MP4 = "mp4 320x180 2.00 s sound"
MUTE = "mp4 320x180 2.00 s"
MOV = "quicktime 320x180 2.00 s sound"
WEBM = "webm 320x180 2.01 s sound"
IN_SIZE, MIDDLE, END = "in the size of", "in the middle of", "a byte before the end of"
FRAGMENTS = "mp4 320x180 sound"
LIVE = "webm 320x180 sound"
PNG, JPEG, WEBP = "png 320x180", "jpeg 320x180", "webp 320x180"
LONG = "mp4 64x36 200.00 s"


def case(name, make, probe, scan=None, *, reads=1, kib=64):
    makes = file(make) if isinstance(make, str) else make
    return Case(name=name, make=makes, probe=probe, scan=scan or probe, reads=reads, kib=kib)


def late(name, make, probe, scan=None):
    """Tell of a file whose index is at its end: its first 64 KiB are read, then that."""
    return case(name, make, probe, scan, reads=2, kib=68)


def cuts(name, source, kind, *places, probe="`media_cut_off`", reads=1, kib=64):
    """A file cut off at these places of a box."""
    return [
        case(
            f"{name}, cut {where} `{kind}`",
            of(source, cut, kind.encode(), where),
            probe,
            CUT,
            reads=reads,
            kib=kib,
        )
        for where in places
    ]


WHOLE_MP4 = [
    late("H.264 and AAC, index last", "h264.mp4", MP4),
    case("index first (faststart)", "faststart.mp4", MP4),
    late("no sound", "mute.mp4", MUTE),
    late("sound is the first track", "sound first.mp4", MP4),
    case("H.265", "h265.mp4", MUTE),
    late("VP9 and Opus", "vp9.mp4", MP4),
    late("AV1", "av1.mp4", MUTE),
    late("3GP", "h264.3gp", MUTE),
    late("turned by 90°", "turned 90.mp4", "mp4 180x320 2.00 s turned 90° sound"),
    late("turned by 180°", "turned 180.mp4", "mp4 320x180 2.00 s turned 180° sound"),
    late("turned by 270°", "turned 270.mp4", "mp4 180x320 2.00 s turned 270° sound"),
    late("mirrored", "mirrored.mp4", MP4),
    late("wide pixels (`pasp`)", "wide pixels.mp4", "mp4 427x180 2.00 s pixels 1.33 sound"),
    late(
        "wide pixels, told by the track's size alone",
        of("wide pixels.mp4", without_pasp),
        "mp4 427x180 2.00 s pixels 1.33 sound",
    ),
    late("trimmed by an edit list", "trimmed.mp4", "mp4 320x180 1.30 s sound"),
    late("media size of 64 bits", of("h264.mp4", long_media), MP4),
    case("media to the file's end (size 0)", of("faststart.mp4", open_media), MP4),
    late("index to the file's end (size 0)", of("h264.mp4", open_index), MP4),
    late("chunk offsets of 64 bits (`co64`)", of("h264.mp4", with_co64), MP4),
    late("times of 64 bits", of("h264.mp4", with_long_times), MP4),
    case("padded with zeros", of("faststart.mp4", lambda data: data + bytes(1000)), MP4),
    case("padded with five zeros", of("faststart.mp4", lambda data: data + bytes(5)), MP4),
    late(
        "a `free` box at the end", of("h264.mp4", lambda data: data + box(b"free", bytes(90))), MP4
    ),
    case("20,000 pictures, index last", "long.mp4", LONG, reads=2, kib=160),
    case("20,000 pictures, index first", "long faststart.mp4", LONG, reads=2, kib=192),
    case("index of 1 MiB, last", of("h264.mp4", with_large_index, 1 << 20), MP4, reads=3, kib=1200),
    case(
        "index of 5 MiB", of("h264.mp4", with_large_index, 5 << 20), UNCLEAR, MP4, reads=2, kib=200
    ),
    case(
        "index of 9 MiB",
        of("h264.mp4", with_large_index, 9 << 20),
        UNCLEAR,
        "mp4",
        reads=2,
        kib=200,
    ),
    case("fragments", "fragments.mp4", FRAGMENTS),
    case("fragments, the first in the index", "first in index.mp4", FRAGMENTS),
    case("fragments, duration told ahead (`mehd`)", of("fragments.mp4", with_mehd), MP4),
    late("fragments, segment index ahead (`sidx`)", "segments.mp4", "mp4 320x180 2.02 s sound"),
    case(
        "fragments, a segment index before each",
        "dash.mp4",
        FRAGMENTS,
        "mp4 320x180 2.02 s sound",
    ),
]
WHOLE_MOV = [
    late("QuickTime, index last", "h264.mov", MOV),
    case("QuickTime, index first", "faststart.mov", MOV),
    late("old QuickTime: `wide`, `mdat`, `moov`", of("h264.mov", without_ftyp), MOV),
    case("old QuickTime: `moov` first", of("faststart.mov", without_ftyp), MOV),
    late("old QuickTime: `free` first", of("h264.mov", without_ftyp, box(b"free", bytes(40))), MOV),
    late("old QuickTime: `skip` first", of("h264.mov", without_ftyp, box(b"skip")), MOV),
    late("old QuickTime: `pnot` first", of("h264.mov", without_ftyp, box(b"pnot", bytes(12))), MOV),
    late(
        "old QuickTime: `mdat` first",
        of("h264.mov", lambda data: edit.shifted(without_ftyp(data), -8)[8:]),
        MOV,
    ),
]
WHOLE_WEBM = [
    case("VP8", "vp8.webm", "webm 320x180 2.00 s"),
    case("VP9 and Opus", "vp9.webm", WEBM),
    case("AV1", "av1.webm", "webm 320x180 2.00 s"),
    case("cues first", "cues first.webm", WEBM),
    case("piped: segment of unknown size", "piped.webm", WEBM),
    case("live: no size, no duration", "live.webm", LIVE),
    case("clusters of unknown size", of("live.webm", open_clusters), LIVE),
    case("bytes after the segment", of("vp9.webm", lambda data: data + b"\x00" * 99), WEBM),
    case("wide pixels (display size)", "wide pixels.webm", "webm 427x180 2.01 s pixels 1.33 sound"),
    case("turned by 90° (projection)", "turned 90.webm", "webm 180x320 2.01 s turned 90° sound"),
]
IMAGES = [
    case("PNG", "picture.png", PNG),
    case("PNG, 16 bits, piped through", "deep.png", PNG),
    case("animated PNG", "animated.png", PNG),
    case(
        "PNG with bytes after its end",
        of("picture.png", lambda data: data + b"more"),
        PNG,
    ),
    case("JPEG", "picture.jpg", JPEG),
    case("progressive JPEG", these(PROGRESSIVE), "jpeg 64x36"),
    *[
        case(
            f"JPEG, Exif orientation {number}", of("picture.jpg", with_exif, number, *order), answer
        )
        for number, answer, *order in (
            (1, JPEG),
            (3, "jpeg 320x180 turned 180°"),
            (6, "jpeg 180x320 turned 90°"),
            (8, "jpeg 180x320 turned 270°", "<"),
            (5, "jpeg 180x320 turned 270°"),
            (99, JPEG),
        )
    ],
    case(
        "JPEG with a profile of 390 KB",
        of("picture.jpg", with_profile),
        JPEG,
        reads=3,
        kib=330,
    ),
    case(
        "JPEG with bytes after its end",
        of("picture.jpg", lambda data: data + b"more"),
        JPEG,
    ),
    case("WebP, lossy", "lossy.webp", WEBP),
    case("WebP, lossless", "lossless.webp", WEBP),
    case("WebP, transparent", "clear.webp", WEBP),
    case("WebP, animated", "animated.webp", WEBP),
    case("GIF", "picture.gif", "gif 160x90"),
    case("GIF, animated", "animated.gif", "gif 320x180"),
]
CUT_MP4 = [
    *cuts("index last", "h264.mp4", "ftyp", IN_SIZE, MIDDLE, END, "after"),
    *cuts("index last", "h264.mp4", "free", IN_SIZE, END, "after"),
    *cuts("index last", "h264.mp4", "mdat", IN_SIZE, "behind the header of", MIDDLE, END, "after"),
    *cuts("index last", "h264.mp4", "moov", IN_SIZE, MIDDLE, END, reads=2, kib=68),
    *cuts("index first", "faststart.mp4", "moov", MIDDLE, END, "after"),
    *cuts("index first", "faststart.mp4", "mdat", IN_SIZE, "behind the header of", MIDDLE, END),
    case(
        "media to the file's end, cut in half",
        of("faststart.mp4", lambda data: half(open_media(data))),
        CUT,
    ),
    case(
        "media to the file's end, cut by a byte",
        of("faststart.mp4", lambda data: less_one(open_media(data))),
        CUT,
    ),
    case(
        "media of 64 bits, cut in its size", of("h264.mp4", lambda data: long_media(data)[:44]), CUT
    ),
    case("index first, media box whole and too short", of("faststart.mp4", shortened, 1), CUT),
    *cuts("fragments", "fragments.mp4", "moof", "before"),
    *cuts("fragments", "fragments.mp4", "moof", MIDDLE, "after", probe=FRAGMENTS),
    *cuts("fragments", "fragments.mp4", "mdat", MIDDLE, END, probe=FRAGMENTS),
    case("fragments, cut after `mdat`", of("fragments.mp4", cut, b"mdat", "after"), FRAGMENTS),
    case(
        "fragments, segment index ahead, one fragment cut",
        of("segments.mp4", cut, b"mdat", "after"),
        CUT,
    ),
]
BROKEN_MP4 = [
    case("no index", of("h264.mp4", without, b"moov"), CUT),
    case("no media data", of("h264.mp4", without, b"mdat", b"free"), CUT),
    late("chunk offsets beyond the end", of("h264.mp4", edit.shifted, 1000000), CUT),
    case("sound only", "sound only.mp4", NO_VIDEO),
    late(
        "no tracks",
        changed("moov", lambda moov: moov.replace(b"trak", b"free"), source="h264.mp4"),
        NO_VIDEO,
    ),
    late(
        "a video track of no samples",
        changed("moov/trak/mdia/minf/stbl/stsz", patched(8, ">I", 0)),
        EMPTY,
    ),
    late("no sample sizes", changed("moov/trak/mdia/minf/stbl/stsz", lambda _: None), EMPTY),
    late(
        "no duration anywhere",
        of("mute.mp4", without_durations, b"tkhd", b"mdhd", b"mvhd"),
        EMPTY,
    ),
    late(
        "time scales of 0",
        of(
            "mute.mp4",
            lambda data: edited(
                edited(data, [*VIDEO, b"mdia", b"mdhd"], patched(12, ">I", 0)),
                [b"moov", b"mvhd"],
                patched(12, ">I", 0),
            ),
        ),
        EMPTY,
    ),
    late(
        "only the media's duration is known",
        of("mute.mp4", without_durations, b"tkhd", b"mvhd", length=0xFFFFFFFF),
        MUTE,
    ),
    late("a matrix of zeros", changed("moov/trak/tkhd", patched(40, ">9I", *[0] * 9)), MUTE),
    late(
        "4,000,000,000 samples",
        changed("moov/trak/mdia/minf/stbl/stsz", patched(8, ">I", 4000000000)),
        BROKEN,
    ),
    late(
        "4,000,000,000 chunks",
        changed("moov/trak/mdia/minf/stbl/stco", patched(4, ">I", 4000000000)),
        BROKEN,
    ),
    late(
        "pictures of no size",
        changed("moov/trak/mdia/minf/stbl/stsd", patched(40, ">HH", 0, 0)),
        BROKEN,
    ),
    late("no sample description", changed("moov/trak/mdia/minf/stbl/stsd", lambda _: None), BROKEN),
    late("a movie header of two bytes", changed("moov/mvhd", lambda mvhd: mvhd[:2]), BROKEN),
    late("a track without its header", changed("moov/trak/tkhd", lambda _: None), NO_VIDEO),
    late("an empty index", changed("moov", lambda _: b"", source="h264.mp4"), BROKEN),
    late("a box in the index larger than it", changed("moov", patched(0, ">I", 1 << 30)), BROKEN),
    case(
        "a box of 4 bytes",
        of("h264.mp4", lambda data: data[:32] + b"\x00\x00\x00\x04free" + data[40:]),
        BROKEN,
    ),
    case(
        "a box of 2^63 bytes",
        of(
            "h264.mp4",
            lambda data: data[:32] + struct.pack(">I4sQ", 1, b"mdat", 1 << 63) + data[48:],
        ),
        BROKEN,
    ),
    case(
        "a box of 2^62 bytes",
        of(
            "h264.mp4",
            lambda data: data[:32] + struct.pack(">I4sQ", 1, b"mdat", 1 << 62) + data[48:],
        ),
        CUT,
    ),
    case(
        "no box where one should begin",
        of("h264.mp4", lambda data: data[:32] + bytes(range(128, 256)) * 99),
        BROKEN,
    ),
    case(
        "text behind a whole file",
        of("faststart.mp4", lambda data: data + b"\r\n--boundary--\r\n"),
        MP4,
        CUT,
    ),
    case("only `ftyp`", these(box(b"ftyp", b"isom\x00\x00\x02\x00isommp42")), CUT),
]
BROKEN_WEBM = [
    case("cut in its header", of("vp9.webm", lambda data: data[:20]), CUT),
    case("cut behind its header", of("vp9.webm", lambda data: data[:36]), BROKEN),
    case("cut in the segment's size", of("vp9.webm", lambda data: data[:43]), CUT),
    case("cut in its tracks", of("vp9.webm", cut_webm, 3, "in its middle"), CUT),
    case("cut before its pictures", of("vp9.webm", cut_webm, 5, "before"), CUT),
    case("cut in a cluster", of("vp9.webm", cut_webm, 6, "in its middle"), CUT),
    case("cut between two clusters", of("vp9.webm", cut_webm, 7, "before"), CUT),
    case("cut a byte before its end", of("vp9.webm", less_one), CUT),
    case("piped, cut in a cluster", of("piped.webm", cut_webm, 6, "in its middle"), WEBM, CUT),
    case("live, cut in its tracks", of("live.webm", cut_webm, 3, "in its middle"), CUT),
    case(
        "live, cut before its pictures",
        of("live.webm", cut_webm, 5, "before"),
        LIVE,
        CUT,
    ),
    case(
        "live, cut in a cluster",
        of("live.webm", cut_webm, 6, "in its middle"),
        LIVE,
        CUT,
    ),
    case(
        "live, cut between two clusters",
        of("live.webm", cut_webm, 7, "before"),
        LIVE,
    ),
    case(
        "clusters of unknown size, cut in a block",
        of("live.webm", lambda data: less_one(open_clusters(data))),
        LIVE,
        CUT,
    ),
    case("sound only", "sound.webm", NO_VIDEO),
    case("no tracks", of("vp9.webm", without_parts, TRACKS), UNCLEAR, CUT),
    case("no pictures", of("vp9.webm", without_parts, CLUSTERS), WEBM, CUT),
    case("no information", of("vp9.webm", without_parts, INFO), LIVE),
    case(
        "pictures of no size",
        of(
            "vp9.webm",
            lambda data: data.replace(bytes.fromhex("b0820140"), bytes.fromhex("b0820000"), 1),
        ),
        BROKEN,
    ),
    case(
        "no element where one should begin",
        of("piped.webm", lambda data: data[:48] + bytes(5000)),
        BROKEN,
    ),
    case("a header without an end", these(bytes.fromhex("1a45dfa3") + b"\xff" * 80), BROKEN),
]
ODD_MP4 = [
    late(
        "compressed index (`cmov`)",
        changed("moov", lambda _: box(b"cmov", bytes(99))),
        UNCLEAR,
        "mp4",
    ),
    late(
        "turned by the movie's header",
        changed("moov/mvhd", patched(36, ">5i", 0, 1 << 16, 0, -1 << 16, 0)),
        "mp4 180x320 2.00 s turned 90°",
    ),
    case("two video tracks", "two videos.mp4", MUTE),
    case(
        "two video tracks, the first disabled",
        of("two videos.mp4", with_flags, 2, 3),
        "mp4 64x36 2.00 s",
    ),
    case(
        "two video tracks, the first empty",
        changed(f"{TABLE_PATH}/stsz", patched(8, ">I", 0), "two videos.mp4"),
        "mp4 64x36 2.00 s",
    ),
    late(
        "a track behind 128 other boxes",
        changed("moov", lambda moov: moov[:108] + box(b"free") * 128 + moov[108:]),
        NO_VIDEO,
    ),
    late(
        "a track behind 32 others",
        changed("moov", lambda moov: moov[:108] + box(b"trak") * 32 + moov[108:]),
        NO_VIDEO,
    ),
    late(
        "junk behind the codec's parameters",
        changed(f"{TABLE_PATH}/stsd", junk_behind, "wide pixels.mp4"),
        "mp4 427x180 2.00 s pixels 1.33 sound",
    ),
    late(
        "pixels 1,000 times as wide as high",
        of(
            "wide pixels.mp4",
            lambda data: data.replace(b"pasp\0\0\0\4\0\0\0\3", b"pasp\0\0\3\xe8\0\0\0\1"),
        ),
        MP4,
    ),
    late(
        "only the movie's duration is known",
        of("mute.mp4", without_durations, b"tkhd", b"mdhd"),
        MUTE,
    ),
    late(
        "one chunk offset beyond the end",
        changed(f"{TABLE_PATH}/stco", patched(8, ">I", 10_000_000), "h264.mp4"),
        CUT,
    ),
    case("fragments, a long duration told ahead", of("fragments.mp4", with_mehd, long=True), MP4),
    case(
        "fragments, a segment index of another track",
        of(
            "segments.mp4",
            lambda data: data.replace(b"sidx\1\0\0\0\0\0\0\1", b"sidx\1\0\0\0\0\0\0\7"),
        ),
        FRAGMENTS,
    ),
    late(
        "fragments, a segment index in detail too",
        of("segments.mp4", with_detail),
        "mp4 320x180 2.02 s sound",
    ),
]
ODD_WEBM = [
    case("a file as small as they get", webm_of(SIZE, lasting(3)), "webm 320x180 3.00 s"),
    case("of no known size", webm_of(SIZE, lasting(3), size=b"\xff"), "webm 320x180 3.00 s"),
    case(
        "time scale of 1 µs",
        webm_of(SIZE, lasting(3) + edit.number("2ad7b1", 1000)),
        "webm 320x180 0.00 s",
    ),
    case(
        "cropped",
        webm_of(
            SIZE
            + b"".join(
                edit.number(side, by)
                for side, by in (("54cc", 10), ("54dd", 20), ("54bb", 8), ("54aa", 2))
            )
        ),
        "webm 290x170",
    ),
    case(
        "a width behind 128 other elements", webm_of(edit.element("ec", b"") * 128 + SIZE), BROKEN
    ),
    case("cropped away", webm_of(SIZE + edit.number("54cc", 320)), BROKEN),
    case(
        "shown in twice its size",
        webm_of(SIZE + edit.number("54b0", 640) + edit.number("54ba", 360)),
        "webm 640x360",
    ),
    case(
        "shown at 4:3",
        webm_of(SIZE + edit.number("54b0", 4) + edit.number("54ba", 3) + edit.number("54b2", 3)),
        "webm 240x180 pixels 0.75",
    ),
    case(
        "shown in no size",
        webm_of(SIZE + edit.number("54b0", 0) + edit.number("54ba", 360)),
        WEBM_SIZE,
    ),
    case("a width of 9 bytes", webm_of(edit.number("b0", 320, 9) + edit.number("ba", 180)), BROKEN),
    case(
        "wider than can be", webm_of(edit.number("b0", 70_000, 4) + edit.number("ba", 180)), BROKEN
    ),
    case("lasting not a number", webm_of(SIZE, lasting(float("nan"))), WEBM_SIZE),
    case("lasting for ever", webm_of(SIZE, lasting(float("inf"))), WEBM_SIZE),
    case(
        "turned by not a number",
        webm_of(SIZE + edit.element("7670", edit.element("7675", b"\x7f\xc0\0\0"))),
        WEBM_SIZE,
    ),
    case("two in a row", webm_of(SIZE, after=WEBM_HEADER + bytes(9), size=b"\xff"), WEBM_SIZE),
    case(
        "tracks of no known size",
        with_open_tracks(),
        BROKEN,
    ),
    case("a part larger than the segment", with_large_part(), WEBM_SIZE, BROKEN),
    case(
        "a child larger than its parent", webm_of(SIZE + edit.element("b0", b"", b"\x88")), BROKEN
    ),
    case(
        "another kind of document", these(WEBM_HEADER.replace(b"webm", b"wobm") + bytes(99)), WRONG
    ),
    case(
        "a void before the segment",
        these(WEBM_HEADER + edit.element("ec", bytes(9)) + webm_of(SIZE)(None)[len(WEBM_HEADER) :]),
        WEBM_SIZE,
    ),
]
BROKEN_IMAGES = [
    case("PNG, cut in its header", of("picture.png", lambda data: data[:20]), CUT),
    case("PNG, cut in half", of("picture.png", half), PNG, CUT),
    case(
        "PNG, cut before its end chunk",
        of("picture.png", lambda data: data[:-12]),
        PNG,
        CUT,
    ),
    case("PNG, cut by a byte", of("picture.png", less_one), PNG, CUT),
    case("PNG of no size", of("picture.png", patched(16, ">II", 0, 0)), BROKEN),
    case(
        "PNG, a chunk before its header",
        of("picture.png", lambda data: data[:8] + b"\0\0\0\0CgBI\0\0\0\0" + data[8:]),
        BROKEN,
    ),
    case(
        "JPEG, a segment of one byte",
        of("picture.jpg", lambda data: data[:2] + b"\xff\xe0\0\1" + data[2:]),
        BROKEN,
    ),
    case(
        "PNG without a picture",
        of("picture.png", lambda data: data[:33] + data[-12:]),
        PNG,
        BROKEN,
    ),
    case("JPEG, cut in its header", of("picture.jpg", lambda data: data[:30]), CUT),
    case("JPEG, cut in half", of("picture.jpg", half), JPEG, CUT),
    case("JPEG, cut by a byte", of("picture.jpg", less_one), JPEG, CUT),
    case(
        "JPEG, its thumbnail's end only",
        of("picture.jpg", lambda data: half(with_exif(data, 1))),
        JPEG,
        CUT,
    ),
    case("progressive JPEG, cut in half", these(half(PROGRESSIVE)), "jpeg 64x36", CUT),
    case("JPEG without a marker", of("picture.jpg", lambda data: data[:4] + bytes(99)), BROKEN),
    case("WebP, cut in half", of("lossy.webp", half), CUT),
    case("WebP, cut by a byte", of("animated.webp", less_one), CUT),
    case("WebP, cut in its header", of("lossy.webp", lambda data: data[:25]), CUT),
    case("GIF, cut in its header", of("animated.gif", lambda data: data[:12]), CUT),
    case("GIF, cut in half", of("animated.gif", half), "gif 320x180", CUT),
    case("GIF, cut by a byte", of("animated.gif", less_one), "gif 320x180", CUT),
    case(
        "GIF without a picture", these(b"GIF89a\x10\x00\x10\x00\x00\x00\x00;"), "gif 16x16", BROKEN
    ),
]
OTHERS = [
    case("nothing", these(b""), CUT, reads=0, kib=0),
    case("one byte", these(b"\x00"), CUT),
    case("11 bytes of an MP4", of("h264.mp4", lambda data: data[:11]), CUT),
    case("a web page", these(HTML), WRONG),
    case("an XML error", these(XML), WRONG),
    case("a JSON error", these(JSON), WRONG),
    case("an SVG image", these(SVG), UNKNOWN),
    case("text", these(TEXT), UNKNOWN),
    case("an MP4 in gzip", of("h264.mp4", gzip.compress, mtime=0), WRONG),
    case("M4A", "sound.m4a", WRONG),
    case("MP3", "sound.mp3", UNKNOWN),
    case("AVIF", "picture.avif", WRONG),
    case("HEIC", of("picture.avif", lambda data: data[:8] + b"heic" + data[12:]), WRONG),
    case("HEIF (`mif1`)", of("picture.avif", lambda data: data[:8] + b"mif1" + data[12:]), WRONG),
    case("Matroska", "h264.mkv", WRONG),
    case("MPEG transport stream", "h264.ts", UNKNOWN),
    case("AVI", "h264.avi", UNKNOWN),
    case("BMP", "picture.bmp", UNKNOWN),
]
TABLE: dict[str, list[Case]] = {
    "Whole: MP4": WHOLE_MP4,
    "Whole: QuickTime": WHOLE_MOV,
    "Whole: WebM": WHOLE_WEBM,
    "Whole: images": IMAGES,
    "Odd: MP4": ODD_MP4,
    "Odd: WebM": ODD_WEBM,
    "Cut off: MP4": CUT_MP4,
    "Broken: MP4": BROKEN_MP4,
    "Cut off or broken: WebM": BROKEN_WEBM,
    "Cut off or broken: images": BROKEN_IMAGES,
    "Something else": OTHERS,
}
