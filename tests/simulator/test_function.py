"""The simulator as a function: what it answers, refuses and sends, without services around it."""

import base64
import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from local.simulator.behaviour import Behaviour, parse_behaviour
from local.simulator.clock import now
from local.simulator.function import (
    MAX_MEDIA_BYTES,
    Queue,
    answer_event,
    fetch_none,
    read_message,
    take,
    write_message,
    write_reply,
)
from local.simulator.ledger import MemoryLedger
from local.simulator.limits import Limits
from local.simulator.messages import Reply
from local.simulator.simulation import Simulation
from local.simulator.table import read_task, write_task

KEY = "function-key"
URL = "https://abc.lambda-url.us-east-1.on.aws"
HOSTS = ("*.lambda-url.*.on.aws", "*.execute-api.*.amazonaws.com", "hooks.example.com")
CALLBACK = "https://f00.lambda-url.eu-west-1.on.aws/callbacks/task_1/token"
LIMITS = Limits(
    raw_sockets=False,
    reply_seconds=25,
    media_bytes=MAX_MEDIA_BYTES,
    callback_seconds=1800,
    callback_retries=10,
    callback_hosts=HOSTS,
    inspection_needs_key=True,
)


class Sqs:
    def __init__(self):
        self.sent = []

    def send_message(self, **message):
        self.sent.append(message)


@pytest.fixture
def sqs():
    return Sqs()


@pytest.fixture
def simulation(sqs):
    return Simulation(
        url="",
        api_keys=(KEY,),
        deliver_to=None,
        default=Behaviour(),
        signing_key=b"x" * 32,
        ledger=MemoryLedger(),
        send_later=Queue(sqs, "https://queue").send_later,
        fetch_inputs=fetch_none,
        limits=LIMITS,
    )


def event(method, path, document=None, *, query="", key=KEY, encoded=False, **headers):
    text = "" if document is None else json.dumps(document)
    return {
        "requestContext": {"http": {"method": method}, "domainName": URL.removeprefix("https://")},
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"authorization": f"Bearer {key}", **headers},
        "body": base64.b64encode(text.encode()).decode() if encoded else text,
        "isBase64Encoded": encoded,
    }


def order(behaviour="", callback_url=CALLBACK):
    return {
        "video": f"{URL}/inputs/performance.mp4?{behaviour}",
        "image": f"{URL}/inputs/character.png",
        "callback_url": callback_url,
    }


def create(simulation, behaviour="", callback_url=CALLBACK, **more):
    body = order(behaviour, callback_url)
    reply = answer_event(simulation, event("POST", "/runway/pro/act_one", body, **more))
    return reply["statusCode"], json.loads(reply["body"])


def test_a_create_delays_the_callbacks_message_and_the_feed_has_urls_of_the_function(
    simulation, sqs
):
    status, reply = create(simulation, "seconds=7&not_exist_seconds=0&feed=flat", encoded=True)
    task_id = reply["data"]["task_id"]
    task = simulation.ledger.find_task(task_id)
    task.created_at -= timedelta(seconds=10)
    feed = event("POST", "/runway/feed", {"task_id": task_id})

    shown = json.loads(answer_event(simulation, feed)["body"])

    assert status == 200
    assert [message["DelaySeconds"] for message in sqs.sent] == [7]
    url, pending = read_message(sqs.sent[0]["MessageBody"])
    assert (url, pending.provider_task_id, pending.attempt) == (URL, task_id, 1)
    assert shown["result_url"].startswith(f"{URL}/media/{task_id}/")
    path, _, query = shown["result_url"].removeprefix(URL).partition("?")
    video = answer_event(simulation, event("GET", path, query=query, range="bytes=4-11"))
    assert video["statusCode"] == 206
    assert base64.b64decode(video["body"]) == b"ftypisom"
    assert video["headers"]["Content-Type"] == "video/mp4"


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        *(
            (f"create={mode}", "raw socket")
            for mode in ("cut_before", "cut_after", "cut_mid_reply", "dribble")
        ),
        ("feed_fault=timeout", "raw socket"),
        *(
            (f"media={mode}", "raw socket")
            for mode in ("truncated", "chunked", "slow", "stalled", "oversized")
        ),
        ("create=slow&create_seconds=26", "create_seconds is at most 25"),
        ("media_bytes=4000001", "media_bytes is at most"),
        ("seconds=1795", "the time to a callback is at most 1800"),
        ("callback_retries=11", "callback_retries is at most 10"),
    ],
)
def test_what_a_function_cannot_do_is_refused_before_anything_is_billed(
    simulation, behaviour, says
):
    status, reply = create(simulation, behaviour)

    assert status == 400
    assert says in reply["error"]["message"]
    assert simulation.ledger.all_tasks() == []


@pytest.mark.parametrize(
    "url",
    [
        "http://f00.lambda-url.eu-west-1.on.aws/",
        "https://example.com/",
        "https://hooks.example.com.evil.net/",
        "https://f00.lambda-url.eu-west-1.on.aws@evil.net/",
        "https://user:word@hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://evil.net/?x=.lambda-url.eu-west-1.on.aws",
        "https://evil.net/#.lambda-url.eu-west-1.on.aws",
        "https://169.254.169.254/",
    ],
)
def test_no_other_hosts_are_called_back(simulation, sqs, url):
    status, reply = create(simulation, callback_url=url)

    assert status == 400
    assert "callback_url" in reply["error"]["message"]
    assert sqs.sent == []


@pytest.mark.parametrize(
    "url",
    [
        CALLBACK,
        "https://a1.execute-api.us-east-1.amazonaws.com/v1/callbacks/t/x",
        "https://hooks.example.com:443/x",
    ],
)
def test_these_hosts_are(simulation, sqs, url):
    assert create(simulation, callback_url=url)[0] == 200
    assert len(sqs.sent) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/runway/pro/act_one"),
        ("POST", "/runway/feed"),
        ("GET", "/_simulator/tasks"),
        ("GET", "/_simulator/bill"),
        ("POST", "/_simulator/faults"),
    ],
)
def test_each_route_but_inputs_and_media_needs_the_key(simulation, method, path):
    refused = answer_event(simulation, event(method, path, {}, key="another"))

    assert refused["statusCode"] == 401


def test_an_outage_that_needs_a_socket_is_refused(simulation):
    started = event("POST", "/_simulator/faults", {"feed": "timeout"})

    refused = answer_event(simulation, started)

    assert refused["statusCode"] == 400
    assert "raw socket" in refused["body"]
    assert simulation.ledger.faults() == {}


def test_requests_are_in_the_log_of_a_function(simulation, monkeypatch):
    monkeypatch.setattr(MemoryLedger, "requests", lambda _: None)

    reply = answer_event(simulation, event("GET", "/_simulator/requests"))

    assert reply["statusCode"] == 404
    assert "SimulatorLogs" in reply["body"]


class Claims:
    """A table's ledger that lets each callback through once."""

    def __init__(self):
        self.claimed = []

    def claim(self, pending):
        first = pending not in self.claimed
        self.claimed.append(pending)
        return first


def test_a_message_that_comes_twice_calls_back_once(simulation, monkeypatch):
    create(simulation, "seconds=0")
    [task] = simulation.ledger.all_tasks()
    monkeypatch.setattr("local.simulator.callbacks.post", lambda *_: 200)
    _, pending = read_message(simulation.send_later.__self__.client.sent[0]["MessageBody"])
    claims = Claims()

    for _ in range(2):
        take(claims, simulation, pending)

    assert [attempt.status for attempt in task.callbacks] == [200]


def test_a_failed_callback_is_a_later_message_with_the_same_body(simulation, sqs, monkeypatch):
    create(simulation, "seconds=0&callback_retries=1&callback_retry_seconds=30&callback=huge")
    [task] = simulation.ledger.all_tasks()
    bodies = []
    monkeypatch.setattr(
        "local.simulator.callbacks.post", lambda *sent: bodies.append(sent[2]) or 500
    )
    _, pending = read_message(sqs.sent[0]["MessageBody"])

    take(Claims(), simulation, pending)
    _, repeated = read_message(sqs.sent[1]["MessageBody"])
    take(Claims(), simulation, replace(repeated, due=now()))

    assert sqs.sent[1]["DelaySeconds"] == 30
    assert repeated.attempt == 2
    assert bodies[0] == bodies[1]
    assert [attempt.attempt for attempt in task.callbacks] == [1, 2]
    assert len(sqs.sent) == 2  # it was repeated once


def test_a_callback_beyond_the_longest_delay_waits_again(simulation, sqs):
    create(simulation, "seconds=1000&late_seconds=0")
    _, pending = read_message(sqs.sent[0]["MessageBody"])
    claims = Claims()

    take(claims, simulation, pending)

    assert [message["DelaySeconds"] for message in sqs.sent] == [900, 900]
    assert claims.claimed == []


def test_a_message_and_a_row_hold_everything(simulation, sqs):
    create(simulation, "seconds=3&callback=lying&feed=bare")
    [task] = simulation.ledger.all_tasks()
    _, pending = read_message(sqs.sent[0]["MessageBody"])
    with_body = replace(pending, body='{"status": "✓"}'.encode())

    assert read_message(write_message(simulation, with_body))[1] == with_body
    assert read_task({"task": {"S": write_task(task)}}) == task
    assert task.behaviour == parse_behaviour("seconds=3&callback=lying&feed=bare")
    assert isinstance(task.created_at, datetime)


def test_a_reply_that_needs_a_socket_is_a_bug_not_a_wrong_reply():
    with pytest.raises(ValueError, match="raw socket"):
        write_reply(Reply(None, "timeout"))
