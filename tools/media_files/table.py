"""The table of media files, complete and broken, with the expected result for each."""

import base64
import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass

from act_one.media.facts import MediaFacts, MediaFileError
from tools.media_files import c2pa, edit
from tools.media_files.edit import box, cut, edited, patched, without
from tools.media_files.sources import Sources

STBL = (b"mdia", b"minf", b"stbl")
VIDEO = (b"moov", b"trak")
"""The first track, which is the video track unless ffmpeg is given another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file and the results of probe and Scan for it, in the words of ``describe``."""

    name: str
    make: Callable[[Sources], bytes]
    probe: str
    scan: str
    reads: int
    kib: int
    """The most that probe may read, in KiB."""


def describe(what: MediaFacts | MediaFileError) -> str:
    """Describe a result in a few words, as the table and the page show it."""
    if isinstance(what, MediaFileError):
        return f"`{what.code}`"
    words = [what.media_type.split("/")[1]]
    if what.width is not None:
        words.append(f"{what.width}x{what.height}")
    if what.duration_seconds is not None:
        words.append(f"{what.duration_seconds:.2f} s")
    if what.rotation:
        words.append(f"rotated {what.rotation}°")
    if what.pixel_aspect != 1.0:
        words.append(f"pixels {what.pixel_aspect:.2f}")
    if what.has_audio:
        words.append("sound")
    if what.c2pa:
        words.append("C2PA")
    return " ".join(words)


# ── Files made here ───────────────────────────────────────────────────────────────────────────

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


def altered(name, change, *more, **named):
    return lambda sources: change(sources(name), *more, **named)


def from_bytes(data):
    return lambda _: data


def with_box(path, change, source="mute.mp4"):
    """A file in which ``change`` was applied to the payload of one box, given by its path."""
    names = [name.encode() for name in path.split("/")]
    return lambda sources: edited(sources(source), names, change)


def with_exif(jpeg, orientation, order=">"):
    """A JPEG with an Exif segment that contains an orientation and a thumbnail."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    exif = mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    thumbnail = b"\xff\xd8\xff\xda\0\x02thumbnail\xff\xd9"
    return jpeg[:2] + jpeg_segment(0xE1, b"Exif\0\0" + exif + thumbnail) + jpeg[2:]


def jpeg_segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(payload)) + payload


def with_profile(jpeg, *, segments=6):
    """A JPEG with a large colour profile before its frame header."""
    return jpeg[:2] + jpeg_segment(0xE2, bytes(65_000)) * segments + jpeg[2:]


def without_ftyp(mov, first=b""):
    """A QuickTime file without ``ftyp``, as before that box existed."""
    (_, _, end), *_ = edit.boxes(mov)
    return first + edit.shifted(mov, len(first) - end)[end:]


def long_media(mp4):
    """The file with a 64-bit size in its ``mdat``, for which ffmpeg left room."""
    at = mp4.index(b"\0\0\0\x08free")
    size, kind = struct.unpack_from(">I4s", mp4, at + 8)
    assert kind == b"mdat"
    return mp4[:at] + struct.pack(">I4sQ", 1, b"mdat", size + 8) + mp4[at + 16 :]


def open_media(mp4):
    """The file with size 0 in its ``mdat``: it extends to the file's end."""
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


def with_nested_sidx(segments):
    """A file with a second ``sidx`` for the same fragments, directly after the first."""
    start, end = edit.place(segments, b"sidx")
    raw = bytearray(segments[start:end])
    (gap,) = struct.unpack_from(">Q", raw, 28)
    struct.pack_into(">Q", raw, 28, gap + end - start)
    return segments[:start] + raw + segments[start:]


def with_flags(mp4, *flags):
    """A file of two video tracks with these flags in their ``tkhd``: 1 means enabled."""
    raw = bytearray(mp4)
    at = 0
    for flag in flags:
        at = mp4.index(b"tkhd", at + 1)
        raw[at + 7] = flag
    return bytes(raw)


def with_trailing_bytes(stsd):
    """A sample description whose entry ends with bytes that are not a box."""
    (size,) = struct.unpack_from(">I", stsd, 8)
    return stsd[:8] + struct.pack(">I", size + 12) + stsd[12 : 8 + size] + b"\xff" * 12


def without_durations(mp4, *kinds, length=0):
    """A file with ``length`` as the duration in these boxes."""
    paths = {b"mvhd": ([b"moov"], 16), b"tkhd": (VIDEO, 20), b"mdhd": ([*VIDEO, b"mdia"], 16)}
    for kind in kinds:
        path, at = paths[kind]
        mp4 = edited(mp4, [*path, kind], patched(at, ">I", length))
    return mp4


def without_pasp(mp4):
    return mp4.replace(b"pasp", b"free")


def open_index(mp4):
    """The file with size 0 in its ``moov``, which is its last box."""
    start, end = edit.place(mp4, b"moov")
    assert end == len(mp4)
    return mp4[:start] + bytes(4) + mp4[start + 4 :]


def with_large_index(mp4, size):
    return edited(mp4, [b"moov"], lambda moov: moov + box(b"free", bytes(size)))


def shortened(mp4, by):
    """A file that ends ``by`` bytes earlier, with the size of its last box reduced to match."""
    (_, start, end) = edit.boxes(mp4)[-1]
    short = mp4[: end - by]
    return short[:start] + struct.pack(">I", end - by - start) + short[start + 4 :]


def cut_webm(webm, number, where):
    """A WebM file cut off at the child of its Segment with that index."""
    _, start, payload, end = edit.segment_children(webm)[number]
    end = end or len(webm)
    return webm[
        : {"before": start, "in its size": payload - 1, "in its middle": (start + end) // 2}[where]
    ]


def open_clusters(webm):
    """The file with Segment and Clusters of unknown size."""
    raw = bytearray(webm)
    _, _, _, header_end = edit.element_at(webm, 0)
    _, at, payload, _ = edit.element_at(webm, header_end)
    for found, start, inside in [
        ("18538067", at, payload),
        *(p[:3] for p in edit.segment_children(webm)),
    ]:
        if found in {"18538067", "1f43b675"}:
            width = inside - start - 4
            raw[start + 4 : inside] = ((1 << 7 * width + 1) - 1).to_bytes(width)
    return bytes(raw)


def without_children(webm, *ids):
    """A WebM file without some children of its Segment, whose size is unknown."""
    _, _, _, header_end = edit.element_at(webm, 0)
    kept = b"".join(
        webm[at:end] for found, at, _, end in edit.segment_children(webm) if found not in ids
    )
    return webm[:header_end] + bytes.fromhex("1853806701ffffffffffffff") + kept


WEBM_HEADER = edit.element("1a45dfa3", edit.element("4282", b"webm"))
SIZE = edit.number("b0", 320) + edit.number("ba", 180)


def webm_of(video, info=b"", *, before=b"", after=b"", size=None):
    """A minimal WebM file: one video track and one Cluster."""
    track = edit.element("ae", edit.number("83", 1, 1) + edit.element("e0", video))
    content = before + edit.element(INFO, info) + edit.element(TRACKS, track)
    content += edit.element(CLUSTERS, edit.element("a3", bytes(100))) + after
    return from_bytes(WEBM_HEADER + edit.element("18538067", content, size))


def with_large_child():
    """A Segment whose last child extends beyond it, but not beyond the file."""
    return lambda _: webm_of(SIZE, after=edit.element("ec", b"", b"\x84"))(None) + bytes(4)


def with_open_tracks():
    """A file whose Tracks element has an unknown size."""
    whole = webm_of(SIZE)(None)
    at = whole.index(bytes.fromhex(TRACKS)) + 4
    return from_bytes(whole[:at] + b"\x01" + b"\xff" * 7 + whole[at + 8 :])


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


def index_last(name, make, probe, scan=None):
    """A file with its index at the end: probe reads the first 64 KiB, then the index."""
    return case(name, make, probe, scan, reads=2, kib=68)


def cuts(name, source, kind, *places, probe="`media_cut_off`", reads=1, kib=64):
    """One case per place of a box at which the file is cut off."""
    return [
        case(
            f"{name}, cut {where} `{kind}`",
            altered(source, cut, kind.encode(), where),
            probe,
            CUT,
            reads=reads,
            kib=kib,
        )
        for where in places
    ]


WHOLE_MP4 = [
    index_last("H.264 and AAC, index last", "h264.mp4", MP4),
    case("index first (faststart)", "faststart.mp4", MP4),
    index_last("no sound", "mute.mp4", MUTE),
    index_last("sound is the first track", "sound first.mp4", MP4),
    case("H.265", "h265.mp4", MUTE),
    index_last("VP9 and Opus", "vp9.mp4", MP4),
    index_last("AV1", "av1.mp4", MUTE),
    index_last("3GP", "h264.3gp", MUTE),
    index_last("rotated by 90°", "turned 90.mp4", "mp4 180x320 2.00 s rotated 90° sound"),
    index_last("rotated by 180°", "turned 180.mp4", "mp4 320x180 2.00 s rotated 180° sound"),
    index_last("rotated by 270°", "turned 270.mp4", "mp4 180x320 2.00 s rotated 270° sound"),
    index_last("mirrored", "mirrored.mp4", MP4),
    index_last("wide pixels (`pasp`)", "wide pixels.mp4", "mp4 427x180 2.00 s pixels 1.33 sound"),
    index_last(
        "wide pixels, by the track's display size alone",
        altered("wide pixels.mp4", without_pasp),
        "mp4 427x180 2.00 s pixels 1.33 sound",
    ),
    index_last("trimmed by an edit list", "trimmed.mp4", "mp4 320x180 1.30 s sound"),
    index_last("64-bit media size", altered("h264.mp4", long_media), MP4),
    case("media to the file's end (size 0)", altered("faststart.mp4", open_media), MP4),
    index_last("index to the file's end (size 0)", altered("h264.mp4", open_index), MP4),
    index_last("64-bit chunk offsets (`co64`)", altered("h264.mp4", with_co64), MP4),
    index_last("64-bit times", altered("h264.mp4", with_long_times), MP4),
    case("padded with zeros", altered("faststart.mp4", lambda data: data + bytes(1000)), MP4),
    case("padded with five zeros", altered("faststart.mp4", lambda data: data + bytes(5)), MP4),
    index_last(
        "a `free` box at the end",
        altered("h264.mp4", lambda data: data + box(b"free", bytes(90))),
        MP4,
    ),
    case("20,000 frames, index last", "long.mp4", LONG, reads=2, kib=160),
    case("20,000 frames, index first", "long faststart.mp4", LONG, reads=2, kib=192),
    case(
        "index of 1 MiB, last",
        altered("h264.mp4", with_large_index, 1 << 20),
        MP4,
        reads=3,
        kib=1200,
    ),
    case(
        "index of 5 MiB",
        altered("h264.mp4", with_large_index, 5 << 20),
        UNCLEAR,
        MP4,
        reads=2,
        kib=200,
    ),
    case(
        "index of 9 MiB",
        altered("h264.mp4", with_large_index, 9 << 20),
        UNCLEAR,
        "mp4",
        reads=2,
        kib=200,
    ),
    case("fragments", "fragments.mp4", FRAGMENTS),
    case("fragments, the first in the index", "first in index.mp4", FRAGMENTS),
    case("fragments, duration in the header (`mehd`)", altered("fragments.mp4", with_mehd), MP4),
    index_last(
        "fragments, one segment index first (`sidx`)", "segments.mp4", "mp4 320x180 2.02 s sound"
    ),
    case(
        "fragments, a segment index before each",
        "dash.mp4",
        FRAGMENTS,
        "mp4 320x180 2.02 s sound",
    ),
    index_last(
        "a C2PA manifest (`uuid`)",
        altered("h264.mp4", c2pa.after_ftyp, c2pa.manifest_box()),
        MP4,
        f"{MP4} C2PA",
    ),
    case(
        "a C2PA manifest, index first",
        altered("faststart.mp4", c2pa.after_ftyp, c2pa.manifest_box()),
        MP4,
        f"{MP4} C2PA",
    ),
    case(
        "a C2PA manifest with a 64-bit size, and hashes (`merkle`)",
        altered(
            *("faststart.mp4", c2pa.after_ftyp),
            c2pa.manifest_box(long=True) + c2pa.manifest_box(b"merkle"),
        ),
        MP4,
        f"{MP4} C2PA",
    ),
    case(
        "two C2PA manifests: the original and, to the file's end (size 0), its update",
        lambda sources: (
            c2pa.after_ftyp(sources("faststart.mp4"), c2pa.manifest_box(b"original"))
            + c2pa.open_box(c2pa.manifest_box(b"update"))
        ),
        MP4,
        f"{MP4} C2PA",
    ),
    case(
        "fragments with a C2PA manifest",
        altered("fragments.mp4", c2pa.after_ftyp, c2pa.manifest_box()),
        FRAGMENTS,
        f"{FRAGMENTS} C2PA",
    ),
    case(
        "C2PA hashes (`merkle`) without a manifest",
        altered("faststart.mp4", c2pa.after_ftyp, c2pa.manifest_box(b"merkle")),
        MP4,
    ),
    case(
        "a `uuid` box of another type",
        altered("faststart.mp4", c2pa.after_ftyp, box(b"uuid", bytes(16) + c2pa.store())),
        MP4,
    ),
    index_last(
        "a C2PA manifest inside the index",
        altered("h264.mp4", edited, [b"moov"], lambda moov: moov + c2pa.manifest_box()),
        MP4,
    ),
]
WHOLE_MOV = [
    index_last("QuickTime, index last", "h264.mov", MOV),
    case("QuickTime, index first", "faststart.mov", MOV),
    index_last("old QuickTime: `wide`, `mdat`, `moov`", altered("h264.mov", without_ftyp), MOV),
    case("old QuickTime: `moov` first", altered("faststart.mov", without_ftyp), MOV),
    index_last(
        "old QuickTime: `free` first",
        altered("h264.mov", without_ftyp, box(b"free", bytes(40))),
        MOV,
    ),
    index_last("old QuickTime: `skip` first", altered("h264.mov", without_ftyp, box(b"skip")), MOV),
    index_last(
        "old QuickTime: `pnot` first",
        altered("h264.mov", without_ftyp, box(b"pnot", bytes(12))),
        MOV,
    ),
    index_last(
        "old QuickTime: `mdat` first",
        altered("h264.mov", lambda data: edit.shifted(without_ftyp(data), -8)[8:]),
        MOV,
    ),
    case(
        "QuickTime with a C2PA manifest",
        altered("faststart.mov", c2pa.after_ftyp, c2pa.manifest_box()),
        MOV,
        f"{MOV} C2PA",
    ),
]
WHOLE_WEBM = [
    case("VP8", "vp8.webm", "webm 320x180 2.00 s"),
    case("VP9 and Opus", "vp9.webm", WEBM),
    case("AV1", "av1.webm", "webm 320x180 2.00 s"),
    case("cues first", "cues first.webm", WEBM),
    case("piped: segment of unknown size", "piped.webm", WEBM),
    case("live: no size, no duration", "live.webm", LIVE),
    case("clusters of unknown size", altered("live.webm", open_clusters), LIVE),
    case("bytes after the segment", altered("vp9.webm", lambda data: data + b"\x00" * 99), WEBM),
    case("wide pixels (display size)", "wide pixels.webm", "webm 427x180 2.01 s pixels 1.33 sound"),
    case("rotated by 90° (projection)", "turned 90.webm", "webm 180x320 2.01 s rotated 90° sound"),
]
IMAGES = [
    case("PNG", "picture.png", PNG),
    case("PNG, 16 bits, piped through", "deep.png", PNG),
    case("animated PNG", "animated.png", PNG),
    case(
        "PNG with bytes after its end",
        altered("picture.png", lambda data: data + b"more"),
        PNG,
    ),
    case(
        "PNG with a C2PA manifest (`caBX`)",
        altered("picture.png", c2pa.with_chunk, c2pa.store()),
        PNG,
        f"{PNG} C2PA",
    ),
    case(
        "PNG with other JUMBF",
        altered("picture.png", c2pa.with_chunk, c2pa.store(b"json")),
        PNG,
    ),
    case("JPEG", "picture.jpg", JPEG),
    case(
        "JPEG with a C2PA manifest (APP11)",
        altered("picture.jpg", c2pa.with_segments, c2pa.store()),
        JPEG,
        f"{JPEG} C2PA",
    ),
    case(
        "JPEG with a C2PA manifest in several segments",
        altered("picture.jpg", c2pa.with_segments, c2pa.store(), size=100),
        JPEG,
        f"{JPEG} C2PA",
    ),
    case(
        "JPEG with other JUMBF",
        altered("picture.jpg", c2pa.with_segments, c2pa.store(b"json")),
        JPEG,
    ),
    case("progressive JPEG", from_bytes(PROGRESSIVE), "jpeg 64x36"),
    *[
        case(
            f"JPEG, Exif orientation {number}",
            altered("picture.jpg", with_exif, number, *order),
            answer,
        )
        for number, answer, *order in (
            (1, JPEG),
            (3, "jpeg 320x180 rotated 180°"),
            (6, "jpeg 180x320 rotated 90°"),
            (8, "jpeg 180x320 rotated 270°", "<"),
            (5, "jpeg 180x320 rotated 270°"),
            (99, JPEG),
        )
    ],
    case(
        "JPEG with a profile of 390 KB",
        altered("picture.jpg", with_profile),
        JPEG,
        reads=3,
        kib=330,
    ),
    case(
        "JPEG with bytes after its end",
        altered("picture.jpg", lambda data: data + b"more"),
        JPEG,
    ),
    case("WebP, lossy", "lossy.webp", WEBP),
    case("WebP, lossless", "lossless.webp", WEBP),
    case("WebP, transparent", "clear.webp", WEBP),
    case("WebP, animated", "animated.webp", WEBP),
    case(
        "WebP with a C2PA manifest",
        altered("clear.webp", c2pa.with_riff_chunk, c2pa.store()),
        WEBP,
        f"{WEBP} C2PA",
    ),
    case("GIF", "picture.gif", "gif 160x90"),
    case("GIF, animated", "animated.gif", "gif 320x180"),
]
CUT_MP4 = [
    *cuts("index last", "h264.mp4", "ftyp", IN_SIZE, MIDDLE, END, "after"),
    *cuts("index last", "h264.mp4", "free", IN_SIZE, END, "after"),
    *cuts("index last", "h264.mp4", "mdat", IN_SIZE, "after the header of", MIDDLE, END, "after"),
    *cuts("index last", "h264.mp4", "moov", IN_SIZE, MIDDLE, END, reads=2, kib=68),
    *cuts("index first", "faststart.mp4", "moov", MIDDLE, END, "after"),
    *cuts("index first", "faststart.mp4", "mdat", IN_SIZE, "after the header of", MIDDLE, END),
    case(
        "media to the file's end, cut in half",
        altered("faststart.mp4", lambda data: half(open_media(data))),
        CUT,
    ),
    case(
        "media to the file's end, cut by a byte",
        altered("faststart.mp4", lambda data: less_one(open_media(data))),
        CUT,
    ),
    case(
        "64-bit media size, cut in that size",
        altered("h264.mp4", lambda data: long_media(data)[:44]),
        CUT,
    ),
    case(
        "index first, media box complete but too short", altered("faststart.mp4", shortened, 1), CUT
    ),
    *cuts("fragments", "fragments.mp4", "moof", "before"),
    *cuts("fragments", "fragments.mp4", "moof", MIDDLE, "after", probe=FRAGMENTS),
    *cuts("fragments", "fragments.mp4", "mdat", MIDDLE, END, probe=FRAGMENTS),
    case("fragments, cut after `mdat`", altered("fragments.mp4", cut, b"mdat", "after"), FRAGMENTS),
    case(
        "fragments, segment index first, one fragment missing",
        altered("segments.mp4", cut, b"mdat", "after"),
        CUT,
    ),
]
BROKEN_MP4 = [
    case("no index", altered("h264.mp4", without, b"moov"), CUT),
    case("no media data", altered("h264.mp4", without, b"mdat", b"free"), CUT),
    index_last("chunk offsets beyond the end", altered("h264.mp4", edit.shifted, 1000000), CUT),
    case("sound only", "sound only.mp4", NO_VIDEO),
    index_last(
        "no tracks",
        with_box("moov", lambda moov: moov.replace(b"trak", b"free"), source="h264.mp4"),
        NO_VIDEO,
    ),
    index_last(
        "a video track without samples",
        with_box("moov/trak/mdia/minf/stbl/stsz", patched(8, ">I", 0)),
        EMPTY,
    ),
    index_last("no sample sizes", with_box("moov/trak/mdia/minf/stbl/stsz", lambda _: None), EMPTY),
    index_last(
        "no duration anywhere",
        altered("mute.mp4", without_durations, b"tkhd", b"mdhd", b"mvhd"),
        EMPTY,
    ),
    index_last(
        "time scales of 0",
        altered(
            "mute.mp4",
            lambda data: edited(
                edited(data, [*VIDEO, b"mdia", b"mdhd"], patched(12, ">I", 0)),
                [b"moov", b"mvhd"],
                patched(12, ">I", 0),
            ),
        ),
        EMPTY,
    ),
    index_last(
        "only the media's duration is known",
        altered("mute.mp4", without_durations, b"tkhd", b"mvhd", length=0xFFFFFFFF),
        MUTE,
    ),
    index_last("a matrix of zeros", with_box("moov/trak/tkhd", patched(40, ">9I", *[0] * 9)), MUTE),
    index_last(
        "4,000,000,000 samples",
        with_box("moov/trak/mdia/minf/stbl/stsz", patched(8, ">I", 4000000000)),
        BROKEN,
    ),
    index_last(
        "4,000,000,000 chunks",
        with_box("moov/trak/mdia/minf/stbl/stco", patched(4, ">I", 4000000000)),
        BROKEN,
    ),
    index_last(
        "a width and height of 0",
        with_box("moov/trak/mdia/minf/stbl/stsd", patched(40, ">HH", 0, 0)),
        BROKEN,
    ),
    index_last(
        "no sample description", with_box("moov/trak/mdia/minf/stbl/stsd", lambda _: None), BROKEN
    ),
    index_last("a movie header of two bytes", with_box("moov/mvhd", lambda mvhd: mvhd[:2]), BROKEN),
    index_last("a track without its header", with_box("moov/trak/tkhd", lambda _: None), NO_VIDEO),
    index_last("an empty index", with_box("moov", lambda _: b"", source="h264.mp4"), BROKEN),
    index_last(
        "a box larger than the index that contains it",
        with_box("moov", patched(0, ">I", 1 << 30)),
        BROKEN,
    ),
    case(
        "a box of 4 bytes",
        altered("h264.mp4", lambda data: data[:32] + b"\x00\x00\x00\x04free" + data[40:]),
        BROKEN,
    ),
    case(
        "a box of 2^63 bytes",
        altered(
            "h264.mp4",
            lambda data: data[:32] + struct.pack(">I4sQ", 1, b"mdat", 1 << 63) + data[48:],
        ),
        BROKEN,
    ),
    case(
        "a box of 2^62 bytes",
        altered(
            "h264.mp4",
            lambda data: data[:32] + struct.pack(">I4sQ", 1, b"mdat", 1 << 62) + data[48:],
        ),
        CUT,
    ),
    case(
        "bytes that are no box",
        altered("h264.mp4", lambda data: data[:32] + bytes(range(128, 256)) * 99),
        BROKEN,
    ),
    case(
        "text after a complete file",
        altered("faststart.mp4", lambda data: data + b"\r\n--boundary--\r\n"),
        MP4,
        CUT,
    ),
    case("only `ftyp`", from_bytes(box(b"ftyp", b"isom\x00\x00\x02\x00isommp42")), CUT),
]
BROKEN_WEBM = [
    case("cut in its header", altered("vp9.webm", lambda data: data[:20]), CUT),
    case("cut after its header", altered("vp9.webm", lambda data: data[:36]), BROKEN),
    case("cut in the segment's size", altered("vp9.webm", lambda data: data[:43]), CUT),
    case("cut in its tracks", altered("vp9.webm", cut_webm, 3, "in its middle"), CUT),
    case("cut before its first cluster", altered("vp9.webm", cut_webm, 5, "before"), CUT),
    case("cut in a cluster", altered("vp9.webm", cut_webm, 6, "in its middle"), CUT),
    case("cut between two clusters", altered("vp9.webm", cut_webm, 7, "before"), CUT),
    case("cut a byte before its end", altered("vp9.webm", less_one), CUT),
    case("piped, cut in a cluster", altered("piped.webm", cut_webm, 6, "in its middle"), WEBM, CUT),
    case("live, cut in its tracks", altered("live.webm", cut_webm, 3, "in its middle"), CUT),
    case(
        "live, cut before its first cluster",
        altered("live.webm", cut_webm, 5, "before"),
        LIVE,
        CUT,
    ),
    case(
        "live, cut in a cluster",
        altered("live.webm", cut_webm, 6, "in its middle"),
        LIVE,
        CUT,
    ),
    case(
        "live, cut between two clusters",
        altered("live.webm", cut_webm, 7, "before"),
        LIVE,
    ),
    case(
        "clusters of unknown size, cut in a block",
        altered("live.webm", lambda data: less_one(open_clusters(data))),
        LIVE,
        CUT,
    ),
    case("sound only", "sound.webm", NO_VIDEO),
    case("no tracks", altered("vp9.webm", without_children, TRACKS), UNCLEAR, CUT),
    case("no clusters", altered("vp9.webm", without_children, CLUSTERS), WEBM, CUT),
    case("no information", altered("vp9.webm", without_children, INFO), LIVE),
    case(
        "a width and height of 0",
        altered(
            "vp9.webm",
            lambda data: data.replace(bytes.fromhex("b0820140"), bytes.fromhex("b0820000"), 1),
        ),
        BROKEN,
    ),
    case(
        "bytes that are no element",
        altered("piped.webm", lambda data: data[:48] + bytes(5000)),
        BROKEN,
    ),
    case("a header of unknown size", from_bytes(bytes.fromhex("1a45dfa3") + b"\xff" * 80), BROKEN),
]
ODD_MP4 = [
    index_last(
        "compressed index (`cmov`)",
        with_box("moov", lambda _: box(b"cmov", bytes(99))),
        UNCLEAR,
        "mp4",
    ),
    index_last(
        "rotated by the movie's header",
        with_box("moov/mvhd", patched(36, ">5i", 0, 1 << 16, 0, -1 << 16, 0)),
        "mp4 180x320 2.00 s rotated 90°",
    ),
    case("two video tracks", "two videos.mp4", MUTE),
    case(
        "two video tracks, the first disabled",
        altered("two videos.mp4", with_flags, 2, 3),
        "mp4 64x36 2.00 s",
    ),
    case(
        "two video tracks, the first empty",
        with_box(f"{TABLE_PATH}/stsz", patched(8, ">I", 0), "two videos.mp4"),
        "mp4 64x36 2.00 s",
    ),
    index_last(
        "a track after 128 other boxes",
        with_box("moov", lambda moov: moov[:108] + box(b"free") * 128 + moov[108:]),
        NO_VIDEO,
    ),
    index_last(
        "a track after 32 others",
        with_box("moov", lambda moov: moov[:108] + box(b"trak") * 32 + moov[108:]),
        NO_VIDEO,
    ),
    index_last(
        "other bytes after the codec's parameters",
        with_box(f"{TABLE_PATH}/stsd", with_trailing_bytes, "wide pixels.mp4"),
        "mp4 427x180 2.00 s pixels 1.33 sound",
    ),
    index_last(
        "pixels 1,000 times as wide as high",
        altered(
            "wide pixels.mp4",
            lambda data: data.replace(b"pasp\0\0\0\4\0\0\0\3", b"pasp\0\0\3\xe8\0\0\0\1"),
        ),
        MP4,
    ),
    index_last(
        "only the movie's duration is known",
        altered("mute.mp4", without_durations, b"tkhd", b"mdhd"),
        MUTE,
    ),
    index_last(
        "one chunk offset beyond the end",
        with_box(f"{TABLE_PATH}/stco", patched(8, ">I", 10_000_000), "h264.mp4"),
        CUT,
    ),
    case(
        "fragments, a 64-bit duration in the header",
        altered("fragments.mp4", with_mehd, long=True),
        MP4,
    ),
    case(
        "fragments, a segment index of another track",
        altered(
            "segments.mp4",
            lambda data: data.replace(b"sidx\1\0\0\0\0\0\0\1", b"sidx\1\0\0\0\0\0\0\7"),
        ),
        FRAGMENTS,
    ),
    index_last(
        "fragments, a second segment index that subdivides them",
        altered("segments.mp4", with_nested_sidx),
        "mp4 320x180 2.02 s sound",
    ),
]
ODD_WEBM = [
    case("a minimal file", webm_of(SIZE, lasting(3)), "webm 320x180 3.00 s"),
    case(
        "a segment of unknown size", webm_of(SIZE, lasting(3), size=b"\xff"), "webm 320x180 3.00 s"
    ),
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
    case("a width after 128 other elements", webm_of(edit.element("ec", b"") * 128 + SIZE), BROKEN),
    case("cropped to nothing", webm_of(SIZE + edit.number("54cc", 320)), BROKEN),
    case(
        "displayed at twice its size",
        webm_of(SIZE + edit.number("54b0", 640) + edit.number("54ba", 360)),
        "webm 640x360",
    ),
    case(
        "displayed at 4:3",
        webm_of(SIZE + edit.number("54b0", 4) + edit.number("54ba", 3) + edit.number("54b2", 3)),
        "webm 240x180 pixels 0.75",
    ),
    case(
        "a display width of 0",
        webm_of(SIZE + edit.number("54b0", 0) + edit.number("54ba", 360)),
        WEBM_SIZE,
    ),
    case("a width of 9 bytes", webm_of(edit.number("b0", 320, 9) + edit.number("ba", 180)), BROKEN),
    case(
        "a width of 70,000", webm_of(edit.number("b0", 70_000, 4) + edit.number("ba", 180)), BROKEN
    ),
    case("a duration that is not a number", webm_of(SIZE, lasting(float("nan"))), WEBM_SIZE),
    case("an infinite duration", webm_of(SIZE, lasting(float("inf"))), WEBM_SIZE),
    case(
        "a rotation that is not a number",
        webm_of(SIZE + edit.element("7670", edit.element("7675", b"\x7f\xc0\0\0"))),
        WEBM_SIZE,
    ),
    case("two files in one", webm_of(SIZE, after=WEBM_HEADER + bytes(9), size=b"\xff"), WEBM_SIZE),
    case(
        "tracks of unknown size",
        with_open_tracks(),
        BROKEN,
    ),
    case("a child larger than the segment", with_large_child(), WEBM_SIZE, BROKEN),
    case(
        "a child larger than its parent", webm_of(SIZE + edit.element("b0", b"", b"\x88")), BROKEN
    ),
    case(
        "another document type",
        from_bytes(WEBM_HEADER.replace(b"webm", b"wobm") + bytes(99)),
        WRONG,
    ),
    case(
        "a void before the segment",
        from_bytes(
            WEBM_HEADER + edit.element("ec", bytes(9)) + webm_of(SIZE)(None)[len(WEBM_HEADER) :]
        ),
        WEBM_SIZE,
    ),
]
BROKEN_IMAGES = [
    case("PNG, cut in its header", altered("picture.png", lambda data: data[:20]), CUT),
    case("PNG, cut in half", altered("picture.png", half), PNG, CUT),
    case(
        "PNG, cut before its end chunk",
        altered("picture.png", lambda data: data[:-12]),
        PNG,
        CUT,
    ),
    case("PNG, cut by a byte", altered("picture.png", less_one), PNG, CUT),
    case(
        "PNG with a width and height of 0", altered("picture.png", patched(16, ">II", 0, 0)), BROKEN
    ),
    case(
        "PNG, a chunk before its header",
        altered("picture.png", lambda data: data[:8] + b"\0\0\0\0CgBI\0\0\0\0" + data[8:]),
        BROKEN,
    ),
    case(
        "JPEG, a segment of one byte",
        altered("picture.jpg", lambda data: data[:2] + b"\xff\xe0\0\1" + data[2:]),
        BROKEN,
    ),
    case(
        "PNG without image data",
        altered("picture.png", lambda data: data[:33] + data[-12:]),
        PNG,
        BROKEN,
    ),
    case("JPEG, cut in its header", altered("picture.jpg", lambda data: data[:30]), CUT),
    case("JPEG, cut in half", altered("picture.jpg", half), JPEG, CUT),
    case("JPEG, cut by a byte", altered("picture.jpg", less_one), JPEG, CUT),
    case(
        "JPEG, its thumbnail's end only",
        altered("picture.jpg", lambda data: half(with_exif(data, 1))),
        JPEG,
        CUT,
    ),
    case("progressive JPEG, cut in half", from_bytes(half(PROGRESSIVE)), "jpeg 64x36", CUT),
    case(
        "JPEG without a marker", altered("picture.jpg", lambda data: data[:4] + bytes(99)), BROKEN
    ),
    case("WebP, cut in half", altered("lossy.webp", half), CUT),
    case("WebP, cut by a byte", altered("animated.webp", less_one), CUT),
    case("WebP, cut in its header", altered("lossy.webp", lambda data: data[:25]), CUT),
    case("GIF, cut in its header", altered("animated.gif", lambda data: data[:12]), CUT),
    case("GIF, cut in half", altered("animated.gif", half), "gif 320x180", CUT),
    case("GIF, cut by a byte", altered("animated.gif", less_one), "gif 320x180", CUT),
    case(
        "GIF without an image",
        from_bytes(b"GIF89a\x10\x00\x10\x00\x00\x00\x00;"),
        "gif 16x16",
        BROKEN,
    ),
]
OTHERS = [
    case("an empty file", from_bytes(b""), CUT, reads=0, kib=0),
    case("one byte", from_bytes(b"\x00"), CUT),
    case("11 bytes of an MP4", altered("h264.mp4", lambda data: data[:11]), CUT),
    case("a web page", from_bytes(HTML), WRONG),
    case("an XML error", from_bytes(XML), WRONG),
    case("a JSON error", from_bytes(JSON), WRONG),
    case("an SVG image", from_bytes(SVG), UNKNOWN),
    case("text", from_bytes(TEXT), UNKNOWN),
    case("an MP4 in gzip", altered("h264.mp4", gzip.compress, mtime=0), WRONG),
    case("M4A", "sound.m4a", WRONG),
    case("MP3", "sound.mp3", UNKNOWN),
    case("AVIF", "picture.avif", WRONG),
    case("HEIC", altered("picture.avif", lambda data: data[:8] + b"heic" + data[12:]), WRONG),
    case(
        "HEIF (`mif1`)", altered("picture.avif", lambda data: data[:8] + b"mif1" + data[12:]), WRONG
    ),
    case("Matroska", "h264.mkv", WRONG),
    case("MPEG transport stream", "h264.ts", WRONG),
    case("AVI", "h264.avi", WRONG),
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
