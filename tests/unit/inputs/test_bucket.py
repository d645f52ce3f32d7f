"""Inputs in the uploads bucket: held to one version, opened for the provider when they are sent."""

import base64
import json
from dataclasses import replace
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest

from act_one.aws import s3_client
from act_one.inputs import bucket
from act_one.inputs.bucket import FileGoneError, UploadsBucket
from act_one.inputs.request import TransferRequest, read_request
from act_one.inputs.uploads import open_upload
from act_one.problems import ProblemError
from act_one.tasks.task import PinnedFile
from tests.unit.examples import task
from tests.unit.fakes import BEGINNING, settings, use_new_session

NUMBERS = count(1)
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 64
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
HELD = PinnedFile(version="v 1", media_type="video/mp4")
KEY = "uploads/client-1/0123456789abcdef/video"


@pytest.fixture
def files(aws):
    s3, bucket = aws("s3"), f"uploads-{next(NUMBERS)}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return UploadsBucket(bucket, s3=s3)


@pytest.fixture
def on_aws(monkeypatch):
    """The bucket as functions see it on AWS; nothing is called."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    use_new_session(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "T/" * 300)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return UploadsBucket("bucket", s3=s3_client())


def put(files, key, data):
    files.client().put_object(Bucket=files.bucket, Key=key, Body=data)


def in_bucket(files, **fields):
    return task(
        video=files.uri(KEY), image="https://a.example/i.png?x=1", video_file=HELD, **fields
    )


def test_a_file_behind_many_subfolders_is_listed(files, monkeypatch):
    monkeypatch.setattr(bucket, "_PAGE", 2)
    for key in ("f/1/a", "f/2/a", "f/3/a", "f/video.mp4"):
        put(files, key, MP4)

    assert [*files.list_files("f/")] == ["video.mp4"]


def test_an_empty_file_is_called_empty(files):
    put(files, KEY, b"")

    with pytest.raises(ProblemError) as caught:
        files.pin_versions(TransferRequest(video=files.uri(KEY), image="https://a.example/i"))

    assert caught.value.code == "input-wrong-type"
    assert "is empty (0 bytes)" in caught.value.detail


def test_a_file_is_told_by_its_first_bytes_whatever_its_name(files):
    put(files, "a", MP4)
    put(files, "b", PNG)
    put(files, "c", b"smile more, please")
    put(files, "d", b"")

    assert [files.inspect(key).kind for key in "abcd"] == ["video", "image", None, None]
    assert files.inspect("a").version


def test_a_folder_is_listed_behind_a_page_of_subfolders(files, entries_of_a_page):
    for number in range(entries_of_a_page + 1):
        put(files, f"incoming/a/{number:04}/x", b"")
    put(files, "incoming/a/video.mp4", MP4)

    assert files.list_files("incoming/a/").keys() == {"video.mp4"}


def test_a_folder_with_more_entries_than_are_read_is_a_problem(
    files, entries_of_a_page, monkeypatch
):
    monkeypatch.setattr("act_one.inputs.bucket.MAX_PAGES", 1)
    for number in range(entries_of_a_page + 1):
        put(files, f"incoming/a/{number:04}/x", b"")

    with pytest.raises(ProblemError) as caught:
        files.list_files("incoming/a/")

    assert (caught.value.status, caught.value.code) == (422, "upload-ambiguous")


def test_a_file_that_is_another_by_now_is_gone(files):
    put(files, "a", MP4)

    for key, etag in (("a", "0" * 32), ("b", "0" * 32), ("b", None)):
        with pytest.raises(FileGoneError):
            files.inspect(key, etag)


def test_a_link_opens_the_version_that_was_looked_at_after_it_was_replaced(files):
    put(files, KEY, MP4)
    request = TransferRequest(video=files.uri(KEY), image="https://a.example/i.png")
    held = files.pin_versions(request)
    put(files, KEY, MP4 + b"another")

    [version] = parse_qs(urlsplit(files.presign(held).video).query)["versionId"]

    answer = files.client().get_object(Bucket=files.bucket, Key=KEY, VersionId=version)
    assert answer["Body"].read() == MP4
    assert held.fingerprint() == request.fingerprint()


def test_what_is_not_there_or_of_the_other_kind_is_named(files):
    put(files, KEY, PNG)
    image = "https://a.example/i.png"

    for uri, code in (
        (files.uri("uploads/x"), "input-not-there"),
        (files.uri(KEY), "input-wrong-type"),
    ):
        with pytest.raises(ProblemError) as caught:
            files.pin_versions(TransferRequest(video=uri, image=image))
        assert (caught.value.status, caught.value.code, caught.value.field) == (422, code, "video")


def test_a_link_names_the_buckets_own_host_the_version_and_the_type(on_aws):
    video, image = on_aws.urls(in_bucket(on_aws))

    url = urlsplit(video)
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc) == ("https", "bucket.s3.eu-central-1.amazonaws.com")
    assert url.path == f"/{KEY}"
    assert query["versionId"] == ["v 1"]
    assert query["response-content-type"] == ["video/mp4"]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert int(query["X-Amz-Expires"][0]) <= 3_600
    assert image == "https://a.example/i.png?x=1"
    assert len(video) < 2_048


def test_a_link_that_the_provider_would_not_take_is_refused(on_aws):
    request = TransferRequest(
        video=on_aws.uri("incoming/a/" + "ü" * 200),
        image="https://a.example/i.png",
        video_file=HELD,
    )

    with pytest.raises(ProblemError) as caught:
        on_aws.pin_versions(request)

    assert (caught.value.code, caught.value.field) == ("input-url-too-long", "video")
    assert "X-Amz" not in json.dumps(caught.value.document())


def test_with_a_cdn_nothing_is_signed():
    files = UploadsBucket("bucket", "https://inputs.example/")
    shown = replace(in_bucket(files), video=files.uri("incoming/a b/ü?.mp4"))

    video, _ = files.urls(shown)

    assert video == "https://inputs.example/incoming/a%20b/%C3%BC%3F.mp4?versionId=v%201"


# ── Uploads over HTTP ─────────────────────────────────────────────────────────────────────────


def test_a_form_says_how_large_and_of_what_type_a_file_may_be(on_aws):
    chosen = settings(uploads_bucket="bucket", max_video_bytes=5, max_image_bytes=7)

    opened = open_upload("client-1", on_aws.client(), chosen, BEGINNING)

    assert opened["expires_at"] == "2027-01-15T08:15:00.000Z"
    for kind, most in (("video", 5), ("image", 7)):
        form = opened[kind]
        policy = json.loads(base64.b64decode(form["fields"]["policy"]))["conditions"]
        key = f"uploads/client-1/{opened['upload_id']}/{kind}"
        assert {"key": key} in policy
        assert {"bucket": "bucket"} in policy
        assert ["content-length-range", 1, most] in policy
        assert ["starts-with", "$Content-Type", f"{kind}/"] in policy
        assert form["url"] == "https://bucket.s3.eu-central-1.amazonaws.com/"
        assert (form["fields"]["key"], form["max_bytes"]) == (key, most)


OWN = "s3://bucket/uploads/client-1/"


def read(own_files=OWN, **fields):
    return read_request(
        json.dumps(fields).encode(), None, allow_addresses=False, own_files=own_files
    )


def test_an_upload_id_stands_for_both_files():
    request = read(upload_id="0123456789abcdef")

    assert request.video == f"{OWN}0123456789abcdef/video"
    assert request.image == f"{OWN}0123456789abcdef/image"


@pytest.mark.parametrize(
    ("fields", "own", "code", "field"),
    [
        ({"upload_id": "../client-2/0123"}, OWN, "upload-id-invalid", "upload_id"),
        ({"upload_id": 7}, OWN, "upload-id-invalid", "upload_id"),
        ({"upload_id": "0123456789abcdef"}, "", "upload-id-invalid", "upload_id"),
        (
            {"upload_id": "0123456789abcdef", "video": "https://a.example/v"},
            *(OWN, "upload-id-and-url", "video"),
        ),
        ({"video": "s3://bucket/uploads/client-2/a"}, OWN, "input-not-yours", "video"),
        ({"video": "s3://bucket/uploads/client-1"}, OWN, "input-not-yours", "video"),
        ({"video": "s3://other/uploads/client-1/a"}, OWN, "input-not-yours", "video"),
        ({"video": OWN}, OWN, "input-not-yours", "video"),
        ({"video": f"{OWN}a"}, "", "input-not-yours", "video"),
        ({"video": f"{OWN}a\n"}, OWN, "url-invalid", "video"),
        ({"video": OWN + "a" * 2_048}, OWN, "url-invalid", "video"),
        ({"video": OWN + "ü" * 510}, OWN, "url-invalid", "video"),
        ({"video": OWN + "\ud800"}, OWN, "url-invalid", "video"),
    ],
)
def test_files_of_others_and_nonsense_are_refused(fields, own, code, field):
    with pytest.raises(ProblemError) as caught:
        read(own, **fields)

    assert (caught.value.code, caught.value.field) == (code, field)
