"""The schemas in events/schemas are about what is really sent, all of it."""

import json
from dataclasses import replace

import pytest

from act_one.inputs.request import FIELDS
from act_one.problems import ProblemError
from act_one.tasks.documents import document
from act_one.tasks.events import DETAIL_TYPES, ERASED, event_of, rejection_of
from act_one.tasks.task import Stage
from act_one.tasks.tombstone import tombstone
from tests.schemas import EVENTS, faults_of, schema
from tests.unit.examples import TASK

SAMPLES = EVENTS.parent


def test_every_event_has_a_schema():
    for detail_type in (*DETAIL_TYPES.values(), ERASED):
        assert schema(detail_type)["title"] == detail_type


def test_the_schema_of_a_task_has_every_member():
    known = schema("task")

    assert set(known["required"]) == set(known["properties"]) == set(document(TASK))


@pytest.mark.parametrize(
    ("stage", "spoil"),
    [
        ("succeeded", {"output": None}),
        ("failed", {"error": None}),
        ("submitted", {"stage": "running"}),
        ("submitted", {"input": {"video": "https://a/b?sig=1", "image": "https://a/b"}}),
        ("submitted", {"event_id": None}),
        ("submitted", {"version": "2"}),
        ("submitted", {"billing": "maybe"}),
    ],
)
def test_a_schema_refuses_invalid_events(stage, spoil):
    sample = json.loads((SAMPLES / "task-succeeded.json").read_text())
    detail = sample["detail"] | {"stage": stage, "error": {"code": "a", "message": "b"}}
    event = sample | {"detail-type": f"Task {stage.title()}"}

    assert faults_of(event | {"detail": detail}) == []
    assert faults_of(event | {"detail": detail | spoil}) != []


def test_the_sample_event_matches_its_schema():
    sample = json.loads((SAMPLES / "task-succeeded.json").read_text())

    assert faults_of(sample) == []


def test_a_rejection_matches_its_schema():
    problem = ProblemError(
        422,
        "input-too-long",
        "Too long",
        "…",
        field="video",
        extensions={"found": "a", "needed": "b"},
    ).document()
    for origin in ({"upload": "s3://b/incoming/a/"}, {"event": "e-1"}, {"message": "m-1"}):
        entry = rejection_of(problem, origin, "bus")
        event = {"source": entry["Source"], "detail-type": entry["DetailType"]}

        assert faults_of(event | {"detail": json.loads(entry["Detail"])}) == []


def test_an_erasure_matches_its_schema_which_allows_nothing_of_the_task():
    entry = event_of(tombstone(replace(TASK, erasing_since=1.0), 2.0), "bus")
    event = {"source": entry["Source"], "detail-type": entry["DetailType"]}
    detail = json.loads(entry["Detail"])

    assert faults_of(event | {"detail": detail}) == []
    assert faults_of(event | {"detail": detail | {"metadata": {}}}) != []
    assert faults_of(event | {"detail": detail | {"erased_at": None}}) != []


def test_the_sample_of_an_erasure_matches_its_schema():
    sample = json.loads((SAMPLES / "task-erased.json").read_text())

    assert faults_of(sample) == []


def test_a_request_may_have_every_member_that_is_read():
    known = schema("Task Requested")["properties"]["detail"]["properties"]

    assert set(known) == FIELDS | {"idempotency_key"}


def test_every_stage_is_in_the_schema_of_a_task():
    assert set(schema("task")["properties"]["stage"]["enum"]) == set(Stage)
