"""Workers killed at each point of a task's life; docs/crash-matrix.md is what holds here.

`make test` tries some of the points, `make crashes` every one.
"""

import json
import os
import time

import pytest

from act_one.tasks.events import DETAIL_TYPES
from tests.crashes.killing_proxy import Trap
from tests.crashes.points import LIVES, POINTS
from tests.crashes.run import make_due
from tools.crash_matrix import DOCUMENT, render

EVERY = os.environ.get("CRASHES") == "every"
CHOSEN = [point for point in POINTS if EVERY or point.often]
at_each_point = pytest.mark.parametrize("point", CHOSEN, ids=lambda point: point.name)
only_with_all = pytest.mark.skipif(not EVERY, reason="make crashes does it")
FILES = {"video.mp4": "result.mp4", "poster.png": "poster.png", "last_frame.png": "last_frame.png"}


@at_each_point
def test_the_task_ends_as_the_table_says(point, outcomes):
    outcome = outcomes[point]
    row = outcome.row

    assert all(trap.sprung.is_set() for trap in outcome.traps)
    assert row.stage == point.stage, outcome.moved
    assert row.billing == point.billing
    assert len(outcome.provider_tasks) == point.paid
    if LIVES[point.life].fallback is not None:
        needs_fallback = point.rescue == "fallback" or LIVES[point.life].fallback
        assert bool(outcome.executions) == needs_fallback, outcome.moved


@at_each_point
def test_a_result_is_whole_and_nothing_else_is_in_the_bucket(point, outcomes):
    outcome = outcomes[point]
    if point.stage != "succeeded":
        assert outcome.objects == {}
        assert outcome.row.output is None
        return

    [provided] = outcome.provider_tasks
    expected = {name: provided["media"][file]["sha256"] for name, file in FILES.items()}
    stored = {name: digest for name, digest in outcome.objects.items() if name != "task.json"}

    assert stored == expected
    assert outcome.row.output.video.sha256 == expected["video.mp4"]
    assert outcome.row.output.poster.sha256 == expected["poster.png"]
    assert outcome.row.output.last_frame.sha256 == expected["last_frame.png"]
    assert outcome.beside["id"] == outcome.task_id
    assert outcome.beside["version"] == outcome.row.version


@at_each_point
def test_the_same_request_gives_the_same_task_and_costs_nothing(point, outcomes):
    outcome = outcomes[point]
    late = outcome.repeated_at_the_end

    assert outcome.answer == point.answer
    assert outcome.row_left == (point.rescue != "request")
    if outcome.repeated is not None:
        assert outcome.repeated.status_code in {200, 202}
        assert outcome.repeated.json()["id"] == outcome.task_id
        assert ("Idempotent-Replayed" in outcome.repeated.headers) == outcome.row_left
    assert late.status_code == 200
    assert late.json()["id"] == outcome.task_id
    assert late.json()["stage"] == point.stage
    assert late.headers["Idempotent-Replayed"] == "true"


@at_each_point
def test_no_sweep_would_ever_have_missed_it(point, outcomes):
    outcome = outcomes[point]

    assert outcome.unwatched == []
    assert (outcome.row.due_at is None) == (point.stage != "expired")


@at_each_point
def test_every_move_was_published(point, outcomes):
    outcome = outcomes[point]
    published = {event["detail"]["version"]: event for event in outcome.events}
    version = outcome.row.version

    unpublished = (
        {2, 3} if point.life.startswith("refused") else set()
    )  # to accepted, to submitting

    assert published[version]["detail-type"] == DETAIL_TYPES[outcome.row.stage]
    assert set(range(2, version + 1)) - set(published) <= unpublished
    for event in outcome.events:
        assert event["detail"]["event_id"] == f"{outcome.task_id}#{event['detail']['version']}"


def test_nothing_was_paid_twice(outcomes, caller):
    paid = caller.simulator("bill")["by_callback"]

    assert max(paid.values()) == 1
    for outcome in outcomes.values():
        assert paid.get(outcome.task_id, 0) == outcome.point.paid


def test_no_object_is_without_a_succeeded_task(outcomes, stack, caller):
    pages = (
        stack.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.results_bucket)
    )
    owners = {found["Key"].split("/")[-2] for page in pages for found in page.get("Contents", ())}

    assert len(owners) >= sum(point.stage == "succeeded" for point in outcomes)
    assert {caller.row(task_id).stage for task_id in owners} == {"succeeded"}


def test_no_dead_letter_queue_holds_anything(outcomes, stack):
    del outcomes
    queues = stack.client("sqs")
    left = {
        url.rpartition("/")[2]: queues.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]["ApproximateNumberOfMessages"]
        for url in queues.list_queues()["QueueUrls"]
        if "Undelivered" in url or "DeadLetter" in url
    }

    assert len(left) == 4
    assert set(left.values()) == {"0"}


@only_with_all
def test_every_call_that_was_seen_is_a_point(outcomes, watch):
    del outcomes
    same = ("publish ", "read back ")  # some of these stand for all of them

    def kind(function, call):
        return function, next((word for word in same if call.startswith(word)), call)

    points = {kind(point.function, point.call) for point in POINTS}
    seen = {kind(function, call.name) for function, call in watch.seen}

    assert seen == points


@only_with_all
def test_a_repeated_message_finds_the_lease_of_the_worker_that_died(outcomes, stack, watch, caller):
    del outcomes
    queues = stack.client("sqs")
    was = {"VisibilityTimeout": "330"}
    queues.set_queue_attributes(
        QueueUrl=stack.media_queue_url, Attributes={"VisibilityTimeout": "2"}
    )
    trap = Trap(function="copy", call="fetch result.mp4", when="before", task_id=None)
    watch.set(trap)

    task_id = caller.submit("seconds=1&callback=once&reason=message")
    assert trap.sprung.wait(30)
    claimed = caller.row(task_id)
    ends_at = time.monotonic() + 30
    while _claims(watch, task_id) < 2 and time.monotonic() < ends_at:
        time.sleep(0.2)
    queues.set_queue_attributes(QueueUrl=stack.media_queue_url, Attributes=was)

    assert _claims(watch, task_id) == 2
    assert caller.row(task_id) == claimed
    assert claimed.copy_attempts == 1
    make_due(claimed, caller)
    stack.sweep()
    assert caller.wait(task_id, {"succeeded"}).copy_attempts == 2


def _claims(watch, task_id):
    return sum(
        times
        for (function, call), times in watch.seen.items()
        if (function, call.name, call.task_id) == ("copy", "claim the copy", task_id)
    )


@only_with_all
def test_an_execution_that_is_stopped_is_replaced(outcomes, stack, caller):
    del outcomes
    machine = stack.client("stepfunctions")
    task_id = caller.submit("seconds=10&callback=lost&reason=stopped")
    make_due(caller.row(task_id), caller)
    stack.sweep()
    caller.wait(task_id, {"running"})

    for execution in machine.list_executions(
        stateMachineArn=stack.fallback_arn, statusFilter="RUNNING"
    )["executions"]:
        machine.stop_execution(executionArn=execution["executionArn"])
    time.sleep(3)  # longer than it would have waited
    assert caller.row(task_id).stage == "running"
    make_due(caller.row(task_id), caller)
    stack.sweep()

    assert caller.wait(task_id, {"succeeded"}).settled_by == "fallback"
    assert sorted(caller.executions(task_id)) == [f"{task_id}-1", f"{task_id}-2"]


def test_the_document_says_what_is_tested():
    assert DOCUMENT.read_text() == render(POINTS), "python -m tools.crash_matrix writes it"


def test_points_have_names_of_their_own():
    assert len({point.name for point in POINTS}) == len(POINTS)
    assert json.dumps([point.name for point in POINTS])
