"""What a client can do besides submitting one task: ask first, submit many, try again."""

import time
import uuid
from contextlib import suppress
from itertools import count
from typing import Any
from urllib.parse import urljoin

import boto3
import pytest
import requests

from act_one.tasks.table import MovedOnError
from local.stack import REGION, LocalStack
from ops.clients import register_of
from ops.pause import set_paused
from tests.e2e.caller import SECONDS, Caller

PRICE = 400_000
NUMBERS = count(1)


@pytest.fixture(scope="module")
def register(stack: LocalStack):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
        session = boto3.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
        )
        yield register_of(stack.stack_name, session)


@pytest.fixture
def create(stack, register):
    """Create a client with limits; returns it as a caller."""

    def create_client(**limits: Any) -> Caller:
        return Caller(stack, register.create(f"acting-{next(NUMBERS)}", limits))

    return create_client


@pytest.fixture
def paused(register):
    set_paused(register.table, register.dynamodb, paused=True)
    time.sleep(6)  # functions may go on for five seconds
    yield
    set_paused(register.table, register.dynamodb, paused=False)
    time.sleep(6)


def key() -> str:
    return uuid.uuid4().hex


def batch(caller: Caller, *entries: Any) -> list[dict[str, Any]]:
    answer = requests.post(
        f"{caller.stack.api_url}/tasks/batch",
        json={"tasks": entries},
        headers=caller.headers,
        timeout=SECONDS,
    )
    assert answer.status_code == 207, answer.text
    return answer.json()["results"]


def retry(caller: Caller, task_id: str, body: Any = None) -> requests.Response:
    url = f"{caller.stack.api_url}/tasks/{task_id}/retry"
    return requests.post(url, json=body, headers=caller.headers, timeout=SECONDS)


# ── The dry run ───────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_says_what_would_happen_and_nothing_happens(create):
    acme = create(daily_budget=PRICE)
    rows = acme.rows()
    named = {"Idempotency-Key": key()}

    dry = acme.post(acme.body("seconds=1", dry_run=True), named)

    assert dry.status_code == 200, dry.text
    assert dry.json() | {"budget": None, "eta_seconds": None, "eta_seconds_p90": None} == {
        "dry_run": True,
        "would": "create",
        "task_id": None,
        "cost_micro_usd": PRICE,
        "warnings": [],
        "budget": None,
        "eta_seconds": None,
        "eta_seconds_p90": None,
    }
    assert dry.json()["budget"]["left_micro_usd"] == PRICE
    assert "Location" not in dry.headers
    assert acme.rows() == rows
    real = acme.post(acme.body("seconds=1"), named)
    assert real.status_code == 202
    again = acme.post(acme.body("seconds=1", dry_run=True), named)
    assert (again.json()["would"], again.json()["task_id"]) == ("replay", real.json()["id"])
    other = acme.post(acme.body("seconds=1", dry_run=True, metadata={"a": 1}), named)
    assert (other.status_code, other.json()["differs"]) == (409, ["metadata"])
    assert acme.creates_paid(real.json()["id"]) == 1


def test_a_dry_run_is_refused_for_what_its_request_would_be(create, caller, files, sources):
    acme = create(daily_budget=PRICE)
    acme.submit("seconds=1")
    video = files.put("too-long.mp4", sources("long.mp4"))

    problems = [
        acme.post(acme.body(dry_run=True)),
        caller.post(caller.body(dry_run=True) | {"video": video}),
        caller.post(caller.body(dry_run="yes")),
        caller.post({"upload_id": "0" * 16, "dry_run": True}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in problems] == [
        (429, "budget-exceeded"),
        (422, "input-too-long"),
        (400, "field-not-boolean"),
        (422, "input-not-there"),
    ]


# ── Batches ───────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_taken_at_once_and_sent_by_ingest(caller, bus):
    keys = [key() for _ in range(12)]
    entries = [caller.body("seconds=1", idempotency_key=one) for one in keys]
    unknown = {**caller.body(), "idempotency_key": key(), "prompt": "smile"}

    results = batch(caller, *entries, unknown, caller.body())

    tasks = [one["task"] for one in results[:12]]
    assert [one["status"] for one in results] == [202] * 12 + [400, 400]
    assert [one["problem"]["code"] for one in results[12:]] == [
        "unknown-field",
        "idempotency-key-missing",
    ]
    assert {task["stage"] for task in tasks} == {"accepted"}
    assert caller.get(tasks[-1]["id"]).status_code == 200
    for task in tasks:
        row = caller.row(task["id"])
        with suppress(MovedOnError):  # so that the fallback can't be what sends them
            caller.table.record(row, due_at=row.created_at + 10_000)
    for task in tasks:
        caller.wait(task["id"], {"succeeded"})
        assert caller.creates_paid(task["id"]) == 1
    bus.of(tasks[0]["id"], "Task Succeeded")
    alone = caller.post(caller.body("seconds=1"), {"Idempotency-Key": keys[3]})
    assert alone.json()["id"] == tasks[3]["id"]
    again = batch(caller, *entries)
    assert [(one["status"], one["replayed"]) for one in again] == [(200, True)] * 12
    assert sum(caller.creates_paid(task["id"]) for task in tasks) == 12


def test_a_batch_stays_within_its_budget_and_names_what_differs(create):
    acme = create(daily_budget=2 * PRICE)
    same = key()

    results = batch(
        acme,
        acme.body("seconds=1", idempotency_key=same),
        acme.body("seconds=1", idempotency_key=same),
        acme.body("seconds=1", idempotency_key=same, consent="release-1"),
        acme.body("seconds=1", idempotency_key=key()),
        acme.body("seconds=1", idempotency_key=key()),
    )

    assert [one["status"] for one in results] == [202, 202, 409, 202, 429]
    assert results[1]["task"]["id"] == results[0]["task"]["id"]
    assert results[2]["problem"]["differs"] == ["consent"]
    assert results[4]["problem"]["code"] == "budget-exceeded"
    for number in (0, 3):
        acme.wait(results[number]["task"]["id"], {"succeeded"})


def test_a_batchs_input_that_the_provider_would_fail_on_ends_its_task(caller, files, sources):
    video = files.put("too-long-too.mp4", sources("long.mp4"))
    entry = caller.body(idempotency_key=key()) | {"video": video}

    [result] = batch(caller, entry)

    row = caller.wait(result["task"]["id"], {"failed"})
    assert row.error is not None
    assert row.error.code == "input_too_long"
    task = caller.read(row.task_id)
    assert (task["billing"], task["cost_micro_usd"]) == ("none", 0)
    assert caller.creates_paid(row.task_id) == 0


@pytest.mark.usefixtures("paused")
def test_a_batch_waits_while_sending_is_paused_and_its_tasks_can_be_canceled(caller):
    results = batch(caller, caller.body("seconds=1", idempotency_key=key()))

    task = results[0]["task"]
    assert [warning["code"] for warning in task["warnings"]] == ["sending_paused"]
    assert caller.cancel(task["id"]).status_code == 200
    dry = caller.post(caller.body(dry_run=True))
    assert dry.json()["would"] == "wait"


@pytest.mark.usefixtures("paused")
def test_a_hundred_requests_are_taken_in_one_call(create):
    acme = create()
    entries = [acme.body("seconds=1", idempotency_key=key()) for _ in range(100)]

    began = time.monotonic()
    results = batch(acme, *entries)
    took = time.monotonic() - began

    print(f"100 requests of a batch took {took:.1f} s")
    assert {one["status"] for one in results} == {202}
    for one in results:
        assert acme.cancel(one["task"]["id"]).status_code == 200


# ── Retries ───────────────────────────────────────────────────────────────────────────────────


def test_a_failed_task_is_retried_once_whoever_asks_again(caller):
    parent = caller.submit("seconds=1&result=failed", metadata={"order": "42"}, consent="rel-1")
    caller.wait(parent, {"failed"})

    answer = retry(caller, parent)

    child = answer.json()
    assert answer.status_code == 202, answer.text
    assert urljoin(answer.request.url, answer.headers["Location"]).endswith(child["links"]["self"])
    assert (child["retry_of"], child["metadata"]) == (parent, {"order": "42"})
    assert child["consent"] == "rel-1"
    assert child["links"]["retry_of"] == f"/v1/tasks/{parent}"
    assert caller.read(parent)["retried_by"] == child["id"]
    again = retry(caller, parent)
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (child["id"], "true")
    caller.wait(child["id"], {"failed"})
    assert caller.creates_paid(child["id"]) == 1
    assert retry(caller, parent).status_code == 200


def test_a_retry_that_may_be_paid_for_twice_needs_the_clients_word(caller):
    parent = caller.submit("seconds=30&callback=lost&create=cut_after")
    caller.wait(parent, {"unconfirmed"})

    refused = retry(caller, parent)
    taken = retry(caller, parent, {"may_be_billed_twice": True})

    assert (refused.status_code, refused.json()["code"]) == (409, "retry-may-bill-twice")
    assert taken.json()["retry_of"] == parent


def test_what_has_a_result_or_may_get_one_is_not_retried(caller, create):
    succeeded = caller.submit("seconds=1")
    open_task = caller.submit("seconds=20")
    moderated = caller.submit("seconds=1&result=failed&reason=SAFETY.INPUT.IMAGE")
    caller.wait(succeeded, {"succeeded"})
    caller.wait(moderated, {"failed"})

    answers = [retry(caller, one) for one in (succeeded, open_task, moderated)]

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert {answer.json()["code"] for answer in answers} == {"not-retryable"}
    assert retry(create(), succeeded).status_code == 404
    assert retry(caller, moderated, {"may_be_billed_twice": 1}).status_code == 400


def test_a_result_that_could_not_be_fetched_is_copied_again(caller):
    task_id = caller.submit("seconds=1&callback=lost&media=missing&media_times=1")
    # As if its result had been known for more than a day: the next failure to fetch it ends it.
    row = caller.wait(task_id, {"storing"})
    caller.table.record(row, source_known_at=row.source_known_at - 90_000)
    assert caller.wait(task_id, {"failed"}).error.code == "media_unavailable"

    answer = retry(caller, task_id)

    assert (answer.status_code, answer.json()["id"]) == (202, task_id)
    assert [one["code"] for one in answer.json()["warnings"]][-1] == "copy_requested"
    assert caller.wait(task_id, {"succeeded"}).late
    assert caller.creates_paid(task_id) == 1
