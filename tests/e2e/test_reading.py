"""Reading: lists of tasks, waits for their end, and reads that make up for a lost callback."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e.caller import SECONDS, Caller
from tests.e2e.conftest import PARAMETERS
from tests.sizes import size

MIN_POLL_SECONDS = int(PARAMETERS["MinPollSeconds"])
READERS = size(6, 20)
BAD_QUERIES = {
    "tasks?color=red": ("unknown-parameter", "color"),
    "tasks?limit=20&limit=30": ("repeated-parameter", "limit"),
    "tasks?limit=0": ("limit-invalid", "limit"),
    "tasks?limit=101": ("limit-invalid", "limit"),
    "tasks?limit=many": ("limit-invalid", "limit"),
    "tasks?status=done": ("status-unknown", "status"),
    "tasks?created_after=yesterday": ("time-invalid", "created_after"),
    "tasks?created_before=2026-11-22T12:00:00": ("time-invalid", "created_before"),
    "tasks?created_after=2026-11-22T12:00:00Z&created_before=2026-11-22T12:00:00Z": (
        *("time-range-empty", "created_before"),
    ),
    "tasks?metadata.=1": ("unknown-parameter", "metadata."),
    "tasks?next_token=made-up": ("next-token-invalid", "next_token"),
    "tasks/{}?wait=soon": ("wait-invalid", "wait"),
    "tasks/{}?wait=-1": ("wait-invalid", "wait"),
    "tasks/{}?refresh=yes": ("refresh-invalid", "refresh"),
    "tasks/{}?fields=id": ("unknown-parameter", "fields"),
}


def get(caller: Caller, path: str, headers=None, **parameters):
    return requests.get(
        f"{caller.stack.api_url}/{path}",
        params=parameters,
        headers={**caller.headers, **(headers or {})},
        timeout=SECONDS,
    )


def pages(caller: Caller, **parameters):
    token = None
    while True:
        answer = get(caller, "tasks", **parameters, **({"next_token": token} if token else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page["tasks"]
        token = page["next_token"]
        if token is None:
            return


def ids(caller: Caller, **parameters):
    return [task["id"] for page in pages(caller, **parameters) for task in page]


@pytest.fixture(scope="module")
def warm(caller):
    """A task that has succeeded, so that a worker of each function is running."""
    task_id = caller.submit("seconds=1", metadata={"order": "warm"})
    caller.wait(task_id, {"succeeded"})
    return task_id


# ── Lists ─────────────────────────────────────────────────────────────────────────────────────


def test_a_client_lists_its_tasks_newest_first_in_pages(caller, stranger, warm):
    made = [caller.submit("seconds=1", metadata={"list": 7, "n": str(n)}) for n in range(5)]
    others = stranger.submit("seconds=1", metadata={"list": 7})
    for task_id in (*made, others):
        caller.wait(task_id, {"succeeded"})

    listed = ids(caller, limit=2, **{"metadata.list": "7"})

    assert listed == made[::-1]
    assert ids(caller, **{"metadata.list": "7", "metadata.n": "3"}) == [made[3]]
    assert ids(caller, status="queued,failed", **{"metadata.list": "7"}) == []
    assert ids(caller, status="succeeded", **{"metadata.list": "7"}) == made[::-1]
    created_at = caller.read(made[2])["created_at"]
    since = ids(caller, created_after=created_at, **{"metadata.list": "7"})
    until = ids(caller, created_before=created_at, **{"metadata.list": "7"})
    assert (since, until) == (made[:1:-1], made[1::-1])
    assert others not in ids(caller)
    assert warm in ids(caller)
    assert ids(stranger) == [others]


def test_a_listed_task_is_as_a_read_shows_it(caller, warm):
    [listed] = [task for page in pages(caller) for task in page if task["id"] == warm]
    read = caller.read(warm)
    links = [file.pop("url") for shown in (listed, read) for file in shown["output"].values()]

    assert listed == read
    assert all(requests.get(link, timeout=20).status_code == 200 for link in links)


def test_a_token_is_good_for_its_client_and_query_only(caller, stranger, warm):
    for _ in range(2):
        caller.submit("seconds=1")
    token = get(caller, "tasks", limit=1, status="succeeded").json()["next_token"]
    again = get(caller, "tasks", limit=5, status="succeeded", next_token=token)

    for who, query in ((stranger, {"status": "succeeded"}), (caller, {"status": "failed"})):
        answer = get(who, "tasks", next_token=token, **query)
        assert (answer.status_code, answer.json()["code"]) == (400, "next-token-invalid")
    assert again.status_code == 200
    del warm


@pytest.mark.parametrize("path", BAD_QUERIES)
def test_a_bad_query_names_its_parameter(path, caller, warm):
    answer = get(caller, path.format(warm))

    problem = answer.json()
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["field"]) == BAD_QUERIES[path]


def test_a_bad_query_of_a_submission_pays_for_nothing(caller):
    creates = caller.simulator("bill")["creates_seen"]
    for query, code in (("wait=soon", "wait-invalid"), ("wiat=9", "unknown-parameter")):
        answer = requests.post(
            f"{caller.stack.api_url}/tasks?{query}",
            json=caller.body(),
            headers=caller.headers,
            timeout=SECONDS,
        )
        assert (answer.status_code, answer.json()["code"]) == (400, code)

    assert caller.simulator("bill")["creates_seen"] == creates


# ── Waits ─────────────────────────────────────────────────────────────────────────────────────


def test_a_submission_that_waits_answers_with_the_result(caller, warm):
    answer = caller.post(caller.body("seconds=1"), {"Prefer": "respond-async, wait=20"})

    task = answer.json()
    assert answer.status_code == 200
    assert task["stage"] == "succeeded"
    assert requests.get(task["output"]["video"]["url"], timeout=20).status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=20"
    assert "Retry-After" not in answer.headers
    del warm


def test_a_wait_answers_when_time_is_up(caller, warm):
    posted = caller.post(caller.body("seconds=60&callback=lost"), {"Prefer": "wait=1"})
    began_at = time.monotonic()
    answer = get(caller, f"tasks/{posted.json()['id']}", wait=3)

    assert posted.status_code == 202
    assert answer.status_code == 200
    assert answer.json()["done"] is False
    assert answer.headers["Preference-Applied"] == "wait=3"
    assert 3 <= time.monotonic() - began_at < 8
    for open_one in (posted, answer):
        assert 1 <= int(open_one.headers["Retry-After"]) <= 60
    del warm


def test_a_read_that_waits_answers_when_the_task_ends(caller, warm):
    task_id = caller.submit("seconds=3")
    answer = get(caller, f"tasks/{task_id}", {"Prefer": 'wait="60"'})

    assert answer.json()["stage"] == "succeeded"
    assert answer.headers["Preference-Applied"] == "wait=25"
    del warm


def test_a_bad_preference_is_ignored(caller, warm):
    answer = get(caller, f"tasks/{warm}", {"Prefer": "wait=soon, wait=20"})

    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers


# ── Reads that ask the provider ───────────────────────────────────────────────────────────────


def test_a_read_makes_up_for_a_lost_callback(caller, warm):
    task_id = caller.submit("seconds=1&callback=lost")
    answer = get(caller, f"tasks/{task_id}", refresh="true", wait=20)

    task = answer.json()
    assert (task["stage"], task["settled_by"]) == ("succeeded", "read")
    assert caller.creates_paid(task_id) == 1
    assert caller.executions(task_id) == []
    del warm


def test_many_readers_ask_the_provider_as_often_as_one_may(caller, warm):
    waited_for = caller.submit("seconds=60&callback=lost")
    task_id = caller.submit("seconds=60&callback=lost")
    read = []

    def reading(ends_at):
        while time.monotonic() < ends_at:
            answer = get(caller, f"tasks/{task_id}", refresh="true")
            assert answer.status_code == 200, answer.text
            read.append(answer.json()["stage"])

    with ThreadPoolExecutor(READERS) as readers:
        # As many workers as readers: one that waits serves no other.
        list(readers.map(lambda _: get(caller, f"tasks/{waited_for}", wait=3), range(READERS)))
        asked_before, began_at = caller.provider_task(task_id)["feeds"], time.monotonic()
        list(readers.map(reading, [began_at + 6] * READERS))
    most = (time.monotonic() - began_at) / MIN_POLL_SECONDS + 1
    asked = caller.provider_task(task_id)["feeds"] - asked_before

    assert len(read) > 2 * most, "too few reads to tell"
    assert 2 <= asked <= most
    del warm


# ── Estimates ─────────────────────────────────────────────────────────────────────────────────


def test_an_open_task_says_when_it_will_have_ended_by_past_ones(caller, warm):
    for _ in range(5):
        caller.wait(caller.submit("seconds=1"), {"succeeded"})
    task_id = caller.submit("seconds=60&callback=lost")
    ends_at = time.monotonic() + 90
    while caller.read(task_id)["eta_seconds"] is None:  # functions keep what they read a minute
        assert time.monotonic() < ends_at
        time.sleep(1)

    task = caller.read(task_id)
    assert 0 <= task["eta_seconds"] <= task["eta_seconds_p90"] < 60
    assert not {"eta_seconds", "eta_seconds_p90"} & caller.read(warm).keys()
