"""docs/openapi.json is made from the code, and says when something isn't described."""

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from act_one.inputs import request
from act_one.lifecycle.estimate import estimate
from act_one.tasks.documents import api_document
from act_one.tasks.durations import Durations
from act_one.tasks.task import (
    Delivery,
    Notice,
    Output,
    SettledBy,
    Stage,
    StoredMedia,
    Webhook,
)
from tests.unit.examples import TASK, task
from tests.unit.fakes import BEGINNING
from tools.openapi.__main__ import OPENAPI, text
from tools.openapi.document import TEMPLATE, document
from tools.openapi.routes import ROUTES
from tools.openapi.schemas import MissingError

GET_TASK = ("GET", "/tasks/{task_id}")


def validator(name):
    resource = Resource(document(), DRAFT202012)
    schema = {"$ref": f"urn:api#/components/schemas/{name}"}
    registry = Registry().with_resource("urn:api", resource)
    return Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())


TASK_VALIDATOR = validator("Task")


def test_the_checked_in_document_is_the_one_that_the_code_makes():
    assert OPENAPI.read_text() == text(), "run `make openapi`"


def test_the_schema_of_a_task_has_every_member_that_the_api_shows():
    schema = document()["components"]["schemas"]["Task"]

    estimates = set(estimate(TASK, Durations(), BEGINNING))
    assert set(schema["required"]) == set(api_document(TASK))
    assert set(schema["properties"]) == set(api_document(TASK)) | estimates


VIDEO = StoredMedia(
    s3_uri="s3://results/tasks/video.mp4",
    size=9_437_184,
    sha256="0" * 64,
    content_type="video/mp4",
    duration_seconds=5.0,
    width=1280,
    height=720,
)
POSTER = replace(VIDEO, content_type="image/png", duration_seconds=None, width=None, height=None)
REFUSED = Delivery(
    webhook_id="msg_1",
    event="task.failed",
    attempt=1,
    at=BEGINNING,
    milliseconds=12,
    error="connection refused",
    next_at=BEGINNING + 5,
)
ANSWERED = replace(REFUSED, error=None, status=200, reply="ok", next_at=None)


@pytest.mark.parametrize(
    "shown",
    [
        TASK,
        task(Stage.SUCCEEDED, output=Output(video=VIDEO, poster=POSTER, last_frame=None)),
        task(Stage.FAILED, error=Notice(code="provider_failed", message="no face")),
        task(warnings=(Notice(code="input_not_checked", message="image: …"),)),
        task(webhook=Webhook(url="https://a.example/hook", events=("task.failed",))),
        task(
            webhook=Webhook(url="https://a.example/hook", events=("task.failed",)),
            deliveries=(REFUSED, ANSWERED),
        ),
        task(settled_by=SettledBy.CALLBACK, late=True, metadata={"order": 42}),
        task(client_id="uploads", origin="s3://uploads/incoming/one/"),
        task(client_id="events", origin="event:1"),
        task(client_id="events", origin="message:1"),
    ],
)
def test_tasks_match_their_schema(shown):
    document = json.loads(json.dumps(api_document(shown)))

    assert [error.message for error in TASK_VALIDATOR.iter_errors(document)] == []


def test_the_example_of_a_task_matches_the_schema():
    [example] = document()["components"]["schemas"]["Task"]["examples"]

    assert [error.message for error in TASK_VALIDATOR.iter_errors(example)] == []
    assert set(example["output"]["video"]) == {"url", *document_of_media()}


def document_of_media():
    shown = api_document(task(Stage.SUCCEEDED, output=Output(video=VIDEO)))
    return shown["output"]["video"]


@pytest.mark.parametrize(
    ("spoilt", "where"),
    [({"status": "done"}, "$.status"), ({"id": "1"}, "$.id"), ({"output": {}}, "$.output")],
)
def test_the_schema_of_a_task_refuses_others(spoilt, where):
    faults = TASK_VALIDATOR.iter_errors(api_document(TASK) | spoilt)

    assert [error.json_path for error in faults] == [where]


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        ({"video": "https://a.example/v", "image": "https://a.example/i"}, True),
        ({"video": "https://a.example/v"}, False),
        ({"video": "https://a.example/v", "image": "https://a.example/i", "vidoe": 1}, False),
        ({"video": 5, "image": "https://a.example/i"}, False),
    ],
)
def test_the_schema_of_a_request_is_as_strict_as_the_code(body, valid):
    assert validator("TransferOfUrls").is_valid(body) is valid


# ── What is missing is named ──────────────────────────────────────────────────────────────────


def test_a_route_that_is_not_described_is_named():
    with pytest.raises(MissingError, match=r"template.yaml serves GET /tasks/{task_id}, which"):
        document({key: route for key, route in ROUTES.items() if key != GET_TASK})


def test_a_description_without_a_route_is_named():
    routes = {**ROUTES, ("PUT", "/tasks"): replace(ROUTES[GET_TASK], operation="put_task")}

    with pytest.raises(MissingError, match=r"describes PUT /tasks, which template\.yaml doesn't"):
        document(routes)


def test_a_route_whose_key_is_described_wrongly_is_named():
    routes = {**ROUTES, GET_TASK: replace(ROUTES[GET_TASK], public=True)}

    with pytest.raises(MissingError, match="takes an API key: change `public`"):
        document(routes)


def test_a_parameter_that_is_not_described_is_named(tmp_path):
    path = "/tasks/{shot_id}"
    template = tmp_path / "template.yaml"
    written = 'Method: GET, Path: "/tasks/{task_id}"'
    template.write_text(TEMPLATE.read_text().replace(written, f'Method: GET, Path: "{path}"'))
    routes = {k: route for k, route in ROUTES.items() if k != GET_TASK}

    with pytest.raises(MissingError, match="no parameter 'shot_id'"):
        document({**routes, ("GET", path): ROUTES[GET_TASK]}, template)


def test_a_problem_that_no_route_has_is_named():
    routes = {key: replace(route, problems=()) for key, route in ROUTES.items()}

    with pytest.raises(MissingError, match=r"no route in tools/openapi/routes\.py has it"):
        document(routes)


def test_a_listed_problem_that_does_not_exist_is_named():
    routes = {**ROUTES, GET_TASK: replace(ROUTES[GET_TASK], problems=("task-lost",))}

    with pytest.raises(MissingError, match="lists the problem 'task-lost'"):
        document(routes)


def test_a_field_of_the_request_that_is_not_described_is_named(monkeypatch):
    monkeypatch.setattr("tools.openapi.schemas.FIELDS", request.FIELDS | {"mood"})

    with pytest.raises(MissingError, match="reads the field 'mood'"):
        document()
