"""Each file in the table gets the result in the table, and ffmpeg agrees."""

import re
import subprocess

import imageio_ffmpeg
import pytest

from act_one.media.facts import MediaFileError
from act_one.media.probe import MAX_READ_BYTES, MAX_READS, Scan
from act_one.media.sniff import sniff
from tests.media.remote import Remote, probed, scanned
from tests.sizes import size
from tools.media_files.document import DOCUMENT, render
from tools.media_files.small import small_mp4, small_png
from tools.media_files.table import CUT, TABLE, UNCLEAR, describe

CASES = {f"{group}: {case.name}": case for group, cases in TABLE.items() for case in cases}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@each_case
def test_probe_gives_the_expected_result_in_few_reads(case, sources):
    remote = Remote(case.make(sources))

    found = probed(remote, len(remote.data))

    assert describe(found) == case.probe
    assert len(remote.reads) == case.reads
    assert sum(remote.reads) <= case.kib * 1024


@each_case
def test_probe_gives_the_same_result_without_the_files_size(case, sources):
    remote = Remote(case.make(sources))

    found = probed(remote, None)

    # A missing end is then found only if probe reads there.
    assert describe(found) == case.probe or case.probe == CUT
    if case.scan == case.probe != CUT:
        assert describe(found) == case.scan
    assert len(remote.reads) <= MAX_READS
    assert sum(remote.reads) <= MAX_READ_BYTES


@each_case
@pytest.mark.parametrize("chunk", [1, 7, 4_096, 262_144])
def test_scan_gives_the_same_result_for_any_chunk_size(case, chunk, sources):
    data = case.make(sources)
    if chunk < 4_096 and len(data) > size(30_000, 250_000):
        return  # takes seconds, and smaller files cover the same parsers

    assert describe(scanned(data, chunk)) == case.scan


@each_case
def test_scan_gives_the_same_result_with_the_files_size(case, sources):
    data = case.make(sources)

    assert describe(scanned(data, 4_096, len(data))) == case.scan


@each_case
def test_an_error_quotes_nothing_from_the_file(case, sources):
    data = case.make(sources)

    for found in (probed(Remote(data), len(data)), scanned(data)):
        if isinstance(found, MediaFileError):
            assert re.fullmatch(r"[A-Za-z0-9 ,.:;()/'-]+", str(found))
            assert len(str(found)) < 120


@pytest.mark.parametrize("name", [name for name, c in CASES.items() if c.probe == c.scan == CUT])
def test_a_file_shorter_than_its_stated_size_is_cut_off(name, sources):
    data = CASES[name].make(sources)

    assert describe(scanned(data, 4_096, len(data) + 1_000)) == CUT


# ── ffmpeg agrees ─────────────────────────────────────────────────────────────────────────────

WHOLE = [name for name, case in CASES.items() if name.startswith("Whole") and case.probe != UNCLEAR]


@pytest.mark.parametrize("name", WHOLE)
def test_ffmpeg_gives_the_same_facts(name, sources, tmp_path):
    case = CASES[name]
    path = tmp_path / "file"
    path.write_bytes(case.make(sources))
    facts = scanned(path.read_bytes())

    output = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    ).stderr

    width, height = (int(side) for side in re.search(r"Video:.*?, (\d+)x(\d+)", output).groups())
    # ffmpeg prints the codec's aspect ratio first, then the container's, which takes precedence.
    aspect = re.search(r"Video:.*, SAR (\d+):(\d+)", output) or re.search(
        r"SAR (\d+):(\d+)", output
    )
    across, down = (int(part) for part in aspect.groups()) if aspect else (1, 1)
    rotated = re.search(r"rotation of (-?[\d.]+) degrees", output)
    rotation = -round(float(rotated[1])) % 360 if rotated else 0
    assert facts.pixel_aspect == pytest.approx(across / down, rel=0.01)
    shown = (round(width * across / down), height)
    if "Exif" not in name:  # ffmpeg applies Exif only when it decodes the picture
        # ffmpeg reduces the aspect ratio to smaller numbers and so rounds differently.
        wanted = shown if rotation % 180 == 0 else shown[::-1]
        assert (facts.width, facts.height) == pytest.approx(wanted, abs=1)
    if name != "Whole: MP4: mirrored" and "Exif" not in name:
        assert facts.rotation == rotation
    if facts.duration_seconds is not None:
        hours, minutes, seconds = re.search(r"Duration: (\d+):(\d+):([\d.]+)", output).groups()
        length = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        assert facts.duration_seconds == pytest.approx(length, abs=0.05)
    if facts.has_audio is not None:
        assert facts.has_audio == ("Audio:" in output)


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
def test_the_ftyp_brand_decides_the_media_type(brands, media_type):
    for start in range(0, len(brands), 5):
        head = b"\0\0\0\x18ftyp" + brands[start : start + 4].encode() + bytes(12)
        assert sniff(head) == media_type


# ── Streaming and reading ─────────────────────────────────────────────────────────────────────


def test_a_broken_file_is_refused_while_it_arrives(sources):
    data = sources("h264.mp4")
    scan = Scan()

    with pytest.raises(MediaFileError, match="invalid box"):
        scan.feed(data[:32] + b"\x01\x02\x03\x04" * 100)

    with pytest.raises(MediaFileError):
        scan.feed(data)
    with pytest.raises(MediaFileError):
        scan.finish()


@pytest.mark.parametrize("name", ["faststart.mp4", "segments.mp4", "vp9.webm", "lossy.webp"])
def test_a_file_with_too_small_a_size_is_refused_at_its_first_chunk(name, sources):
    data = sources(name)
    scan = Scan(len(data) * 3 // 4)

    with pytest.raises(MediaFileError) as caught:
        scan.feed(data[:4_096])

    assert caught.value.code == "media_cut_off"


def test_media_data_is_not_buffered(sources):
    scan = Scan()
    scan.feed(sources("h264.mp4")[:50_000])

    scan.feed(bytes(100_000))

    assert len(scan._stream._buffer) == 0  # noqa: SLF001


def test_a_server_that_sends_less_than_requested_is_read_again(sources):
    data = sources("h264.mp4")

    def read(offset, length):
        return data[offset : offset + min(length, 40_000)]

    remote = Remote(data)
    remote.read = read
    assert describe(probed(remote, len(data))) == describe(scanned(data))


def test_a_server_that_sends_more_than_requested_gives_the_same_result(sources):
    data = sources("h264.mp4")
    remote = Remote(data)
    remote.read = lambda offset, _: data[offset:]

    assert describe(probed(remote, len(data))) == describe(scanned(data))


def test_a_file_of_unknown_size_must_contain_the_skipped_bytes(sources):
    data = sources("segments.mp4")

    assert describe(probed(Remote(data), None)) == "mp4 320x180 2.02 s sound"
    assert describe(probed(Remote(data[: len(data) * 3 // 4]), None)) == CUT


def test_probe_gives_up_on_a_server_that_sends_one_byte_per_read(sources):
    data = sources("h264.mp4")
    remote = Remote(data)
    offsets = []

    def read(offset, _):
        offsets.append(offset)
        return data[offset : offset + 1]

    remote.read = read
    assert describe(probed(remote, len(data))) == UNCLEAR
    assert len(offsets) == MAX_READS


def test_an_error_of_the_read_function_is_passed_on():
    def read(offset, length):
        raise ConnectionError(f"{length} bytes at {offset}")

    remote = Remote(b"")
    remote.read = read
    with pytest.raises(ConnectionError):
        probed(remote, 100)


# ── Files of any size, for other tests ────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1_000, 4_096, 262_143, 1_000_000])
@pytest.mark.parametrize("index_last", [False, True])
def test_a_small_mp4_is_complete_and_cut_off_without_its_last_byte(size, index_last):
    data = small_mp4(size, index_last=index_last)

    assert len(data) == size
    assert describe(scanned(data)) == describe(probed(Remote(data), size)) == "mp4 640x360 5.00 s"
    assert describe(scanned(data[:-1])) == CUT


@pytest.mark.parametrize("size", [57, 1_000, 262_144])
def test_a_small_png_is_complete_and_cut_off_without_its_last_byte(size):
    data = small_png(size)

    assert len(data) == size
    assert describe(scanned(data)) == "png 16x9"
    assert describe(scanned(data[:-1])) == CUT


# ── The page ──────────────────────────────────────────────────────────────────────────────────


def test_the_table_has_many_files_with_unique_names():
    assert len(CASES) == sum(len(cases) for cases in TABLE.values()) > 150


def test_the_page_matches_the_table():
    assert DOCUMENT.read_text() == render(TABLE), "run python -m tools.media_files.document"
