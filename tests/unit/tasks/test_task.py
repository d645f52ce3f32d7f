"""A task's stages, documents and identifiers."""

import json
import re
from typing import get_args, get_type_hints
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_one.tasks.documents import api_document, document, without_query
from act_one.tasks.identifiers import derive_task_id, hash_request, new_claim_id
from act_one.tasks.moves import MOVES, may_move
from act_one.tasks.task import SETTLED, Delivery, Notice, Stage, Task, TaskChanges, Webhook
from tests.unit.examples import metadata, task, tasks

LIFE = """
    stage       | moves to                                                  | status    | done
    ------------+-----------------------------------------------------------+-----------+-----
    accepted    | submitting failed canceled unconfirmed                    | queued    | no
    submitting  | submitted running storing failed unconfirmed accepted     | queued    | no
    unconfirmed | submitted running storing failed expired                  | running   | no
    submitted   | running storing failed expired                            | running   | no
    running     | storing failed expired                                    | running   | no
    storing     | succeeded failed storing                                  | running   | no
    succeeded   |                                                           | succeeded | yes
    failed      | storing                                                   | failed    | yes
    canceled    |                                                           | canceled  | yes
    expired     | storing failed                                            | expired   | yes
"""
ROWS = [
    [cell.strip() for cell in line.split("|")] for line in LIFE.strip().splitlines() if "|" in line
][1:]


def test_the_moves_are_those_of_the_table():
    moves = {
        Stage(stage): {Stage(target) for target in targets.split()} for stage, targets, *_ in ROWS
    }

    assert moves == MOVES


@pytest.mark.parametrize("origin", Stage)
@pytest.mark.parametrize("target", Stage)
def test_may_move_allows_exactly_the_moves_of_the_table(origin, target):
    allowed = {stage: targets.split() for stage, targets, *_ in ROWS}

    assert may_move(origin, target) is (target.value in allowed[origin.value])


@pytest.mark.parametrize(("stage", "status", "done"), [(row[0], row[2], row[3]) for row in ROWS])
def test_a_document_shows_status_and_done(stage, status, done):
    shown = document(task(Stage(stage)))

    assert (shown["stage"], shown["status"]) == (stage, status)
    assert shown["done"] is (done == "yes")
    assert (Stage(stage) in SETTLED) is (done == "yes")


def test_only_succeeded_and_canceled_tasks_never_move():
    assert {stage for stage, targets in MOVES.items() if not targets} == {
        *(Stage.SUCCEEDED, Stage.CANCELED),
    }


def test_a_document_has_the_documented_members():
    assert list(document(task())) == [
        *("id", "status", "stage", "done", "version", "billing", "cost_micro_usd"),
        *("progress",),
        *("created_at", "updated_at", "input", "output", "error", "warnings", "metadata"),
        *("consent", "disclosure", "settled_by", "late", "correlation_id", "origin", "links"),
        "webhook",
    ]


def test_a_document_shows_a_new_task():
    shown = document(task(Stage.SUBMITTED, created_at=1_800_000_000.25, metadata={"a": 1}))

    assert shown["id"] == shown["links"]["self"].removeprefix("/v1/tasks/")
    assert shown["created_at"] == "2027-01-15T08:00:00.250Z"
    assert shown["metadata"] == {"a": 1}
    assert (shown["output"], shown["error"], shown["settled_by"]) == (None, None, None)


@given(tasks)
def test_any_document_is_valid_json(any_task):
    text = json.dumps(document(any_task), ensure_ascii=False, allow_nan=False)

    assert json.loads(text)["id"] == any_task.task_id
    text.encode()


paths = st.text("abc/%20-._~=&;,:@!$'()*+", max_size=20)
queries = st.text("abc/%20-._~=&;,:@!$'()*+?", max_size=20).map("{}SECRET".format)


@given(paths, st.sampled_from("?#"), queries, st.sampled_from(["", "#SECRET"]))
def test_a_document_hides_url_queries(path, mark, query, fragment):
    url = f"https://media.example:8443/{path}"
    shown = document(task(video=f"{url}{mark}{query}{fragment}", image=f"{url}?{query}"))

    assert shown["input"] == {"video": url, "image": url}
    assert "SECRET" not in json.dumps(shown)


def test_the_api_document_shows_input_urls_unchanged():
    shown = api_document(task(video="https://media.example/a.mp4?sig=1"))

    assert shown["input"]["video"] == "https://media.example/a.mp4?sig=1"


def test_the_api_document_shows_webhook_and_deliveries():
    made = Delivery(
        webhook_id="t#4",
        event="task.succeeded",
        attempt=1,
        at=1_800_000_000.25,
        milliseconds=31,
        status=503,
        reply="busy",
        error="answered 503",
        next_at=1_800_000_005.5,
    )
    webhook = Webhook(url="https://user.example/hook?token=SECRET", events=("task.succeeded",))
    shown = api_document(task(Stage.SUCCEEDED, webhook=webhook, deliveries=(made,)))

    assert shown["webhook"] == {
        "url": "https://user.example/hook",
        "events": ["task.succeeded"],
        "form": "standard",
        "deliveries": [
            {
                "webhook_id": "t#4",
                "event": "task.succeeded",
                "attempt": 1,
                "at": "2027-01-15T08:00:00.250Z",
                "status": 503,
                "ms": 31,
                "reply": "busy",
                "error": "answered 503",
                "next_at": "2027-01-15T08:00:05.500Z",
            }
        ],
    }
    assert api_document(task())["webhook"] is None


@given(paths, queries)
def test_removing_a_query_keeps_the_path(path, query):
    cut = without_query(f"https://media.example/{path}?{query}")

    assert urlsplit(cut).path == f"/{path}"
    assert cut == without_query(cut)


# ── Identifiers and hashes ────────────────────────────────────────────────────────────────────

clients = st.text("0123456789abcdef", min_size=16, max_size=16)


@given(clients, st.text(min_size=1, max_size=300))
def test_a_client_and_key_always_give_the_same_id(client, key):
    task_id = derive_task_id(client, key)

    assert task_id == derive_task_id(client, key)
    assert re.fullmatch(r"task_[0-9a-f]{32}", task_id)


@given(st.sets(st.tuples(clients, st.text(max_size=20)), min_size=2, max_size=20))
def test_other_clients_and_keys_give_other_ids(pairs):
    assert len({derive_task_id(client, key) for client, key in pairs}) == len(pairs)


def test_derived_ids_never_change_between_releases():
    task_id = derive_task_id("0123456789abcdef", "order-42")

    assert task_id == "task_6f1944cef7bc655a18e63c39ee7845b6"


def test_ids_without_a_key_are_unique():
    names = {derive_task_id("client", None) for _ in range(100)}

    assert len(names) == 100
    assert all(re.fullmatch(r"task_[0-9a-f]{32}", name) for name in names)


def test_claim_ids_are_unique():
    assert len({new_claim_id() for _ in range(1_000)}) == 1_000


@given(metadata)
def test_a_request_hash_ignores_the_order_of_members(body):
    backwards = dict(reversed(body.items()))

    assert hash_request(body) == hash_request(backwards)
    assert hash_request(body) != hash_request({**body, "one more": 1})


# ── Warnings, deadline and changes ────────────────────────────────────────────────────────────


def test_a_warning_replaces_an_older_one_of_its_code():
    one, two = Notice(code="a", message="old"), Notice(code="b", message="other")
    newest = Notice(code="a", message="new")

    assert task(warnings=(one, two)).with_warning(newest) == (two, newest)


def test_the_deadline_counts_from_sending_or_creation():
    assert task(created_at=100.0, sent_at=500.0).deadline(60.0) == 560.0
    assert task(created_at=100.0, sent_at=None).deadline(60.0) == 160.0


def test_task_changes_have_the_types_of_task_fields_or_none():
    declared = get_type_hints(Task)

    for name, kind in get_type_hints(TaskChanges).items():
        assert {*get_args(kind), kind} & {*get_args(declared[name]), declared[name]}
