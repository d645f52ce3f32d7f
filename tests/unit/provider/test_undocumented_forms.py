"""Forms of replies that no page documents and that a client must read all the same."""

import json
import time

import pytest

from act_one.net.exchange import Reply
from act_one.provider.outcomes import Created, NotKnown, ProviderState, Report, Retryable
from act_one.provider.replies import (
    MAX_ID_BYTES,
    read_create_reply,
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
def test_an_id_is_read_wherever_siblings_write_it(body):
    assert created(body) == Created(provider_task_id="abc")


def test_an_id_is_read_where_it_is_all_the_data_and_looks_like_one():
    body = {"code": "success", "data": "196642a0-93a7"}

    assert created(body) == Created(provider_task_id="196642a0-93a7")
    assert not isinstance(created({"code": "success", "data": "QUEUED"}), Created)


def test_an_id_in_data_beside_an_error_is_no_task():
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
def test_a_used_up_balance_waits_at_whatever_status_it_is_said(status, body):
    outcome = created(body, status)

    assert isinstance(outcome, Retryable)
    assert outcome.key_refused


def test_an_id_beside_a_word_about_the_balance_is_a_task():
    assert created({"data": {"task_id": "abc"}, "msg": "insufficient_user_quota soon"}) == Created(
        provider_task_id="abc"
    )


def test_an_id_too_long_for_the_index_is_no_id():
    assert not isinstance(created({"data": {"task_id": "x" * (MAX_ID_BYTES + 1)}}), Created)
    assert created({"data": {"task_id": "x" * MAX_ID_BYTES}}) == Created(
        provider_task_id="x" * MAX_ID_BYTES
    )


KEY = "key-without-a-usual-form"
CALLBACK_URL = "https://callback.example/callbacks/task_1/0123abcd.mACmACmACmACmACmACmACmACm"


@pytest.mark.parametrize("echo", [KEY, CALLBACK_URL, CALLBACK_URL.rpartition("/")[2]])
def test_a_secret_that_the_provider_echoes_is_removed_from_its_reason(echo):
    body = {"error": {"message": f"bad value {echo} in request"}}
    sent = (KEY, CALLBACK_URL, CALLBACK_URL.rpartition("/")[2])

    outcome = read_create_reply(reply(body, 400), now=NOW, secrets=sent)

    assert outcome.reason.message == "bad value … in request"


def test_a_token_in_a_failure_is_removed_without_knowing_it():
    body = {"task_id": "a", "status": "FAILURE", "fail_reason": f"could not call {CALLBACK_URL}"}

    assert "mACmAC" not in report(body).failure.message


def test_scrubbing_a_long_text_takes_no_longer_than_a_short_one():
    text = "https://" * 20_000
    began_at = time.process_time()

    scrub(text)

    assert time.process_time() - began_at < 1.0


@pytest.mark.parametrize("status", [200, 400])
def test_task_not_exist_is_read_in_the_message_of_an_error(status):
    body = {"error": {"message": "task_not_exist (request id: 7)", "type": "comet_api_error"}}

    assert read_feed_reply(reply(body, status)) == NotKnown()


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
def test_the_video_of_a_success_is_found(fields):
    found = report({"id": "a", "status": "SUCCEEDED", **fields})

    assert found.media is not None
    assert found.media.video == VIDEO


def test_runways_own_object_is_read():
    body = {
        "id": "d065",
        "status": "SUCCEEDED",
        "createdAt": "2026-05-01T12:47:47.351Z",
        "output": [VIDEO],
    }

    found = report(body)

    assert (found.provider_task_id, found.state) == ("d065", ProviderState.SUCCEEDED)
    assert found.created_at == 1_777_639_667.351


def test_a_nested_word_counts_where_the_outer_one_is_unknown():
    body = {"task_id": "a", "status": "UNKNOWN", "data": {"status": "SUCCEEDED", "output": [VIDEO]}}

    assert report(body).state is ProviderState.SUCCEEDED
    assert report({"task_id": "a", "status": "ODD", "data": {"status": "?"}}).state is (
        ProviderState.UNKNOWN
    )


def test_the_id_of_the_nested_object_names_a_task_without_another():
    assert report({"status": "SUCCESS", "data": {"id": "n"}}).provider_task_id == "n"


@pytest.mark.parametrize(
    ("fields", "created_at"),
    [
        ({"submit_time": 1_773_366_766_000}, 1_773_366_766.0),
        ({"create_time": "1773366766123"}, 1_773_366_766.123),
        ({"createdAt": "2026-03-13T09:52:46"}, None),
        ({"createdAt": "2026-03-13 09:52:46"}, None),
        ({"createdAt": "2026-03-13T01:52:46Z"}, 1_773_366_766.0),
    ],
)
def test_times_are_read_as_seconds_and_without_a_zone_prove_nothing(fields, created_at):
    assert report({"task_id": "a", "status": "RUNNING", **fields}).created_at == created_at
