"""Under a KMS key, S3's ETags are no hashes: contents are the same all the same."""

import pytest

from act_one.ingest.folders import take_folder
from act_one.ingest.results import write_result
from act_one.inputs.bucket import UploadsBucket
from tests.unit.ingest.test_folders import (
    FOLDER,
    IMAGE,
    VIDEO,
    Drop,
    end,
    images,
    put_later,
    refuse,
    succeed,
    videos,
)
from tests.unit.keyed import encrypt_by_key, keyed_s3


@pytest.fixture
def folder(aws, table, pairs):
    s3 = keyed_s3(aws("s3"))
    drop = Drop(lambda _: s3, table, pairs)
    encrypt_by_key(s3, drop.bucket)
    return drop


@pytest.fixture
def pair(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    return folder


def writes(folder):
    """Count what is written from now on, by the names of files."""
    written = []
    folder.s3.meta.events.register(
        "provide-client-params.s3.PutObject",
        lambda params, **_: written.append(params["Key"].rpartition("/")[2]),
    )
    return written


def test_the_same_bytes_have_another_etag_each_time(folder):
    etags = set()
    for _ in range(2):
        folder.put(VIDEO, videos("v1"))
        etags.add(folder.services.uploads.list_files(FOLDER)[VIDEO].etag)

    assert len(etags) == 2


def test_the_same_pair_put_again_is_not_paid_again(pair):
    pair.look()
    succeed(pair)

    put_later(pair, VIDEO, videos("v1"))
    pair.put(IMAGE, images("i1"))
    pair.look()

    assert len(pair.sent()) == 1


def test_another_pair_in_the_same_second_is_another_task(pair):
    pair.look()
    pair.put(VIDEO, videos("v2"))
    pair.put(IMAGE, images("i2"))
    pair.look()

    assert pair.sent() == [("v1", "i1"), ("v2", "i2")]


def test_a_refused_pair_is_told_and_written_once(pair):
    refused = refuse(422, "input-too-long")
    written = writes(pair)

    for _ in range(3):
        take_folder(FOLDER + VIDEO, pair.context, refused)

    assert len(pair.bus.heard) == 1
    assert written == ["problem.json"]


def test_a_result_is_copied_and_written_to_outgoing_once(pair):
    pair.look()
    task = succeed(pair)
    copies = []
    pair.s3.meta.events.register(
        "provide-client-params.s3.CopyObject", lambda params, **_: copies.append(params["Key"])
    )

    for _ in range(2):
        write_result(task.task_id, pair.context)

    assert copies == ["outgoing/a/result.mp4"]


def test_a_failed_pair_put_again_is_sent_again(pair):
    pair.look()
    end(pair)

    put_later(pair, VIDEO, videos("v1"))
    pair.put(IMAGE, images("i1"))
    pair.look()

    assert pair.sent() == [("v1", "i1")] * 2


@pytest.fixture
def older(monkeypatch):
    """Let a look be that of a release which compares ETags alone."""

    def look(folder):
        with monkeypatch.context() as patched:
            patched.setattr(UploadsBucket, "_checksum", lambda *_: None)
            folder.look()

    return look


def test_a_pair_that_an_older_release_took_is_not_paid_again(pair, older):
    older(pair)
    succeed(pair)

    pair.look()
    older(pair)

    assert len(pair.sent()) == 1


def test_a_pair_that_an_older_release_is_sending_is_the_same_task(pair, older):
    def look_at_the_same_time():
        pair.before_submit = lambda: None
        pair.look()

    pair.before_submit = look_at_the_same_time
    older(pair)

    assert len(pair.sent()) == 1


def test_a_claim_names_the_etags_by_which_an_older_release_knows_the_pair(pair):
    pair.look()

    key = {"folder": {"S": FOLDER}}
    item = pair.context.pairs.client.get_item(TableName=pair.context.pairs.name, Key=key)["Item"]
    listed = pair.services.uploads.list_files(FOLDER)
    assert (item["video_etag"]["S"], item["image_etag"]["S"]) == (
        listed[VIDEO].etag,
        listed[IMAGE].etag,
    )
