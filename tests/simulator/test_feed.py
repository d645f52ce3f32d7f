import time

import pytest
import requests

from tests.simulator.caller import until

FEED = "/runway/feed"


def look_when_ended(caller, **behaviour):
    _, provider_task_id = caller.accepted(callback="lost", **behaviour)
    until(lambda: caller.task(provider_task_id)["state"] not in ("queued", "running"))
    return provider_task_id, caller.feed(provider_task_id).json()


def test_a_task_is_queued_then_running_then_ended(caller):
    _, provider_task_id = caller.accepted(seconds=0.6, running_after=0.3)
    seen = []

    def look():
        status = caller.feed(provider_task_id).json()["data"]["status"]
        if seen[-1:] != [status]:
            seen.append(status)
        return status == "SUCCESS"

    until(look)

    assert seen == ["QUEUED", "IN_PROGRESS", "SUCCESS"]


def test_a_wrapped_feed_has_the_legacy_object_inside(caller):
    provider_task_id, feed = look_when_ended(caller)

    outer, nested = feed["data"], feed["data"]["data"]
    assert (feed["code"], feed["message"]) == ("success", "")
    assert outer["task_id"] == provider_task_id
    assert outer["status"] == "SUCCESS"
    assert outer["progress"] == "100%"
    assert outer["fail_reason"] == ""
    assert outer["submit_time"] <= outer["start_time"] <= outer["finish_time"]
    assert nested["task_id"] == provider_task_id
    assert (nested["state"], nested["status"]) == ("succeeded", "3")
    assert nested["msg"] is None
    assert nested["point"] == "320"
    assert nested["create_time"].isdigit()
    for image in ("poster", "last_frame"):
        assert f"/media/{provider_task_id}/{image}.png?Expires=" in nested[image]


def test_a_wrapped_feed_may_have_the_upstreams_object_inside(caller):
    provider_task_id, feed = look_when_ended(caller, nested="upstream")

    nested = feed["data"]["data"]
    assert nested["id"] == provider_task_id
    assert nested["status"] == "SUCCEEDED"
    assert nested["createdAt"].endswith("+08:00")
    assert len(nested["output"]) == 1


def test_a_flat_feed_has_everything_at_the_top(caller):
    provider_task_id, feed = look_when_ended(caller, feed="flat")

    assert feed["task_id"] == provider_task_id
    assert feed["status"] == "SUCCESS"
    assert "/result.mp4?" in feed["result_url"]
    assert "data" not in feed


def test_a_legacy_feed_has_status_3_for_succeeded(caller):
    provider_task_id, feed = look_when_ended(caller, feed="legacy")

    assert (feed["code"], feed["msg"], feed["exec_time"]) == (200, "成功", 0)
    assert feed["data"]["task_id"] == provider_task_id
    assert feed["data"]["status"] == "3"
    assert "/result.mp4?" in feed["data"]["video_url"]


def test_a_legacy_feed_has_status_2_for_failed(caller):
    _, feed = look_when_ended(caller, feed="legacy", result="failed", reason="no face")

    assert feed["data"]["status"] == "2"
    assert feed["data"]["state"] == "failed"
    assert feed["data"]["msg"] == "no face"
    assert feed["data"]["video_url"] is None


@pytest.mark.parametrize("shape", ["wrapped", "flat", "legacy"])
def test_internal_fields_of_the_gateway_are_in_every_shape(caller, shape):
    _, feed = look_when_ended(caller, feed=shape)

    data = feed.get("data", feed)
    assert {"quota", "user_id", "channel_id"} <= set(data)


@pytest.mark.parametrize(
    ("result", "status", "nested"),
    [
        ("failed", "FAILURE", "FAILED"),
        ("canceled", "CANCELED", "CANCELLED"),
        ("expired", "EXPIRED", "EXPIRED"),
    ],
)
def test_a_task_that_does_not_succeed_has_a_reason(caller, result, status, nested):
    _, feed = look_when_ended(caller, result=result, reason="no face", nested="upstream")

    assert feed["data"]["status"] == status
    assert feed["data"]["fail_reason"] == "no face"
    assert feed["data"]["progress"] == "100%"
    assert feed["data"]["data"]["status"] == nested
    assert feed["data"]["data"]["failure"] == "no face"
    assert feed["data"]["data"]["failureCode"]
    assert "output" not in feed["data"]["data"]


def test_a_task_may_never_end(caller):
    _, provider_task_id = caller.accepted(result="never", seconds=0.05, running_after=0)

    time.sleep(0.15)

    assert caller.feed(provider_task_id).json()["data"]["status"] == "IN_PROGRESS"


@pytest.mark.parametrize(
    ("form", "status", "where"),
    [
        ("400", 400, lambda body: body["code"]),
        ("200", 200, lambda body: body["msg"]),
        ("error_code", 404, lambda body: body["error"]["code"]),
    ],
)
def test_a_new_task_does_not_exist_for_a_while(caller, form, status, where):
    _, provider_task_id = caller.accepted(not_exist_seconds=0.3, not_exist_form=form)

    early = caller.feed(provider_task_id)

    assert early.status_code == status
    assert where(early.json()) == "task_not_exist"
    assert caller.ended(provider_task_id)["video_url"]


def test_an_unknown_id_does_not_exist(caller):
    assert caller.feed("no-such-task").json()["code"] == "task_not_exist"


@pytest.mark.parametrize("document", [{}, {"task_id": ""}, {"task_id": 5}, [], "x"])
def test_a_feed_request_needs_an_id(caller, document):
    reply = caller.post(FEED, document)

    assert reply.status_code == 400
    assert reply.json()["code"] == "invalid_request"


def test_a_feed_request_needs_the_key(caller):
    _, provider_task_id = caller.accepted()

    reply = requests.post(caller.provider.url + FEED, json={"task_id": provider_task_id}, timeout=5)

    assert reply.status_code == 401


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("error_500", 500, "application/json"),
        ("html", 502, "text/html"),
        ("unauthorized", 401, "application/json"),
        ("throttled", 429, "application/json"),
    ],
)
def test_a_feed_fault_ends_after_its_time(caller, fault, status, kind):
    _, provider_task_id = caller.accepted(feed_fault=fault, feed_fault_seconds=0.3)

    first = caller.feed(provider_task_id)

    assert first.status_code == status
    assert first.headers["Content-Type"].startswith(kind)
    until(lambda: caller.feed(provider_task_id).status_code == 200)


def test_a_feed_fault_without_a_time_does_not_end(caller):
    _, provider_task_id = caller.accepted(feed_fault="error_500", seconds=0)

    time.sleep(0.1)

    assert caller.feed(provider_task_id).status_code == 500


def test_a_feed_may_send_no_reply(caller):
    _, provider_task_id = caller.accepted(feed_fault="timeout")

    with pytest.raises(requests.Timeout):
        caller.feed(provider_task_id, timeout=0.3)


@pytest.mark.parametrize("shape", ["wrapped", "flat", "legacy"])
def test_an_unknown_status_is_not_a_published_one(caller, shape):
    _, feed = look_when_ended(caller, feed=shape, feed_fault="unknown_status")

    assert feed.get("data", feed)["status"] in ("AWAITING_REVIEW", "9")


def test_a_lagging_feed_reports_running_after_the_end(caller):
    provider_task_id, feed = look_when_ended(
        caller, feed_fault="lagging", feed_fault_seconds=0.3, seconds=0.35
    )

    assert feed["data"]["status"] == "IN_PROGRESS"
    assert feed["data"]["progress"] == "99%"
    assert feed["data"]["finish_time"] == 0
    assert caller.ended(provider_task_id)["video_url"]


@pytest.mark.parametrize("fault", ["lagging", "lying", "stale_nested"])
def test_lagging_and_lying_feeds_are_correct_before_the_end(caller, fault):
    _, provider_task_id = caller.accepted(seconds=30, feed_fault=fault)

    assert caller.feed(provider_task_id).json()["data"]["status"] == "QUEUED"


def test_a_lying_feed_reports_success_without_media(caller):
    provider_task_id, feed = look_when_ended(caller, feed_fault="lying", feed_fault_seconds=0.3)

    assert feed["data"]["status"] == "SUCCESS"
    assert "http" not in str(feed)
    assert caller.ended(provider_task_id)["video_url"]


@pytest.mark.parametrize(
    ("nested", "key", "status"), [("legacy", "status", "1"), ("upstream", "status", "RUNNING")]
)
def test_a_stale_nested_object_is_behind_the_outer_one(caller, nested, key, status):
    _, feed = look_when_ended(caller, feed_fault="stale_nested", nested=nested)

    assert feed["data"]["status"] == "SUCCESS"
    assert "/result.mp4?" in feed["data"]["result_url"]
    assert feed["data"]["data"][key] == status
    assert "/result.mp4" not in str(feed["data"]["data"])


def test_a_task_may_stay_unknown_to_the_feed(caller):
    _, feed = look_when_ended(caller, feed_fault="never_known")

    assert feed["code"] == "task_not_exist"


def test_progress_grows_and_stays_under_100_while_running(caller):
    _, provider_task_id = caller.accepted(seconds=0.4, running_after=0)
    seen = []

    def look():
        data = caller.feed(provider_task_id).json()["data"]
        if data["status"] == "IN_PROGRESS":
            seen.append(int(data["progress"].rstrip("%")))
        return data["status"] == "SUCCESS"

    until(look)

    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert max(seen) < 100
