"""Erasing tasks, over HTTP and by an operator."""

import json
import time
from itertools import count

import boto3
import pytest
import requests

from local.stack import REGION, LocalStack
from ops import erase
from ops.clients import register_of
from tests.e2e.caller import SECONDS, Caller
from tests.e2e.drops import Dropper, image, video
from tests.schemas import faults_of

NUMBERS = count(1)
ORDER = {"Idempotency-Key": "order-42"}


@pytest.fixture
def session(stack: LocalStack, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)


@pytest.fixture
def client(stack: LocalStack, session):
    """A client of the test's own, as a caller, and its name."""
    name = f"eraser-{next(NUMBERS)}"
    return Caller(stack, register_of(stack.stack_name, session).create(name, {})), name


def delete(caller: Caller, task_id: str) -> requests.Response:
    url = f"{caller.stack.api_url}/tasks/{task_id}"
    return requests.delete(url, headers=caller.headers, timeout=SECONDS)


def versions(caller: Caller, bucket: str, prefix: str = "") -> list[str]:
    listed = caller.s3.list_object_versions(Bucket=bucket, Prefix=prefix)
    found = (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))
    return [one["Key"] for one in found]


def item(caller: Caller, task_id: str) -> str:
    answer = caller.stack.client("dynamodb").get_item(
        TableName=caller.stack.tasks_table, Key={"task_id": {"S": task_id}}
    )
    return json.dumps(answer["Item"])


def test_an_erased_task_is_gone_and_its_key_never_pays_again(client, caller, bus):
    acme, _ = client
    body = acme.body("seconds=1", metadata={"subject": "person-42"}, consent="release-9")
    task_id = acme.post(body, ORDER).json()["id"]
    acme.wait(task_id, {"succeeded"})
    assert acme.objects(task_id)

    assert delete(caller, task_id).status_code == 404
    first = delete(acme, task_id)

    assert first.status_code == 200, first.text
    assert set(first.json()) == {"id", "erased_at"}
    assert acme.objects(task_id) == {}
    assert not [
        found for found in ("person-42", "release-9", "http") if found in item(acme, task_id)
    ]
    gone = acme.get(task_id)
    assert (gone.status_code, gone.json()["code"]) == (410, "task-erased")
    assert gone.json()["erased_at"] == first.json()["erased_at"]
    assert caller.get(task_id).status_code == 404
    assert delete(acme, task_id).json() == first.json()
    for again in (body, acme.body("seconds=2")):
        assert acme.post(again, ORDER).json()["code"] == "task-erased"
    assert acme.creates_paid(task_id) == 1
    [erased] = [
        event for event in bus.of(task_id, "Task Erased") if event["detail-type"] == "Task Erased"
    ]
    assert faults_of(erased) == []


def test_an_open_task_is_not_erased(client):
    acme, _ = client
    task_id = acme.submit("result=never")

    refused = delete(acme, task_id)

    assert (refused.status_code, refused.json()["code"]) == (409, "not-erasable")
    assert acme.read(task_id)["done"] is False


def test_the_ledger_keeps_what_an_erased_task_cost(client):
    acme, _ = client
    task_id = acme.submit("seconds=1")
    acme.wait(task_id, {"succeeded"})

    assert delete(acme, task_id).status_code == 200

    url = f"{acme.stack.api_url}/usage"
    [day] = requests.get(url, headers=acme.headers, timeout=SECONDS).json()["days"]
    assert (day["tasks"], day["succeeded"], day["stored_bytes"]) == (1, 1, 0)
    assert day["spent_micro_usd"] == 400_000


def test_a_callback_after_the_erasure_changes_nothing(client):
    acme, _ = client
    task_id = acme.submit("result=failed&seconds=1")
    acme.wait(task_id, {"failed"})
    provider_task_id = acme.row(task_id).provider_task_id
    assert delete(acme, task_id).status_code == 200
    erased = item(acme, task_id)

    said = {
        "task_id": provider_task_id,
        "status": "SUCCEEDED",
        "output": [f"{acme.stack.provider_url}/media/video.mp4"],
    }
    answer = requests.post(
        f"{acme.stack.provider_url}/_simulator/tasks/{provider_task_id}/callback",
        json={"body": said},
        timeout=SECONDS,
    )

    assert answer.json()["status"] == 200, answer.text
    assert item(acme, task_id) == erased
    assert acme.objects(task_id) == {}


def test_uploaded_inputs_go_with_their_task(client):
    acme, name = client
    url = f"{acme.stack.api_url}/uploads"
    opened = requests.post(url, headers=acme.headers, timeout=SECONDS).json()
    for kind, media_type, content in (
        ("video", "video/mp4", video("erased")),
        ("image", "image/png", image("erased")),
    ):
        form = opened[kind]
        sent = requests.post(
            form["url"],
            data={**form["fields"], "Content-Type": media_type},
            files={"file": content},
            timeout=SECONDS,
        )
        assert sent.status_code in {200, 204}, sent.text
    task_id = acme.post({"upload_id": opened["upload_id"]}).json()["id"]
    acme.wait(task_id, {"succeeded"})
    prefix = f"uploads/{name}/{opened['upload_id']}/"
    assert len(versions(acme, acme.stack.uploads_bucket, prefix)) == 2

    assert delete(acme, task_id).status_code == 200

    assert versions(acme, acme.stack.uploads_bucket, prefix) == []


def test_an_operator_erases_a_folders_task_with_its_copies(stack, session, monkeypatch, capsys):
    dropper, folder = Dropper(stack), "person-43"
    dropper.put(folder, "face.png", image(folder))
    dropper.put(folder, "performance.mp4", video(folder))
    task = dropper.task_of(folder)
    dropper.wait(task.task_id, {"succeeded"})
    dropper.written(folder, "result.json")
    dropper.settle()
    assert len(versions(dropper, stack.uploads_bucket, f"outgoing/{folder}/")) >= 2
    refused = delete(dropper, task.task_id)
    assert (refused.status_code, refused.json()["code"]) == (403, "task-not-yours")
    monkeypatch.setattr(boto3, "Session", lambda: session)

    arguments = [stack.stack_name, "--client", "uploads", "--task", task.task_id]
    assert erase.main(arguments) == 0, capsys.readouterr()

    report = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in report["erased"]] == [task.task_id]
    assert versions(dropper, stack.uploads_bucket, f"outgoing/{folder}/") == []
    left = {*versions(dropper, stack.uploads_bucket, f"incoming/{folder}/")}
    assert left == {f"incoming/{folder}/face.png", f"incoming/{folder}/performance.mp4"}
    assert dropper.objects(task.task_id) == {}
    assert dropper.get(task.task_id).status_code == 410


def test_an_operator_erases_all_tasks_of_a_person(client, session, monkeypatch, capsys):
    acme, name = client
    mine = [acme.submit("seconds=1", metadata={"subject": "44"}) for _ in range(2)]
    other = acme.submit("seconds=1", metadata={"subject": "45"})
    for task_id in (*mine, other):
        acme.wait(task_id, {"succeeded"})
    monkeypatch.setattr(boto3, "Session", lambda: session)
    arguments = [acme.stack.stack_name, "--client", name, "--metadata", "subject=44"]

    ends_at = time.monotonic() + SECONDS
    while len(json.loads(_printed(erase.main([*arguments, "--dry-run"]), capsys))["erased"]) < 2:
        assert time.monotonic() < ends_at, "the index lacks tasks"
        time.sleep(0.5)
    report = json.loads(_printed(erase.main(arguments), capsys))

    assert {one["id"] for one in report["erased"]} == {*mine}
    assert [acme.get(task_id).status_code for task_id in (*mine, other)] == [410, 410, 200]


def _printed(status: int, capsys) -> str:
    captured = capsys.readouterr()
    assert status == 0, captured
    return captured.out
