import json
import socket
import time

import pytest
import requests

from tests.simulator.caller import OTHER_KEY, Caller, raw_create, raw_reply, until

CREATE = "/runway/pro/act_one"


def test_an_accepted_create_is_billed_once(caller):
    before = caller.inspect("/bill")

    task_id, provider_task_id = caller.accepted()

    after = caller.inspect("/bill")
    assert after["creates_accepted"] == before["creates_accepted"] + 1
    assert after["micro_dollars"] == before["micro_dollars"] + 400_000
    assert after["by_callback"][task_id] == 1
    assert caller.task(provider_task_id)["task_id"] == task_id


@pytest.mark.parametrize("form", ["1", "2", "3"])
def test_a_published_form_has_the_id_in_its_data(caller, form):
    reply = caller.create(create_form=form).json()

    assert reply["code"] == 200
    assert reply["msg"] in ("success", "成功")
    assert caller.task(reply["data"]["task_id"])["state"]


def test_the_first_form_includes_its_execution_time(caller):
    assert isinstance(caller.create(create_form="1").json()["exec_time"], float)


def test_the_third_form_is_the_start_of_a_legacy_object(caller):
    data = caller.create(create_form="3").json()["data"]

    assert data["status"] == "0"
    assert data["video_url"] is None


def test_the_id_may_be_at_the_top_level(caller):
    reply = caller.create(create_form="top_level").json()

    assert "data" not in reply
    assert caller.task(reply["task_id"])["state"]


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic c2ltLWtleS0x", "Bearer"])
def test_a_create_without_the_key_is_refused(caller, authorization):
    task_id, order = caller.order()
    headers = {"Authorization": authorization} if authorization else {}

    reply = requests.post(caller.provider.url + CREATE, json=order, headers=headers, timeout=5)

    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "comet_api_error"
    assert "request id" in reply.json()["error"]["message"]
    assert caller.billed(task_id) == 0


@pytest.mark.parametrize("field", ["video", "image", "callback_url"])
@pytest.mark.parametrize("value", [None, "", 5, "ftp://host/x", "/x", "http://", "http://a b/"])
def test_a_create_needs_three_urls(caller, field, value):
    task_id, order = caller.order()

    reply = caller.post(CREATE, order | {field: value})

    assert reply.status_code == 400
    assert field in reply.json()["error"]["message"]
    assert caller.task_of(task_id) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 200_000])
def test_a_create_needs_a_json_object(caller, body):
    headers = {"Authorization": f"Bearer {caller.key}"}

    reply = requests.post(caller.provider.url + CREATE, data=body, headers=headers, timeout=5)

    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "invalid_request"


def test_a_typo_in_the_behaviour_is_named_with_what_is_accepted(caller):
    reply = caller.create(callback="lots")

    assert reply.status_code == 400
    assert "callback" in reply.json()["error"]["message"]
    assert "every_change" in reply.json()["error"]["message"]


REFUSALS = {
    "rejected": (400, "invalid_request"),
    "invalid_request_500": (500, "invalid_request"),
    "throttled": (429, "rate_limit"),
    "saturated": (503, "model_not_found"),
    "unauthorized": (401, ""),
    "no_quota": (403, "insufficient_user_quota"),
    "error_500": (500, "do_request_failed"),
}


@pytest.mark.parametrize("mode", REFUSALS)
def test_a_refused_create_creates_no_task(caller, mode):
    task_id, order = caller.order(create=mode)

    reply = caller.post(CREATE, order)

    assert (reply.status_code, reply.json()["error"]["code"]) == REFUSALS[mode]
    assert caller.billed(task_id) == 0


def test_a_saturated_create_reports_no_available_channel(caller):
    message = caller.create(create="saturated").json()["error"]["message"]

    assert "no available channel" in message


def test_a_create_may_be_rejected_with_http_200(caller):
    task_id, order = caller.order(create="rejected_in_200")

    reply = caller.post(CREATE, order)

    assert reply.status_code == 200
    assert reply.json()["code"] == 400
    assert reply.json()["data"] is None
    assert caller.billed(task_id) == 0


@pytest.mark.parametrize("mode", ["throttled", "saturated"])
def test_a_refusal_may_have_a_retry_after_header(caller, mode):
    assert caller.create(create=mode, retry_after=7).headers["Retry-After"] == "7"
    assert "Retry-After" not in caller.create(create=mode).headers


@pytest.mark.parametrize(
    ("mode", "status"), [("bad_gateway", 502), ("timeout_504", 504), ("timeout_524", 524)]
)
def test_a_proxy_answers_in_html(caller, mode, status):
    task_id, order = caller.order(create=mode)

    reply = caller.post(CREATE, order)

    assert reply.status_code == status
    assert reply.headers["Content-Type"].startswith("text/html")
    assert caller.billed(task_id) == 0


@pytest.mark.parametrize("mode", ["error_500", "bad_gateway", "timeout_504", "timeout_524"])
def test_an_error_may_hide_a_billed_task(caller, mode):
    task_id, order = caller.order(create=mode, create_task="made")

    reply = caller.post(CREATE, order)

    assert reply.status_code >= 500
    assert caller.billed(task_id) == 1
    caller.callbacks.wait_for(task_id)


def test_a_slow_create_is_accepted_after_a_delay(caller):
    begin = time.monotonic()

    reply = caller.create(create="slow", create_seconds=0.3)

    assert reply.json()["data"]["task_id"]
    assert time.monotonic() - begin >= 0.3


def test_a_slow_create_is_billed_even_if_the_client_hangs_up(caller):
    task_id, order = caller.order(create="slow", create_seconds=0.3)

    with pytest.raises(requests.Timeout):
        caller.post(CREATE, order, timeout=0.1)

    assert caller.billed(task_id) == 0
    until(lambda: caller.billed(task_id) == 1)


def test_any_create_can_be_delayed(caller):
    begin = time.monotonic()

    reply = caller.create(create="timeout_504", create_seconds=0.2)

    assert reply.status_code == 504
    assert time.monotonic() - begin >= 0.2


def test_cut_before_creates_no_task_and_sends_no_reply(caller):
    task_id, order = caller.order(create="cut_before")

    assert raw_reply(caller.provider.url, raw_create(caller, order)) == b""
    assert caller.billed(task_id) == 0


def test_cut_after_bills_a_task_and_sends_no_reply(caller):
    task_id, order = caller.order(create="cut_after")

    assert raw_reply(caller.provider.url, raw_create(caller, order)) == b""
    assert caller.billed(task_id) == 1
    assert caller.callbacks.wait_for(task_id)


def test_cut_mid_reply_sends_less_than_its_content_length(caller):
    task_id, order = caller.order(create="cut_mid_reply")

    head, _, body = raw_reply(caller.provider.url, raw_create(caller, order)).partition(b"\r\n\r\n")

    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert 0 < len(body) < length
    assert caller.billed(task_id) == 1


def test_a_dribbled_reply_is_sent_byte_by_byte(caller):
    task_id, order = caller.order(create="dribble", create_seconds=0.4)
    begin = time.monotonic()
    sizes = []

    with socket.create_connection(caller.provider.url[7:].split(":"), timeout=5) as connection:
        connection.sendall(raw_create(caller, order))
        received = b""
        while piece := connection.recv(65536):
            sizes.append(len(piece))
            received += piece

    assert json.loads(received.partition(b"\r\n\r\n")[2])["data"]["task_id"]
    assert time.monotonic() - begin >= 0.4
    assert len(sizes) > len(received) / 4
    assert caller.billed(task_id) == 1


def test_garbage_is_not_json_although_a_task_was_created(caller):
    task_id, order = caller.order(create="garbage")

    reply = caller.post(CREATE, order)

    assert reply.status_code == 200
    with pytest.raises(ValueError, match=r".+"):
        reply.json()
    assert caller.billed(task_id) == 1


def test_a_success_may_lack_the_id_although_a_task_was_created(caller):
    task_id, order = caller.order(create="no_id")

    reply = caller.post(CREATE, order)

    assert reply.json()["code"] == 200
    assert not reply.json()["data"]["task_id"]
    assert caller.billed(task_id) == 1


def test_a_redirected_create_creates_no_task(caller):
    task_id, order = caller.order(create="redirect")

    reply = caller.post(CREATE, order)

    assert reply.status_code == 301
    assert caller.billed(task_id) == 0


def test_create_times_limits_how_many_creates_misbehave(caller):
    task_id, order = caller.order(create="throttled", create_times=2, create_seconds=0.05)

    statuses = [caller.post(CREATE, order).status_code for _ in range(4)]

    assert statuses == [429, 429, 200, 200]
    assert caller.billed(task_id) == 2
    assert caller.inspect("/bill")["by_video"][order["video"]] == 2


def test_a_create_after_create_times_is_not_delayed(caller):
    _, order = caller.order(create="timeout_504", create_times=1, create_seconds=1)

    with pytest.raises(requests.Timeout):
        caller.post(CREATE, order, timeout=0.1)

    assert caller.post(CREATE, order, timeout=0.5).status_code == 200


def test_a_task_is_known_only_to_the_account_that_created_it(caller):
    stranger = Caller(caller.provider, caller.callbacks, OTHER_KEY)

    _, provider_task_id = stranger.accepted()

    assert stranger.feed(provider_task_id).status_code == 200
    assert caller.feed(provider_task_id).json()["code"] == "task_not_exist"


@pytest.mark.parametrize("path", ["/v1/runway/pro/act_one", "/runway/pro/act_one/", "/", "/x?y"])
def test_an_unknown_path_redirects_to_a_web_page(caller, path):
    _, order = caller.order()

    reply = caller.post(path, order)
    page = requests.post(caller.provider.url + path, json=order, timeout=5)

    assert reply.status_code == 301
    assert page.status_code == 200
    assert "<html>" in page.text


def test_a_request_that_is_too_large_is_refused(caller):
    reply = caller.post(CREATE, {"video": "x" * 1_100_000})

    assert reply.status_code == 413


def test_an_incomplete_request_is_not_a_create(caller):
    task_id, order = caller.order()
    seen = caller.inspect("/bill")["creates_seen"]

    with socket.create_connection(caller.provider.url[7:].split(":"), timeout=5) as connection:
        connection.sendall(raw_create(caller, order)[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""

    assert caller.inspect("/bill")["creates_seen"] == seen
    assert caller.billed(task_id) == 0
