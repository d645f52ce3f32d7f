"""Clients that were written for CometAPI do the same against this stack and against CometAPI.

What stands for CometAPI is the simulator. Between the two, only the base URL and headers differ.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field

import pytest
import requests
from standardwebhooks import Webhook

from act_one.tasks.task import Stage
from local.simulator import Provider
from tests.e2e.public_clients import (
    CallbackClient,
    PollingClient,
    TaskNotExistError,
    TransferError,
    WrapperClient,
)
from tests.endpoints import endpoint

PROVIDERS_KEY = "key-of-the-client-at-cometapi"
LEGACY_MEMBERS = {
    *("task_id", "state", "status", "prompt", "prompt_en", "video_url", "poster", "last_frame"),
    *("msg", "point", "refund", "create_time", "update_time"),
}
WRAPPED_MEMBERS = {
    *("task_id", "action", "status", "fail_reason", "submit_time", "start_time", "finish_time"),
    *("progress", "data"),
}
INTERNAL = {"user_id", "channel_id", "quota", "platform"}


@dataclass
class Service:
    """One of the two services: where it is, and what a client sends to get in."""

    base_url: str
    media_url: str
    headers: dict[str, str] = field(default_factory=dict)
    wrapped: dict[str, str] = field(default_factory=dict)

    def inputs(self, behaviour):
        return (
            f"{self.media_url}/inputs/performance.mp4?{behaviour}",
            f"{self.media_url}/inputs/character.png",
        )


@pytest.fixture(scope="module")
def simulator():
    with Provider(PROVIDERS_KEY) as provider:
        yield provider


@pytest.fixture(params=["CometAPI", "this stack"])
def service(request, simulator, caller):
    """Change the base URL and add `x-api-key`: that is all that differs."""
    headers = {"Authorization": f"Bearer {PROVIDERS_KEY}", "X-Runway-Version": "2024-11-06"}
    if request.param == "CometAPI":
        return Service(simulator.url, simulator.url, headers)
    return Service(
        caller.stack.api_url,
        caller.stack.provider_url,
        {**headers, **caller.headers},
        {"X-Feed-Form": "wrapped"},
    )


@pytest.fixture
def client(service):
    return PollingClient(service.base_url, service.headers)


@pytest.fixture
def wrapper_client(service):
    return WrapperClient(service.base_url, {**service.headers, **service.wrapped})


@pytest.fixture
def own_client(caller):
    """A client of this stack."""
    return PollingClient(caller.stack.api_url, caller.headers)


# ── Against both ──────────────────────────────────────────────────────────────────────────────


def test_a_client_that_polls_gets_its_video(service, client):
    task = client.transfer(*service.inputs("seconds=1&feed=legacy"))

    assert task.keys() - INTERNAL == LEGACY_MEMBERS
    assert (task["state"], task["msg"], task["refund"]) == ("succeeded", None, "0")
    assert task["point"].isdigit()
    assert abs(int(task["create_time"]) - time.time()) < 300
    assert int(task["create_time"]) <= int(task["update_time"])
    assert client.download(task["video_url"])[4:8] == b"ftyp"
    for name in ("poster", "last_frame"):
        assert client.download(task[name]).startswith(b"\x89PNG")


def test_a_task_that_runs_has_no_video_yet(service, client):
    task_id = client.create(
        *service.inputs(
            "seconds=300&running_after=0&callback=lost&feed=legacy&not_exist_seconds=0"
        ),
        "https://example.com/webhook",
    )

    task = client.feed(task_id)

    assert task.keys() - INTERNAL == LEGACY_MEMBERS
    assert (task["task_id"], task["status"], task["state"]) == (task_id, "1", "processing")
    assert (task["video_url"], task["poster"], task["msg"]) == (None, None, None)


def test_a_client_of_the_wrapper_gets_its_video(service, wrapper_client):
    task = wrapper_client.transfer(*service.inputs("seconds=1&feed=wrapped&nested=upstream"))

    assert task.keys() - INTERNAL - {"result_url", "video_url"} == WRAPPED_MEMBERS
    assert {"id", "status", "createdAt", "output"} <= task["data"].keys()
    assert task["submit_time"] <= task["start_time"] <= task["finish_time"]
    assert wrapper_client.download(task["video_url"])[4:8] == b"ftyp"


def test_a_client_that_is_called_back_gets_its_video(service):
    with CallbackClient(service.base_url, service.headers) as client:
        task = client.transfer(*service.inputs("seconds=1"))

    assert task.keys() - INTERNAL == LEGACY_MEMBERS - {"state", "prompt", "prompt_en"}
    assert client.download(task["video_url"])[4:8] == b"ftyp"


def test_a_client_learns_why_a_transfer_failed(service, client, wrapper_client):
    failed = "seconds=1&result=failed&reason=no+face+in+the+video"

    with pytest.raises(TransferError, match="no face in the video"):
        client.transfer(*service.inputs(f"{failed}&feed=legacy"))
    with pytest.raises(TransferError, match="no face in the video"):
        wrapper_client.transfer(*service.inputs(f"{failed}&feed=wrapped"))
    with (
        CallbackClient(service.base_url, service.headers) as called_back,
        pytest.raises(TransferError, match="no face in the video"),
    ):
        called_back.transfer(*service.inputs(failed))


def test_a_client_learns_that_the_provider_rejects_a_transfer(service, client):
    with pytest.raises(TransferError, match="the video must be 16:9"):
        client.transfer(*service.inputs("create=rejected_in_200"))


@pytest.mark.parametrize("task_id", ["196642a0-0000-4000-8000-000000000000", "task_" + "0" * 32])
def test_a_task_that_is_not_there_does_not_exist(client, task_id):
    with pytest.raises(TaskNotExistError):
        client.feed(task_id)
    reply = client.session.post(
        f"{client.base_url}/runway/feed", json={"task_id": task_id}, timeout=30
    )
    assert reply.status_code == 400
    assert reply.json()["data"] is None


def test_a_bad_request_is_an_error(service, client):
    video, image = service.inputs("")

    with pytest.raises(TransferError, match="image"):
        client.create(video, None, "https://example.com/webhook")
    reply = client.session.post(f"{client.base_url}/runway/pro/act_one", data="{", timeout=30)
    assert reply.status_code == 400
    with pytest.raises(TransferError, match="video"):
        client.create("performance.mp4", image, "https://example.com/webhook")


# ── What only this stack does ─────────────────────────────────────────────────────────────────


def inputs(caller, behaviour):
    body = caller.body(behaviour)
    return body["video"], body["image"]


def test_the_links_are_those_of_the_stored_and_verified_result(caller, own_client):
    task = own_client.transfer(*inputs(caller, "seconds=1&callback=lost"))

    shown = caller.read(task["task_id"])
    content = own_client.download(task["video_url"])
    assert hashlib.sha256(content).hexdigest() == shown["output"]["video"]["sha256"]
    assert task["video_url"].split("?")[0] == shown["output"]["video"]["url"].split("?")[0]
    assert caller.creates_paid(task["task_id"]) == 1


def test_a_callback_in_cometapis_form_is_signed(caller, own_client):
    with endpoint() as server:
        task_id = own_client.create(*inputs(caller, "seconds=1"), f"{server.url}/done?token=t0p")
        (call,) = server.wait(1)

    url = f"{caller.stack.api_url}/webhook-secret"
    secret = requests.get(url, headers=caller.headers, timeout=30).json()["current"]
    said = Webhook(secret).verify(call.body, call.headers)
    shown = caller.read(task_id)
    assert (said["task_id"], said["status"]) == (task_id, "3")
    assert call.headers["webhook-id"] == f"{task_id}#{shown['version']}"
    assert shown["webhook"]["form"] == "cometapi"
    assert "t0p" not in json.dumps(shown)


def test_an_idempotency_key_of_such_a_client_is_honoured(caller, own_client):
    own_client.session.headers["Idempotency-Key"] = "a key of a client of CometAPI"
    pair = inputs(caller, "seconds=1")

    first, again = (own_client.create(*pair, "https://example.com/hook") for _ in range(2))
    assert first == again
    assert caller.creates_paid(first) == 1
    with pytest.raises(TransferError, match="idempotency-key-reused"):
        own_client.create(*pair, "https://example.com/other")


def test_an_error_says_what_to_do(caller, own_client, files, sources):
    portrait = files.put("portrait.mp4", sources("turned 90.mp4"))
    creates = caller.simulator("bill")["creates_seen"]
    body = {"video": portrait, "image": inputs(caller, "")[1]}

    reply, said = own_client.post("/runway/pro/act_one", body)

    assert reply.status_code == said["code"] == 422
    assert said.keys() == {"code", "message", "msg", "data", "exec_time"}
    assert said["msg"].startswith("video: ")
    assert "16:9" in said["msg"]
    assert "ffmpeg" in said["msg"]
    assert "(input-aspect-ratio)" in said["msg"]
    assert caller.simulator("bill")["creates_seen"] == creates


@pytest.fixture
def another_client(stranger):
    """A client of this stack that has a key of its own."""
    return PollingClient(stranger.stack.api_url, stranger.headers)


def test_a_task_of_another_client_does_not_exist(caller, own_client, another_client):
    task_id = own_client.create(*inputs(caller, "seconds=1"), "https://example.com/hook")

    with pytest.raises(TaskNotExistError):
        another_client.feed(task_id)
    assert own_client.feed(task_id)["task_id"] == task_id


def test_the_clients_key_at_cometapi_is_neither_needed_nor_kept(caller, own_client):
    secret = "sk-THE-CLIENTS-OWN-KEY"
    own_client.session.headers["Authorization"] = f"Bearer {secret}"

    task = own_client.transfer(*inputs(caller, "seconds=1"))

    rows = caller.stack.client("dynamodb").scan(TableName=caller.stack.tasks_table)
    assert secret not in json.dumps(rows, default=str)
    assert secret not in everything_logged(caller.stack)
    assert caller.row(task["task_id"]).stage is Stage.SUCCEEDED  # with the stack's own key


def everything_logged(stack):
    logs = stack.client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    lines = [
        event["message"]
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]
    assert any("task_id" in line for line in lines)  # there are logs to look into
    return "\n".join(lines)
