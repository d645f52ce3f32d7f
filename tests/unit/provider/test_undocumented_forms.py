"""Undocumented forms of replies that are read as well."""

import json
import time

import pytest

from act_one.net.exchange import Reply
from act_one.provider.outcomes import Created, ProviderState, Report, Retryable
from act_one.provider.replies import (
    MAX_ID_BYTES,
    read_create_reply,
    read_created,
    read_feed_reply,
    scrub,
)

NOW = 1_800_000_000.0
VIDEO = "https://cdn.example/v.mp4"


def reply(body, status=200):
    return Reply(status=status, headers={}, body=json.dumps(body).encode())


def created(body, status=200):
    return read_create_reply(reply(body, status), now=NOW)


def report(body):
    answer = read_feed_reply(reply(body))
    assert isinstance(answer, Report), answer
    return answer


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "data": {"id": "abc"}},
        {"code": 200, "data": {"taskId": "abc"}},
        {"code": 200, "data": {"data": {"task_id": "abc"}}},
    ],
)
def test_an_id_is_read_in_each_undocumented_place(body):
    assert created(body) == Created(provider_task_id="abc")


def test_data_that_looks_like_an_id_is_read_as_one():
    body = {"code": "success", "data": "196642a0-93a7"}

    assert created(body) == Created(provider_task_id="196642a0-93a7")
    assert not isinstance(created({"code": "success", "data": "QUEUED"}), Created)


def test_an_id_in_data_beside_an_error_is_not_read():
    assert not isinstance(created({"code": "bad_request", "data": "196642a0-93a7"}), Created)
    assert not isinstance(created({"error": {"message": "no"}, "data": {"id": "req_1"}}), Created)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": {"message": "pay"}}),
        (400, {"error": {"code": "insufficient_user_quota", "message": "user quota"}}),
        (200, {"code": "insufficient_user_quota", "message": "user quota is not enough"}),
        (500, {"code": "insufficient_user_quota", "message": "user quota is not enough"}),
    ],
)
def test_a_used_up_balance_is_retryable_at_any_status(status, body):
    outcome = created(body, status)

    assert isinstance(outcome, Retryable)
    assert outcome.key_refused


def test_an_id_beside_a_balance_message_is_accepted():
    assert created({"data": {"task_id": "abc"}, "msg": "insufficient_user_quota soon"}) == Created(
        provider_task_id="abc"
    )


def test_an_id_too_long_for_the_index_is_not_read():
    assert not isinstance(created({"data": {"task_id": "x" * (MAX_ID_BYTES + 1)}}), Created)
    assert created({"data": {"task_id": "x" * MAX_ID_BYTES}}) == Created(
        provider_task_id="x" * MAX_ID_BYTES
    )


KEY = "key-without-a-usual-form"
CALLBACK_URL = "https://callback.example/callbacks/task_1/0123abcd.mACmACmACmACmACmACmACmACm"


@pytest.mark.parametrize("echo", [KEY, CALLBACK_URL, CALLBACK_URL.rpartition("/")[2]])
def test_an_echoed_secret_is_removed_from_the_reason(echo):
    body = {"error": {"message": f"bad value {echo} in request"}}
    sent = (KEY, CALLBACK_URL, CALLBACK_URL.rpartition("/")[2])

    outcome = read_create_reply(reply(body, 400), now=NOW, secrets=sent)

    assert outcome.reason.message == "bad value … in request"


def test_a_callback_token_is_removed_from_a_failure():
    body = {"task_id": "a", "status": "FAILURE", "fail_reason": f"could not call {CALLBACK_URL}"}

    assert "mACmAC" not in report(body).failure.message


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("at https://a.example/b%3FX-Sig%3Dq7 now", "at https://a.example/b now"),
        (
            "by https://p.example/https%3a%2f%2fa%2fb%3fs%3dq7",
            "by https://p.example/https%3a%2f%2fa%2fb",
        ),
        ("Authorization: Basic dXNlcjpx7=", "Authorization: Basic …"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La", "signed with whsec_…"),
        ("by https://user:q7@a.example/b", "by https://a.example/b"),
        ("a basic question", "a basic question"),
    ],
)
def test_secrets_in_their_usual_forms_are_scrubbed(text, left):
    assert scrub(text) == left


@pytest.mark.parametrize("begins", range(1_980, 2_001))
def test_a_secret_that_is_cut_off_is_scrubbed_too(begins):
    url = "https://a.example/b?" + "q" * 2_000

    for space in (" ", "\n"):
        text = f"{url[: begins - 1]}{space}Secret-Of-12 and more"

        assert "Secret" not in scrub(text, ["Secret-Of-12"])
    assert scrub(" " * 3_000) == ""


def test_scrubbing_a_long_text_is_fast():
    text = "https://" * 20_000
    began_at = time.process_time()

    scrub(text)

    assert time.process_time() - began_at < 1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"output": [VIDEO]},
        {"output": VIDEO},
        {"output": [{"url": VIDEO}]},
        {"output": {"url": VIDEO}},
        {"result_url": [VIDEO]},
        {"result": {"video_url": VIDEO}},
        {"data": {"output": [{"url": VIDEO}]}},
    ],
)
def test_the_video_is_read_in_each_undocumented_place(fields):
    answer = report({"id": "a", "status": "SUCCEEDED", **fields})

    assert answer.media is not None
    assert answer.media.video == VIDEO


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://cdn.example/a b.mp4?x=1 2", "https://cdn.example/a%20b.mp4?x=1%202"),
        ("//cdn.example/v.mp4", "https://cdn.example/v.mp4"),
        ("https://cdn.example/ä.mp4", "https://cdn.example/ä.mp4"),
        ("https://cdn.example/v.mp4?b=2&a=1", "https://cdn.example/v.mp4?b=2&a=1"),
    ],
)
def test_a_url_that_needs_encoding_or_a_scheme_is_read(written, read):
    assert report({"task_id": "a", "status": "3", "video_url": written}).media.video == read


@pytest.mark.parametrize(
    "content",
    [
        b'{"code":200,"data":{"task_id":"abc","sta',
        b'{"code":200,"data":{"task_id": "abc"}}trailing',
        b'\xff{"task_id" : "abc"',
    ],
)
def test_an_id_is_read_from_a_truncated_reply(content):
    assert read_created(Reply(status=200, headers={}, body=content)) == Created(
        provider_task_id="abc"
    )


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b'{"task_id":"abc"}'),
        (200, b'{"data":{"task_id":"ab'),
        (200, b'{"message":"task_id"}'),
    ],
)
def test_no_id_is_read_from_an_error_or_from_a_truncated_id(status, content):
    assert read_created(Reply(status=status, headers={}, body=content)) is None


def test_runways_own_task_object_is_read():
    body = {
        "id": "d065",
        "status": "SUCCEEDED",
        "createdAt": "2026-05-01T12:47:47.351Z",
        "output": [VIDEO],
    }

    answer = report(body)

    assert (answer.provider_task_id, answer.state) == ("d065", ProviderState.SUCCEEDED)
    assert answer.created_at == 1_777_639_667.351
