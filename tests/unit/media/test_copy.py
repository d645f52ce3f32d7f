"""Copying one media file from a URL to a bucket: a complete object, or an error and no object."""

import base64
import gzip
import hashlib
import socket
import tracemalloc
from dataclasses import replace
from threading import Event
from time import monotonic
from types import SimpleNamespace

import pytest
from botocore import httpchecksum
from botocore.exceptions import ClientError

from act_one.aws import s3_client
from act_one.media.copy import (
    CHUNK_BYTES,
    Destination,
    MediaError,
    copy,
)
from act_one.media.facts import RESULT_IMAGE_TYPES, RESULT_VIDEO_TYPES
from act_one.media.sniff import sniff
from act_one.net import downloads
from act_one.tasks.task import StoredMedia
from local.emulator import environment
from tests.unit.content import (
    HTML,
    MP4,
    OK,
    PNG,
    in_chunks,
    serves,
    status,
    until_closed,
    with_length,
)
from tests.unit.hostile import CA, peer, reset, server_tls
from tools.media_files.c2pa import manifest_box
from tools.media_files.small import small_mp4

LIMIT = 1_000_000
POLICY = downloads.Policy(allow_http=True, allow_private=True)
QUERY = "sig=SECRET"
LABELS = {"task-id": "task_1", "consent": "release-114"}
DESTINATION = Destination(bucket="results", key="tasks/task_1/video", metadata=LABELS)


@pytest.fixture
def s3(shipped_s3):
    """The shipped client, with an empty bucket."""
    shipped_s3.create_bucket(Bucket=DESTINATION.bucket)
    yield shipped_s3
    for key in keys(shipped_s3):
        shipped_s3.delete_object(Bucket=DESTINATION.bucket, Key=key)


def keys(s3):
    return [
        found["Key"] for found in s3.list_objects_v2(Bucket=DESTINATION.bucket).get("Contents", [])
    ]


def read(s3, key):
    return s3.get_object(Bucket=DESTINATION.bucket, Key=key)["Body"].read()


def opener(policy):
    """Return a function that opens URLs under a policy."""
    http = downloads.session(policy)
    return lambda url, seconds, max_bytes: downloads.get(
        url, http, seconds=seconds, max_bytes=max_bytes
    )


def copy_from(
    found,
    s3,
    *,
    types=RESULT_VIDEO_TYPES,
    max_bytes=LIMIT,
    seconds=10.0,
    destination=DESTINATION,
    s3_once=None,
):
    return copy(
        f"http://127.0.0.1:{found.port}/a.bin?{QUERY}",
        destination,
        types=types,
        max_bytes=max_bytes,
        seconds=seconds,
        open_url=opener(POLICY),
        s3=s3,
        s3_once=s3_once or s3,
    )


def copied(content, s3, **more):
    with peer(serves(content)) as found:
        return copy_from(found, s3, **more)


def failure(content, s3, **more):
    """Return the error of a copy, which must leave no object."""
    treat = content if callable(content) else serves(content)
    with peer(treat) as found, pytest.raises(MediaError) as caught:
        copy_from(found, s3, **more)
    assert keys(s3) == []
    assert "SECRET" not in str(caught.value)
    assert "?" not in str(caught.value)
    return caught.value


# ── Media types ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (MP4, "video/mp4"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x01", "video/webm"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00AVI ", "video/x-msvideo"),
        (b"G@\x11\x10\x00B\xf0%\x00\x01\xc1\x00", "video/mp2t"),
        (b"G@\x00\x10\x00\x00\xb0\r\x00\x01\xc1\x00", "video/mp2t"),
        (b"G@home, said the page", None),
        (HTML, None),
        (b'{"error": "expired"}', None),
        (b"ftyp", None),
        (b"", None),
    ],
)
def test_the_first_bytes_decide_the_media_type(head, media_type):
    assert sniff(head) == media_type


# ── Complete files ────────────────────────────────────────────────────────────────────────────

FRAMINGS = {"with a length": with_length, "in chunks": in_chunks, "until closed": until_closed}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_a_file_is_stored_with_its_size_hash_facts_and_extension(framing, s3):
    stored = copied(framing(MP4), s3)

    assert stored == StoredMedia(
        s3_uri="s3://results/tasks/task_1/video.mp4",
        size=len(MP4),
        sha256=hashlib.sha256(MP4).hexdigest(),
        content_type="video/mp4",
        duration_seconds=5.0,
        width=640,
        height=360,
        c2pa=False,
    )
    assert keys(s3) == ["tasks/task_1/video.mp4"]
    assert read(s3, "tasks/task_1/video.mp4") == MP4
    head = s3.head_object(Bucket=DESTINATION.bucket, Key="tasks/task_1/video.mp4")
    assert (head["ContentType"], head["Metadata"]) == ("video/mp4", LABELS)


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize(
    "size", [700, 4_095, 4_096, 4_097, CHUNK_BYTES, CHUNK_BYTES + 4_096, CHUNK_BYTES * 2 + 1]
)
def test_a_file_of_any_size_is_stored_completely(framing, size, s3):
    content = small_mp4(size)

    assert copied(framing(content), s3).size == size
    assert read(s3, "tasks/task_1/video.mp4") == content


def test_the_content_decides_the_type_not_the_header(s3):
    content = with_length(PNG, headers=b"Content-Type: video/mp4\r\n")

    assert copied(content, s3, types=RESULT_IMAGE_TYPES).s3_uri.endswith("/video.png")


def test_chunked_encoding_takes_precedence_over_a_content_length(s3):
    content = in_chunks(MP4).replace(OK, OK + b"Content-Length: 5\r\n")

    assert copied(content, s3).size == len(MP4)
    assert read(s3, "tasks/task_1/video.mp4") == MP4


def test_a_file_is_requested_without_compression(s3):
    with peer(serves(with_length(MP4))) as found:
        copy_from(found, s3)

    assert b"accept-encoding: identity" in found.requests[0].lower()


def test_an_existing_object_is_adopted_and_not_replaced(s3):
    copied(with_length(MP4), s3)
    other = small_mp4(200_000)

    again = copied(with_length(other), s3)

    assert (again.size, again.sha256) == (len(MP4), hashlib.sha256(MP4).hexdigest())
    assert again.content_type == "video/mp4"
    assert read(s3, "tasks/task_1/video.mp4") == MP4


def test_a_c2pa_manifest_is_stored_byte_for_byte_and_recorded_also_when_adopted(s3):
    signed = MP4 + manifest_box()

    stored = [copied(framing(signed), s3) for framing in (with_length, in_chunks)]

    assert [one.c2pa for one in stored] == [True, True]
    assert read(s3, "tasks/task_1/video.mp4") == signed


def test_an_adopted_object_keeps_its_labels(s3):
    copied(with_length(MP4), s3)
    other = replace(DESTINATION, metadata=LABELS | {"consent": "another"})

    copied(with_length(MP4), s3, destination=other)

    head = s3.head_object(Bucket=DESTINATION.bucket, Key="tasks/task_1/video.mp4")
    assert head["Metadata"] == LABELS


@pytest.mark.parametrize("framing", [with_length, until_closed], ids=["with a length", "without"])
def test_a_large_file_takes_no_more_memory_than_a_few_chunks(framing, s3):
    content = framing(small_mp4(48 * 1_048_576))

    with peer(serves(content)) as found:
        tracemalloc.start()
        try:
            stored = copy_from(found, s3, max_bytes=len(content), seconds=60.0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert stored.size == 48 * 1_048_576
    assert peak < 16 * 1_048_576  # the bucket's reply and the peer's threads count too


def test_a_file_of_exactly_the_size_limit_is_stored(s3):
    assert copied(with_length(MP4), s3, max_bytes=len(MP4)).size == len(MP4)


# ── Broken files and servers ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cut", [1, 100, 4_095, 4_096, 4_097, 100_000, CHUNK_BYTES, len(MP4) - 1])
def test_a_file_shorter_than_its_content_length_is_not_stored(cut, s3):
    assert failure(with_length(MP4[:cut], len(MP4)), s3).code == "media_cut_off"


@pytest.mark.parametrize("end", [b"", b"1f40\r\nabc", b"1f40", b"zz\r\n"])
def test_a_file_with_incomplete_chunked_encoding_is_not_stored(end, s3):
    assert failure(in_chunks(MP4, end=end), s3).code == "media_cut_off"


@pytest.mark.parametrize("framing", [lambda part: with_length(part, len(MP4)), in_chunks])
def test_a_file_whose_connection_is_reset_is_not_stored(framing, s3):
    content = framing(MP4[:100_000]).removesuffix(b"0\r\n\r\n")
    treat = serves(content, then=lambda _, connection: reset(connection))

    assert failure(treat, s3).code == "media_cut_off"


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize("content", [HTML, PNG, b"\x00" * 5_000, b'{"error": "expired"}'])
def test_a_file_that_is_not_a_video_is_not_stored_as_one(framing, content, s3):
    assert failure(framing(content), s3).code in {"media_wrong_type", "media_unknown_type"}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize("size", [0, 1, 11, 700, 4_096, 262_144, 299_999])
def test_a_cut_off_file_in_a_complete_body_is_not_stored(framing, size, s3):
    assert failure(framing(MP4[:size]), s3).code == "media_cut_off"


@pytest.mark.parametrize(("content", "named"), [(HTML, "a web page"), (PNG, "image/png")])
def test_the_error_names_the_wrong_type(content, named, s3):
    assert named in str(failure(with_length(content), s3))


def test_a_compressed_body_is_not_stored(s3):
    packed = gzip.compress(MP4)

    error = failure(with_length(packed, headers=b"Content-Encoding: gzip\r\n"), s3)

    assert error.code == "media_encoded"


def test_a_file_with_too_large_a_content_length_is_not_read(s3):
    error = failure(with_length(b"", LIMIT + 1), s3)

    assert error.code == "media_too_large"
    assert "1,000,001" in str(error)


@pytest.mark.parametrize("framing", [in_chunks, until_closed])
@pytest.mark.parametrize("limit", [10, 4_096, len(MP4) - 1])
def test_a_file_that_exceeds_the_size_limit_is_not_stored(framing, limit, s3):
    assert failure(framing(MP4), s3, max_bytes=limit).code == "media_too_large"


def test_an_endless_file_is_too_large(s3):
    def endless(found, connection):
        found.read_request(connection)
        connection.sendall(until_closed(MP4))
        while True:
            connection.sendall(MP4)

    assert failure(endless, s3).code == "media_too_large"


@pytest.mark.parametrize(
    ("head", "pause"),
    [
        (with_length(MP4[:20], len(MP4)), 0.05),
        (with_length(MP4[:5_000], len(MP4)), 0.05),
        (until_closed(MP4[:5_000]), 0.05),
        (in_chunks(MP4[:5_000], end=b""), 0.05),
    ],
    ids=["in its first bytes", "with a length", "without one", "in chunks"],
)
def test_a_file_that_dribbles_fails_at_the_time_limit(head, pause, s3):
    def dribble(found, connection):
        found.read_request(connection)
        connection.sendall(head)
        found.dribble(connection, b"1\r\nx\r\n" * 300, pause)

    began_at = monotonic()
    error = failure(dribble, s3, seconds=0.5)

    assert error.code == "media_too_slow"
    assert monotonic() - began_at < 8  # the whole takes 90 s


def test_a_file_that_is_too_slow_fails_before_the_time_limit(s3, monkeypatch):
    monkeypatch.setattr(downloads, "SPEED_SECONDS", 0.3)

    def dribble(found, connection):
        found.read_request(connection)
        connection.sendall(with_length(MP4[:5_000], len(MP4)))
        found.dribble(connection, MP4[5_000:], 0.01)

    began_at = monotonic()
    error = failure(dribble, s3, seconds=10.0)

    assert error.code == "media_too_slow"
    assert "KB/s" in str(error)
    assert monotonic() - began_at < 9  # it would be given up after ten


def test_a_file_that_stalls_is_an_error(s3, monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.3)

    def stall(found, connection):
        found.read_request(connection)
        connection.sendall(with_length(MP4[:100_000], len(MP4)))
        found.stall()

    assert failure(stall, s3).code == "media_cut_off"


def test_a_server_that_never_answers_is_unreachable(s3, monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.3)

    def stall(found, connection):
        found.read_request(connection)
        found.stall()

    assert failure(stall, s3).code == "media_unreachable"


@pytest.mark.parametrize("code", [201, 204, 206, 304, 400, 403, 404, 410, 429, 500, 503])
def test_any_status_but_200_is_a_refusal(code, s3):
    error = failure(status(code), s3)

    assert error.code == "media_refused"
    assert str(code) in str(error)


@pytest.mark.parametrize(
    "content", [status(403), with_length(b"<" * 5_000, LIMIT)], ids=["refused", "HTML"]
)
def test_the_connection_is_closed_when_the_file_is_refused(content, s3):
    hung_up = Event()

    def waits(_found, connection):
        if connection.recv(1) == b"":
            hung_up.set()

    with peer(serves(content, then=waits)) as found:
        with pytest.raises(MediaError) as caught:
            copy_from(found, s3)
        assert hung_up.wait(2)

    assert caught.value.code in {"media_refused", "media_unknown_type"}


def test_a_closed_port_is_unreachable(s3):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = SimpleNamespace(port=listener.getsockname()[1])

    with pytest.raises(MediaError) as caught:
        copy_from(gone, s3)

    assert caught.value.code == "media_unreachable"
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://a..example/v.mp4?sig=SECRET",
        "http://" + "a" * 64 + ".example/v.mp4?sig=SECRET",
        "http://media.example:99999/v.mp4?sig=SECRET",
        "http://[::1?sig=SECRET",
        "http://%zz/?sig=SECRET",
        "http://127.0.0.1:1/\ud800?sig=SECRET",
    ],
    ids=ascii,
)
def test_an_invalid_url_is_a_media_error(url, s3):
    with pytest.raises(MediaError) as caught:
        copy(
            url,
            DESTINATION,
            types=RESULT_VIDEO_TYPES,
            max_bytes=LIMIT,
            seconds=5.0,
            open_url=opener(POLICY),
            s3=s3,
            s3_once=s3,
        )

    assert caught.value.code in {"media_unreachable", "media_address_refused"}
    assert "SECRET" not in str(caught.value)


def test_a_private_address_is_refused(s3):
    strict = downloads.Policy(allow_http=True)
    with peer(serves(with_length(MP4))) as found, pytest.raises(MediaError) as caught:
        copy(
            f"http://127.0.0.1:{found.port}/v.mp4?{QUERY}",
            DESTINATION,
            types=RESULT_VIDEO_TYPES,
            max_bytes=LIMIT,
            seconds=5.0,
            open_url=opener(strict),
            s3=s3,
            s3_once=s3,
        )

    assert caught.value.code == "media_address_refused"
    assert "SECRET" not in str(caught.value)
    assert found.requests == []


@pytest.mark.parametrize("framing", [with_length, until_closed])
def test_a_body_is_sent_by_the_client_that_repeats_no_call(s3, framing):
    def put_object(**_):
        pytest.fail("the body is sent by the client that repeats calls")

    repeating = SimpleNamespace(meta=s3.meta, put_object=put_object)

    assert copied(framing(MP4), repeating, s3_once=s3).size == len(MP4)


def test_a_missing_bucket_is_a_store_error(s3):
    nowhere = Destination(bucket="no-such-bucket", key="video", metadata=LABELS)
    with peer(serves(with_length(MP4))) as found, pytest.raises(MediaError) as caught:
        copy_from(found, s3, destination=nowhere)

    assert caught.value.code == "store_failed"
    assert "NoSuchBucket" in str(caught.value)


# ── A bucket over TLS, as on AWS ──────────────────────────────────────────────────────────────


class FakeBucket:
    """S3 over TLS: accepts one streamed put with its checksum in a trailer, as AWS does."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\n", checksum=None):
        self.answer = answer
        self.checksum = checksum
        self.head = ""
        self.sizes = []
        self.content = b""
        self.trailer = ""

    def __call__(self, found, connection):
        stream = connection.makefile("rb")
        lines = iter(stream.readline, b"\r\n")
        self.head = b"".join(line for line in lines if line).decode()
        if "100-continue" in self.head.lower():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b""
        while size := int(stream.readline() or self._lost(), 16):
            body += stream.read(size)
            stream.readline()
        self._unwrap(body)
        checksum = self.checksum or self.trailer.partition(":")[2]
        found.requests.append(self.head.encode())
        headers = f"x-amz-checksum-sha256: {checksum}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(self.answer + headers.encode())

    def _lost(self):
        raise ConnectionError

    def _unwrap(self, body):
        """Decode aws-chunked, which is inside HTTP's chunked encoding."""
        while True:
            line, _, body = body.partition(b"\r\n")
            size = int(line, 16)
            if size == 0:
                self.trailer = body.decode().strip()
                return
            self.sizes.append(size)
            self.content += body[:size]
            body = body[size + 2 :]


@pytest.fixture
def secure_s3(monkeypatch, tmp_path):
    """Build the shipped client for a bucket at a local port, over TLS."""
    authority = tmp_path / "authority.pem"
    CA.cert_pem.write_to_path(str(authority))
    resolve = socket.getaddrinfo

    def resolve_bucket(host, *rest, **more):
        return resolve("127.0.0.1" if host == "results.localhost" else host, *rest, **more)

    def client(port):
        for name, value in environment(f"https://localhost:{port}").items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
        monkeypatch.setattr(socket, "getaddrinfo", resolve_bucket)
        return s3_client(attempts=1)

    return client


BUCKET_TLS = server_tls("results.localhost")


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize("times", [1, 9])
def test_over_tls_a_file_is_one_put_with_its_hash_as_a_trailer(framing, times, secure_s3):
    content = small_mp4(300_000 * times)
    bucket = FakeBucket()
    with peer(bucket, BUCKET_TLS) as store, peer(serves(framing(content))) as found:
        stored = copy_from(found, secure_s3(store.port), max_bytes=len(content))

    digest = hashlib.sha256(content)
    assert (stored.size, stored.sha256) == (len(content), digest.hexdigest())
    assert bucket.content == content
    assert bucket.trailer == f"x-amz-checksum-sha256:{base64.b64encode(digest.digest()).decode()}"
    head = bucket.head.lower()
    assert head.startswith("put /tasks/task_1/video.mp4 http/1.1\r\n")
    assert "if-none-match: *\r\n" in head
    assert f"x-amz-decoded-content-length: {len(content)}\r\n" in head
    assert "content-type: video/mp4\r\n" in head
    assert len(store.requests) == 1


def test_over_tls_only_the_last_chunk_is_smaller_than_s3_allows(secure_s3):
    """S3 refuses chunks under 8,192 bytes, except the last."""
    bucket = FakeBucket()

    def in_small_pieces(found, connection):
        found.read_request(connection)
        connection.sendall(with_length(b"", len(MP4) * 9))
        for start in range(0, len(MP4) * 9, 100_000):
            connection.sendall((MP4 * 9)[start : start + 100_000])
            found.over.wait(0.002)

    with peer(bucket, BUCKET_TLS) as store, peer(in_small_pieces) as found:
        copy_from(found, secure_s3(store.port), max_bytes=len(MP4) * 9)

    assert len(bucket.sizes) > 1
    assert min(bucket.sizes[:-1]) >= 8_192


def test_over_tls_a_file_is_hashed_once(secure_s3, monkeypatch):
    def hash_again(*_):
        pytest.fail("botocore hashes the file again")

    monkeypatch.setattr(httpchecksum.Sha256Checksum, "update", hash_again)
    bucket = FakeBucket()
    with peer(bucket, BUCKET_TLS) as store, peer(serves(with_length(MP4))) as found:
        copy_from(found, secure_s3(store.port))

    assert bucket.content == MP4


def test_over_tls_one_client_stores_two_files_in_turn(secure_s3):
    first, second = FakeBucket(), FakeBucket()
    puts = iter([first, second])
    other = small_mp4(200_000)

    def store_next(found, connection):
        next(puts)(found, connection)

    with peer(store_next, BUCKET_TLS) as store:
        s3 = secure_s3(store.port)
        with peer(serves(with_length(MP4))) as found:
            copy_from(found, s3)
        with peer(serves(in_chunks(other))) as found:
            copy_from(found, s3)

    assert (first.content, second.content) == (MP4, other)


def test_over_tls_a_different_checksum_is_an_error(secure_s3):
    bucket = FakeBucket(checksum=base64.b64encode(hashlib.sha256(b"other").digest()).decode())
    with (
        peer(bucket, BUCKET_TLS) as store,
        peer(serves(with_length(MP4))) as found,
        pytest.raises(MediaError) as caught,
    ):
        copy_from(found, secure_s3(store.port))

    assert caught.value.code == "store_failed"


def test_over_tls_a_broken_file_aborts_the_put(secure_s3):
    bucket = FakeBucket()
    with (
        peer(bucket, BUCKET_TLS) as store,
        peer(serves(with_length(MP4[:-1], len(MP4)))) as found,
        pytest.raises(MediaError) as caught,
    ):
        copy_from(found, secure_s3(store.port))

    assert caught.value.code == "media_cut_off"
    assert store.requests == []
    assert store.connections == 1


def test_over_tls_a_failed_put_is_not_repeated(secure_s3):
    bucket = FakeBucket(answer=b"HTTP/1.1 503 Slow Down\r\n")
    with (
        peer(bucket, BUCKET_TLS) as store,
        peer(serves(with_length(MP4))) as found,
        pytest.raises(MediaError) as caught,
    ):
        copy_from(found, secure_s3(store.port))

    assert caught.value.code == "store_failed"
    assert store.connections == len(store.requests) == 1


def test_a_conflict_with_a_concurrent_put_is_a_store_error(s3):
    class Busy:
        """A bucket in which another client writes the same object."""

        meta = s3.meta

        def put_object(self, Body, **_):  # noqa: N803 - boto3's name
            Body.read()
            error = {"Error": {"Code": "ConditionalRequestConflict"}}
            raise ClientError(error, "PutObject")

    with peer(serves(with_length(MP4))) as found, pytest.raises(MediaError) as caught:
        copy_from(found, Busy())

    assert caught.value.code == "store_failed"
