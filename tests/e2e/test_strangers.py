"""No route of the API's description shows or changes another client's task."""

import json
from typing import Any

import pytest
import requests

from act_one.clients.client import DEFAULT_CLIENT
from local.emulator import ROOT
from tests.e2e.caller import SECONDS, Caller

DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
ROUTES = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if method in {"get", "put", "post", "patch", "delete"}
]
OF_ONE_TASK = [(method, path) for method, path in ROUTES if "{task_id}" in path]
FEED = ("POST", "/runway/feed")
OF_NO_OTHER = {
    ("POST", "/tasks"),
    ("POST", "/tasks/batch"),
    ("GET", "/tasks"),
    ("POST", "/uploads"),
    ("GET", "/usage"),
    ("GET", "/webhook-secret"),
    ("POST", "/runway/pro/act_one"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/{name}"),
}
"""Routes that take no task's id: they show what belongs to the calling client, or nothing."""


@pytest.fixture(scope="module")
def anothers(caller: Caller) -> dict[str, str]:
    """Tasks of another client, by their stages."""
    stages = {
        "succeeded": caller.submit("seconds=1"),
        "failed": caller.submit("create=rejected"),
        "accepted": caller.submit("create=throttled&retry_after=600"),
        "open": caller.submit("seconds=600&callback=lost"),
    }
    caller.wait(stages["succeeded"], {"succeeded"})
    caller.wait(stages["failed"], {"failed"})
    return stages


def call(client: Caller, method: str, path: str, body: Any = None) -> requests.Response:
    return requests.request(
        method, f"{client.stack.api_url}{path}", headers=client.headers, json=body, timeout=SECONDS
    )


def test_every_route_is_looked_at():
    assert {*ROUTES} == {*OF_ONE_TASK, FEED} | OF_NO_OTHER


@pytest.mark.parametrize(("method", "path"), OF_ONE_TASK)
def test_anothers_task_is_as_one_that_does_not_exist(method, path, anothers, caller, stranger):
    for stage, task_id in anothers.items():
        before = caller.row(task_id)
        of_another = call(stranger, method, path.replace("{task_id}", task_id))
        of_nobody = call(stranger, method, path.replace("{task_id}", f"task_{'0' * 32}"))

        assert of_another.status_code == of_nobody.status_code == 404, (stage, of_another.text)
        assert of_another.json() == of_nobody.json()
        after = caller.row(task_id)
        assert (after.stage, after.version) == (before.stage, before.version)


def test_the_feed_knows_no_task_of_another(anothers, stranger):
    for task_id in anothers.values():
        of_another = call(stranger, *FEED, {"task_id": task_id})
        of_nobody = call(stranger, *FEED, {"task_id": f"task_{'0' * 32}"})

        told, of_none = of_another.json(), of_nobody.json()
        told.pop("exec_time"), of_none.pop("exec_time")
        assert (of_another.status_code, told) == (of_nobody.status_code, of_none)


def test_what_takes_no_id_shows_nothing_of_another(anothers, caller, stranger):
    listed = {task["id"] for task in call(stranger, "GET", "/tasks?limit=100").json()["tasks"]}
    secrets = [call(client, "GET", "/webhook-secret").json() for client in (caller, stranger)]

    assert not listed & {*anothers.values()}
    assert call(stranger, "GET", "/usage").json()["client"] != DEFAULT_CLIENT
    assert secrets[0]["current"] != secrets[1]["current"]
