"""The handler of the routes of tasks: what it answers to paths that its router doesn't know."""

import json
from types import SimpleNamespace

import pytest

from act_one.tasks.schema import NewerRowError

CONTEXT = SimpleNamespace(
    function_name="tasks",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:tasks",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 28_000,
)


def request(method, path):
    return {
        "httpMethod": method,
        "path": path,
        "headers": {"x-api-key": "key"},
        "requestContext": {"requestId": "request-1"},
    }


@pytest.fixture
def app(import_handler):
    return import_handler("tasks.app")


def test_an_id_that_no_task_can_have_is_the_problem_of_an_unknown_one(app):
    event = request("GET", "/tasks/\x82é\x17")

    answer = app.handler(event, CONTEXT)

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "task-not-found")
    assert answer["headers"]["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks/task_0123456789abcdef0123456789abcdef"),
        ("POST", "/tasks/task_0123456789abcdef0123456789abcdef/cancel"),
        ("POST", "/tasks/task_0123456789abcdef0123456789abcdef/webhook-deliveries"),
    ],
)
def test_a_task_of_a_newer_release_can_be_asked_for_later(app, monkeypatch, method, path):
    def newer(*_):
        raise NewerRowError(2, "default")

    monkeypatch.setattr(app, "_own_task", newer)

    answer = app.handler(request(method, path), CONTEXT)

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (503, "newer-release")
    assert answer["headers"]["Retry-After"] == "60"
