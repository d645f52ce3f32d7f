import socket
import time

import pytest
import requests

from local.simulator import Provider
from tests.simulator.caller import KEY, Caller, sent_after, until


def settled(caller, provider_task_id):
    """Wait for a callback and return the task's callbacks as the simulator recorded them."""
    return until(lambda: caller.task(provider_task_id)["callbacks"])


def test_a_callback_comes_once_at_the_end(caller):
    task_id, provider_task_id = caller.accepted(seconds=0.2)

    (callback,) = caller.callbacks.wait_for(task_id)

    assert callback.path == f"/callbacks/{task_id}/tok-{task_id}"
    settled(caller, provider_task_id)
    assert sent_after(caller.task(provider_task_id))[0] >= 0.199  # both times are rounded
    time.sleep(0.1)
    assert len(caller.callbacks.of(task_id)) == 1


def test_a_legacy_callback_is_the_bare_object(caller):
    task_id, provider_task_id = caller.accepted()

    body = caller.callbacks.wait_for(task_id)[0].json()

    assert body["task_id"] == provider_task_id
    assert body["status"] == "3"
    assert body["msg"] is None
    assert (body["point"], body["refund"]) == ("320", "0")
    assert body["update_time"].isdigit()
    assert {"video_url", "poster", "last_frame", "create_time"} <= set(body)
    assert {"quota", "user_id", "channel_id"} <= set(body)
    assert not {"code", "data", "exec_time", "state"} & set(body)


def test_a_callback_may_have_the_form_of_the_guide(caller):
    task_id, provider_task_id = caller.accepted(callback_body="guide")

    body = caller.callbacks.wait_for(task_id)[0].json()

    assert body["task_id"] == provider_task_id
    assert (body["status"], body["progress"]) == ("completed", 100)
    assert "/result.mp4?" in body["result"]["video_url"]


@pytest.mark.parametrize(("form", "status"), [("legacy", "2"), ("guide", "failed")])
def test_a_failure_gets_a_callback_too(caller, form, status):
    task_id, _ = caller.accepted(result="failed", reason="no face", callback_body=form)

    (callback,) = caller.callbacks.wait_for(task_id)

    assert callback.json()["status"] == status
    assert b"no face" in callback.body
    assert b".mp4" not in callback.body


def test_the_url_of_a_callback_can_be_downloaded(caller):
    task_id, _ = caller.accepted()

    body = caller.callbacks.wait_for(task_id)[0].json()

    assert requests.get(body["video_url"], timeout=5).status_code == 200


def test_a_lost_callback_is_never_sent(caller):
    task_id, provider_task_id = caller.accepted(callback="lost")

    caller.ended(provider_task_id)
    time.sleep(0.2)

    assert caller.callbacks.of(task_id) == []
    assert caller.task(provider_task_id)["callbacks"] == []


def test_a_late_callback_comes_after_the_end(caller):
    task_id, provider_task_id = caller.accepted(callback="late", late_seconds=0.2)

    caller.callbacks.wait_for(task_id)

    settled(caller, provider_task_id)
    assert sent_after(caller.task(provider_task_id))[0] >= 0.2


@pytest.mark.parametrize("mode", ["twice", "twice_at_once"])
def test_a_callback_may_come_twice(caller, mode):
    task_id, _ = caller.accepted(callback=mode)

    first, second = caller.callbacks.wait_for(task_id, 2)

    assert first.json()["task_id"] == second.json()["task_id"]
    assert first.json()["status"] == second.json()["status"] == "3"


def test_an_early_callback_comes_before_the_reply_to_the_create(caller):
    task_id, order = caller.order(callback="early", seconds=60)

    reply = caller.post("/runway/pro/act_one", order)

    (callback,) = caller.callbacks.of(task_id)
    assert callback.json()["task_id"] == reply.json()["data"]["task_id"]
    assert callback.json()["status"] == "3"
    assert caller.ended(reply.json()["data"]["task_id"])["video_url"]


def test_a_foreign_callback_has_the_id_of_another_task(caller):
    _, other = caller.accepted()
    task_id, provider_task_id = caller.accepted(callback="foreign")

    body = caller.callbacks.wait_for(task_id)[0].json()

    assert body["task_id"] == other
    assert body["task_id"] != provider_task_id


def test_a_foreign_id_is_random_when_there_is_no_other_task(callbacks):
    with Provider(KEY) as provider:
        caller = Caller(provider, callbacks)
        task_id, provider_task_id = caller.accepted(callback="foreign")

        body = caller.callbacks.wait_for(task_id)[0].json()

    assert body["task_id"]
    assert body["task_id"] != provider_task_id


def test_an_upstream_id_differs_from_the_task_id_and_is_unknown_to_the_feed(caller):
    task_id, provider_task_id = caller.accepted(callback="upstream_id")

    upstream_id = caller.callbacks.wait_for(task_id)[0].json()["task_id"]

    assert upstream_id == caller.task(provider_task_id)["upstream_id"] != provider_task_id
    assert caller.feed(upstream_id).json()["code"] == "task_not_exist"
    assert caller.feed(provider_task_id).json()["data"]["data"]["task_id"] == upstream_id


def test_a_malformed_callback_is_not_json(caller):
    task_id, _ = caller.accepted(callback="malformed")

    (callback,) = caller.callbacks.wait_for(task_id)

    with pytest.raises(ValueError, match=r".+"):
        callback.json()


def test_an_empty_callback_has_no_body(caller):
    task_id, _ = caller.accepted(callback="empty")

    assert caller.callbacks.wait_for(task_id)[0].body == b""


def test_a_huge_callback_has_100_kilobytes(caller):
    task_id, provider_task_id = caller.accepted(callback="huge")

    (callback,) = caller.callbacks.wait_for(task_id)

    assert len(callback.body) > 100_000
    assert callback.json()["task_id"] == provider_task_id


@pytest.mark.parametrize(
    ("form", "statuses"), [("legacy", ["1", "3"]), ("guide", ["processing", "completed"])]
)
def test_every_change_gets_a_callback(caller, form, statuses):
    task_id, _ = caller.accepted(callback="every_change", seconds=0.2, callback_body=form)

    callbacks = caller.callbacks.wait_for(task_id, 2)

    assert [callback.json()["status"] for callback in callbacks] == statuses


def test_a_lying_callback_reports_success_while_the_task_runs(caller):
    task_id, provider_task_id = caller.accepted(callback="lying", seconds=30, running_after=0.05)

    body = caller.callbacks.wait_for(task_id)[0].json()

    assert body["status"] == "3"
    assert caller.feed(provider_task_id).json()["data"]["status"] == "IN_PROGRESS"
    assert requests.get(body["video_url"], timeout=5).status_code == 404


def test_a_lying_callback_reports_success_for_a_failed_task(caller):
    task_id, provider_task_id = caller.accepted(callback="lying", result="failed")

    last = caller.callbacks.wait_for(task_id, 2)[-1].json()

    assert last["status"] == "3"
    assert caller.feed(provider_task_id).json()["data"]["status"] == "FAILURE"
    assert requests.get(last["video_url"], timeout=5).status_code == 404


def test_a_task_that_never_ends_sends_no_callback(caller):
    task_id, _ = caller.accepted(result="never")

    time.sleep(0.2)

    assert caller.callbacks.of(task_id) == []


def test_a_refused_callback_is_not_repeated(caller):
    task_id, order = caller.order()
    caller.callbacks.statuses[task_id] = [503]

    provider_task_id = caller.post("/runway/pro/act_one", order).json()["data"]["task_id"]

    (attempt,) = settled(caller, provider_task_id)
    assert (attempt["status"], attempt["attempt"]) == (503, 1)
    time.sleep(0.2)
    assert len(caller.callbacks.of(task_id)) == 1


def test_a_refused_callback_is_repeated_as_often_as_configured(caller):
    task_id, order = caller.order(callback_retries=3, callback_retry_seconds=0.05)
    caller.callbacks.statuses[task_id] = [503, 500]

    provider_task_id = caller.post("/runway/pro/act_one", order).json()["data"]["task_id"]

    caller.callbacks.wait_for(task_id, 3)
    attempts = until(lambda: caller.task(provider_task_id)["callbacks"], lambda all_: len(all_) > 2)
    assert [attempt["status"] for attempt in attempts] == [503, 500, 204]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3]


def test_a_redirected_callback_is_not_followed(caller):
    task_id, order = caller.order()
    caller.callbacks.statuses[task_id] = [307]

    provider_task_id = caller.post("/runway/pro/act_one", order).json()["data"]["task_id"]

    assert settled(caller, provider_task_id)[0]["status"] == 307
    assert len(caller.callbacks.of(task_id)) == 1


def test_an_unreachable_callback_is_recorded_with_its_reason(caller):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    _, order = caller.order()

    reply = caller.post(
        "/runway/pro/act_one", order | {"callback_url": f"http://127.0.0.1:{port}/x"}
    )

    (attempt,) = settled(caller, reply.json()["data"]["task_id"])
    assert attempt["status"] is None
    assert attempt["error"] == "ConnectionRefusedError"
    assert attempt["ms"] >= 0


def test_a_callback_without_a_reply_times_out(caller, monkeypatch):
    monkeypatch.setattr("local.simulator.callbacks.TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        _, order = caller.order()

        reply = caller.post("/runway/pro/act_one", order | {"callback_url": url})

        (attempt,) = settled(caller, reply.json()["data"]["task_id"])
    assert (attempt["status"], attempt["error"]) == (None, "TimeoutError")
    assert attempt["ms"] >= 100


def test_a_callback_to_a_function_url_goes_to_deliver_to_with_its_own_host(caller):
    task_id, order = caller.order()
    host = "abc123.lambda-url.eu-west-1.on.aws"
    url = f"https://{host}/callbacks/{task_id}/tok?x=1"

    reply = caller.post("/runway/pro/act_one", order | {"callback_url": url})

    (callback,) = caller.callbacks.wait_for(task_id)
    assert reply.status_code == 200
    assert callback.host == host
    assert callback.path == f"/callbacks/{task_id}/tok?x=1"


def test_a_callback_to_a_rest_api_goes_to_deliver_to_with_the_id_in_its_path(caller):
    task_id, order = caller.order()
    url = f"https://abc123.execute-api.eu-west-1.amazonaws.com/v1/callbacks/{task_id}/tok"

    caller.post("/runway/pro/act_one", order | {"callback_url": url})

    (callback,) = caller.callbacks.wait_for(task_id)
    assert callback.path == f"/_aws/execute-api/abc123/v1/callbacks/{task_id}/tok"


def test_a_callback_can_be_sent_manually(caller):
    task_id, provider_task_id = caller.accepted(callback="lost", seconds=0)
    route = f"{caller.provider.url}/_simulator/tasks/{provider_task_id}/callback"

    plain = requests.post(route, timeout=5).json()
    changed = requests.post(
        route, json={"body": {"task_id": "x"}, "path_suffix": "-wrong"}, timeout=5
    ).json()
    text = requests.post(route, json={"body": "not JSON"}, timeout=5).json()

    first, second, third = caller.callbacks.of(task_id)
    assert plain["status"] == changed["status"] == text["status"] == 204
    assert first.json()["task_id"] == provider_task_id
    assert second.json() == {"task_id": "x"}
    assert second.path.endswith(f"/tok-{task_id}-wrong")
    assert third.body == b"not JSON"
    assert len(caller.task(provider_task_id)["callbacks"]) == 3


@pytest.mark.parametrize("document", [[], {"bodies": 1}, {"path_suffix": 5}, {"path_suffix": "é"}])
def test_a_manual_callback_refuses_unknown_fields(caller, document):
    _, provider_task_id = caller.accepted(callback="lost")
    route = f"{caller.provider.url}/_simulator/tasks/{provider_task_id}/callback"

    assert requests.post(route, json=document, timeout=5).status_code == 400
