"""The handler of the routes of tasks: what it answers to paths that its router doesn't know."""

import importlib
import json
import sys
from types import SimpleNamespace

import boto3
import pytest

from act_one.settings import Settings
from local.emulator import ROOT, environment
from tests.unit.fakes import settings

CONTEXT = SimpleNamespace(
    function_name="tasks",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:tasks",
    aws_request_id="request",
)


@pytest.fixture
def app(monkeypatch):
    """The handler's module, newly imported; AWS is out of reach."""
    for name in Settings.__slots__:
        monkeypatch.setenv(name.upper(), str(getattr(settings(), name)))
    for name, value in environment("http://127.0.0.1:1").items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.syspath_prepend(str(ROOT / "functions"))
    monkeypatch.delitem(sys.modules, "tasks.app", raising=False)
    return importlib.import_module("tasks.app")


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
