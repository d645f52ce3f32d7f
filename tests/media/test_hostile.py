"""Hostile and random bytes give facts or a ``MediaFileError``, soon and in few reads."""

import struct
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from act_one.media.facts import MediaFacts, MediaFileError
from act_one.media.probe import MAX_READ_BYTES, MAX_READS, Scan
from tests.media.remote import Remote, probed, scanned
from tests.sizes import size
from tools.media_files.c2pa import manifest_box
from tools.media_files.edit import box, element, long_box, place
from tools.media_files.table import PROGRESSIVE, describe

CODES = {
    "media_cut_off",
    "media_broken",
    "media_wrong_type",
    "media_unknown_type",
    "media_no_video",
    "media_empty",
    "media_unclear",
}
SECONDS = 1.0
"""Limit for any file of a few MB on a slow machine; most take a hundredth of it."""


def check(data, sizes=(), chunk=262_144):
    """Check that there is a valid result, and that it doesn't depend on the chunks."""
    began = process_time()
    answers = [scanned(data, chunk), scanned(data, 1_000)]
    assert describe(answers[0]) == describe(answers[1])
    for stated in (len(data), None, *sizes):
        remote = Remote(data)
        answers.append(probed(remote, stated))
        assert len(remote.reads) <= MAX_READS
        assert sum(remote.reads) <= MAX_READ_BYTES
    answers += [scanned(data, chunk, stated) for stated in sizes]
    assert process_time() - began < SECONDS * len(answers)
    for answer in answers:
        if isinstance(answer, MediaFileError):
            assert answer.code in CODES
        else:
            assert isinstance(answer, MediaFacts)
            assert answer.duration_seconds is None or answer.duration_seconds > 0
            assert answer.rotation in {0, 90, 180, 270}
            assert answer.pixel_aspect > 0
            if answer.width is not None:
                assert min(answer.width, answer.height) > 0
    return answers


# ── Random bytes, boxes and elements ──────────────────────────────────────────────────────────

HEADS = (
    b"",
    box(b"ftyp", b"isom\0\0\2\0isommp42"),
    b"\0\0\0\x08wide",
    bytes.fromhex("1a45dfa3874282847765626d18538067 01ffffffffffffff"),
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\1\0\0\0\1\0\x08\2\0\0\0\0\0\0\0",
    PROGRESSIVE[:200],
    b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x3f\0\0\x23\0\0",
    b"GIF89a\x10\0\x10\0\x80\0\0\0\0\0\xff\xff\xff",
)
ODD_SIZES = st.sampled_from((0, 1, 7, 2**31, 2**32, 2**63 - 1, 2**63, 2**64)) | st.integers(
    0, 9_999
)


@settings(max_examples=size(40, 150), deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=400), ODD_SIZES)
def test_any_bytes_give_a_valid_result(head, data, size):
    check(head + data, [size], chunk=7)


KINDS = st.sampled_from(
    b"ftyp moov mvhd trak tkhd mdia mdhd hdlr minf stbl stsd stsz stz2 stco co64 stsc pasp mvex "
    b"mehd sidx moof mdat free cmov avc1 vide edts uuid".split()
)
NUMBERS = st.sampled_from((0, 1, 2, 8, 16, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)) | st.integers(0, 99)
CONTENTS = st.binary(max_size=100) | st.lists(NUMBERS, max_size=40).map(
    lambda numbers: struct.pack(f">{len(numbers)}I", *numbers)
)


def declared(kind_and_payload, size):
    kind, payload = kind_and_payload
    return box(kind, payload) if size is None else struct.pack(">I4s", size, kind) + payload


BOXES = st.recursive(
    st.tuples(KINDS, CONTENTS).map(lambda found: box(*found)),
    lambda inner: st.builds(
        declared,
        st.tuples(KINDS, st.lists(inner, max_size=6).map(b"".join)),
        st.none() | st.none() | NUMBERS,
    ),
    max_leaves=30,
)


@settings(max_examples=size(40, 150), deadline=None)
@given(st.lists(BOXES, max_size=6).map(b"".join), ODD_SIZES)
def test_any_boxes_give_a_valid_result(data, size):
    check(HEADS[1] + data, [size], chunk=11)


IDS = st.sampled_from(
    [
        "1a45dfa3",
        "4282",
        "18538067",
        "1549a966",
        "2ad7b1",
        "4489",
        "1654ae6b",
        "ae",
        "83",
        "e0",
        "b0",
        "ba",
        "54b0",
        "54ba",
        "54b2",
        "7670",
        "7675",
        "1f43b675",
        "a3",
        "e7",
        "ec",
        "1c53bb6b",
    ]
).map(bytes.fromhex)
UNKNOWN = b"\x01" + b"\xff" * 7


ELEMENTS = st.recursive(
    st.builds(element, IDS, CONTENTS),
    lambda inner: st.builds(
        element,
        IDS,
        st.lists(inner, max_size=6).map(b"".join),
        st.none() | st.sampled_from((UNKNOWN, b"\xff", b"\x80", b"\x01\0\0\0\0\xff\0\0", b"\0")),
    ),
    max_leaves=30,
)


@settings(max_examples=size(40, 150), deadline=None)
@given(st.lists(ELEMENTS, max_size=6).map(b"".join), ODD_SIZES)
def test_any_elements_give_a_valid_result(data, size):
    check(HEADS[3] + data, [size], chunk=11)


# ── Damaged files ─────────────────────────────────────────────────────────────────────────────

DAMAGED = (
    "h264.mp4",
    "faststart.mp4",
    "segments.mp4",
    "h264.mov",
    "vp9.webm",
    "live.webm",
    "picture.png",
    "picture.jpg",
    "lossy.webp",
    "animated.gif",
)


def index_of(data):
    """Return the offsets of the bytes that the parsers read."""
    if data[4:8] == b"ftyp":
        start, end = place(data, b"moov")
        return [*range(64), *range(start, end)]
    return range(min(len(data), 600))


@pytest.mark.parametrize("name", DAMAGED)
@settings(
    max_examples=size(20, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_damaged_file_gives_a_valid_result(name, sources, data):
    whole = sources(name)
    damaged = bytearray(whole)
    places = st.sampled_from(index_of(whole))
    changes = st.tuples(places, st.sampled_from((0, 1, 2, 8, 0x40, 0x7F, 0x80, 0xFF)))
    for at, value in data.draw(st.lists(changes, min_size=1, max_size=8)):
        damaged[at] = value
    gap = data.draw(places)
    damaged[gap : gap + data.draw(st.sampled_from((0, 0, 1, 4, 100)))] = b""

    check(bytes(damaged))


CUTTABLE = (
    "h264.mp4",
    "faststart.mp4",
    "segments.mp4",
    "long.mp4",
    "h264.mov",
    "faststart.mov",
    "vp8.webm",
    "vp9.webm",
    "cues first.webm",
    "picture.png",
    "picture.jpg",
    "lossy.webp",
    "animated.webp",
    "picture.gif",
)


@pytest.mark.parametrize("name", CUTTABLE)
def test_a_file_that_is_cut_off_anywhere_is_refused(name, sources):
    data = sources(name)
    end = len(data)
    if name == "segments.mp4":  # its last box (mfra) may be missing
        end, _ = place(data, b"mfra") if b"mfra" in data else (end, None)
    cuts = {*range(300), *range(0, end, max(1, end // 150)), *range(end - 300, end)}

    for at in cuts:
        found = scanned(data[:at])
        assert isinstance(found, MediaFileError), f"cut off after {at} of {end} bytes"


# ── Files made to take long ───────────────────────────────────────────────────────────────────

MEGABYTE = 1 << 20


def fill(piece, size=4 * MEGABYTE):
    return piece * (size // len(piece))


def index(*children):
    return HEADS[1] + box(b"moov", b"".join(children))


def table_box(kind, count, size):
    return box(kind, struct.pack(">II", 0, count) + bytes(size * count))


def video_track(table):
    entry = bytes(24) + struct.pack(">HH", 16, 9) + bytes(50)
    description = box(b"stsd", struct.pack(">II", 0, 1) + box(b"avc1", entry))
    return track(description + table)


def track(table):
    header = box(b"tkhd", bytes(84))
    handler = box(b"hdlr", bytes(8) + b"vide")
    media = box(b"mdhd", bytes(24)) + handler + box(b"minf", box(b"stbl", table))
    return box(b"trak", header + box(b"mdia", media))


MVHD = box(b"mvhd", bytes(100))
SIDX = struct.pack(">IIIIIHH", 0, 1, 1, 0, 0, 0, 65_535) + bytes(12 * 65_535)
LARGE = {
    "empty boxes": HEADS[1] + fill(box(b"free")),
    "empty long boxes": HEADS[1] + fill(long_box(b"free")),
    "empty fragments": HEADS[1] + box(b"moov", MVHD) + fill(box(b"moof") + box(b"mdat")),
    "an index of empty boxes": index(fill(box(b"free"))),
    "an index of empty tracks": index(MVHD, fill(box(b"trak"))),
    "an index of many tracks": index(MVHD, fill(track(box(b"stsz", bytes(12))))),
    "tracks of many children": index(MVHD, *[track(fill(box(b"free"), MEGABYTE // 32))] * 96),
    "boxes in boxes": index(MVHD, box(b"trak", fill(b"\0\1\0\0trak"))),
    "a million chunks": index(
        MVHD, track(box(b"stsz", struct.pack(">III", 0, 9, 9)) + table_box(b"stco", MEGABYTE, 4))
    ),
    "a million samples in a chunk": index(
        MVHD,
        track(
            box(b"stsz", struct.pack(">III", 0, 0, MEGABYTE) + bytes(4 * MEGABYTE))
            + table_box(b"stco", 1, 4)
            + box(b"stsc", struct.pack(">IIIII", 0, 1, 1, MEGABYTE, 1))
        ),
    ),
    "segment indexes": HEADS[1] + fill(box(b"sidx", bytes(60_000))),
    "large segment indexes": index(MVHD, box(b"mvex"), video_track(b"")) + box(b"sidx", SIDX) * 40,
    "empty elements": HEADS[3] + fill(b"\xec\x80"),
    "empty clusters": HEADS[3] + fill(bytes.fromhex("1f43b675ff")),
    "empty tracks": HEADS[3] + element(b"\x16\x54\xae\x6b", fill(b"\xae\x80", MEGABYTE - 9)),
    "elements in elements": HEADS[3]
    + element(b"\x16\x54\xae\x6b", fill(b"\xae\x10\0\0\0", MEGABYTE - 9)),
    "a number of a megabyte": HEADS[3]
    + element(b"\x15\x49\xa9\x66", element(b"\x44\x89", bytes(MEGABYTE - 99))),
    "empty PNG chunks": HEADS[4] + fill(b"\0\0\0\0IDAT\0\0\0\0"),
    "empty JPEG segments": b"\xff\xd8" + fill(b"\xff\xe0\0\2"),
    "JPEG with many Exif segments": b"\xff\xd8"
    + fill(b"\xff\xe1\0\x12Exif\0\0MM\0*\0\0\0\1\xff\xff"),
    "JPEG fill bytes": b"\xff\xd8" + fill(b"\xff"),
    "JPEG fill bytes in many segments": b"\xff\xd8" + fill(b"\xff" * 60_000 + b"\xe0\0\2"),
    "JPEG with Exif of many entries": b"\xff\xd8"
    + fill(b"\xff\xe1\xff\xffExif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(65_517), 16 * MEGABYTE),
    "JPEG without an end": PROGRESSIVE[:-2] + fill(b"\xff\0\xd9"),
    "empty GIF blocks": HEADS[7] + fill(b"\x21\xfe\0"),
    "GIF blocks of a byte": HEADS[7] + b"\x21\xfe" + fill(b"\1a"),
    "GIF pictures": HEADS[7] + fill(b"\x2c" + bytes(9) + b"\2\0"),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_file_made_to_take_long_is_checked_quickly(name):
    check(LARGE[name])


ENDLESS = {
    "boxes": (HEADS[1], box(b"free")),
    "fragments": (index(MVHD, box(b"mvex"), video_track(b"")), box(b"moof") + box(b"mdat")),
    "segment indexes": (index(MVHD, box(b"mvex"), video_track(b"")), box(b"sidx", SIDX)),
    "elements": (HEADS[3], b"\xec\x80"),
    "clusters": (HEADS[3], bytes.fromhex("1f43b675ff")),
    "PNG chunks": (HEADS[4] + bytes(4), b"\0\0\0\0IDAT\0\0\0\0"),
    "JPEG segments": (b"\xff\xd8", b"\xff\xe0\0\2"),
    "JPEG fill bytes": (b"\xff\xd8", b"\xff"),
    "JPEG fill bytes in segments": (b"\xff\xd8", b"\xff" * 60_000 + b"\xe0\0\2"),
    "JPEG Exif entries": (
        b"\xff\xd8",
        b"\xff\xe1\xff\xffExif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(65_517),
    ),
    "JPEG scans": (PROGRESSIVE[:-2], b"\xff\0\xd9"),
    "GIF blocks": (HEADS[7], b"\x21\xfe\0"),
    "C2PA boxes": (HEADS[1], manifest_box(b"merkle")),
    "JUMBF segments": (b"\xff\xd8", b"\xff\xeb\0\x0cJP\0\1\0\0\0\1jb"),
    "JUMBF chunks": (HEADS[4] + bytes(4), b"\0\0\0\0caBX\0\0\0\0"),
    "WebP chunks": (b"RIFF\xff\xff\xff\x7fWEBP" + HEADS[6][12:], b"EXIF\0\0\0\0"),
    "GIF blocks of a byte": (HEADS[7] + b"\x21\xfe", b"\1a"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_no_file_of_512_megabytes_takes_two_seconds(name):
    head, piece = ENDLESS[name]
    chunk = fill(piece)
    began = process_time()

    scan = Scan()
    try:
        scan.feed(head)
        for _ in range(512 * MEGABYTE // len(chunk)):
            scan.feed(chunk)
        scan.finish()
    except MediaFileError as error:
        assert error.code in CODES  # noqa: PT017 - whole or not, it has to be quick
    assert process_time() - began < 2.0


def last_chunk_at(code, offset, sample_bytes):
    """A file whose last chunk begins at ``offset`` and has one sample of ``sample_bytes``."""
    kind = b"stco" if code == "I" else b"co64"
    table = (
        box(b"stsz", struct.pack(">III", 0, sample_bytes, 1)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
        box(kind, struct.pack(f">II{code}", 0, 1, offset)),
    )
    header = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1, 5) + bytes(80))
    return index(header, video_track(b"".join(table))) + box(b"mdat")


@pytest.mark.parametrize(
    ("code", "offset", "sample_bytes"),
    [("I", 2**32 - 1, 1), ("I", 2**31, 2**32 - 1), ("Q", 2**64 - 1, 1), ("Q", 2**63, 2**32 - 1)],
)
def test_a_chunk_that_ends_beyond_its_integer_type_is_cut_off(code, offset, sample_bytes):
    data = last_chunk_at(code, offset, sample_bytes)

    assert [answer.code for answer in check(data)[:3]] == ["media_cut_off"] * 3


@pytest.mark.parametrize("seconds", [1e126, 1e300, 2.0**64])
def test_a_webm_duration_that_no_row_can_hold_is_unknown(sources, seconds):
    data = bytearray(sources("vp9.webm"))
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", seconds * 1_000)

    for facts in check(bytes(data)):
        assert facts.duration_seconds is None or facts.duration_seconds <= 2.0**64
        assert facts.width == 320
