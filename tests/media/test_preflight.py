"""The preflight of the inputs, against files on a local web server."""

import shlex
import socket
import subprocess
from dataclasses import replace
from time import monotonic

import imageio_ffmpeg
import pytest

from act_one.inputs import preflight
from act_one.inputs.preflight import Limits, check_inputs
from act_one.inputs.request import TransferRequest
from act_one.net import downloads
from act_one.problems import ProblemError
from tests.unit.hostile import deaf
from tools.media_files.files_server import files_server
from tools.media_files.preflight import HTTP, LIMITS, preflight_result, recorded
from tools.media_files.small import small_mp4
from tools.media_files.table import TABLE

NAMES = [
    *("h264.mp4", "faststart.mp4", "mute.mp4", "fragments.mp4", "turned 180.mp4", "vp9.mp4"),
    *("h264.mov", "vp8.webm", "vp9.webm", "live.webm"),
]


@pytest.fixture(scope="module")
def server():
    with files_server() as server:
        yield server


@pytest.fixture
def good(server, sources):
    """URLs of a valid video and image."""
    return {
        "video": server.put("good.mp4", sources("h264.mp4")),
        "image": server.put("good.png", sources("picture.png")),
    }


@pytest.fixture
def resolver(monkeypatch):
    """Failures of the resolver by host name."""
    failures, resolve = {}, socket.getaddrinfo

    def look_up(host, *rest, **more):
        if host in failures:
            raise failures[host]
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return failures


def check(urls, limits=LIMITS, http=HTTP):
    return check_inputs(TransferRequest(**urls), limits, http)


def refused(urls, limits=LIMITS, http=HTTP):
    with pytest.raises(ProblemError) as caught:
        check(urls, limits, http)
    document = caught.value.document()
    assert document["status"] == 422
    assert "SECRET" not in str(document)
    assert document["found"] in document["detail"]
    assert document["needed"] in document["detail"]
    return document


def only_warning(urls, http=HTTP):
    (warning,) = check(urls, http=http)
    assert "SECRET" not in warning.message
    return warning


# ── The table ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("group", TABLE)
def test_each_file_in_the_table_gets_the_recorded_result(group, server, sources):
    results = {
        case.name: preflight_result(group, case.make(sources), server) for case in TABLE[group]
    }

    assert results == {name: result for name, (result, _) in recorded()[group].items()}


# ── Valid files ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_a_valid_video_passes_without_warnings(server, sources, good, name):
    urls = good | {"video": server.put("a", sources(name))}

    assert check(urls) == ()


@pytest.mark.parametrize("name", ["picture.png", "deep.png", "picture.jpg", "lossy.webp"])
def test_a_valid_image_passes_without_warnings(server, sources, good, name):
    assert check(good | {"image": server.put("a", sources(name))}) == ()


def test_each_file_is_read_in_few_and_small_ranges(server, sources, good):
    server.requests.clear()
    large = sources("h264.mp4")[:-8] + b"\0\0\0\x08free"

    check(good | {"video": server.put("a.mp4", large)})

    assert all(" bytes=" in line or line.startswith("HEAD") for line in server.requests)
    assert len(server.requests) <= 5


@pytest.mark.parametrize("behaviour", [{"ranges": False}, {"ranges": False, "length": False}])
def test_a_server_without_ranges_suffices_if_the_index_is_first(server, sources, good, behaviour):
    assert check(good | {"video": server.put("a", sources("faststart.mp4"), **behaviour)}) == ()


# ── Refusals ──────────────────────────────────────────────────────────────────────────────────

WRONG = {
    "a portrait": ("portrait.mp4", "input-aspect-ratio", "180x320"),
    "turned to a portrait": ("turned 90.mp4", "input-aspect-ratio", "turned by 90°"),
    "wide pixels": ("wide pixels.mp4", "input-aspect-ratio", "427x180"),
    "too long": ("long.mp4", "input-too-long", "200.0 s"),
    "sound only": ("sound only.mp4", "input-no-video", "no video track"),
    "sound": ("sound.m4a", "input-wrong-type", "audio/mp4"),
    "an image": ("picture.png", "input-wrong-type", "image/png"),
}


@pytest.mark.parametrize(("name", "code", "found"), WRONG.values(), ids=WRONG.keys())
def test_a_video_that_would_fail_is_refused(server, sources, good, name, code, found):
    problem = refused(good | {"video": server.put(name.replace(" ", "-"), sources(name))})

    assert (problem["field"], problem["code"]) == ("video", code)
    assert found in problem["found"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "input-cut-off"),
        (b"<!doctype html><title>Sign in</title>", "input-wrong-type"),
        (b'{"error": "expired"}', "input-wrong-type"),
        (b"\x1f\x8b" + b"x" * 100, "input-wrong-type"),
    ],
)
@pytest.mark.parametrize("behaviour", [{}, {"ranges": False}, {"length": False}])
@pytest.mark.parametrize("field", ["video", "image"])
def test_a_file_that_is_not_media_is_refused(server, good, field, content, code, behaviour):
    problem = refused(good | {field: server.put("a", content, **behaviour)})

    assert (problem["field"], problem["code"]) == (field, code)


def test_a_video_whose_end_is_missing_is_refused(server, sources, good):
    cut = sources("h264.mp4")[:-2_000]

    assert refused(good | {"video": server.put("a", cut)})["code"] == "input-cut-off"


@pytest.mark.parametrize("name", ["h264.mp4", "picture.gif", "picture.avif"])
def test_an_image_of_an_unsupported_type_is_refused(server, sources, good, name):
    problem = refused(good | {"image": server.put("a", sources(name))})

    assert (problem["field"], problem["code"]) == ("image", "input-wrong-type")
    assert "JPEG, PNG, WebP" in problem["needed"]


@pytest.mark.parametrize("field", ["video", "image"])
def test_a_file_is_refused_by_its_stated_size(good, field):
    small = {f"max_{field}_bytes": 1_000}
    limits = Limits(**{name: getattr(LIMITS, name) for name in LIMITS.__slots__} | small)

    problem = refused(good, limits)

    assert (problem["field"], problem["code"]) == (field, "input-too-large")
    assert "at most 1,000 bytes" in problem["needed"]


@pytest.mark.parametrize(
    ("width", "passes"), [(1583, False), (1585, True), (1600, True), (1615, True), (1617, False)]
)
def test_a_video_may_differ_from_16_to_9_by_one_percent(server, good, width, passes):
    urls = good | {"video": server.put("edge.mp4", small_mp4(shown=(width, 900)))}

    if passes:
        assert check(urls) == ()
    else:
        assert refused(urls)["code"] == "input-aspect-ratio"


@pytest.mark.parametrize("seconds", [0.5, 1.49, 1.51, 2.4, 2.6])
def test_a_videos_duration_may_exceed_the_limits_by_half_a_second(good, seconds):
    limits = {name: getattr(LIMITS, name) for name in LIMITS.__slots__}

    longest = Limits(**limits | {"min_video_seconds": 0.0, "max_video_seconds": seconds})
    shortest = Limits(**limits | {"min_video_seconds": seconds, "max_video_seconds": 30.0})

    if seconds < 1.5:
        assert refused(good, longest)["code"] == "input-too-long"
    else:
        assert check(good, longest) == ()
    if seconds > 2.5:
        assert refused(good, shortest)["code"] == "input-too-short"
    else:
        assert check(good, shortest) == ()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
@pytest.mark.parametrize("field", ["video", "image"])
def test_a_file_that_is_not_public_is_refused(server, good, field, status):
    problem = refused(good | {field: server.put("a", b"", status=status)})

    assert (problem["field"], problem["code"]) == (field, "input-unreachable")
    assert f"HTTP {status}" in problem["found"]


def test_an_address_that_is_not_public_is_refused(good):
    strict = downloads.session(downloads.Policy(allow_http=True))

    problem = refused(good, http=strict)

    assert problem["code"] == "input-unreachable"
    assert "not public" in problem["found"]


@pytest.mark.parametrize(
    "name", ["portrait.mp4", "turned 90.mp4", "wide pixels.mp4", "long.mp4", "h264.mkv"]
)
def test_the_suggested_command_makes_a_video_that_passes(server, sources, good, name, tmp_path):
    (tmp_path / "it's a video.mp4").write_bytes(sources(name))
    url = server.put("it's%20a%20video.mp4", sources(name))

    command = shlex.split(refused(good | {"video": url})["fix"])

    made = run_fix(command, tmp_path)
    assert check(good | {"video": server.put("made.mp4", made)}) == ()


@pytest.mark.parametrize("name", ["picture.gif", "picture.avif"])
def test_the_suggested_command_makes_an_image_that_passes(server, sources, good, name, tmp_path):
    (tmp_path / name).write_bytes(sources(name))

    command = shlex.split(refused(good | {"image": server.put(name, sources(name))})["fix"])

    made = run_fix(command, tmp_path)
    assert check(good | {"image": server.put("made.png", made)}) == ()


def run_fix(command, folder):
    assert command[0] == "ffmpeg"
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", *command[1:]], cwd=folder, check=True, timeout=60)
    return (folder / command[-1]).read_bytes()


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
@pytest.mark.parametrize("field", ["video", "image"])
def test_a_name_that_does_not_exist_is_refused(good, resolver, field, code):
    resolver["typo.example"] = socket.gaierror(code, "Name or service not known")

    problem = refused(good | {field: "https://typo.example/a?SECRET"})

    assert (problem["code"], problem["field"]) == ("input-unreachable", field)
    assert problem["found"] == "typo.example has no address"


@pytest.mark.parametrize("field", ["video", "image"])
def test_a_host_that_refuses_connections_is_refused(good, field):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    problem = refused(good | {field: f"http://127.0.0.1:{port}/a?SECRET"})

    assert (problem["code"], problem["field"]) == ("input-unreachable", field)


WITHOUT_RANGES = [{"ranges": False}, {"ranges": False, "length": False}]


@pytest.mark.parametrize("behaviour", WITHOUT_RANGES)
def test_an_index_at_the_end_is_read_without_ranges(server, good, behaviour):
    sizes = {"good": (640, 360), "portrait": (360, 640)}
    urls = {
        name: server.put(name, small_mp4(200_000, index_last=True, shown=shown), **behaviour)
        for name, shown in sizes.items()
    }

    assert check(good | {"video": urls["good"]}) == ()
    assert refused(good | {"video": urls["portrait"]})["code"] == "input-aspect-ratio"


@pytest.mark.parametrize("behaviour", WITHOUT_RANGES)
def test_a_file_without_ranges_that_is_cut_off_or_too_large_is_refused(server, good, behaviour):
    content = small_mp4(200_000, index_last=True)
    small = replace(LIMITS, max_video_bytes=150_000)
    whole = good | {"video": server.put("whole", content, **behaviour)}
    cut = good | {"video": server.put("cut", content[:-100], **behaviour)}

    assert refused(whole, small)["code"] == "input-too-large"
    assert refused(cut)["code"] == "input-cut-off"


# ── Warnings ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "behaviour",
    [
        {"status": 408},
        {"status": 429},
        {"status": 500},
        {"status": 503},
        {"headers": {"Content-Encoding": "gzip"}},
    ],
)
@pytest.mark.parametrize("field", ["video", "image"])
def test_a_file_that_cannot_be_checked_now_gets_a_warning(server, good, field, behaviour):
    warning = only_warning(good | {field: server.put("a", b"x" * 1_000, **behaviour)})

    assert warning.code == "input_not_checked"
    assert warning.message.startswith(f"{field}: ")


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM])
@pytest.mark.parametrize("field", ["video", "image"])
def test_a_name_that_no_server_can_resolve_now_gets_a_warning(good, resolver, field, code):
    resolver["typo.example"] = socket.gaierror(code, "not now")

    warning = only_warning(good | {field: "https://typo.example/a?SECRET"})

    assert warning.code == "input_not_checked"
    assert "can't be resolved now" in warning.message


def test_a_host_that_does_not_answer_in_time_gets_a_warning(good, monkeypatch):
    monkeypatch.setattr(preflight, "SECONDS", 1.0)
    with deaf("127.0.0.1") as port:
        warning = only_warning(good | {"video": f"http://127.0.0.1:{port}/a?SECRET"})

    assert warning.code == "input_not_checked"


def test_a_large_file_without_ranges_is_not_read_whole(server, sources, good, monkeypatch):
    content = sources("h264.mp4")
    monkeypatch.setattr(preflight, "MAX_WHOLE_BYTES", len(content) - 1)

    for length in (True, False):
        url = server.put("a", content, ranges=False, length=length)
        warning = only_warning(good | {"video": url})
        assert (warning.code, "ranges" in warning.message) == ("input_not_checked", True)


@pytest.mark.parametrize("field", ["video", "image"])
@pytest.mark.parametrize("name", ["h264.mkv", "h264.avi", "h264.ts"])
def test_a_video_container_that_the_provider_does_not_list_is_refused(
    server, sources, good, name, field
):
    found = refused(good | {field: server.put(name, sources(name))})

    assert (found["code"], found["field"]) == ("input-wrong-type", field)
    assert ("fix" in found) == (field == "video")


@pytest.mark.parametrize(
    "content", [b"BM" + bytes(200), b"<svg xmlns='a'></svg>", b"This is no image."]
)
def test_an_image_of_a_format_that_is_not_recognised_is_refused(server, good, content):
    found = refused(good | {"image": server.put("a", content)})

    assert (found["code"], found["field"]) == ("input-wrong-type", "image")
    assert "JPEG, PNG, WebP" in found["needed"]


def test_a_video_of_a_format_that_is_not_recognised_gets_a_warning(server, good):
    ogg = server.put("a", b"OggS" + bytes(200))

    assert only_warning(good | {"video": ogg}).code == "input_not_checked"


def test_a_refused_head_gets_a_warning(server, sources, good):
    warning = only_warning(good | {"video": server.put("a", sources("h264.mp4"), head=403)})

    assert (warning.code, "403" in warning.message) == ("input_head_refused", True)


def test_a_redirect_gets_a_warning(server, good):
    moved = server.put("moved", b"", status=302, location="/good.mp4")

    assert only_warning(good | {"video": moved}).code == "input_redirected"


def test_a_redirect_to_a_missing_file_is_refused(server, good):
    moved = server.put("moved", b"", status=302, location="/gone.mp4")

    assert refused(good | {"video": moved})["code"] == "input-unreachable"


def test_an_image_that_is_not_16_to_9_gets_a_warning(server, sources, good):
    warning = only_warning(good | {"image": server.put("a", sources("portrait.png"))})

    assert (warning.code, "180x320" in warning.message) == ("input_aspect_ratio", True)


def test_all_reads_of_a_file_share_the_time_limit(server, sources, good, monkeypatch):
    monkeypatch.setattr(preflight, "SECONDS", 0.5)
    content = sources("h264.mp4")  # its index is not in the first range

    warning = only_warning(good | {"video": server.put("slow.mp4", content, seconds=0.3)})

    assert warning.code == "input_not_checked"


def test_both_files_share_the_time_limit(server, sources, monkeypatch):
    monkeypatch.setattr(preflight, "SECONDS", 0.5)
    slow = {
        "video": server.put("slow.mp4", sources("h264.mp4"), seconds=3),
        "image": server.put("slow.png", sources("picture.png"), seconds=3),
    }

    began_at = monotonic()
    warnings = check(slow)

    assert monotonic() - began_at < 2.5  # either file takes longer than that
    assert [warning.code for warning in warnings] == ["input_not_checked"] * 2
