"""The callback's handler: what it logs of requests that anyone on the internet can send."""

import json
from types import SimpleNamespace

import pytest

from act_one.provider.callback_token import callback_url
from act_one.tasks.schema import NewerRowError
from tests.unit.fakes import FakeClock, key_ring

CONTEXT = SimpleNamespace(
    function_name="callback",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:callback",
    aws_request_id="request",
)


@pytest.fixture
def app(import_handler, monkeypatch):
    """The handler's module; its secret is a fake."""
    module = import_handler("callback.app")
    monkeypatch.setattr(module, "callback_keys", key_ring())
    return module


def test_a_callback_for_a_task_of_a_newer_release_is_to_come_again(app, monkeypatch, capsys):
    def newer(*_):
        raise NewerRowError(2, "client")

    monkeypatch.setattr(app, "handle_callback", newer)
    path = callback_url("", "task_1", app.callback_keys.keys())

    app.metrics.clear_metrics()

    answer = app.handler({"rawPath": path}, CONTEXT)

    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "60")
    assert '"NewerRows":[1.0]' in capsys.readouterr().out


def refused_of(lines):
    return [json.loads(line)["CallbacksRefused"] for line in lines if "CallbacksRefused" in line]


def test_a_flood_of_guessed_tokens_writes_a_line_a_minute(app, monkeypatch, capsys):
    clock = FakeClock()
    monkeypatch.setattr(app, "system_clock", clock)
    event = {"rawPath": "/callbacks/task_1/00000000.guessed"}

    answers = [app.handler(event, CONTEXT) for _ in range(100)]
    clock.pass_by(60)
    app.handler(event, CONTEXT)

    lines = capsys.readouterr().out.splitlines()
    assert {answer["statusCode"] for answer in answers} == {404}
    assert refused_of(lines) == [[1.0], [100.0]]
    assert len(lines) <= 4
