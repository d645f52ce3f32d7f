"""The handler of the routes of tasks: what it answers to paths that its router doesn't know."""

import json
from types import SimpleNamespace

import pytest

CONTEXT = SimpleNamespace(
    function_name="tasks",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:tasks",
    aws_request_id="request",
)


@pytest.fixture
def app(import_handler):
    return import_handler("tasks.app")


def test_an_id_that_no_task_can_have_is_the_problem_of_an_unknown_one(app):
    event = {
        "httpMethod": "GET",
        "path": "/tasks/\x82é\x17",
        "headers": {"x-api-key": "key"},
        "requestContext": {"requestId": "request-1"},
    }

    answer = app.handler(event, CONTEXT)

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "task-not-found")
    assert answer["headers"]["Content-Type"] == "application/problem+json"
