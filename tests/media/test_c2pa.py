"""Whether a file carries a C2PA manifest: yes, no, or unknown, and never a guess."""

import struct

import pytest

from act_one.media.facts import MediaFileError
from tests.media.remote import Remote, probed, scanned
from tools.media_files import c2pa
from tools.media_files.edit import box, boxes
from tools.media_files.small import small_mp4, small_png

MANIFEST = c2pa.manifest_box()
LOOKALIKE = MANIFEST + c2pa.store()
NONE = ("h264.mp4", "fragments.mp4", "h264.mov", "picture.png", "picture.jpg")
NONE_IN_WEBP = ("lossy.webp", "lossless.webp", "clear.webp", "animated.webp")


def found(data, chunk=262_144):
    return scanned(data, chunk).c2pa


@pytest.mark.parametrize("name", [*NONE, *NONE_IN_WEBP])
def test_a_file_that_was_searched_to_its_end_has_none(name, sources):
    assert found(sources(name)) is False


@pytest.mark.parametrize("name", ["vp9.webm", "live.webm", "animated.gif"])
def test_a_format_that_is_not_searched_is_unknown(name, sources):
    assert found(sources(name)) is None


@pytest.mark.parametrize("name", [*NONE, "clear.webp", "vp9.webm"])
def test_probe_does_not_search(name, sources):
    data = sources(name)

    assert probed(Remote(data), len(data)).c2pa is None


def test_probe_reads_a_file_with_a_manifest_as_often_as_one_without():
    plain, signed = (Remote(data) for data in (small_mp4(), small_mp4() + MANIFEST))

    facts = [probed(remote, len(remote.data)) for remote in (plain, signed)]

    assert facts[0] == facts[1]
    assert len(plain.reads) == len(signed.reads) == 1


@pytest.mark.parametrize("purpose", [b"manifest", b"original", b"update"])
@pytest.mark.parametrize("chunk", [1, 7, 262_144])
def test_a_manifest_of_each_purpose_is_found_in_chunks_of_any_size(purpose, chunk):
    assert found(small_mp4() + c2pa.manifest_box(purpose), chunk) is True


@pytest.mark.parametrize(
    "added",
    [
        pytest.param(c2pa.manifest_box(b"merkle"), id="merkle"),
        pytest.param(c2pa.manifest_box(b"manifesto"), id="another purpose"),
        pytest.param(box(b"uuid", c2pa.BOX_TYPE), id="no purpose"),
        pytest.param(
            box(b"uuid", c2pa.BOX_TYPE[:-1]) + box(b"free", c2pa.BOX_TYPE[-1:] + b"manifest"),
            id="cut by its size",
        ),
        pytest.param(box(b"uuid"), id="empty"),
        *(
            pytest.param(box(kind, LOOKALIKE), id=f"in {kind}")
            for kind in (b"free", b"mdat", b"jumb")
        ),
    ],
)
def test_what_only_looks_like_a_manifest_is_none(added):
    assert found(small_mp4() + added) is False


def test_media_data_that_looks_like_a_manifest_is_none():
    assert found(small_mp4(20_000, mark=LOOKALIKE)) is False
    assert found(small_png(20_000, mark=LOOKALIKE)) is False


def test_a_manifest_behind_more_boxes_than_are_read_is_unknown():
    many = box(b"free") * 70_000

    assert found(small_mp4() + many + MANIFEST) is None
    assert found(small_mp4() + MANIFEST + many) is True


def test_a_manifest_behind_more_segments_than_are_read_is_unknown(sources):
    jpeg = sources("picture.jpg")
    many = b"\xff\xe0\0\2" * 70_000
    # The frame header comes first: without one the picture would have no size.
    frame = jpeg[jpeg.index(b"\xff\xc0") :][:19]
    assert found(jpeg[:2] + frame + many + jpeg[2:]) is None


def test_a_box_that_claims_more_bytes_than_the_file_has_is_cut_off():
    claimed = struct.pack(">I", 1 << 30) + MANIFEST[4:]
    data = small_mp4() + claimed

    for size in (None, len(data)):
        answer = scanned(data, 4_096, size)
        assert isinstance(answer, MediaFileError)
        assert answer.code == "media_cut_off"


@pytest.mark.parametrize("name", NONE_IN_WEBP)
@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_manifest_in_a_webp_is_found_behind_chunks_of_any_length(name, length, sources):
    odd = c2pa.with_riff_chunk(sources(name), bytes(length), b"EXIF")

    assert found(odd) is False
    assert found(c2pa.with_riff_chunk(odd, c2pa.store())) is True


def test_chunks_that_do_not_fill_a_webp_leave_it_unknown(sources):
    webp = sources("clear.webp")
    longer = c2pa.with_riff_chunk(webp, bytes(100), b"EXIF")
    at = longer.rindex(b"EXIF")
    overlong = longer[: at + 4] + struct.pack("<I", 1 << 31) + longer[at + 8 :]
    size = len(webp) - 8 + 3
    rest = webp[:4] + struct.pack("<I", size) + webp[8:] + b"abc"

    assert found(overlong) is None
    assert found(rest) is None


def test_jumbf_of_another_type_and_cut_jumbf_are_none(sources):
    png, jpeg = sources("picture.png"), sources("picture.jpg")
    for content in (b"", c2pa.store()[:20], c2pa.store(b"json"), bytes(40)):
        assert found(c2pa.with_chunk(png, content)) is False
        assert found(c2pa.with_segments(jpeg, content)) is False
    assert found(c2pa.with_chunk(png, c2pa.store(), b"tEXt")) is False


def test_a_jumbf_box_with_a_64_bit_size_is_read(sources):
    store = c2pa.store()
    long = struct.pack(">I4sQ", 1, b"jumb", len(store) + 8) + store[8:]

    assert found(c2pa.with_chunk(sources("picture.png"), long)) is True


def test_the_manifest_of_the_table_is_whole():
    """The boxes in it add up, so that a reader of JUMBF gets through."""

    def check(data):
        for kind, start, end in boxes(data):
            assert end <= len(data)
            if kind == b"jumb":
                check(data[start + 8 : end])

    check(c2pa.store())
