"""What is said of the files in the table, and whether it is true."""

import re
import subprocess

import imageio_ffmpeg
import pytest

from act_one.media.probe import MAX_READ_BYTES, MAX_READS, Scan
from act_one.media.stream import MediaFileError, sniff
from tests.media.asking import Remote, probed, scanned
from tools.media_files.document import DOCUMENT, render
from tools.media_files.small import small_mp4, small_png
from tools.media_files.table import CUT, TABLE, UNCLEAR, said

CASES = {f"{group}: {case.name}": case for group, cases in TABLE.items() for case in cases}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@each_case
def test_probe_says_what_a_file_is_in_few_reads(case, sources):
    remote = Remote(case.make(sources))

    found = probed(remote, len(remote.data))

    assert said(found) == case.probe
    assert len(remote.reads) == case.reads
    assert sum(remote.reads) <= case.kib * 1024


@each_case
def test_probe_says_the_same_of_a_file_whose_size_is_not_known(case, sources):
    remote = Remote(case.make(sources))

    found = probed(remote, None)

    # Where a file ends is then known only if one looks there.
    assert said(found) == case.probe or case.probe == CUT
    if case.scan == case.probe != CUT:
        assert said(found) == case.scan
    assert len(remote.reads) <= MAX_READS
    assert sum(remote.reads) <= MAX_READ_BYTES


@each_case
@pytest.mark.parametrize("chunk", [1, 7, 4_096, 262_144])
def test_scan_says_the_same_whatever_the_chunks(case, chunk, sources):
    data = case.make(sources)
    if chunk < 4_096 and len(data) > 250_000:
        return  # of the kinds that smaller files are of, and it would take seconds

    assert said(scanned(data, chunk)) == case.scan


@each_case
def test_scan_says_the_same_of_a_file_whose_size_was_announced(case, sources):
    data = case.make(sources)

    assert said(scanned(data, 4_096, len(data))) == case.scan


@each_case
def test_an_error_says_nothing_of_the_file_itself(case, sources):
    data = case.make(sources)

    for found in (probed(Remote(data), len(data)), scanned(data)):
        if isinstance(found, MediaFileError):
            assert re.fullmatch(r"[A-Za-z0-9 ,.:;()/'-]+", str(found))
            assert len(str(found)) < 120


@pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.probe == case.scan == CUT],
    ids=lambda case: case.name,
)
def test_a_file_that_was_announced_longer_than_it_came_is_cut_off(case, sources):
    data = case.make(sources)

    assert said(scanned(data, 4_096, len(data) + 1_000)) == CUT


# ── Is it true? ───────────────────────────────────────────────────────────────────────────────

WHOLE = [name for name, case in CASES.items() if name.startswith("Whole") and case.probe != UNCLEAR]


@pytest.mark.parametrize("name", WHOLE)
def test_ffmpeg_says_the_same(name, sources, tmp_path):
    case = CASES[name]
    path = tmp_path / "file"
    path.write_bytes(case.make(sources))
    facts = scanned(path.read_bytes())

    told = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    ).stderr

    width, height = (int(side) for side in re.search(r"Video:.*?, (\d+)x(\d+)", told).groups())
    # The container's word, if it has one, comes after that of what it contains, and counts.
    aspect = re.search(r"Video:.*, SAR (\d+):(\d+)", told) or re.search(r"SAR (\d+):(\d+)", told)
    across, down = (int(part) for part in aspect.groups()) if aspect else (1, 1)
    turned = re.search(r"rotation of (-?[\d.]+) degrees", told)
    rotation = -round(float(turned[1])) % 360 if turned else 0
    assert facts.pixel_aspect == pytest.approx(across / down, rel=0.01)
    shown = (round(width * across / down), height)
    if "Exif" not in name:  # which ffmpeg tells only of the pictures that it decodes
        # Of an aspect in other numbers it makes another rounding.
        wanted = shown if rotation % 180 == 0 else shown[::-1]
        assert (facts.width, facts.height) == pytest.approx(wanted, abs=1)
    if name != "Whole: MP4: mirrored" and "Exif" not in name:
        assert facts.rotation == rotation
    if facts.duration_seconds is not None:
        hours, minutes, seconds = re.search(r"Duration: (\d+):(\d+):([\d.]+)", told).groups()
        length = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        assert facts.duration_seconds == pytest.approx(length, abs=0.05)
    if facts.has_audio is not None:
        assert facts.has_audio == ("Audio:" in told)


@pytest.mark.parametrize(
    ("brands", "media_type"),
    [
        ("isom iso2 iso5 iso6 mp41 mp42 avc1 M4V  3gp4 3gp6 3g2a dash MSNV", "video/mp4"),
        ("qt  ", "video/quicktime"),
        ("M4A  M4B  M4P ", "audio/mp4"),
        ("heic heix heim heis hevc hevx mif1 msf1", "image/heic"),
        ("avif avis", "image/avif"),
    ],
)
def test_a_file_of_boxes_is_what_its_brand_says(brands, media_type):
    for start in range(0, len(brands), 5):
        head = b"\0\0\0\x18ftyp" + brands[start : start + 4].encode() + bytes(12)
        assert sniff(head) == media_type


# ── How it is told ────────────────────────────────────────────────────────────────────────────


def test_a_broken_file_is_found_while_it_comes(sources):
    data = sources("h264.mp4")
    scan = Scan()

    with pytest.raises(MediaFileError, match="no box where one begins"):
        scan.feed(data[:32] + b"\x01\x02\x03\x04" * 100)

    with pytest.raises(MediaFileError):
        scan.feed(data)
    with pytest.raises(MediaFileError):
        scan.finish()


@pytest.mark.parametrize("name", ["faststart.mp4", "segments.mp4", "vp9.webm", "lossy.webp"])
def test_a_file_cut_off_by_its_server_is_found_by_its_first_chunk(name, sources):
    data = sources(name)
    scan = Scan(len(data) * 3 // 4)

    with pytest.raises(MediaFileError) as caught:
        scan.feed(data[:4_096])

    assert caught.value.code == "media_cut_off"


def test_a_picture_or_its_media_are_not_kept_while_they_pass(sources):
    scan = Scan()
    scan.feed(sources("h264.mp4")[:50_000])

    scan.feed(bytes(100_000))

    assert len(scan._stream._held) == 0  # noqa: SLF001


def test_a_server_that_sends_less_than_was_asked_for_is_asked_again(sources):
    data = sources("h264.mp4")

    def read(offset, length):
        return data[offset : offset + min(length, 40_000)]

    remote = Remote(data)
    remote.read = read
    assert said(probed(remote, len(data))) == said(scanned(data))


def test_a_server_that_sends_more_than_was_asked_for_tells_the_same(sources):
    data = sources("h264.mp4")
    remote = Remote(data)
    remote.read = lambda offset, _: data[offset:]

    assert said(probed(remote, len(data))) == said(scanned(data))


def test_a_file_of_unknown_size_must_go_on_to_where_it_was_jumped_over(sources):
    data = sources("segments.mp4")

    assert said(probed(Remote(data), None)) == "mp4 320x180 2.02 s sound"
    assert said(probed(Remote(data[: len(data) * 3 // 4]), None)) == CUT


def test_a_server_that_sends_a_byte_at_a_time_is_given_up(sources):
    data = sources("h264.mp4")
    remote = Remote(data)
    asked = []

    def read(offset, _):
        asked.append(offset)
        return data[offset : offset + 1]

    remote.read = read
    assert said(probed(remote, len(data))) == UNCLEAR
    assert len(asked) == MAX_READS


def test_an_error_of_the_reader_goes_through():
    def read(offset, length):
        raise ConnectionError(f"{length} bytes at {offset}")

    remote = Remote(b"")
    remote.read = read
    with pytest.raises(ConnectionError):
        probed(remote, 100)


# ── Files of any size, for other tests ────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1_000, 4_096, 262_143, 1_000_000])
@pytest.mark.parametrize("index_last", [False, True])
def test_a_small_mp4_is_whole_and_a_byte_less_is_not(size, index_last):
    data = small_mp4(size, index_last=index_last)

    assert len(data) == size
    assert said(scanned(data)) == said(probed(Remote(data), size)) == "mp4 640x360 5.00 s"
    assert said(scanned(data[:-1])) == CUT


@pytest.mark.parametrize("size", [57, 1_000, 262_144])
def test_a_small_png_is_whole_and_a_byte_less_is_not(size):
    data = small_png(size)

    assert len(data) == size
    assert said(scanned(data)) == "png 16x9"
    assert said(scanned(data[:-1])) == CUT


# ── The page ──────────────────────────────────────────────────────────────────────────────────


def test_the_table_has_many_files_and_each_has_a_name_of_its_own():
    assert len(CASES) == sum(len(cases) for cases in TABLE.values()) > 150


def test_the_page_says_what_is_tested():
    assert DOCUMENT.read_text() == render(TABLE), "run python -m tools.media_files.document"
