"""Clients with keys, limits and budgets of their own, as an operator makes them."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import requests

from local.stack import LocalStack
from ops.clients import ClientRegister
from ops.pause import set_paused
from tests.e2e.caller import SECONDS, Caller
from tests.e2e.drops import Dropper, image, video
from tests.sizes import size

NUMBERS = count(1)
PRICE = 400_000
REQUESTS = size(12, 200)
AT_ONCE = 12
"""Each needs a worker of the emulator."""
AFFORDABLE = REQUESTS // 4


@pytest.fixture
def create(stack: LocalStack, register: ClientRegister):
    """Create a client with limits; returns it as a caller, and its name."""

    def create_client(**limits: Any) -> tuple[Caller, str]:
        name = f"client-{next(NUMBERS)}"
        return Caller(stack, register.create(name, limits)), name

    return create_client


@pytest.fixture(scope="module")
def dropper(stack: LocalStack):
    return Dropper(stack)


def usage(caller: Caller) -> dict[str, Any]:
    url = f"{caller.stack.api_url}/usage"
    answer = requests.get(url, headers=caller.headers, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────


def test_a_clients_tasks_are_missing_to_others(create, caller):
    acme, _ = create()
    task_id = acme.submit("seconds=1")
    others = caller.submit("seconds=1")

    assert acme.read(task_id)["id"] == task_id
    assert caller.get(task_id).status_code == acme.get(others).status_code == 404
    assert caller.cancel(task_id).status_code == 404


def test_a_request_is_the_same_before_and_after_its_clients_key_is_rotated(create, register, stack):
    old, name = create()
    body = old.body("seconds=1")
    key = {"Idempotency-Key": "order-42"}
    first = old.post(body, key)

    new = Caller(stack, register.rotate(name))
    again = new.post(body, key)

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert old.read(first.json()["id"])["id"] == first.json()["id"]
    assert old.creates_paid(first.json()["id"]) == 1
    register.finish_rotation(name)
    assert old.get(first.json()["id"]).status_code == 403
    assert new.get(first.json()["id"]).status_code == 200


def test_a_revoked_clients_key_stops_working(create, register):
    acme, name = create()
    task_id = acme.submit("seconds=1")

    register.revoke(name)

    assert acme.get(task_id).status_code == 403
    assert next(one for one in register.all() if one.client.name == name).client.revoked


# ── Limits ────────────────────────────────────────────────────────────────────────────────────


def test_requests_at_once_never_exceed_a_budget(create):
    acme, _ = create(daily_budget=AFFORDABLE * PRICE)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = [*pool.map(lambda _: acme.post(acme.body("seconds=1")), range(REQUESTS))]

    created = [answer.json()["id"] for answer in answers if answer.status_code in {200, 202}]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(created), len(refused)) == (AFFORDABLE, REQUESTS - AFFORDABLE)
    assert {answer.json()["code"] for answer in refused} == {"budget-exceeded"}
    assert 0 < int(refused[0].headers["Retry-After"]) <= 86_400
    assert refused[0].json()["resets_at"].endswith("T00:00:00.000Z")
    for task_id in created:
        acme.wait(task_id, {"succeeded"})
    assert sum(map(acme.creates_paid, created)) == AFFORDABLE
    [day] = usage(acme)["days"]
    assert (day["spent_micro_usd"], day["reserved_micro_usd"]) == (AFFORDABLE * PRICE, 0)
    assert (day["tasks"], day["succeeded"]) == (AFFORDABLE, AFFORDABLE)
    assert day["stored_bytes"] > 0
    assert usage(acme)["budget"]["left_micro_usd"] == 0


def test_what_was_certainly_not_billed_gives_its_budget_back(create):
    acme, _ = create(daily_budget=PRICE)
    rejected = acme.submit("create=rejected")
    acme.wait(rejected, {"failed"})

    assert acme.read(rejected)["cost_micro_usd"] == 0
    task_id = acme.submit("seconds=1")

    acme.wait(task_id, {"succeeded"})
    assert acme.read(task_id)["cost_micro_usd"] == PRICE
    [day] = usage(acme)["days"]
    assert (day["failed"], day["succeeded"], day["spent_micro_usd"]) == (1, 1, PRICE)


def test_a_client_may_have_so_many_open_tasks(create):
    acme, _ = create(max_open=1)
    open_task = acme.submit("seconds=8")

    refused = acme.post(acme.body("seconds=1"))
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-open-tasks")

    acme.wait(open_task, {"succeeded"})
    acme.submit("seconds=1")


# ── The other ways in ─────────────────────────────────────────────────────────────────────────


def test_a_clients_folder_is_its_task(create, dropper, caller):
    acme, name = create()
    folder = f"@{name}/shot-1"
    dropper.put(folder, "face.png", image(folder))
    dropper.put(folder, "performance.mp4", video(folder))

    task = dropper.task_of(folder)

    dropper.wait(task.task_id, {"succeeded"})
    assert acme.read(task.task_id)["origin"] == {"upload": dropper.uri(folder)}
    assert caller.get(task.task_id).status_code == 404


def test_a_folder_of_no_client_is_told_so(dropper):
    folder = "@nobody/shot-1"
    dropper.put(folder, "face.png", image(folder))
    dropper.put(folder, "performance.mp4", video(folder))

    assert dropper.written(folder, "problem.json")["code"] == "client-unknown"
    assert dropper.tasks_of(folder) == []


def test_events_speak_for_the_clients_that_allow_their_source(create, dropper, bus, caller):
    acme, name = create(event_sources=("my.shop",))
    _, other = create()

    mine = dropper.event(dropper.body("seconds=1", client=name))
    refused = dropper.event(dropper.body("seconds=1", client=other))

    [rejected] = bus.of(refused, "Task Rejected")
    assert rejected["detail"]["problem"]["code"] == "client-not-yours"
    task = dropper.requested(mine, owner=name)
    assert (task.client_id, acme.read(task.task_id)["id"]) == (name, task.task_id)
    assert caller.get(task.task_id).status_code == 404


def test_shared_tasks_are_read_by_those_that_may(create, dropper):
    reader, _ = create(may_read=frozenset({"events"}))
    stranger, _ = create()

    task = dropper.requested(dropper.event(dropper.body("seconds=1")))

    assert reader.get(task.task_id).status_code == 200
    assert stranger.get(task.task_id).status_code == 404


# ── The pause ─────────────────────────────────────────────────────────────────────────────────


def test_tasks_wait_while_sending_is_paused_and_are_sent_afterwards(create, register):
    acme, _ = create()
    set_paused(register.table, register.dynamodb, paused=True)
    try:
        time.sleep(6)  # functions may go on for five seconds
        task_id = acme.submit("seconds=1")
        held = acme.read(task_id)
        assert (held["stage"], held["billing"]) == ("accepted", "none")
        assert [warning["code"] for warning in held["warnings"]] == ["sending_paused"]
        assert acme.creates_paid(task_id) == 0
    finally:
        set_paused(register.table, register.dynamodb, paused=False)

    acme.wait(task_id, {"succeeded"})
    assert acme.creates_paid(task_id) == 1
