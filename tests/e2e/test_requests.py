"""What requests may hold, the problems that others get, and who is let in."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import pytest
import requests

from tools.media_files.small import small_mp4

IMAGE = "https://media.example.com/character.png"
VIDEO = "https://media.example.com/performance.mp4"


def with_video(value):
    return {"video": value, "image": IMAGE}


BAD = {
    "no body": ("", "body-missing", "body"),
    "not JSON": ("{", "body-not-json", "body"),
    "not an object": ("[]", "body-not-object", "body"),
    "video missing": ({"image": IMAGE}, "field-missing", "video"),
    "image missing": ({"video": VIDEO}, "field-missing", "image"),
    "video empty": (with_video(" "), "field-empty", "video"),
    "video not a string": (with_video(7), "field-not-string", "video"),
    "not a URL": (with_video("performance.mp4"), "url-invalid", "video"),
    "another scheme": (with_video("ftp://example.com/a.mp4"), "url-scheme", "video"),
    "credentials": (with_video("https://me:secret@example.com/a.mp4"), "url-credentials", "video"),
    "too long": (with_video(f"https://example.com/{'a' * 2048}"), "url-too-long", "video"),
    "unknown field": ({**with_video(VIDEO), "prompt": "smile"}, "unknown-field", "prompt"),
    "metadata too large": (
        {**with_video(VIDEO), "metadata": {"a": "b" * 2048}},
        "metadata-too-large",
        "metadata",
    ),
    "metadata not an object": (
        {**with_video(VIDEO), "metadata": [1]},
        "metadata-not-object",
        "metadata",
    ),
    "metadata with a long integer": (
        {**with_video(VIDEO), "metadata": {"order": 2**63}},
        "metadata-number",
        "metadata",
    ),
    "metadata nested deeply": (
        {**with_video(VIDEO), "metadata": {"a": json.loads("[" * 32 + "]" * 32)}},
        "metadata-too-deep",
        "metadata",
    ),
}


WRONG_INPUTS = {
    "a portrait": ("video", "turned 90.mp4", {}, "input-aspect-ratio"),
    "a portrait without ranges": (
        *("video", "turned 90.mp4", {"ranges": False}, "input-aspect-ratio"),
    ),
    "too long": ("video", "long.mp4", {}, "input-too-long"),
    "too short": ("video", "h264.mp4", {}, "input-too-short"),
    "sound only": ("video", "sound only.mp4", {}, "input-no-video"),
    "the image": ("video", "picture.png", {}, "input-wrong-type"),
    "an expired link": ("video", "h264.mp4", {"status": 403}, "input-unreachable"),
    "no image": ("image", "h264.mp4", {}, "input-wrong-type"),
}


@pytest.mark.parametrize("case", WRONG_INPUTS)
def test_an_input_that_the_provider_would_fail_on_is_refused_and_not_paid_for(
    case, caller, files, sources
):
    field, name, ways, code = WRONG_INPUTS[case]
    url = files.put(name.replace(" ", "-"), sources(name), **ways)
    rows, creates = caller.rows(), caller.simulator("bill")["creates_seen"]

    answer = caller.post(caller.body() | {field: url})

    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["field"]) == (code, field)
    assert {"found", "needed"} <= problem.keys()
    assert "SECRET" not in answer.text
    assert caller.rows() == rows
    assert caller.simulator("bill")["creates_seen"] == creates


def test_a_host_that_refuses_connections_is_refused_and_not_paid_for(caller):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    creates = caller.simulator("bill")["creates_seen"]

    answer = caller.post(caller.body() | {"video": f"http://127.0.0.1:{port}/a.mp4"})

    assert (answer.status_code, answer.json()["code"]) == (422, "input-unreachable")
    assert caller.simulator("bill")["creates_seen"] == creates


def test_a_video_whose_chunk_offset_overflows_is_refused(caller, files):
    data = bytearray(small_mp4(610))
    at = data.index(b"stco") + 12
    data[at : at + 4] = b"\xff" * 4

    answer = caller.post(caller.body() | {"video": files.put("tiny.mp4", bytes(data))})

    assert (answer.status_code, answer.json()["code"]) == (422, "input-cut-off")


def test_without_a_preflight_the_provider_may_say_what_it_thinks(caller, files, sources):
    url = files.put("turned.mp4", sources("turned 90.mp4"))

    answer = caller.post(caller.body(preflight="off") | {"video": url})

    assert answer.status_code == 202
    assert caller.creates_paid(answer.json()["id"]) == 1
    assert answer.json()["warnings"] == []


def test_what_is_doubtful_about_an_input_is_said_on_the_task(caller, files, sources):
    url = files.put("faces.png", sources("portrait.png"), head=403)

    task = caller.post(caller.body() | {"image": url}).json()

    assert {warning["code"] for warning in task["warnings"]} == {
        "input_head_refused",
        "input_aspect_ratio",
    }
    assert "SECRET" not in json.dumps(task["warnings"])


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_names_the_field_and_leaves_nothing_behind(case, caller):
    body, code, field = BAD[case]
    rows, creates = caller.rows(), caller.simulator("bill")["creates_seen"]

    answer = caller.post(body)

    problem = answer.json()
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["field"], problem["status"]) == (code, field, 400)
    assert problem["type"] == f"/v1/docs/problems#{code}"
    assert problem["title"]
    assert problem["detail"]
    assert "secret" not in answer.text
    assert caller.rows() == rows
    assert caller.simulator("bill")["creates_seen"] == creates


@pytest.mark.parametrize(
    ("key", "code"), [("", "idempotency-key-empty"), ("k" * 256, "idempotency-key-too-long")]
)
def test_a_bad_idempotency_key_is_refused(key, code, caller):
    answer = caller.post(caller.body("seconds=1"), {"Idempotency-Key": key})

    assert answer.status_code == 400
    assert answer.json()["code"] == code


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "guessed"}])
def test_the_gateway_refuses_requests_without_the_right_api_key(headers, caller):
    for method, path in (("POST", "tasks"), ("GET", "tasks/task_1")):
        answer = requests.request(
            method, f"{caller.stack.api_url}/{path}", headers=headers, data="{}", timeout=20
        )
        assert answer.status_code == 403


def test_a_submitted_task_says_where_to_read_it(caller):
    answer = caller.post(caller.body("seconds=1", metadata={"order": 42, "share": 0.5}))

    task = answer.json()
    assert answer.status_code == 202
    location = urljoin(answer.url, answer.headers["location"])
    read = requests.get(location, headers=caller.headers, timeout=20)
    assert (read.status_code, read.json()["id"]) == (200, task["id"])
    assert location.endswith(task["links"]["self"])
    assert task["metadata"] == {"order": 42, "share": 0.5}
    assert task["status"] == "running"
    assert (task["output"], task["error"]) == (None, None)
    assert caller.read(task["id"])["metadata"] == {"order": 42, "share": 0.5}


def test_a_repeated_request_is_answered_with_the_same_task_and_pays_once(caller):
    body = caller.body("seconds=1&callback_body=legacy")
    key = {"Idempotency-Key": "a key of mine"}

    first = caller.post(body, key)
    again = caller.post(body, key)
    caller.wait(first.json()["id"], {"succeeded"})
    settled = caller.post(body, key)

    assert {answer.json()["id"] for answer in (again, settled)} == {first.json()["id"]}
    assert [answer.status_code for answer in (first, again, settled)] == [202, 202, 200]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert caller.creates_paid(first.json()["id"]) == 1


def test_many_requests_with_one_key_at_the_same_moment_pay_once(caller):
    body = caller.body("seconds=1&create=slow&create_seconds=1")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: caller.post(body, {"Idempotency-Key": "at once"}), range(8))
        )

    assert {answer.status_code for answer in answers} <= {200, 202}  # 200: it had ended by then
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert caller.creates_paid(answers[0].json()["id"]) == 1


def test_an_idempotency_key_is_not_for_another_body(caller):
    key = {"Idempotency-Key": "taken"}
    caller.post(caller.body("seconds=1"), key)

    answer = caller.post(caller.body("seconds=2"), key)

    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency-key-reused"


def test_a_task_is_not_shown_to_another_client(caller, stranger):
    task_id = caller.submit("seconds=1")

    answer = stranger.get(task_id)

    assert answer.status_code == 404
    assert answer.json()["code"] == "task-not-found"
    assert caller.get("task_that_is_not_there").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "",
        "callbacks",
        "callbacks/{id}",
        "callbacks/{id}/",
        "callbacks/{id}/guessed",
        "callbacks/{id}/00000000.guessed",
        "callbacks/{id}/{token}x",
        "callbacks/other/{token}",
        "callbacks/{id}/{token}/more",
    ],
)
def test_a_callback_url_that_we_did_not_make_is_not_found(path, caller):
    task_id = caller.submit("seconds=30&callback=lost")
    before = caller.row(task_id)
    token = "0a1b2c3d." + "A" * 43
    host = caller.stack.callback_url.removeprefix("https://").rstrip("/")

    answer = requests.post(
        f"{caller.stack.endpoint_url}/{path.format(id=task_id, token=token)}",
        headers={"Host": host},
        data=json.dumps({"task_id": "x", "status": "3", "video_url": "https://example.com/a.mp4"}),
        timeout=20,
    )

    assert answer.status_code == 404
    assert caller.row(task_id) == before
