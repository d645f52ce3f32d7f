"""Every conditional write, against a table as the template makes it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings

from act_one.tasks import table as table_module
from act_one.tasks.moves import may_move
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import (
    Billing,
    Delivery,
    Evidence,
    MediaUrls,
    Notice,
    Output,
    SettledBy,
    Stage,
    StoredMedia,
    Webhook,
)
from tests.unit.examples import SOURCE, TASK, task, tasks
from tests.unit.fakes import BEGINNING

NOW = BEGINNING + 100.0
REST = 5.0
HOOK = Webhook(url="https://user.example/hook?token=t0p", events=("task.succeeded",))


class Forgetful:
    """A client that loses the reply to each write, and so sends it again."""

    def __init__(self, client):
        self._client = client
        self.exceptions = client.exceptions

    def put_item(self, **request):
        self._client.put_item(**request)
        return self._client.put_item(**request)

    def update_item(self, **request):
        self._client.update_item(**request)
        return self._client.update_item(**request)


@pytest.fixture
def forgetful(table):
    return TaskTable(Forgetful(table.client), table.name)


def moved_on(write, *arguments, **more):
    """The row on which a write failed."""
    with pytest.raises(MovedOnError) as caught:
        write(*arguments, **more)
    return caught.value.current


def at_once(write, count=2):
    """Calls that are made at the same moment: what each returned, or raised."""
    barrier = Barrier(count)

    def call(number):
        barrier.wait(5)
        try:
            return write(number)
        except MovedOnError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def winners(results):
    return [result for result in results if not isinstance(result, MovedOnError)]


class InTransaction:
    """A client whose first writes meet others' transactions on the row."""

    def __init__(self, client, times):
        self._client = client
        self.times = times
        self.exceptions = client.exceptions

    def put_item(self, **request):
        self._meet("PutItem")
        return self._client.put_item(**request)

    def update_item(self, **request):
        self._meet("UpdateItem")
        return self._client.update_item(**request)

    def _meet(self, operation):
        self.times -= 1
        if self.times >= 0:
            raise self.exceptions.TransactionConflictException({"Error": {}}, operation)


# ── Create and read ───────────────────────────────────────────────────────────────────────────


def test_what_is_created_can_be_read(table):
    assert table.create(TASK) == TASK
    assert table.read(TASK.task_id) == TASK


def test_what_is_not_there_is_none(table):
    assert table.read(TASK.task_id) is None


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tasks)
def test_any_task_survives_the_table(table, any_task):
    table.client.delete_item(TableName=table.name, Key={"task_id": {"S": any_task.task_id}})

    assert table.create(any_task) == any_task
    assert table.read(any_task.task_id) == any_task


def test_a_create_whose_reply_was_lost_is_ours(forgetful):
    assert forgetful.create(TASK) == TASK


def test_a_create_of_an_id_that_is_taken_shows_the_row(table):
    table.create(TASK)

    assert moved_on(table.create, replace(TASK, claim_id="claim-2", video="other")) == TASK


def test_one_of_many_creates_of_an_id_wins(table):
    for number in range(5):
        results = at_once(
            lambda one, number=number: table.create(
                replace(TASK, task_id=f"task_{number}", claim_id=f"claim-{one}")
            ),
            count=3,
        )
        assert len(winners(results)) == 1


# ── Moves ─────────────────────────────────────────────────────────────────────────────────────


def test_a_move_changes_stage_version_and_time_and_whatever_else_it_is_told(table):
    table.create(TASK)

    moved = table.move(
        TASK, Stage.SUBMITTED, NOW, provider_task_id="p", billing=Billing.CHARGED, due_at=NOW + 900
    )

    assert moved.claim_id != TASK.claim_id
    assert moved == table.read(TASK.task_id)
    assert moved == replace(
        TASK,
        stage=Stage.SUBMITTED,
        version=2,
        updated_at=NOW,
        claim_id=moved.claim_id,
        provider_task_id="p",
        billing=Billing.CHARGED,
        due_at=NOW + 900,
    )


def test_a_move_may_write_and_remove_every_field(table):
    media = StoredMedia(s3_uri="s3://b/k", size=1, sha256="00", content_type="video/mp4")
    full = {
        "source": SOURCE,
        "output": Output(video=media, poster=replace(media, width=16, height=9)),
        "error": Notice(code="a", message=""),
        "warnings": (Notice(code="b", message="c"),),
        "settled_by": SettledBy.READ,
        "evidence": Evidence(received_at=NOW, body=""),
        "success_callback": Evidence(received_at=NOW, body=""),
        "copy_lease_until": NOW + 0.5,
        "expires_at": NOW,
        "late": True,
    }
    table.create(TASK)

    moved = table.move(TASK, Stage.STORING, NOW, **full)
    assert {name: getattr(moved, name) for name in full} == full

    empty = dict.fromkeys(full) | {"late": False, "warnings": ()}
    moved = table.move(moved, Stage.STORING, NOW + 1.0, **empty)
    assert {name: getattr(moved, name) for name in empty} == empty


@pytest.mark.parametrize("origin", Stage)
def test_a_move_that_there_is_not_is_an_error_and_writes_nothing(table, origin):
    before = table.create(task(origin))

    for target in Stage:
        if not may_move(origin, target):
            with pytest.raises(ValueError, match="can't move"):
                table.move(before, target, NOW)

    assert table.read(TASK.task_id) == before


@pytest.mark.parametrize(
    ("origin", "target"),
    [(origin, target) for origin in Stage for target in Stage if may_move(origin, target)],
)
def test_of_two_moves_from_one_version_the_second_sees_the_first(table, origin, target):
    before = table.create(task(origin))
    first = table.move(before, target, NOW)

    assert moved_on(table.move, before, target, NOW + 1) == first
    assert table.read(TASK.task_id) == first


def test_one_of_many_moves_at_once_wins(table):
    before = table.create(TASK)
    for version in range(1, 8):
        origin, target = before.stage, Stage.SUBMITTING
        if origin is Stage.SUBMITTING:
            target = Stage.ACCEPTED
        seen = before
        results = at_once(
            lambda _, seen=seen, target=target: table.move(seen, target, NOW), count=3
        )
        (before,) = winners(results)
        assert before.version == version + 1


def test_a_move_whose_reply_was_lost_is_ours(table, forgetful):
    table.create(TASK)

    moved = forgetful.move(TASK, Stage.SUBMITTED, NOW)

    assert moved == table.read(TASK.task_id)
    assert moved.version == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda table: table.move(TASK, Stage.SUBMITTED, NOW),
        lambda table: table.claim_due(TASK.task_id, TASK.due_at, NOW, 120.0),
        lambda table: table.claim_copy(TASK.task_id, NOW, 360.0),
        lambda table: table.learn_id(TASK, "p"),
        lambda table: table.release_copy(replace(TASK, copy_lease_until=NOW), NOW, due_at=NOW),
        lambda table: table.record(TASK, due_at=None),
        lambda table: table.claim_webhook(TASK.task_id, NOW, 10.0),
    ],
    ids=["move", "claim_due", "claim_copy", "learn_id", "release_copy", "note", "claim_webhook"],
)
def test_no_update_makes_a_row(table, write):
    assert moved_on(write, table) is None
    assert table.read(TASK.task_id) is None


def test_a_transaction_on_the_row_is_waited_out(table, monkeypatch):
    monkeypatch.setattr(table_module, "_TRANSACTION_SECONDS", 0)

    created = TaskTable(InTransaction(table.client, 4), table.name).create(TASK)
    moved = TaskTable(InTransaction(table.client, 4), table.name).move(
        created, Stage.SUBMITTED, NOW
    )

    assert table.read(TASK.task_id) == moved


def test_transactions_without_an_end_are_an_error(table, monkeypatch):
    monkeypatch.setattr(table_module, "_TRANSACTION_SECONDS", 0)
    table.create(TASK)

    with pytest.raises(table.client.exceptions.TransactionConflictException):
        TaskTable(InTransaction(table.client, 5), table.name).move(TASK, Stage.SUBMITTED, NOW)


# ── Looks ─────────────────────────────────────────────────────────────────────────────────────


def test_a_look_is_claimed_by_the_due_time_that_was_seen(table):
    table.create(TASK)

    claimed = table.claim_due(TASK.task_id, TASK.due_at, NOW, 120.0)

    assert (claimed.due_at, claimed.fallback_runs) == (NOW + 120.0, 1)
    assert (claimed.version, claimed.stage) == (TASK.version, TASK.stage)
    assert claimed == table.read(TASK.task_id)


def test_a_look_that_was_claimed_is_not_claimed_again(table):
    table.create(TASK)
    claimed = table.claim_due(TASK.task_id, TASK.due_at, NOW, 120.0)

    assert moved_on(table.claim_due, TASK.task_id, TASK.due_at, NOW, 120.0) == claimed


def test_one_of_many_claims_of_a_look_wins(table):
    due_at = table.create(TASK).due_at
    for look in range(1, 11):
        results = at_once(
            lambda one, due_at=due_at, look=look: table.claim_due(
                TASK.task_id, due_at, NOW + look * 10 + one, 120.0
            ),
            count=3,
        )
        (won,) = winners(results)
        assert won.fallback_runs == look
        due_at = won.due_at


def test_a_claim_of_a_look_whose_reply_was_lost_is_ours(table, forgetful):
    table.create(TASK)

    claimed = forgetful.claim_due(TASK.task_id, TASK.due_at, NOW, 120.0)

    assert claimed.fallback_runs == 1
    assert claimed == table.read(TASK.task_id)


def test_due_rows_are_listed_longest_overdue_first(table):
    waits = {"a": 3.5, "b": 1.25, "c": -20.0, "d": 0.0, "e": 0.001, "f": 400.0}
    for name, wait in waits.items():
        table.create(replace(TASK, task_id=name, due_at=NOW + wait))
    table.create(replace(TASK, task_id="never", due_at=None))

    assert list(table.due(NOW)) == [("c", NOW - 20.0), ("d", NOW)]
    assert [name for name, _ in table.due(NOW + 10)] == ["c", "d", "e", "b", "a"]


def test_more_due_rows_than_one_page_holds_are_all_listed(table):
    class Paged:
        """A client whose pages hold seven rows."""

        def get_paginator(self, operation):
            assert operation == "query"
            return self

        def paginate(self, **request):
            pages = table.client.get_paginator("query")
            return pages.paginate(**request, PaginationConfig={"PageSize": 7})

    for number in range(20):
        table.create(replace(TASK, task_id=f"task_{number:02}", due_at=NOW + number))

    found = list(TaskTable(Paged(), table.name).due(NOW + 100))

    assert [name for name, _ in found] == [f"task_{number:02}" for number in range(20)]


def test_a_row_that_is_due_no_more_is_not_listed(table):
    before = table.create(TASK)
    table.record(before, due_at=None)

    assert list(table.due(NOW + 10_000)) == []
    item = table.client.get_item(TableName=table.name, Key={"task_id": {"S": TASK.task_id}})
    assert not {"due_at", "watched"} & item["Item"].keys()


def test_the_due_time_that_is_listed_is_the_one_to_claim_by(table):
    table.create(replace(TASK, due_at=1_800_000_000.123))
    ((task_id, due_at),) = table.due(NOW)

    assert table.claim_due(task_id, due_at, NOW, 120.0).fallback_runs == 1


# ── Copies ────────────────────────────────────────────────────────────────────────────────────

STORING = task(Stage.STORING, source=SOURCE)


def test_a_copy_is_claimed_for_a_while_and_counted(table):
    table.create(STORING)

    claimed = table.claim_copy(STORING.task_id, NOW, 360.0)

    assert claimed.copy_lease_until == claimed.due_at == NOW + 360.0
    assert (claimed.copy_attempts, claimed.version) == (1, STORING.version)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.STORING])
def test_only_a_task_that_is_storing_is_copied(table, stage):
    before = table.create(task(stage, source=SOURCE))

    assert moved_on(table.claim_copy, before.task_id, NOW, 360.0) == before


@pytest.mark.parametrize(
    ("after", "taken"), [(0, False), (359.999, False), (360, True), (360.001, True)]
)
def test_a_live_lease_keeps_others_away_until_it_ends(table, after, taken):
    table.create(STORING)
    first = table.claim_copy(STORING.task_id, NOW, 360.0)

    if taken:
        assert table.claim_copy(STORING.task_id, NOW + after, 360.0).copy_attempts == 2
    else:
        assert moved_on(table.claim_copy, STORING.task_id, NOW + after, 360.0) == first


def test_one_of_many_claims_of_a_copy_wins(table):
    for number in range(5):
        name = f"task_{number}"
        table.create(replace(STORING, task_id=name))
        results = at_once(lambda one, name=name: table.claim_copy(name, NOW + one, 360.0), count=3)
        assert len(winners(results)) == 1


def test_a_claim_of_a_copy_whose_reply_was_lost_is_ours(table, forgetful):
    table.create(STORING)

    claimed = forgetful.claim_copy(STORING.task_id, NOW, 360.0)

    assert claimed.copy_attempts == 1
    assert claimed == table.read(STORING.task_id)


def test_a_copy_is_given_back_by_its_holder(table):
    table.create(STORING)
    claimed = table.claim_copy(STORING.task_id, NOW, 360.0)
    warning = Notice(code="copy_retried", message="")

    released = table.release_copy(claimed, NOW + 1, due_at=NOW + 6, warnings=(warning,))

    assert released.copy_lease_until is None
    assert (released.due_at, released.updated_at) == (NOW + 6, NOW + 1)
    assert (released.warnings, released.copy_attempts) == ((warning,), 1)
    assert table.claim_copy(STORING.task_id, NOW + 2, 360.0).copy_attempts == 2


def test_a_copy_is_not_given_back_by_one_whose_lease_ran_out(table):
    table.create(STORING)
    first = table.claim_copy(STORING.task_id, NOW, 360.0)
    second = table.claim_copy(STORING.task_id, NOW + 361, 360.0)

    assert moved_on(table.release_copy, first, NOW + 362, due_at=NOW + 367) == second
    assert table.read(STORING.task_id) == second


def test_a_copy_is_not_given_back_to_a_task_that_moved(table):
    table.create(STORING)
    claimed = table.claim_copy(STORING.task_id, NOW, 360.0)
    moved = table.move(claimed, Stage.SUCCEEDED, NOW, copy_lease_until=claimed.copy_lease_until)

    assert moved_on(table.release_copy, claimed, NOW, due_at=NOW + 5) == moved


# ── Ids ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", Stage)
def test_an_id_is_learnt_in_any_stage(table, stage):
    before = table.create(task(stage))

    learnt = table.learn_id(before, "p", billing=Billing.CHARGED)

    assert (learnt.provider_task_id, learnt.billing) == ("p", Billing.CHARGED)
    assert (learnt.stage, learnt.version) == (before.stage, before.version)


def test_an_id_is_learnt_once(table):
    before = table.create(TASK)
    learnt = table.learn_id(before, "p")

    assert moved_on(table.learn_id, before, "q") == learnt


def test_the_owners_of_an_id_are_found(table):
    table.create(replace(TASK, task_id="a", provider_task_id="p"))
    table.create(replace(TASK, task_id="b", provider_task_id="q"))
    table.create(replace(TASK, task_id="c", provider_task_id="p"))
    table.create(replace(TASK, task_id="d"))

    assert sorted(table.owners_of("p")) == ["a", "c"]
    assert table.owners_of("r") == []


# ── Callbacks ─────────────────────────────────────────────────────────────────────────────────

EVIDENCE = Evidence(received_at=NOW, body='{"status": "3"}')
IN_HAND = {Stage.STORING, Stage.SUCCEEDED, Stage.CANCELED}


def handle_callback(table, now=NOW, body="{}"):
    return table.record_callback(
        TASK.task_id, Evidence(received_at=now, body=body), now + 10.0, REST
    )


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in IN_HAND])
def test_a_callback_is_kept_makes_the_row_due_and_reserves_the_feed(table, stage):
    before = table.create(task(stage))

    row, may_ask = table.record_callback(TASK.task_id, EVIDENCE, NOW + 10.0, REST)

    assert may_ask
    assert row == replace(before, evidence=EVIDENCE, due_at=NOW + 10.0, feed_asked_at=NOW)
    assert table.read(TASK.task_id) == row


@pytest.mark.parametrize("stage", [Stage.SUCCEEDED, Stage.CANCELED])
def test_a_callback_changes_nothing_once_the_result_is_in_hand(table, stage):
    before = table.create(task(stage, due_at=None))

    assert table.record_callback(TASK.task_id, EVIDENCE, NOW + 10.0, REST) == (before, False)
    assert table.read(TASK.task_id) == before


@pytest.mark.parametrize("announces", [True, False])
def test_a_callback_during_a_copy_is_kept_and_asks_for_nothing(table, announces):
    before = table.create(task(Stage.STORING, due_at=NOW + 360.0))

    kept = table.record_callback(
        TASK.task_id, EVIDENCE, NOW + 10.0, REST, success=EVIDENCE if announces else None
    )

    announced = EVIDENCE if announces else None
    assert kept == (replace(before, evidence=EVIDENCE, success_callback=announced), False)


def test_a_callback_for_a_row_that_is_gone_makes_none(table):
    assert table.record_callback(TASK.task_id, EVIDENCE, NOW + 10.0, REST) == (None, False)
    assert table.read(TASK.task_id) is None


@pytest.mark.parametrize(("after", "asks"), [(0, False), (4.999, False), (5, True), (60, True)])
def test_the_feed_is_reserved_once_per_rest(table, after, asks):
    table.create(TASK)
    handle_callback(table)

    row, may_ask = handle_callback(table, NOW + after, body="second")

    assert may_ask is asks
    assert row.evidence == Evidence(received_at=NOW + after, body="second")
    assert row.due_at == NOW + after + 10.0
    assert row.feed_asked_at == (NOW + after if asks else NOW)


def test_one_of_many_callbacks_at_once_reserves_the_feed(table):
    for number in range(5):
        name = f"task_{number}"
        table.create(replace(TASK, task_id=name))
        results = at_once(
            lambda _, name=name: table.record_callback(name, EVIDENCE, NOW + 10.0, REST), count=3
        )
        assert [may_ask for _, may_ask in results].count(True) == 1


def test_a_callback_whose_write_was_repeated_leaves_the_look_to_the_sweeper(table, forgetful):
    table.create(TASK)

    row, may_ask = handle_callback(forgetful)

    assert not may_ask
    assert row == table.read(TASK.task_id)
    assert row.due_at == NOW + 10.0


# ── Notes ─────────────────────────────────────────────────────────────────────────────────────


def test_a_note_changes_facts_and_no_version(table):
    before = table.create(replace(TASK, feed_failing_since=NOW))

    after = table.record(before, polls=3, feed_failing_since=None, source=MediaUrls(video="v"))

    assert after == replace(before, polls=3, feed_failing_since=None, source=MediaUrls(video="v"))
    assert after == table.read(TASK.task_id)


def test_a_note_on_a_row_that_moved_is_not_written(table):
    before = table.create(TASK)
    moved = table.move(before, Stage.RUNNING, NOW)

    assert moved_on(table.record, before, polls=3) == moved


def test_a_note_calls_off_no_look_that_was_asked_for_since(table):
    before = table.create(TASK)
    called, _ = handle_callback(table)

    assert moved_on(table.record, before, due_at=None) == called
    assert table.record(before, due_at=NOW + 50).due_at == NOW + 50
    assert table.record(replace(before, due_at=NOW + 50), due_at=None).due_at is None


# ── Deliveries of webhooks ────────────────────────────────────────────────────────────────────


def delivery(number=1, **more):
    return Delivery(
        webhook_id=f"{TASK.task_id}#2",
        event="task.succeeded",
        attempt=number,
        at=NOW + number,
        milliseconds=12,
        **more,
    )


def test_a_delivery_changes_the_list_of_deliveries_and_nothing_else(table):
    before = table.create(task(Stage.SUCCEEDED, version=4, webhook=HOOK))
    failed = delivery(1, status=503, reply="busy", error="answered 503", next_at=NOW + 6.125)

    table.record_delivery(before, failed)
    after = table.record_delivery(before, delivery(2, status=204))

    assert after == replace(before, deliveries=(failed, delivery(2, status=204)))
    assert after == table.read(TASK.task_id)


def test_deliveries_made_at_once_are_all_kept(table):
    before = table.create(task(Stage.SUCCEEDED, webhook=HOOK))

    at_once(lambda number: table.record_delivery(before, delivery(number)), count=4)

    kept = table.read(TASK.task_id).deliveries
    assert {one.attempt for one in kept} == {0, 1, 2, 3}
    assert len(kept) == 4


def test_a_delivery_is_kept_whatever_became_of_the_task_meanwhile(table):
    seen = table.create(task(Stage.FAILED, webhook=HOOK))
    moved = table.move(seen, Stage.STORING, NOW, source=SOURCE)

    kept = table.record_delivery(seen, delivery())

    assert kept == replace(moved, deliveries=(delivery(),))


def test_the_latest_deliveries_are_kept(table):
    row = table.create(task(Stage.SUCCEEDED, webhook=HOOK))

    for number in range(25):
        row = table.record_delivery(row, delivery(number))

    assert [one.attempt for one in row.deliveries] == list(range(5, 25))


def test_a_delivery_whose_write_was_repeated_is_kept_once(table, forgetful):
    row = table.create(task(Stage.SUCCEEDED, webhook=HOOK))

    kept = forgetful.record_delivery(row, delivery(1, next_at=NOW + 6.125))

    assert kept.deliveries == (delivery(1, next_at=NOW + 6.125),)
    assert kept == table.read(TASK.task_id)


def test_a_delivery_for_a_row_that_is_gone_makes_none(table):
    assert moved_on(table.record_delivery, TASK, delivery()) is None
    assert table.read(TASK.task_id) is None


def test_a_row_from_before_there_were_webhooks_takes_deliveries(table):
    row = table.create(TASK)
    table.client.update_item(
        TableName=table.name,
        Key={"task_id": {"S": TASK.task_id}},
        UpdateExpression="REMOVE deliveries, webhook",
    )

    assert table.read(TASK.task_id) == row
    assert table.record_delivery(row, delivery()).deliveries == (delivery(),)


def test_a_webhook_is_claimed_once_per_rest(table, forgetful):
    row = table.create(task(Stage.SUCCEEDED, webhook=HOOK))

    claimed = forgetful.claim_webhook(row.task_id, NOW + 0.12345, 10.0)

    assert claimed == replace(row, webhook_asked_at=round(NOW + 0.12345, 3))
    moved_on(table.claim_webhook, row.task_id, NOW + 10, 10.0)
    table.claim_webhook(row.task_id, NOW + 10.2, 10.0)


def test_one_of_many_claims_of_a_webhook_wins(table):
    row = table.create(task(Stage.SUCCEEDED, webhook=HOOK))

    results = at_once(
        lambda number: table.claim_webhook(row.task_id, NOW + number / 100, 10.0), count=3
    )

    assert len(winners(results)) == 1
