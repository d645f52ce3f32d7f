"""Rows ↔ tasks: what is written is what is read."""

import json
from dataclasses import asdict, replace

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import example, given

from act_one.tasks.rows import read_item, to_item
from act_one.tasks.task import Stage
from tests.unit.examples import TASK, task, tasks


@given(tasks)
@example(TASK)
def test_a_task_read_from_its_row_is_the_same(any_task):
    assert read_item(to_item(any_task)) == any_task


@given(tasks)
def test_metadata_come_back_to_the_letter(any_task):
    """Equal is not enough: to JSON 1.0 is not 1, and False is not 0."""
    read = read_item(to_item(any_task))

    assert json.dumps(read.metadata) == json.dumps(dict(any_task.metadata))


@given(tasks)
def test_a_row_is_watched_as_long_as_it_is_due(any_task):
    item = to_item(any_task)

    assert item.get("watched") == (None if any_task.due_at is None else {"S": "open"})


@given(tasks)
def test_a_row_holds_no_nulls(any_task):
    def nulls(value):
        members = value.values() if isinstance(value, dict) else value
        return "NULL" in value or any(
            nulls(member) for member in members if isinstance(member, dict | list)
        )

    assert not nulls(to_item(any_task))


@pytest.mark.parametrize("moment", [0.001, 1_800_000_000.123, 1_800_000_000.1, 4_102_444_799.999])
def test_times_are_kept_to_the_millisecond(moment):
    read = read_item(to_item(task(due_at=moment, updated_at=moment + 0.00004)))

    assert (read.due_at, read.updated_at) == (moment, moment)


def test_a_field_that_is_not_known_yet_is_ignored():
    item = to_item(TASK) | {"from_the_future": TypeSerializer().serialize({"a": 1})}

    assert read_item(item) == TASK


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_is_kept_as_its_word(stage):
    item = to_item(replace(TASK, stage=stage))

    assert item["stage"] == {"S": stage.value}
    assert asdict(read_item(item))["stage"] is stage
