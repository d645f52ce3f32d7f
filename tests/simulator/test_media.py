import hashlib
import struct
import time
import zlib

import pytest
import requests

from tests.simulator.caller import raw_get, until


def boxes(video):
    """Return kind and content of an MP4's top-level boxes, which must fill the file exactly."""
    found, start = [], 0
    while start < len(video):
        size, kind = struct.unpack_from(">I4s", video, start)
        if size == 1:
            (size,) = struct.unpack_from(">Q", video, start + 8)
        assert size >= 8
        assert start + size <= len(video), "a box is longer than the file"
        found.append((kind.decode(), video[start : start + size]))
        start += size
    return found


def chunks(png):
    """Return the kinds of a PNG's chunks, and check their checksums."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    kinds, start = [], 8
    while start < len(png):
        (size,) = struct.unpack_from(">I", png, start)
        chunk = png[start + 4 : start + 8 + size]
        assert struct.unpack_from(">I", png, start + 8 + size)[0] == zlib.crc32(chunk)
        kinds.append(chunk[:4].decode())
        start += 12 + size
    return kinds


def get(url, **options):
    return requests.get(url, timeout=5, allow_redirects=False, **options)


def test_the_result_is_a_complete_video_with_its_index_first(caller):
    _, url = caller.result_url()

    reply = get(url)

    assert reply.headers["Content-Type"] == "video/mp4"
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    kinds = [kind for kind, _ in boxes(reply.content)]
    assert kinds[:2] == ["ftyp", "moov"]
    assert kinds[-1] == "free"


def test_all_results_differ(caller):
    results = [caller.result_url() for _ in range(2)]

    for provider_task_id, url in results:
        body = get(url).content
        assert provider_task_id.encode() in boxes(body)[-1][1]
        shown = caller.task(provider_task_id)["media"]["result.mp4"]
        assert shown["bytes"] == len(body)
        assert shown["sha256"] == hashlib.sha256(body).hexdigest()
    assert get(results[0][1]).content != get(results[1][1]).content


@pytest.mark.parametrize("name", ["poster", "last_frame"])
def test_the_images_are_complete_and_contain_the_task_id(caller, name):
    _, provider_task_id = caller.accepted()

    reply = get(caller.ended(provider_task_id)[name])

    assert reply.headers["Content-Type"] == "image/png"
    assert chunks(reply.content)[-1] == "IEND"
    assert provider_task_id.encode() in reply.content
    shown = caller.task(provider_task_id)["media"][f"{name}.png"]
    assert shown["sha256"] == hashlib.sha256(reply.content).hexdigest()


def test_a_download_needs_the_whole_signed_query(caller):
    _, url = caller.result_url()
    path, _, query = url.partition("?")
    expires, signature = query.split("&")

    assert get(path).status_code == 403
    assert get(f"{path}?{expires}").status_code == 403
    assert get(f"{path}?{signature}").status_code == 403
    assert get(f"{path}?{expires}1&{signature}").status_code == 403
    assert get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 403
    assert get(url.replace("result.mp4", "poster.png")).status_code == 403
    assert get(url).status_code == 200


def test_there_is_no_result_before_the_end(caller):
    task_id, _ = caller.accepted(seconds=30, running_after=0, callback="lying")
    callback = caller.callbacks.wait_for(task_id)[0].json()

    assert get(callback["video_url"]).status_code == 404


def test_head_has_the_headers_of_get(caller):
    _, url = caller.result_url()

    head, whole = requests.head(url, timeout=5), get(url)

    assert raw_get(url, "HEAD")[1] == b""
    for header in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
        assert head.headers[header] == whole.headers[header]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None)],
)
def test_a_range_can_be_requested(caller, asked, start, stop):
    _, url = caller.result_url()
    whole = get(url).content

    part = get(url, headers={"Range": asked})

    assert part.status_code == 206
    assert part.content == whole[start:stop]
    assert part.headers["Content-Range"].endswith(f"/{len(whole)}")


def test_a_range_beyond_the_end_is_refused(caller):
    _, url = caller.result_url()

    reply = get(url, headers={"Range": "bytes=99999999-"})

    assert reply.status_code == 416
    assert reply.headers["Content-Range"].startswith("bytes */")


@pytest.mark.parametrize(
    ("name", "kind"), [("performance.mp4", "video/mp4"), ("character.png", "image/png")]
)
def test_an_input_can_be_fetched_with_any_query(caller, name, kind):
    url = f"{caller.provider.url}/inputs/{name}?anything=goes"

    whole, head = get(url), requests.head(url, timeout=5)
    part = get(url, headers={"Range": "bytes=0-3"})

    assert whole.headers["Content-Type"] == head.headers["Content-Type"] == kind
    assert int(head.headers["Content-Length"]) == len(whole.content) < 300_000
    assert part.content == whole.content[:4]
    assert (boxes if kind == "video/mp4" else chunks)(whole.content)


def content_length(head):
    return int(head.partition("content-length: ")[2].split()[0])


def test_a_truncated_result_is_shorter_than_its_content_length(caller):
    _, url = caller.result_url(media="truncated")

    head, body = raw_get(url)

    assert 0 < len(body) < content_length(head)


def test_a_result_truncated_without_a_length_looks_complete_to_http(caller):
    _, url = caller.result_url(media="truncated_without_length")

    reply = get(url)

    assert reply.status_code == 200
    assert "Content-Length" not in reply.headers
    assert "Transfer-Encoding" not in reply.headers
    with pytest.raises(AssertionError, match="longer than the file"):
        boxes(reply.content)


def test_a_result_truncated_in_chunks_lacks_the_last_chunk(caller):
    _, url = caller.result_url(media="truncated_chunked")

    head, body = raw_get(url)

    assert "transfer-encoding: chunked" in head
    assert not body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("mode", ["without_length", "chunked"])
def test_a_result_may_come_without_a_length(caller, mode):
    provider_task_id, url = caller.result_url(media=mode)

    reply = get(url)

    assert "Content-Length" not in reply.headers
    shown = caller.task(provider_task_id)["media"]["result.mp4"]
    assert hashlib.sha256(reply.content).hexdigest() == shown["sha256"]


def test_a_slow_result_is_complete_after_its_time(caller):
    _, url = caller.result_url(media="slow", media_seconds=0.4)
    begin = time.monotonic()

    assert boxes(get(url).content)

    assert time.monotonic() - begin >= 0.4


def test_a_stalled_result_stops_halfway_and_stays_open(caller):
    _, url = caller.result_url(media="stalled")

    with requests.get(url, timeout=0.3, stream=True) as reply:
        first = reply.raw.read(1000)
        with pytest.raises(requests.ConnectionError, match="timed out"):
            list(reply.iter_content(65536))

    assert len(first) == 1000


def test_an_expired_url_is_refused_and_a_fresh_one_works(caller):
    provider_task_id, stale = caller.result_url(media="expired")

    assert get(stale).status_code == 403
    fresh = caller.ended(provider_task_id)["video_url"]

    assert fresh != stale
    assert get(fresh).status_code == 200
    assert get(stale).status_code == 403
    assert caller.task(provider_task_id)["refused_downloads"] == 2


def test_media_times_sets_how_many_urls_are_expired(caller):
    provider_task_id, url = caller.result_url(media="expired", media_times=2)

    urls = iter([url])

    def download():
        fresh = next(urls, None) or caller.ended(provider_task_id)["video_url"]
        return get(fresh).status_code

    assert [download() for _ in range(3)] == [403, 403, 200]


def test_a_missing_result_answers_404(caller):
    _, url = caller.result_url(media="missing")

    assert [get(url).status_code for _ in range(3)] == [404] * 3


def test_media_times_limits_how_many_downloads_misbehave(caller):
    _, url = caller.result_url(media="missing", media_times=2)

    assert [get(url).status_code for _ in range(4)] == [404, 404, 200, 200]


def test_a_head_request_does_not_count_as_a_download(caller):
    _, url = caller.result_url(media="missing", media_times=1)

    assert requests.head(url, timeout=5).status_code == 404
    assert [get(url).status_code for _ in range(2)] == [404, 200]


def test_a_web_page_may_replace_the_result(caller):
    _, url = caller.result_url(media="html")

    reply = get(url)

    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/html")


def test_a_redirect_leads_to_the_right_file(caller):
    provider_task_id, url = caller.result_url(media="redirect")

    first, followed = get(url), requests.get(url, timeout=5)

    assert first.status_code == 302
    shown = caller.task(provider_task_id)["media"]["result.mp4"]
    assert hashlib.sha256(followed.content).hexdigest() == shown["sha256"]


def test_a_redirect_may_lead_to_a_private_address(caller):
    _, url = caller.result_url(media="redirect_private")

    reply = get(url)

    assert reply.status_code == 302
    assert reply.headers["Location"].startswith("http://169.254.169.254/")


def test_the_result_url_may_have_a_private_address(caller):
    _, url = caller.result_url(media="private")

    assert url.startswith("http://169.254.169.254/")


def test_an_oversized_result_has_a_length_of_600_megabytes(caller):
    _, url = caller.result_url(media="oversized")

    head = requests.head(url, timeout=5)
    tail = get(url, headers={"Range": "bytes=-10"})

    assert head.headers["Content-Length"] == "600000000"
    assert tail.content == bytes(10)


def test_an_oversized_result_may_have_no_length(caller):
    _, url = caller.result_url(media="oversized_without_length", media_bytes=3_000_000)

    reply = get(url)

    assert "Content-Length" not in reply.headers
    assert len(reply.content) == 3_000_000


def test_a_large_result_is_still_a_video(caller):
    provider_task_id, url = caller.result_url(media_bytes=5_000_000)

    body = get(url).content

    assert len(body) == 5_000_000
    assert [kind for kind, _ in boxes(body)][-1] == "free"
    shown = caller.task(provider_task_id)["media"]["result.mp4"]
    assert shown["sha256"] == hashlib.sha256(body).hexdigest()


def test_an_empty_result_has_no_bytes(caller):
    _, url = caller.result_url(media="empty")

    reply = get(url)

    assert reply.headers["Content-Length"] == "0"
    assert reply.headers["Content-Type"] == "video/mp4"


def test_a_result_may_have_no_images(caller):
    task_id, provider_task_id = caller.accepted(media="no_poster")

    seen = caller.ended(provider_task_id)
    callback = caller.callbacks.wait_for(task_id)[0].json()

    assert seen["poster"] is seen["last_frame"] is None
    assert callback["poster"] is callback["last_frame"] is None
    assert get(seen["video_url"]).status_code == 200


def test_image_urls_may_answer_404(caller):
    _, provider_task_id = caller.accepted(media="poster_missing")
    seen = caller.ended(provider_task_id)

    assert get(seen["poster"]).status_code == 404
    assert get(seen["video_url"]).status_code == 200


@pytest.mark.parametrize("path", ["/media/x/result.mp4", "/media/x/y/z/result.mp4", "/inputs/x"])
def test_there_are_no_other_files(caller, path):
    assert get(caller.provider.url + path).status_code in (301, 404)


def test_every_download_is_counted(caller):
    provider_task_id, url = caller.result_url()

    for _ in range(3):
        get(url)

    assert until(lambda: caller.task(provider_task_id)["downloads"]) == 3
