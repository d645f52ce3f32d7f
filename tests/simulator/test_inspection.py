import json
import threading
import time

import pytest
import requests

from local.simulator import Provider
from tests.simulator.caller import KEY, Caller, until


@pytest.fixture
def fresh(callbacks):
    with Provider(KEY) as provider:
        yield Caller(provider, callbacks)


def set_faults(caller, **faults):
    return requests.post(caller.provider.url + "/_simulator/faults", json=faults, timeout=5)


def test_the_bill_starts_empty(fresh):
    assert fresh.inspect("/bill") == {
        "creates_seen": 0,
        "creates_accepted": 0,
        "micro_dollars": 0,
        "by_video": {},
        "by_callback": {},
    }


def test_the_bill_shows_tasks_that_were_paid_twice(fresh):
    task_id, order = fresh.order()

    for _ in range(2):
        fresh.post("/runway/pro/act_one", order)
    fresh.create(create="rejected")

    assert fresh.inspect("/bill") == {
        "creates_seen": 3,
        "creates_accepted": 2,
        "micro_dollars": 800_000,
        "by_video": {order["video"]: 2},
        "by_callback": {task_id: 2},
    }


def test_the_provider_object_returns_the_same_as_the_routes(fresh):
    _, provider_task_id = fresh.accepted(callback="lost")
    fresh.ended(provider_task_id)

    assert fresh.provider.bill() == fresh.inspect("/bill")
    assert fresh.provider.requests() == fresh.inspect("/requests")
    assert fresh.provider.tasks() == fresh.inspect("/tasks")
    assert fresh.provider.tasks()[0] == fresh.task(provider_task_id)


def test_every_request_is_recorded_before_it_is_answered(fresh):
    task_id, provider_task_id = fresh.accepted(seconds=0)
    url = fresh.ended(provider_task_id)["video_url"]
    requests.get(url, timeout=5)
    fresh.create(create="throttled")

    seen = fresh.inspect("/requests")

    assert [(entry["route"], entry["status"], entry["outcome"]) for entry in seen] == [
        ("create", 200, "accepted"),
        ("feed", 200, "succeeded"),
        ("media", 200, "whole"),
        ("create", 429, "throttled"),
    ]
    assert [entry["provider_task_id"] for entry in seen] == [provider_task_id] * 3 + [None]
    assert seen[0]["task_id"] == task_id
    assert seen[0]["at"].endswith("Z")


def test_the_version_header_is_recorded(fresh):
    _, order = fresh.order()

    requests.post(
        fresh.provider.url + "/runway/pro/act_one",
        json=order,
        headers={"Authorization": f"Bearer {KEY}", "X-Runway-Version": "2024-11-06"},
        timeout=5,
    )

    assert fresh.inspect("/requests")[0]["runway_version"] == "2024-11-06"


def test_a_request_that_gets_no_reply_has_no_status(fresh):
    with pytest.raises(requests.ConnectionError):
        fresh.create(create="cut_after")

    (entry,) = fresh.inspect("/requests")
    assert (entry["status"], entry["outcome"]) == (None, "cut_after")
    assert entry["provider_task_id"] == fresh.inspect("/tasks")[0]["provider_task_id"]


def test_nothing_secret_is_shown(callbacks):
    with Provider(KEY, behaviour="seconds=0&not_exist_seconds=0") as provider:
        fresh = Caller(provider, callbacks)
        task_id, order = fresh.order()
        presigned = "https://bucket.example/v.mp4?X-Amz-Signature=sig-of-the-bucket"
        fresh.post("/runway/pro/act_one", order | {"video": presigned})
        requests.post(f"{provider.url}/callbacks/x/tok-{task_id}", timeout=5)
        _, url = fresh.result_url()
        requests.get(url, timeout=5)
        callbacks.wait_for(task_id)

        shown = json.dumps([fresh.inspect(route) for route in ("/bill", "/requests", "/tasks")])

    for secret in (KEY, f"tok-{task_id}", "sig-of-the-bucket", url.partition("Sig=")[2]):
        assert secret not in shown


def test_a_task_shows_its_behaviour(fresh):
    _, provider_task_id = fresh.accepted(callback="lost", feed="flat")

    task = fresh.task(provider_task_id)

    assert task["behaviour"]["callback"] == "lost"
    assert task["behaviour"]["media"] == "whole"
    assert task["chosen"]["feed"] == "flat"
    assert "media" not in task["chosen"]


def test_an_unknown_task_is_not_found(fresh):
    url = f"{fresh.provider.url}/_simulator/tasks/unknown"

    assert requests.get(url, timeout=5).status_code == 404
    assert requests.post(f"{url}/callback", timeout=5).status_code == 404


def test_an_unknown_inspection_route_lists_the_known_ones(fresh):
    reply = requests.get(f"{fresh.provider.url}/_simulator/bills", timeout=5)

    assert reply.status_code == 404
    assert "/_simulator/bill" in reply.json()["error"]


def test_a_feed_outage_hits_every_task_and_ends(fresh):
    _, provider_task_id = fresh.accepted(seconds=0)

    set_faults(fresh, feed="error_500", seconds=0.3)

    assert fresh.feed(provider_task_id).status_code == 500
    assert fresh.feed("unknown").status_code == 500
    until(lambda: fresh.feed(provider_task_id).status_code == 200)
    assert fresh.inspect("/faults") == {}


def test_a_create_outage_lasts_until_it_is_ended(fresh):
    shown = set_faults(fresh, create="saturated").json()

    assert shown == {"create": {"mode": "saturated", "until": None}}
    assert fresh.create().status_code == 503
    assert set_faults(fresh, create="none").json() == {}
    assert fresh.create().status_code == 200


def test_an_outage_can_bill_a_task_without_a_reply(fresh):
    task_id, order = fresh.order()
    set_faults(fresh, create="cut_after")

    with pytest.raises(requests.ConnectionError):
        fresh.post("/runway/pro/act_one", order)

    assert fresh.billed(task_id) == 1


@pytest.mark.parametrize(
    ("faults", "named"),
    [
        ({"feed": "lots"}, "error_500"),
        ({"feed": []}, "error_500"),
        ({"media": "missing"}, "create"),
        ({"feed": "html", "seconds": -1}, "seconds"),
        ({"feed": "html", "seconds": "5"}, "seconds"),
        ({"feed": "html", "seconds": True}, "seconds"),
    ],
)
def test_an_unknown_outage_is_refused(fresh, faults, named):
    reply = set_faults(fresh, **faults)

    assert reply.status_code == 400
    assert named in reply.json()["error"]
    assert fresh.inspect("/faults") == {}


def test_the_log_has_a_line_per_task_request_and_callback(callbacks, tmp_path):
    log = tmp_path / "log.jsonl"
    with Provider(KEY, log=log) as provider:
        caller = Caller(provider, callbacks)
        task_id, provider_task_id = caller.accepted()
        until(lambda: caller.task(provider_task_id)["callbacks"])

    lines = [json.loads(line) for line in log.read_text().splitlines()]

    assert [line["event"] for line in lines] == ["task", "request", "callback"]
    assert {line["provider_task_id"] for line in lines} == {provider_task_id}
    assert f"tok-{task_id}" not in log.read_text()
    assert KEY not in log.read_text()


def test_another_video_gets_the_default_behaviour(callbacks):
    with Provider(KEY, behaviour="callback=lost&seconds=0&not_exist_seconds=0") as provider:
        caller = Caller(provider, callbacks)
        _, order = caller.order()
        video = "https://bucket.example/v.mp4?X-Amz-Signature=s"
        reply = caller.post("/runway/pro/act_one", order | {"video": video})

        task = caller.task(reply.json()["data"]["task_id"])

        assert task["behaviour"]["callback"] == "lost"
        assert task["video"] == "https://bucket.example/v.mp4"
        assert caller.inspect("/bill")["by_video"] == {task["video"]: 1}


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:1", "http://"])
def test_an_invalid_deliver_to_is_refused(url):
    with pytest.raises(ValueError, match="http://host:port"):
        Provider(KEY, deliver_to=url)


def test_stopping_ends_connections_and_pending_callbacks_at_once(callbacks):
    others = set(threading.enumerate())
    with requests.Session() as session:
        with Provider(KEY) as provider:
            caller = Caller(provider, callbacks)
            task_id, _ = caller.accepted(seconds=30)
            session.get(f"{provider.url}/_simulator/bill", timeout=5)  # the connection stays
            url = provider.url
            assert set(threading.enumerate()) - others
        begin = time.monotonic()

        until(lambda: not set(threading.enumerate()) - others)

    assert time.monotonic() - begin < 20  # the callback is due after 30 s
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    assert callbacks.of(task_id) == []
