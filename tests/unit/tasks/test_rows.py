"""A task written as a row is read back unchanged."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import example, given

from act_one.tasks.rows import read_item, take_up, to_item
from act_one.tasks.task import Output, PinnedFile, Stage, StoredMedia, Webhook
from tests.unit.examples import TASK, task, tasks


@given(tasks)
@example(TASK)
def test_a_task_is_read_back_unchanged(any_task):
    assert read_item(to_item(any_task)) == any_task


@given(tasks)
def test_metadata_keeps_its_json_types(any_task):
    """Compared as JSON, since 1.0 == 1 and False == 0 in Python."""
    read = read_item(to_item(any_task))

    assert json.dumps(read.metadata) == json.dumps(dict(any_task.metadata))


@given(tasks)
def test_a_row_is_watched_while_it_has_a_due_time(any_task):
    item = to_item(any_task)

    assert item.get("watched") == (None if any_task.due_at is None else {"S": "open"})


@given(tasks)
def test_a_row_has_no_null_attributes(any_task):
    def nulls(value):
        members = value.values() if isinstance(value, dict) else value
        return "NULL" in value or any(
            nulls(member) for member in members if isinstance(member, dict | list)
        )

    assert not nulls(to_item(any_task))


def test_a_webhook_of_an_older_row_has_the_standard_form():
    webhook = Webhook(url="https://user.example/hook", events=("task.failed",))
    item = to_item(task(webhook=webhook))
    del item["webhook"]["M"]["form"]

    assert read_item(item).webhook == webhook


@pytest.mark.parametrize("moment", [0.001, 1_800_000_000.123, 1_800_000_000.1, 4_102_444_799.999])
def test_times_are_kept_to_the_millisecond(moment):
    read = read_item(to_item(task(due_at=moment, updated_at=moment + 0.00004)))

    assert (read.due_at, read.updated_at) == (moment, moment)


def test_an_unknown_attribute_is_ignored():
    item = to_item(TASK) | {"from_the_future": {"SS": ["a"]}}

    assert read_item(item) == TASK


def test_a_row_of_before_consent_and_c2pa_is_read():
    media = StoredMedia(s3_uri="s3://b/k", size=1, sha256="00", content_type="video/mp4", c2pa=True)
    item = to_item(task(Stage.SUCCEEDED, consent="a", output=Output(video=media)))
    del item["consent"]
    del item["output"]["M"]["video"]["M"]["c2pa"]

    read = read_item(item)

    assert read.consent is None
    assert read.output.video == replace(media, c2pa=None)


def test_a_row_of_before_batches_and_retries_is_read():
    pinned = PinnedFile(version="1", media_type="video/mp4", etag='"e"')
    item = to_item(task(video_file=pinned, preflight_wanted=True, retry_of="a", retried_by="b"))
    del item["preflight_wanted"], item["retry_of"], item["retried_by"]
    del item["video_file"]["M"]["etag"]

    assert read_item(item) == task(video_file=replace(pinned, etag=None))


def test_a_row_that_is_older_than_the_correlation_id_has_none():
    item = to_item(task(correlation_id="request-1"))
    del item["correlation_id"]

    assert take_up(item).correlation_id is None


@pytest.mark.parametrize("stage", Stage)
def test_a_stage_is_stored_as_its_value(stage):
    item = to_item(replace(TASK, stage=stage))

    assert item["stage"] == {"S": stage.value}
    assert asdict(read_item(item))["stage"] is stage
