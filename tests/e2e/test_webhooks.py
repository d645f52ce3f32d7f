"""Webhooks through a stack of their own: its bus, its queue, its function, and real endpoints.

Its secret is being replaced: it holds two, the second being the one that the stack made. Its
default endpoint is `house`.
"""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime

import pytest
import requests
from standardwebhooks import Webhook

from local.stack import ROOT, running_stack, use_only_this_machine
from tests.e2e.caller import Caller
from tests.e2e.conftest import PARAMETERS
from tests.endpoints import NODE, Answer, endpoint, receiver

NEW = "whsec_bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldw=="
QUICK = "seconds=1&callback=once"
LANGUAGES = [
    "Python",
    pytest.param("Node", marks=pytest.mark.skipif(NODE is None, reason="node is not installed")),
]


@pytest.fixture(scope="module")
def house():
    with endpoint() as found:
        yield found


@pytest.fixture(scope="module")
def caller(house):
    use_only_this_machine()
    parameters = {**PARAMETERS, "WebhookUrl": f"{house.url}/house"}
    with running_stack(parameters, ROOT / ".local/test-webhooks") as running:
        running.client("secretsmanager").put_secret_value(
            SecretId=f"{running.stack_name}/webhook",
            SecretString=json.dumps(
                {"current": NEW, "previous": running.webhook_secret.removeprefix("whsec_")}
            ),
        )
        yield Caller(running)


@pytest.fixture
def server(request):
    with endpoint(getattr(request, "param", lambda *_: Answer())) as found:
        yield found


def submit(caller, url, **more):
    return caller.submit(QUICK, webhook={"url": url, **more})


def deliveries(caller, task_id, count=1, seconds=120):
    """Wait until a task shows so many attempts."""
    ends_at = time.monotonic() + seconds
    while len(found := caller.read(task_id)["webhook"]["deliveries"]) < count:
        assert time.monotonic() < ends_at, found
        time.sleep(0.2)
    return found


def epoch(text):
    return datetime.fromisoformat(text).timestamp()


def again(caller, task_id):
    url = f"{caller.stack.api_url}/tasks/{task_id}/webhook-deliveries"
    return requests.post(url, headers=caller.headers, timeout=30)


# ── What is sent ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("which", ["new", "made by the stack"])
def test_a_receiver_takes_a_delivery_whichever_of_the_two_secrets_it_has(caller, language, which):
    secret = NEW if which == "new" else caller.stack.webhook_secret
    with receiver(language, secret) as (url, stop):
        task_id = submit(caller, url)
        (made,) = deliveries(caller, task_id)

        assert (made["status"], made["error"], made["next_at"]) == (204, None, None)
        version = caller.read(task_id)["version"]
        assert stop() == [f"task.succeeded {task_id} version {version}"]


def test_a_webhook_is_called_for_the_events_it_names_with_what_events_say(caller, server):
    task_id = submit(
        caller, f"{server.url}/hook?token=t0p", events=["task.submitted", "task.succeeded"]
    )
    made = deliveries(caller, task_id, 2)
    shown = caller.read(task_id)

    assert {one["event"] for one in made} == {"task.submitted", "task.succeeded"}
    by_type = {json.loads(one.body)["type"]: one for one in server.received}
    assert by_type.keys() == {"task.submitted", "task.succeeded"}
    ended = by_type["task.succeeded"]
    body = Webhook(NEW).verify(ended.body, ended.headers)
    assert ended.path == "/hook?token=t0p"
    assert ended.headers["webhook-id"] == f"{task_id}#{shown['version']}"
    assert ended.headers["content-type"] == "application/json"
    assert body["timestamp"] == body["data"]["updated_at"] == shown["updated_at"]
    assert body["data"]["output"]["video"]["s3_uri"] == shown["output"]["video"]["s3_uri"]
    assert body["data"]["webhook"] == {
        "url": f"{server.url}/hook",
        "events": ["task.submitted", "task.succeeded"],
    }
    assert shown["webhook"]["url"] == f"{server.url}/hook"
    assert "t0p" not in json.dumps(shown)


def test_a_task_without_a_webhook_calls_the_default_endpoint(caller, house):
    task_id = caller.submit(QUICK)

    deliveries(caller, task_id)

    [call] = [one for one in house.received if json.loads(one.body)["data"]["id"] == task_id]
    assert json.loads(call.body)["type"] == "task.succeeded"
    assert call.path == "/house"


def test_the_providers_own_callback_url_is_a_webhook(caller, server):
    task_id = caller.submit(QUICK, callback_url=f"{server.url}/callback")

    server.wait(1, "/callback")

    assert deliveries(caller, task_id)[0]["event"] == "task.succeeded"


def test_an_attempt_makes_no_new_version_and_no_event(caller, server):
    task_id = submit(caller, server.url, events=["task.succeeded"])
    before = caller.wait(task_id, {"succeeded"})
    deliveries(caller, task_id)
    time.sleep(2)

    after = caller.row(task_id)

    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    assert len(server.received) == 1


# ── Endpoints that misbehave ──────────────────────────────────────────────────────────────────


def fails_once(_received, found):
    return Answer(503, b"busy") if len(found.received) == 1 else Answer(200, b"thank you")


@pytest.mark.parametrize("server", [fails_once], indirect=True)
def test_an_endpoint_that_failed_is_called_again_after_five_seconds(caller, server):
    task_id = submit(caller, server.url)

    first, second = deliveries(caller, task_id, 2)

    assert [first["status"], first["reply"], first["attempt"]] == [503, "busy", 1]
    assert [second["status"], second["reply"], second["attempt"]] == [200, "thank you", 2]
    assert second["next_at"] is None
    assert 5 <= epoch(first["next_at"]) - epoch(first["at"]) <= 6
    one, other = server.received
    assert other.at - one.at >= 5
    assert one.headers["webhook-id"] == other.headers["webhook-id"]
    assert one.body == other.body
    Webhook(NEW).verify(other.body, other.headers)


def hangs(_received, found):
    found.over.wait(60)
    return Answer()


@pytest.mark.parametrize("server", [hangs], indirect=True)
def test_an_endpoint_that_hangs_is_left_after_fifteen_seconds(caller, server):
    task_id = submit(caller, server.url)

    (made,) = deliveries(caller, task_id)

    assert made["status"] is None
    assert made["error"].startswith("unreachable")
    assert 14_500 <= made["ms"] < 30_000  # the endpoint hangs for a minute
    assert made["next_at"] is not None


def redirects(_received, found):
    return Answer(302, headers={"Location": f"{found.url}/private"})


@pytest.mark.parametrize("server", [redirects], indirect=True)
def test_a_redirect_to_a_private_address_is_a_failure_and_not_followed(caller, server):
    task_id = submit(caller, f"{server.url}/hook")

    (made, *_) = deliveries(caller, task_id)

    assert made["status"] == 302
    assert "redirects are not followed" in made["error"]
    assert server.of("/private") == []


def is_gone(_received, _found):
    return Answer(410, b"no more")


@pytest.mark.parametrize("server", [is_gone], indirect=True)
def test_an_endpoint_that_is_gone_is_called_no_more_unless_asked_to(caller, server):
    task_id = submit(caller, server.url, events=["task.submitted", "task.succeeded"])
    first, *_ = deliveries(caller, task_id)
    caller.wait(task_id, {"succeeded"})
    time.sleep(8)

    assert (first["status"], first["next_at"]) == (410, None)
    assert len(server.received) == 1

    assert again(caller, task_id).status_code == 202
    server.wait(2)


def wants_a_pause(_received, found):
    pause = {"Retry-After": "10"}
    return Answer(429, headers=pause) if len(found.received) == 1 else Answer()


@pytest.mark.parametrize("server", [wants_a_pause], indirect=True)
def test_an_endpoint_gets_the_pause_that_it_asks_for(caller, server):
    task_id = submit(caller, server.url)

    first, second = deliveries(caller, task_id, 2)

    assert 10 <= epoch(first["next_at"]) - epoch(first["at"]) <= 11
    assert server.received[1].at - server.received[0].at >= 10
    assert second["status"] == 204


# ── Again on demand ───────────────────────────────────────────────────────────────────────────


def test_the_current_state_is_sent_again_on_demand(caller, server):
    task_id = submit(caller, server.url)
    deliveries(caller, task_id)

    answer = again(caller, task_id)

    assert answer.status_code == 202
    assert answer.json()["id"] == task_id
    first, second = server.wait(2)
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert json.loads(second.body) == json.loads(first.body)
    assert len(deliveries(caller, task_id, 2)) == 2
    assert again(caller, "task_that_is_not_there").status_code == 404


# ── A dead endpoint among others ──────────────────────────────────────────────────────────────


def test_a_dead_endpoint_delays_no_other(caller):
    """19 live endpoints and one that hangs, which gets as many webhooks as there are slots."""
    delays(caller, live=2, dead=0)  # a stack that just started has all its workers to start
    alone = delays(caller, live=19, dead=0)
    beside = delays(caller, live=19, dead=3)

    print(
        f"\nfrom move to delivery, 19 endpoints: median {statistics.median(alone):.2f} s, "
        f"longest {max(alone):.2f} s; beside a dead one: median "
        f"{statistics.median(beside):.2f} s, longest {max(beside):.2f} s"
    )
    assert len(beside) == 19
    # A call that hangs takes 15 s; a busy machine delays both runs.
    assert statistics.median(beside) < 2 * statistics.median(alone) + 2
    assert max(beside) < 2 * max(alone) + 10


def begin(caller, url):
    """Submit a task that stays submitted for longer than the test takes."""
    hook = {"url": url, "events": ["task.submitted"]}
    return caller.submit("seconds=300&callback=lost", webhook=hook)


def delays(caller, live, dead):
    """Send one event to each of `live` endpoints, and before them `dead` events to a hanging one.

    Returns the seconds from each event to its delivery.
    """
    with ExitStack() as running:
        hanging = running.enter_context(endpoint(hangs))
        ends = [running.enter_context(endpoint()) for _ in range(live)]
        pool = running.enter_context(ThreadPoolExecutor(2))
        for number in range(dead):
            begin(caller, f"{hanging.url}/{number}")
            hanging.wait(1, f"/{number}")
        begun = [pool.submit(begin, caller, found.url) for found in ends]
        calls = [found.wait(1)[0] for found in ends]
        assert all(one.result() for one in begun)
        held = [one for one in calls if any(0 < one.at - h.at < 14 for h in hanging.received)]
        assert held or not dead
        return [one.at - epoch(json.loads(one.body)["timestamp"]) for one in calls]
