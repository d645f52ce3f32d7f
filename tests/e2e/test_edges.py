"""What every reply carries, whatever it is about, and the one id that follows a task."""

import json
import re
import time
import uuid
from collections import defaultdict

import pytest
import requests

from tests.e2e.conftest import PARAMETERS
from tests.e2e.drops import Dropper, image, video
from tests.endpoints import endpoint

ORIGIN = PARAMETERS["CorsOrigin"]
READABLE = {
    *("etag", "idempotent-replayed", "location", "preference-applied"),
    *("retry-after", "x-request-id"),
}
SENT = {
    "content-type",
    "idempotency-key",
    "if-none-match",
    "prefer",
    "x-api-key",
    "x-request-id",
}
SECURITY = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
}
GATEWAY_POLICY = "sandbox"
PLANS = {
    "too-many-requests": ({"throttle": {"rateLimit": 1.0, "burstLimit": 1}}, "1"),
    "quota-exceeded": ({"quota": {"limit": 1, "period": "DAY"}}, "3600"),
}


def split(header):
    return {name.strip().lower() for name in header.split(",")}


def faults_of_headers(answer, policy=SECURITY["content-security-policy"]):
    """List what a reply lacks for browsers and for reasons of security."""
    headers = answer.headers
    if headers.get("access-control-allow-origin") != ORIGIN:
        yield f"access-control-allow-origin: {headers.get('access-control-allow-origin')}"
    if split(headers.get("access-control-expose-headers", "")) != READABLE:
        yield f"access-control-expose-headers: {headers.get('access-control-expose-headers')}"
    for name, value in {**SECURITY, "content-security-policy": policy}.items():
        if headers.get(name) != value:
            yield f"{name}: {headers.get(name)}"
    if not re.fullmatch(r"[!-~]{1,128}", headers.get("x-request-id", "")):
        yield f"x-request-id: {headers.get('x-request-id')}"


@pytest.fixture
def key_of_plan(stack):
    """Make an API key in a usage plan of its own."""
    gateway = stack.client("apigateway")
    [own] = gateway.get_usage_plans()["items"]
    made = []

    def make(**limits):
        plan = gateway.create_usage_plan(name="limited", apiStages=own["apiStages"], **limits)
        key = gateway.create_api_key(name="limited", enabled=True)
        gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
        made.append(plan["id"])
        return key["value"]

    yield make
    for plan in made:
        gateway.delete_usage_plan(usagePlanId=plan)


@pytest.mark.parametrize("code", PLANS)
def test_a_plan_that_is_used_up_answers_with_a_problem_and_when_to_ask_again(
    code, key_of_plan, caller
):
    limits, seconds = PLANS[code]
    url, headers = f"{caller.stack.api_url}/tasks/task_1", {"x-api-key": key_of_plan(**limits)}

    answers = [requests.get(url, headers=headers, timeout=20) for _ in range(4)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    for answer in refused:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == seconds
        assert (answer.json()["status"], answer.json()["code"]) == (429, code)
        assert [*faults_of_headers(answer, GATEWAY_POLICY)] == []


def test_every_path_answers_a_preflight_without_a_key(stack):
    gateway = stack.client("apigateway")
    resources = gateway.get_resources(restApiId=stack.api_id, limit=500)["items"]
    methods = {one["path"]: set(one.get("resourceMethods", {})) for one in resources}
    paths = {path: names for path, names in methods.items() if names}
    assert {"/tasks", "/tasks/{task_id}"} <= paths.keys()

    for path, names in paths.items():
        answer = requests.options(
            stack.api_url + re.sub(r"{\w+}", "any", path),
            headers={
                "Origin": ORIGIN,
                "Access-Control-Request-Method": next(iter(names - {"OPTIONS"})),
                "Access-Control-Request-Headers": "x-api-key",
            },
            timeout=20,
        )
        assert answer.status_code == 200, path
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert split(answer.headers["access-control-allow-headers"]) == SENT
        assert split(answer.headers["access-control-allow-methods"]) == {
            name.lower() for name in names
        }
        assert answer.headers["access-control-max-age"] == "600"
        assert "access-control-allow-credentials" not in answer.headers


def test_every_reply_can_be_read_by_the_allowed_page_and_is_kept_by_nobody(caller):
    task_id = caller.submit("seconds=1")
    url = caller.stack.api_url

    replies = {
        "created": caller.post(caller.body("seconds=1")),
        "read": caller.get(task_id),
        "uploads": requests.post(f"{url}/uploads", headers=caller.headers, timeout=20),
        "secret": requests.get(f"{url}/webhook-secret", headers=caller.headers, timeout=20),
        "400": caller.post("{"),
        "404": caller.get("task_that_is_not_there"),
        "409": caller.cancel(task_id),
    }
    gateways = {
        "no key": requests.get(f"{url}/tasks/{task_id}", timeout=20),
        "no route": requests.get(f"{url}/nothing", headers=caller.headers, timeout=20),
    }

    faults = {name: [*faults_of_headers(answer)] for name, answer in replies.items()}
    faults |= {
        name: [*faults_of_headers(answer, GATEWAY_POLICY)] for name, answer in gateways.items()
    }
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize("sent", ["order-42/7", "!" * 128, "~"])
def test_a_request_id_of_the_client_is_returned_and_becomes_the_tasks(sent, caller):
    answer = caller.post(caller.body("seconds=1"), {"X-Request-Id": sent})

    assert answer.headers["x-request-id"] == sent
    assert answer.json()["correlation_id"] == sent
    assert caller.read(answer.json()["id"])["correlation_id"] == sent
    refused = caller.post("{", {"X-Request-Id": sent})
    assert (refused.status_code, refused.headers["x-request-id"]) == (400, sent)


@pytest.mark.parametrize("sent", [None, "", "a b", "!" * 129, "caf\u00e9"])
def test_without_a_usable_request_id_the_gateways_is_returned_and_becomes_the_tasks(sent, caller):
    headers = {} if sent is None else {"X-Request-Id": sent.encode("latin-1")}

    answer = caller.post(caller.body("seconds=1"), headers)

    assert answer.status_code == 202
    given = answer.headers["x-request-id"]
    assert str(uuid.UUID(given)) == given
    assert answer.json()["correlation_id"] == given


def test_a_repeat_is_answered_under_its_own_id_and_the_task_keeps_that_of_the_first(caller):
    body = caller.body("seconds=1")

    def ask(request_id):
        return caller.post(body, {"Idempotency-Key": "two ids", "X-Request-Id": request_id})

    first, again = ask("first"), ask("again")

    assert first.json()["id"] == again.json()["id"]
    assert [answer.headers["x-request-id"] for answer in (first, again)] == ["first", "again"]
    assert {answer.json()["correlation_id"] for answer in (first, again)} == {"first"}


# ── One id through all functions ──────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def ways(stack, caller, bus):
    """One ended task for each way, by the id that it should have; what its endpoint got."""
    del bus  # which has to listen from now on
    dropper = Dropper(stack)
    with endpoint() as house:
        hook = {"webhook": {"url": f"{house.url}/hook"}}
        ids = {}
        for way, behaviour in {
            "callback": "seconds=1&callback=once",
            "fallback": "seconds=1&callback=lost",
            "refused": "seconds=1&create=throttled&create_times=1&retry_after=1&reason=edges",
            "unconfirmed": "seconds=1&create=cut_after",
            "copied-again": "seconds=1&media=expired&media_times=1",
            "rejected": "create=rejected",
        }.items():
            sent = caller.post(caller.body(behaviour, **hook), {"X-Request-Id": f"way-{way}"})
            ids[f"way-{way}"] = sent.json()["id"]
        dropper.put("edges", "performance.mp4", video("edges"))
        dropper.put("edges", "character.png", image("edges"))
        event_id = dropper.event(dropper.body("seconds=1", **hook))
        key = "edges-message"
        message_id = dropper.message(dropper.body("seconds=1", idempotency_key=key, **hook))
        folder = dropper.task_of("edges")
        assert folder.correlation_id
        ids |= {
            event_id: dropper.requested(event_id).task_id,
            message_id: dropper.requested(key).task_id,
            folder.correlation_id: folder.task_id,
        }
        for task_id in ids.values():
            caller.wait(task_id, {"succeeded", "failed"})
        dropper.written("edges", "result.json")
        hooked = set(ids.values()) - {folder.task_id}
        ends_at = time.monotonic() + 60
        while hooked - {task["id"] for task in sent_to(house)} and time.monotonic() < ends_at:
            time.sleep(0.2)
        yield ids, sent_to(house)


def sent_to(house):
    return [json.loads(one.body)["data"] for one in house.of("/hook")]


def test_a_task_keeps_the_id_of_the_request_that_made_it(ways, caller):
    ids, _ = ways

    assert {caller.row(task_id).correlation_id for task_id in ids.values()} == ids.keys()
    for correlation_id, task_id in ids.items():
        assert caller.read(task_id)["correlation_id"] == correlation_id


def test_events_webhooks_and_task_json_have_the_id(ways, caller, bus):
    ids, sent = ways

    for correlation_id, task_id in ids.items():
        row = caller.row(task_id)
        events = bus.of(task_id, f"Task {row.stage.title()}")
        assert {event["detail"]["correlation_id"] for event in events} == {correlation_id}
        if row.output is not None:
            folder = row.output.video.s3_uri.rpartition("/")[0]
            stored = json.loads(caller.object(f"{folder}/task.json"))
            assert stored["correlation_id"] == correlation_id
    assert {task["correlation_id"] for task in sent} == {
        name for name, task_id in ids.items() if caller.row(task_id).webhook
    }
    for task in sent:
        assert ids[task["correlation_id"]] == task["id"]


def test_every_log_line_about_a_task_has_its_id_in_every_function(ways, stack):
    ids, _ = ways
    about = {task_id: correlation_id for correlation_id, task_id in ids.items()}
    logs = stack.client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]

    found = defaultdict(set)
    spoke = set()
    for group in groups:
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                mentioned = [task_id for task_id in about if task_id in event["message"]]
                if not mentioned or not event["message"].startswith("{"):
                    continue
                line = json.loads(event["message"])
                [task_id] = mentioned
                assert line.get("task_id") == task_id, event["message"]
                found[task_id].add(line.get("correlation_id"))
                spoke.add(group)

    assert dict(found) == {task_id: {about[task_id]} for task_id in about}
    for name in ("Submit", "Callback", "Fallback", "Copy", "Ingest", "Webhooks"):
        assert any(f"{name}Logs" in group for group in spoke), f"{name} said nothing of any task"
