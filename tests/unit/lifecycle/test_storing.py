"""Copying a result moves its task from `storing` to `succeeded`."""

import hashlib
import json
from dataclasses import replace
from email.header import decode_header, make_header

import pytest
from botocore.exceptions import EndpointConnectionError

from act_one.clock import DAY, HOUR
from act_one.lifecycle.storing import Storage, store_result
from act_one.net import downloads
from act_one.tasks.links import result_prefix
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Evidence, MediaUrls, Notice, Stage
from tests.unit.content import HTML, MP4, PNG, serves_by_path, status, with_length
from tests.unit.examples import TASK, task
from tests.unit.fakes import BEGINNING, make_services
from tests.unit.hostile import peer
from tools.media_files.c2pa import manifest_box
from tools.media_files.small import small_mp4

POLICY = downloads.Policy(allow_http=True, allow_private=True)
BUCKET = "stored"
PREFIX = f"tasks/2027/01/15/{TASK.task_id}/"
LEASE = 300.0 + 60.0
NOW = BEGINNING + 100


@pytest.fixture
def s3(shipped_s3):
    """The shipped S3 client, with an empty bucket."""
    shipped_s3.create_bucket(Bucket=BUCKET)
    yield shipped_s3
    for key in objects(shipped_s3):
        shipped_s3.delete_object(Bucket=BUCKET, Key=key)


def objects(s3):
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.fixture
def storage(s3):
    return Storage(bucket=BUCKET, s3=s3, s3_once=s3, http=downloads.session(POLICY))


@pytest.fixture
def store(table, services, storage):
    """Create a `storing` task with this media and copy it."""

    def store_it(contents, names=("video", "poster", "last_frame"), **fields):
        with peer(serves_by_path(contents)) as server:
            base = f"http://127.0.0.1:{server.port}"
            source = MediaUrls(**{name: f"{base}/{name}?sig=SECRET" for name in names})
            table.create(task(Stage.STORING, source=source, progress=99, **fields))
            return store_result(TASK.task_id, services, storage)

    return store_it


ALL = {
    "/video": with_length(MP4),
    "/poster": with_length(PNG),
    "/last_frame": with_length(PNG + b"last"),
}


# ── Success ───────────────────────────────────────────────────────────────────────────────────


def test_all_files_are_stored_and_the_task_succeeds(store, table, s3):
    row = store(ALL, due_at=BEGINNING)

    assert row == table.read(TASK.task_id)
    assert row.stage is Stage.SUCCEEDED
    assert row.output.video.s3_uri == f"s3://{BUCKET}/{PREFIX}video.mp4"
    assert row.output.poster.s3_uri == f"s3://{BUCKET}/{PREFIX}poster.png"
    assert row.output.last_frame.size == len(PNG) + 4
    assert (row.progress, row.due_at, row.copy_lease_until) == (100, None, None)
    assert row.warnings == ()
    assert sorted(objects(s3)) == [
        f"{PREFIX}{name}" for name in ("last_frame.png", "poster.png", "task.json", "video.mp4")
    ]


def test_a_result_is_stored_under_its_tasks_creation_date():
    assert result_prefix(TASK) == PREFIX


def test_the_succeeded_task_is_stored_beside_its_media(store, s3):
    row = store(ALL, metadata={"name": "Zoë"}, evidence=Evidence(received_at=1.0, body="SECRET"))

    stored = s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}task.json")
    text = stored["Body"].read().decode()
    document = json.loads(text)
    assert stored["ContentType"] == "application/json"
    assert (document["stage"], document["version"]) == ("succeeded", row.version)
    assert document["output"]["video"]["sha256"] == row.output.video.sha256
    assert document["metadata"] == {"name": "Zoë"}
    assert document["progress"] == 100
    assert "?" not in text
    assert "SECRET" not in text


def test_consent_and_disclosure_are_on_every_object(store, s3):
    store(ALL, consent="release 114, signed by Zoë")

    shown = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}task.json")["Body"].read())
    assert (shown["consent"], shown["disclosure"]) == (
        *("release 114, signed by Zoë", "ai-generated"),
    )
    assert (shown["output"]["video"]["c2pa"], shown["output"]["poster"]["c2pa"]) == (False, False)
    labels = [s3.head_object(Bucket=BUCKET, Key=key)["Metadata"] for key in objects(s3)]
    assert len(labels) == 4
    for one in labels:
        consent = str(make_header(decode_header(one.pop("consent"))))
        assert consent == "release 114, signed by Zoë"
        assert one == {"task-id": TASK.task_id, "disclosure": "ai-generated"}


def test_a_c2pa_manifest_of_the_result_is_recorded(store, table):
    row = store(ALL | {"/video": with_length(MP4 + manifest_box())})

    assert (row.output.video.c2pa, row.output.poster.c2pa) == (True, False)
    assert table.read(TASK.task_id).output == row.output


def test_a_result_without_images_succeeds(store):
    row = store(ALL, names=["video"])

    assert row.stage is Stage.SUCCEEDED
    assert (row.output.poster, row.output.last_frame) == (None, None)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (status(404), "media_refused"),
        (with_length(HTML), "media_wrong_type"),
        (with_length(MP4), "media_wrong_type"),
        (with_length(PNG[:100], len(PNG)), "media_cut_off"),
        (with_length(b"", 40_000_000), "media_too_large"),
        (b"", "media_unreachable"),
    ],
)
@pytest.mark.parametrize("name", ["poster", "last_frame"])
def test_a_missing_image_is_only_a_warning(store, s3, name, content, code):
    row = store(ALL | {f"/{name}": content})

    assert row.stage is Stage.SUCCEEDED
    assert getattr(row.output, name) is None
    ((warning),) = row.warnings
    assert warning.code == f"{name}_missing"
    assert warning.message.startswith(f"{code}: ")
    assert "SECRET" not in warning.message
    shown = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}task.json")["Body"].read())
    assert shown["warnings"][0]["code"] == f"{name}_missing"


def test_both_images_may_be_missing(store):
    row = store({"/video": ALL["/video"]}, warnings=(Notice(code="a", message=""),))

    assert [warning.code for warning in row.warnings] == [
        *("a", "poster_missing", "last_frame_missing"),
    ]


@pytest.mark.parametrize(("days", "kept"), [(0, None), (3, 15), (30, 31)])
def test_a_row_expires_after_its_objects(table, clock, storage, days, kept):
    services = make_services(table, None, clock, result_retention_days=days)
    with peer(serves_by_path(ALL)) as server:
        source = MediaUrls(video=f"http://127.0.0.1:{server.port}/video")
        table.create(task(Stage.STORING, source=source))
        row = store_result(TASK.task_id, services, storage)

    assert row.expires_at == (None if kept is None else clock.now + kept * DAY)


def test_a_repeated_copy_adopts_stored_objects(store, table, s3):
    first = store(ALL)
    table.client.delete_item(TableName=table.name, Key={"task_id": {"S": TASK.task_id}})

    again = store(ALL | {"/video": with_length(small_mp4(100_000))})

    assert again.output == first.output
    assert s3.head_object(Bucket=BUCKET, Key=f"{PREFIX}video.mp4")["ContentLength"] == len(MP4)


# ── Retries ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (status(403), "media_refused"),
        (with_length(HTML), "media_wrong_type"),
        (with_length(PNG), "media_wrong_type"),
        (with_length(MP4[:1_000], len(MP4)), "media_cut_off"),
        (with_length(b"", 600_000_000), "media_too_large"),
        (b"", "media_unreachable"),
    ],
)
def test_a_copy_without_its_video_is_released_for_a_retry(store, table, s3, clock, content, code):
    row = store(ALL | {"/video": content})

    assert row == table.read(TASK.task_id)
    assert row.stage is Stage.STORING
    assert row.version == 1
    assert (row.copy_lease_until, row.copy_attempts) == (None, 1)
    assert row.due_at == clock.now + 5
    ((warning),) = row.warnings
    assert warning.code == "copy_retried"
    assert warning.message.startswith(f"{code}: ")
    assert "SECRET" not in warning.message
    assert objects(s3) == []


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://s3.example/?X-Amz-Signature=SECRET"),
        OverflowError("SECRET"),
    ],
)
def test_an_unforeseen_error_releases_the_copy_for_a_retry(
    services, storage, create_task, clock, monkeypatch, error
):
    def broken(*_args, **_options):
        raise error

    create_task(Stage.STORING, source=MediaUrls(video="https://media.example/video"))
    monkeypatch.setattr("act_one.media.copy.copy", broken)

    row = store_result(TASK.task_id, services, storage)

    assert (row.stage, row.copy_lease_until, row.due_at) == (Stage.STORING, None, clock.now + 5)
    ((warning),) = row.warnings
    assert warning.message == f"copy_error: {type(error).__name__}; the copy's log has more"


def test_each_failed_attempt_doubles_the_wait_up_to_an_hour(table, services, storage, clock):
    with peer(serves_by_path({})) as server:
        source = MediaUrls(video=f"http://127.0.0.1:{server.port}/video")
        table.create(task(Stage.STORING, source=source))
        waits = []
        for _ in range(13):
            row = store_result(TASK.task_id, services, storage)
            waits.append(row.due_at - clock.now)
            clock.now = row.due_at

    assert waits == [min(HOUR, 5 * 2**attempt) for attempt in range(13)]
    assert len(row.warnings) == 1


def test_a_copy_can_succeed_after_a_failed_attempt(store, table, services, storage):
    store({"/video": status(403)}, names=["video"])
    with peer(serves_by_path(ALL)) as server:
        source = MediaUrls(video=f"http://127.0.0.1:{server.port}/video")
        table.move(table.read(TASK.task_id), Stage.STORING, BEGINNING, source=source)
        row = store_result(TASK.task_id, services, storage)

    assert row.stage is Stage.SUCCEEDED
    assert row.copy_attempts == 2
    assert [warning.code for warning in row.warnings] == ["copy_retried"]


class RowWriteLost(TaskTable):
    """A table that is away when a copy reports its end."""

    def apply(self, *_args, **_changes):
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")


def test_what_an_earlier_attempt_stored_is_adopted_when_the_providers_url_is_dead(
    table, services, storage, clock
):
    lost = replace(services, table=RowWriteLost(table.client, table.name))
    with peer(serves_by_path(ALL)) as server:
        base = f"http://127.0.0.1:{server.port}"
        source = MediaUrls(video=f"{base}/video", poster=f"{base}/poster")
        table.create(task(Stage.STORING, source=source))
        with pytest.raises(EndpointConnectionError):
            store_result(TASK.task_id, lost, storage)
    clock.pass_by(LEASE + 1)

    row = store_result(TASK.task_id, services, storage)

    assert (row.stage, row.copy_attempts) == (Stage.SUCCEEDED, 2)
    assert row.output.video.sha256 == hashlib.sha256(MP4).hexdigest()
    assert row.output.poster.sha256 == hashlib.sha256(PNG).hexdigest()
    assert row.warnings == ()


def test_a_later_attempt_asks_the_provider_for_what_is_not_in_the_bucket(
    table, services, storage, clock
):
    with peer(serves_by_path({"/poster": ALL["/poster"]})) as server:
        base = f"http://127.0.0.1:{server.port}"
        table.create(task(Stage.STORING, source=MediaUrls(video=f"{base}/video")))
        assert store_result(TASK.task_id, services, storage).stage is Stage.STORING
    clock.pass_by(LEASE + 1)
    with peer(serves_by_path(ALL)) as server:
        source = MediaUrls(video=f"http://127.0.0.1:{server.port}/video")
        table.record(table.read(TASK.task_id), source=source)

        assert store_result(TASK.task_id, services, storage).stage is Stage.SUCCEEDED


# ── Leases ────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_row_is_not_copied(services, storage):
    assert store_result("task_gone", services, storage) is None


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.STORING])
def test_only_a_storing_task_is_copied(table, services, storage, stage, s3):
    before = table.create(task(stage, source=MediaUrls(video="http://127.0.0.1:1/v")))

    assert store_result(TASK.task_id, services, storage) is None
    assert table.read(TASK.task_id) == before
    assert objects(s3) == []


def test_a_task_with_a_live_lease_is_not_copied(table, services, storage, clock):
    source = MediaUrls(video="http://127.0.0.1:1/v")
    before = table.create(
        task(Stage.STORING, source=source, copy_lease_until=clock.now + 1.0, copy_attempts=1)
    )

    assert store_result(TASK.task_id, services, storage) is None
    assert table.read(TASK.task_id) == before


def test_the_lease_outlasts_the_copy_timeout(table, services, s3, clock):
    rows = []

    class WatchingStorage(Storage):
        def open_url(self, url, *limits):
            rows.append(table.read(TASK.task_id))
            return super().open_url(url, *limits)

    watching = WatchingStorage(bucket=BUCKET, s3=s3, s3_once=s3, http=downloads.session(POLICY))
    with peer(serves_by_path(ALL)) as server:
        source = MediaUrls(video=f"http://127.0.0.1:{server.port}/video")
        table.create(task(Stage.STORING, source=source))
        store_result(TASK.task_id, services, watching)

    assert rows[0].copy_lease_until == rows[0].due_at == clock.now + LEASE


@pytest.mark.parametrize("content", [ALL["/video"], status(403)])
def test_a_copy_that_lost_its_lease_changes_nothing(table, services, s3, content):
    class OvertakenStorage(Storage):
        """Storage whose task another attempt takes over before a file is opened."""

        def open_url(self, url, *limits):
            current = table.read(TASK.task_id)
            if current.version == 1:
                over = current.copy_lease_until + 1.0
                table.move(current, Stage.STORING, over, copy_lease_until=None)
            return super().open_url(url, *limits)

    overtaken = OvertakenStorage(bucket=BUCKET, s3=s3, s3_once=s3, http=downloads.session(POLICY))
    with peer(serves_by_path({"/video": content})) as server:
        source = MediaUrls(video=f"http://127.0.0.1:{server.port}/video")
        table.create(task(Stage.STORING, source=source))
        row = store_result(TASK.task_id, services, overtaken)

    assert row == table.read(TASK.task_id)
    assert (row.stage, row.version, row.copy_lease_until) == (Stage.STORING, 2, None)


def test_a_storing_task_without_a_source_is_an_error(table, services, storage):
    table.create(replace(TASK, stage=Stage.STORING))

    with pytest.raises(ValueError, match="without a source"):
        store_result(TASK.task_id, services, storage)
