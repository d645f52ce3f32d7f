"""Tasks by event, by message and by files uploaded over HTTP."""

import json

import pytest
import requests

from act_one.tasks.identifiers import derive_task_id
from local.stack import LocalStack
from tests.e2e.drops import Dropper, image, sha256, video


@pytest.fixture(scope="module")
def dropper(stack: LocalStack):
    return Dropper(stack)


# ── Events and messages ───────────────────────────────────────────────────────────────────────


def test_an_event_becomes_a_task_that_any_key_of_the_stack_may_read(dropper, bus):
    event_id = dropper.event(dropper.body("seconds=1", metadata={"order": "7"}))

    task = dropper.requested(event_id)
    dropper.wait(task.task_id, {"succeeded"})

    shown = dropper.read(task.task_id)
    assert shown["metadata"] == {"order": "7"}
    assert shown["origin"] == {"event": event_id}
    assert shown["input"]["video"].endswith("/performance.mp4")
    assert dropper.get(derive_task_id("events", event_id)).status_code == 404
    assert dropper.creates_paid(task.task_id) == 1
    assert bus.of(task.task_id, "Task Succeeded")


def test_one_key_is_one_task_however_often_it_is_requested(dropper):
    body = dropper.body("seconds=1", idempotency_key="order-7")

    for _ in range(3):
        dropper.event(body)
    dropper.message(body)
    task = dropper.requested("order-7")
    dropper.settle()

    assert dropper.creates_paid(task.task_id) == 1


def test_an_event_that_is_delivered_twice_is_one_task(dropper):
    event = {
        "id": "11111111-2222-4333-8444-555555555555",
        "source": "my.shop",
        "detail-type": "Task Requested",
        "detail": dropper.body("seconds=1"),
    }

    dropper.message(event)
    dropper.message(event)
    task = dropper.requested(event["id"])
    dropper.settle()

    assert dropper.creates_paid(task.task_id) == 1


def test_an_invalid_event_is_rejected_and_says_why(dropper, bus):
    body = dropper.body(metadata={"order": "9"})
    event_id = dropper.event({**body, "image": "character.png?sig=secret"})

    [rejected] = bus.of(event_id, "Task Rejected")

    assert rejected["source"] == "act-one"
    assert rejected["detail"]["origin"] == {"event": event_id}
    assert rejected["detail"]["problem"]["code"] == "url-invalid"
    assert rejected["detail"]["problem"]["field"] == "image"
    assert rejected["detail"]["metadata"] == {"order": "9"}
    assert rejected["detail"]["event_id"].startswith("rejected_")
    assert "secret" not in json.dumps(rejected)


def test_a_key_that_was_used_with_another_body_is_rejected(dropper, bus):
    dropper.event(dropper.body("seconds=1", idempotency_key="taken by event"))
    dropper.requested("taken by event")

    event_id = dropper.event(dropper.body("seconds=2", idempotency_key="taken by event"))

    [rejected] = bus.of(event_id, "Task Rejected")
    assert rejected["detail"]["problem"]["code"] == "idempotency-key-reused"


MESSAGES = {
    "no JSON": ("{", "message-unknown"),
    "no object": ("[1]", "message-unknown"),
    "nested too deep": ("[" * 100_000, "message-unknown"),
    "another event": ({"detail-type": "Order Paid", "detail": {}}, "message-unknown"),
    "no key": ({"video": "https://a.example/v", "image": "https://a.example/i"}, None),
    "no text for a key": ({"idempotency_key": 7}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_that_is_no_request_is_rejected_and_never_comes_back(case, dropper, bus):
    message, code = MESSAGES[case]

    message_id = dropper.message(message)

    [rejected] = bus.of(message_id, "Task Rejected")
    assert rejected["detail"]["problem"]["code"] == (code or "idempotency-key-missing")
    dropper.settle()


def test_a_bad_message_takes_no_other_down_with_it(dropper):
    dropper.message("{")
    dropper.message(dropper.body("seconds=1", idempotency_key="beside a bad one"))
    dropper.message("[]")

    task = dropper.requested("beside a bad one")

    assert dropper.wait(task.task_id, {"succeeded"})


# ── Uploads over HTTP ─────────────────────────────────────────────────────────────────────────


def open_upload(caller):
    answer = requests.post(f"{caller.stack.api_url}/uploads", headers=caller.headers, timeout=20)
    assert answer.status_code == 201, answer.text
    return answer.json()


def upload(form, data, content_type):
    return requests.post(
        form["url"],
        data={**form["fields"], "Content-Type": content_type},
        files={"file": ("of no matter", data)},
        timeout=20,
    )


def uploaded(caller, name):
    opened = open_upload(caller)
    for kind, data, media_type in (
        ("video", video(name), "video/mp4"),
        ("image", image(name), "image/png"),
    ):
        answer = upload(opened[kind], data, media_type)
        assert answer.status_code == 204, answer.text
    return opened["upload_id"]


def test_two_uploaded_files_become_a_task(dropper):
    upload_id = uploaded(dropper, "by http")

    answer = dropper.post({"upload_id": upload_id, "metadata": {"order": "8"}})

    task = answer.json()
    assert answer.status_code == 202, answer.text
    assert task["input"]["video"].startswith(f"s3://{dropper.stack.uploads_bucket}/uploads/")
    assert task["input"]["video"].endswith(f"/{upload_id}/video")
    assert task["origin"] is None
    dropper.wait(task["id"], {"succeeded"})
    assert dropper.provider_got(task["id"]) == {
        "video": sha256(video("by http")),
        "image": sha256(image("by http")),
    }


def test_uploaded_files_may_be_named_by_their_uris_and_beside_urls(dropper):
    upload_id = uploaded(dropper, "by uri")
    first = dropper.post({"upload_id": upload_id}).json()

    answer = dropper.post({"video": first["input"]["video"], "image": dropper.body()["image"]})

    assert answer.status_code == 202, answer.text
    assert dropper.provider_got(answer.json()["id"])["video"] == sha256(video("by uri"))


def test_a_repeat_finds_its_task_when_its_files_are_gone(dropper):
    upload_id = uploaded(dropper, "gone")
    key = {"Idempotency-Key": "gone"}
    first = dropper.post({"upload_id": upload_id}, key).json()
    for name in ("video", "image"):
        dropper.s3.delete_object(
            Bucket=dropper.stack.uploads_bucket,
            Key=first["input"][name].removeprefix(f"s3://{dropper.stack.uploads_bucket}/"),
        )

    again = dropper.post({"upload_id": upload_id}, key)
    another = dropper.post({"upload_id": upload_id})

    assert again.json()["id"] == first["id"]
    assert (another.status_code, another.json()["code"]) == (422, "input-not-there")


def test_files_that_were_not_uploaded_are_named(dropper):
    opened = open_upload(dropper)
    upload(opened["video"], video("half"), "video/mp4")

    answer = dropper.post({"upload_id": opened["upload_id"]})

    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == ("input-not-there", "image")


def test_the_same_files_under_a_new_upload_id_are_the_same_request(dropper):
    key = {"Idempotency-Key": "uploaded twice"}
    answers = [
        dropper.post({"upload_id": uploaded(dropper, mark)}, key)
        for mark in ("twice", "twice", "another")
    ]

    first, again, other = answers
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    assert dropper.creates_paid(first.json()["id"]) == 1


def test_a_file_in_the_others_place_is_named(dropper):
    opened = open_upload(dropper)
    upload(opened["video"], image("turned"), "video/mp4")
    upload(opened["image"], image("turned"), "image/png")

    answer = dropper.post({"upload_id": opened["upload_id"]})

    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == ("input-wrong-type", "video")


def test_what_the_provider_does_not_take_cannot_be_uploaded(dropper):
    opened = open_upload(dropper)
    too_much = b"x" * (opened["image"]["max_bytes"] + 1)

    assert upload(opened["image"], too_much, "image/png").status_code == 400
    assert upload(opened["image"], image("a"), "text/html").status_code == 403
    assert upload(opened["image"], b"", "image/png").status_code == 400
    elsewhere = {**opened["image"], "fields": {**opened["image"]["fields"], "key": "incoming/a/b"}}
    assert upload(elsewhere, image("a"), "image/png").status_code == 403


def test_a_client_cannot_use_the_files_of_another(dropper, stranger):
    upload_id = uploaded(dropper, "mine")
    mine = dropper.post({"upload_id": upload_id}).json()["input"]

    by_uri, by_id = stranger.post(mine), stranger.post({"upload_id": upload_id})
    dropped = dropper.post({**mine, "video": dropper.uri("one") + "performance.mp4"})

    assert (by_uri.status_code, by_uri.json()["code"]) == (403, "input-not-yours")
    assert (by_id.status_code, by_id.json()["code"]) == (422, "input-not-there")
    assert (dropped.status_code, dropped.json()["field"]) == (403, "video")
