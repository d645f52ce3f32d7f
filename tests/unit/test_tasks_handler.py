"""The handler of the routes of tasks: what it answers to ids that no task can have."""

import json
from types import SimpleNamespace

import pytest

from act_one.clients.client import DEFAULT
from act_one.tasks.schema import NewerRowError

CONTEXT = SimpleNamespace(
    function_name="tasks",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:tasks",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 29_000,
)


@pytest.fixture
def app(import_handler, monkeypatch):
    module = import_handler("tasks.app")
    monkeypatch.setattr(module, "caller_of", lambda _event, _clients: DEFAULT)
    return module


def test_an_id_that_no_task_can_have_is_the_problem_of_an_unknown_one(app):
    event = {
        "httpMethod": "GET",
        "resource": "/tasks/{task_id}",
        "path": "/tasks/\x82é\x17",
        "pathParameters": {"task_id": "\x82é\x17"},
        "headers": {"x-api-key": "key"},
        "requestContext": {"requestId": "request-1"},
    }

    answer = app.handler(event, CONTEXT)

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "task-not-found")
    assert answer["headers"]["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "route",
    [
        "GET /tasks/{task_id}",
        "POST /tasks/{task_id}/cancel",
        "POST /tasks/{task_id}/webhook-deliveries",
    ],
)
def test_a_task_of_a_newer_release_can_be_asked_for_later(app, monkeypatch, route):
    def newer(*_):
        raise NewerRowError(2, DEFAULT.name)

    monkeypatch.setattr(app, "own_task", newer)
    method, _, resource = route.partition(" ")
    event = {
        "httpMethod": method,
        "resource": resource,
        "pathParameters": {"task_id": "task_0123456789abcdef0123456789abcdef"},
        "headers": {"x-api-key": "key"},
        "requestContext": {"requestId": "request-1"},
    }

    answer = app.handler(event, CONTEXT)

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (503, "newer-release")
    assert answer["headers"]["Retry-After"] == "60"
