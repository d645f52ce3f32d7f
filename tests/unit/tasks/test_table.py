"""Every conditional write, against the template's table in the emulator."""

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
MIN_POLL = 5.0
WEBHOOK = Webhook(url="https://user.example/hook?token=t0p", events=("task.succeeded",))


class RepeatingClient:
    """A client that sends each write twice, as boto3 does when a reply is lost."""

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
def repeating_table(table):
    return TaskTable(RepeatingClient(table.client), table.name)


def moved_on(write, *arguments, **more):
    """Return the row that a failed write found."""
    with pytest.raises(MovedOnError) as caught:
        write(*arguments, **more)
    return caught.value.current


def at_once(write, count=2):
    """Call in several threads at once; return what each call returned or raised."""
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


class ConflictingClient:
    """A client whose first writes conflict with a transaction on the row."""

    def __init__(self, client, times):
        self._client = client
        self.times = times
        self.exceptions = client.exceptions

    def put_item(self, **request):
        self._conflict("PutItem")
        return self._client.put_item(**request)

    def update_item(self, **request):
        self._conflict("UpdateItem")
        return self._client.update_item(**request)

    def _conflict(self, operation):
        self.times -= 1
        if self.times >= 0:
            raise self.exceptions.TransactionConflictException({"Error": {}}, operation)


# ── Create and read ───────────────────────────────────────────────────────────────────────────


def test_a_created_task_can_be_read(table):
    assert table.create(TASK) == TASK
    assert table.read(TASK.task_id) == TASK


def test_a_missing_task_is_read_as_none(table):
    assert table.read(TASK.task_id) is None


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tasks)
def test_any_task_is_read_back_unchanged(table, any_task):
    table.client.delete_item(TableName=table.name, Key={"task_id": {"S": any_task.task_id}})

    assert table.create(any_task) == any_task
    assert table.read(any_task.task_id) == any_task


def test_a_repeated_create_returns_the_task(repeating_table):
    assert repeating_table.create(TASK) == TASK


def test_creating_an_existing_id_fails_with_its_row(table):
    table.create(TASK)

    assert moved_on(table.create, replace(TASK, claim_id="claim-2", video="other")) == TASK


def test_one_of_concurrent_creates_succeeds(table):
    for number in range(5):
        results = at_once(
            lambda one, number=number: table.create(
                replace(TASK, task_id=f"task_{number}", claim_id=f"claim-{one}")
            ),
            count=3,
        )
        assert len(winners(results)) == 1


# ── Moves ─────────────────────────────────────────────────────────────────────────────────────


def test_a_move_writes_stage_version_time_and_given_fields(table):
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


def test_a_move_sets_and_removes_fields(table):
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
def test_an_illegal_move_raises_and_writes_nothing(table, origin):
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
def test_a_second_move_from_a_version_fails_with_the_first(table, origin, target):
    before = table.create(task(origin))
    first = table.move(before, target, NOW)

    assert moved_on(table.move, before, target, NOW + 1) == first
    assert table.read(TASK.task_id) == first


def test_one_of_concurrent_moves_succeeds(table):
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


def test_a_repeated_move_returns_the_task(table, repeating_table):
    table.create(TASK)

    moved = repeating_table.move(TASK, Stage.SUBMITTED, NOW)

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
    ids=["move", "claim_due", "claim_copy", "learn_id", "release_copy", "record", "claim_webhook"],
)
def test_no_update_creates_a_row(table, write):
    assert moved_on(write, table) is None
    assert table.read(TASK.task_id) is None


def test_a_write_is_retried_after_transaction_conflicts(table, monkeypatch):
    monkeypatch.setattr(table_module, "_TRANSACTION_SECONDS", 0)

    created = TaskTable(ConflictingClient(table.client, 4), table.name).create(TASK)
    moved = TaskTable(ConflictingClient(table.client, 4), table.name).move(
        created, Stage.SUBMITTED, NOW
    )

    assert table.read(TASK.task_id) == moved


def test_lasting_transaction_conflicts_are_raised(table, monkeypatch):
    monkeypatch.setattr(table_module, "_TRANSACTION_SECONDS", 0)
    table.create(TASK)

    with pytest.raises(table.client.exceptions.TransactionConflictException):
        TaskTable(ConflictingClient(table.client, 5), table.name).move(TASK, Stage.SUBMITTED, NOW)


# ── Due rows ──────────────────────────────────────────────────────────────────────────────────


def test_a_due_row_is_claimed_by_its_due_time(table):
    table.create(TASK)

    claimed = table.claim_due(TASK.task_id, TASK.due_at, NOW, 120.0)

    assert (claimed.due_at, claimed.fallback_runs) == (NOW + 120.0, 1)
    assert (claimed.version, claimed.stage) == (TASK.version, TASK.stage)
    assert claimed == table.read(TASK.task_id)


def test_a_claimed_due_time_cannot_be_claimed_again(table):
    table.create(TASK)
    claimed = table.claim_due(TASK.task_id, TASK.due_at, NOW, 120.0)

    assert moved_on(table.claim_due, TASK.task_id, TASK.due_at, NOW, 120.0) == claimed


def test_one_of_concurrent_due_claims_succeeds(table):
    due_at = table.create(TASK).due_at
    for run in range(1, 11):
        results = at_once(
            lambda one, due_at=due_at, run=run: table.claim_due(
                TASK.task_id, due_at, NOW + run * 10 + one, 120.0
            ),
            count=3,
        )
        (won,) = winners(results)
        assert won.fallback_runs == run
        due_at = won.due_at


def test_a_repeated_due_claim_returns_the_task(table, repeating_table):
    table.create(TASK)

    claimed = repeating_table.claim_due(TASK.task_id, TASK.due_at, NOW, 120.0)

    assert claimed.fallback_runs == 1
    assert claimed == table.read(TASK.task_id)


def test_due_rows_are_listed_longest_overdue_first(table):
    waits = {"a": 3.5, "b": 1.25, "c": -20.0, "d": 0.0, "e": 0.001, "f": 400.0}
    for name, wait in waits.items():
        table.create(replace(TASK, task_id=name, due_at=NOW + wait))
    table.create(replace(TASK, task_id="never", due_at=None))

    assert list(table.due(NOW)) == [("c", NOW - 20.0), ("d", NOW)]
    assert [name for name, _ in table.due(NOW + 10)] == ["c", "d", "e", "b", "a"]


def test_due_rows_are_listed_from_all_pages(table):
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

    due = list(TaskTable(Paged(), table.name).due(NOW + 100))

    assert [name for name, _ in due] == [f"task_{number:02}" for number in range(20)]


def test_a_row_without_a_due_time_is_not_listed(table):
    before = table.create(TASK)
    table.record(before, due_at=None)

    assert list(table.due(NOW + 10_000)) == []
    item = table.client.get_item(TableName=table.name, Key={"task_id": {"S": TASK.task_id}})
    assert not {"due_at", "watched"} & item["Item"].keys()


def test_a_listed_due_time_claims_its_row(table):
    table.create(replace(TASK, due_at=1_800_000_000.123))
    ((task_id, due_at),) = table.due(NOW)

    assert table.claim_due(task_id, due_at, NOW, 120.0).fallback_runs == 1


# ── Copies ────────────────────────────────────────────────────────────────────────────────────

STORING = task(Stage.STORING, source=SOURCE)


def test_claiming_a_copy_sets_a_lease_and_counts_an_attempt(table):
    table.create(STORING)

    claimed = table.claim_copy(STORING.task_id, NOW, 360.0)

    assert claimed.copy_lease_until == claimed.due_at == NOW + 360.0
    assert (claimed.copy_attempts, claimed.version) == (1, STORING.version)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.STORING])
def test_only_a_storing_task_can_be_claimed_for_copying(table, stage):
    before = table.create(task(stage, source=SOURCE))

    assert moved_on(table.claim_copy, before.task_id, NOW, 360.0) == before


@pytest.mark.parametrize(
    ("after", "taken"), [(0, False), (359.999, False), (360, True), (360.001, True)]
)
def test_a_copy_can_be_claimed_again_once_its_lease_has_ended(table, after, taken):
    table.create(STORING)
    first = table.claim_copy(STORING.task_id, NOW, 360.0)

    if taken:
        assert table.claim_copy(STORING.task_id, NOW + after, 360.0).copy_attempts == 2
    else:
        assert moved_on(table.claim_copy, STORING.task_id, NOW + after, 360.0) == first


def test_one_of_concurrent_copy_claims_succeeds(table):
    for number in range(5):
        name = f"task_{number}"
        table.create(replace(STORING, task_id=name))
        results = at_once(lambda one, name=name: table.claim_copy(name, NOW + one, 360.0), count=3)
        assert len(winners(results)) == 1


def test_a_repeated_copy_claim_returns_the_task(table, repeating_table):
    table.create(STORING)

    claimed = repeating_table.claim_copy(STORING.task_id, NOW, 360.0)

    assert claimed.copy_attempts == 1
    assert claimed == table.read(STORING.task_id)


def test_a_lease_holder_can_release_its_copy(table):
    table.create(STORING)
    claimed = table.claim_copy(STORING.task_id, NOW, 360.0)
    warning = Notice(code="copy_retried", message="")

    released = table.release_copy(claimed, NOW + 1, due_at=NOW + 6, warnings=(warning,))

    assert released.copy_lease_until is None
    assert (released.due_at, released.updated_at) == (NOW + 6, NOW + 1)
    assert (released.warnings, released.copy_attempts) == ((warning,), 1)
    assert table.claim_copy(STORING.task_id, NOW + 2, 360.0).copy_attempts == 2


def test_a_former_lease_holder_cannot_release_the_copy(table):
    table.create(STORING)
    first = table.claim_copy(STORING.task_id, NOW, 360.0)
    second = table.claim_copy(STORING.task_id, NOW + 361, 360.0)

    assert moved_on(table.release_copy, first, NOW + 362, due_at=NOW + 367) == second
    assert table.read(STORING.task_id) == second


def test_a_copy_of_a_moved_task_cannot_be_released(table):
    table.create(STORING)
    claimed = table.claim_copy(STORING.task_id, NOW, 360.0)
    moved = table.move(claimed, Stage.SUCCEEDED, NOW, copy_lease_until=claimed.copy_lease_until)

    assert moved_on(table.release_copy, claimed, NOW, due_at=NOW + 5) == moved


# ── Provider ids ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", Stage)
def test_a_provider_id_can_be_learned_in_any_stage(table, stage):
    before = table.create(task(stage))

    learned = table.learn_id(before, "p", billing=Billing.CHARGED)

    assert (learned.provider_task_id, learned.billing) == ("p", Billing.CHARGED)
    assert (learned.stage, learned.version) == (before.stage, before.version)


def test_a_learned_provider_id_is_not_replaced(table):
    before = table.create(TASK)
    learned = table.learn_id(before, "p")

    assert moved_on(table.learn_id, before, "q") == learned


def test_the_owners_of_a_provider_id_are_listed(table):
    table.create(replace(TASK, task_id="a", provider_task_id="p"))
    table.create(replace(TASK, task_id="b", provider_task_id="q"))
    table.create(replace(TASK, task_id="c", provider_task_id="p"))
    table.create(replace(TASK, task_id="d"))

    assert sorted(table.owners_of("p")) == ["a", "c"]
    assert table.owners_of("r") == []


# ── Callbacks ─────────────────────────────────────────────────────────────────────────────────

EVIDENCE = Evidence(received_at=NOW, body='{"status": "3"}')
UNAFFECTED = {Stage.STORING, Stage.SUCCEEDED, Stage.CANCELED}


def handle_callback(table, now=NOW, body="{}"):
    return table.record_callback(
        TASK.task_id, Evidence(received_at=now, body=body), now + 10.0, MIN_POLL
    )


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in UNAFFECTED])
def test_a_callback_is_stored_makes_the_row_due_and_reserves_a_poll(table, stage):
    before = table.create(task(stage))

    row, may_ask = table.record_callback(TASK.task_id, EVIDENCE, NOW + 10.0, MIN_POLL)

    assert may_ask
    assert row == replace(before, evidence=EVIDENCE, due_at=NOW + 10.0, feed_asked_at=NOW)
    assert table.read(TASK.task_id) == row


@pytest.mark.parametrize("stage", [Stage.SUCCEEDED, Stage.CANCELED])
def test_a_callback_for_a_succeeded_or_canceled_task_changes_nothing(table, stage):
    before = table.create(task(stage, due_at=None))

    assert table.record_callback(TASK.task_id, EVIDENCE, NOW + 10.0, MIN_POLL) == (
        before,
        False,
    )
    assert table.read(TASK.task_id) == before


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_callback_during_a_copy_is_only_stored(table, succeeded):
    before = table.create(task(Stage.STORING, due_at=NOW + 360.0))
    success = EVIDENCE if succeeded else None

    kept = table.record_callback(TASK.task_id, EVIDENCE, NOW + 10.0, MIN_POLL, success=success)

    assert kept == (replace(before, evidence=EVIDENCE, success_callback=success), False)


def test_a_callback_creates_no_row(table):
    assert table.record_callback(TASK.task_id, EVIDENCE, NOW + 10.0, MIN_POLL) == (
        None,
        False,
    )
    assert table.read(TASK.task_id) is None


@pytest.mark.parametrize(("after", "asks"), [(0, False), (4.999, False), (5, True), (60, True)])
def test_a_poll_is_reserved_once_per_minimum_interval(table, after, asks):
    table.create(TASK)
    handle_callback(table)

    row, may_ask = handle_callback(table, NOW + after, body="second")

    assert may_ask is asks
    assert row.evidence == Evidence(received_at=NOW + after, body="second")
    assert row.due_at == NOW + after + 10.0
    assert row.feed_asked_at == (NOW + after if asks else NOW)


def test_one_of_concurrent_callbacks_reserves_a_poll(table):
    for number in range(5):
        name = f"task_{number}"
        table.create(replace(TASK, task_id=name))
        results = at_once(
            lambda _, name=name: table.record_callback(name, EVIDENCE, NOW + 10.0, MIN_POLL),
            count=3,
        )
        assert [may_ask for _, may_ask in results].count(True) == 1


def test_a_repeated_callback_write_leaves_the_poll_to_the_sweep(table, repeating_table):
    table.create(TASK)

    row, may_ask = handle_callback(repeating_table)

    assert not may_ask
    assert row == table.read(TASK.task_id)
    assert row.due_at == NOW + 10.0


# ── Recorded fields ───────────────────────────────────────────────────────────────────────────


def test_recording_fields_keeps_the_version(table):
    before = table.create(replace(TASK, feed_failing_since=NOW))

    after = table.record(before, polls=3, feed_failing_since=None, source=MediaUrls(video="v"))

    assert after == replace(before, polls=3, feed_failing_since=None, source=MediaUrls(video="v"))
    assert after == table.read(TASK.task_id)


def test_nothing_is_recorded_on_a_moved_row(table):
    before = table.create(TASK)
    moved = table.move(before, Stage.RUNNING, NOW)

    assert moved_on(table.record, before, polls=3) == moved


def test_clearing_the_due_time_keeps_one_that_a_callback_set(table):
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


def test_recording_a_delivery_changes_only_the_deliveries(table):
    before = table.create(task(Stage.SUCCEEDED, version=4, webhook=WEBHOOK))
    failed = delivery(1, status=503, reply="busy", error="answered 503", next_at=NOW + 6.125)

    table.record_delivery(before, failed)
    after = table.record_delivery(before, delivery(2, status=204))

    assert after == replace(before, deliveries=(failed, delivery(2, status=204)))
    assert after == table.read(TASK.task_id)


def test_concurrent_deliveries_are_all_recorded(table):
    before = table.create(task(Stage.SUCCEEDED, webhook=WEBHOOK))

    at_once(lambda number: table.record_delivery(before, delivery(number)), count=4)

    kept = table.read(TASK.task_id).deliveries
    assert {one.attempt for one in kept} == {0, 1, 2, 3}
    assert len(kept) == 4


def test_a_delivery_is_recorded_after_the_task_moved(table):
    seen = table.create(task(Stage.FAILED, webhook=WEBHOOK))
    moved = table.move(seen, Stage.STORING, NOW, source=SOURCE)

    kept = table.record_delivery(seen, delivery())

    assert kept == replace(moved, deliveries=(delivery(),))


def test_the_latest_20_deliveries_are_kept(table):
    row = table.create(task(Stage.SUCCEEDED, webhook=WEBHOOK))

    for number in range(25):
        row = table.record_delivery(row, delivery(number))

    assert [one.attempt for one in row.deliveries] == list(range(5, 25))


def test_a_repeated_delivery_write_is_recorded_once(table, repeating_table):
    row = table.create(task(Stage.SUCCEEDED, webhook=WEBHOOK))

    kept = repeating_table.record_delivery(row, delivery(1, next_at=NOW + 6.125))

    assert kept.deliveries == (delivery(1, next_at=NOW + 6.125),)
    assert kept == table.read(TASK.task_id)


def test_a_delivery_creates_no_row(table):
    assert moved_on(table.record_delivery, TASK, delivery()) is None
    assert table.read(TASK.task_id) is None


def test_a_row_without_webhook_attributes_takes_deliveries(table):
    row = table.create(TASK)
    table.client.update_item(
        TableName=table.name,
        Key={"task_id": {"S": TASK.task_id}},
        UpdateExpression="REMOVE deliveries, webhook",
    )

    assert table.read(TASK.task_id) == row
    assert table.record_delivery(row, delivery()).deliveries == (delivery(),)


def test_a_webhook_is_claimed_once_per_rest(table, repeating_table):
    row = table.create(task(Stage.SUCCEEDED, webhook=WEBHOOK))

    claimed = repeating_table.claim_webhook(row.task_id, NOW + 0.12345, 10.0)

    assert claimed == replace(row, webhook_asked_at=round(NOW + 0.12345, 3))
    moved_on(table.claim_webhook, row.task_id, NOW + 10, 10.0)
    table.claim_webhook(row.task_id, NOW + 10.2, 10.0)


def test_one_of_many_claims_of_a_webhook_wins(table):
    row = table.create(task(Stage.SUCCEEDED, webhook=WEBHOOK))

    results = at_once(
        lambda number: table.claim_webhook(row.task_id, NOW + number / 100, 10.0), count=3
    )

    assert len(winners(results)) == 1


# ── The feed's claim, and the rows of a client ────────────────────────────────────────────────


def test_the_feed_is_claimed_once_per_rest(table):
    before = table.create(task(Stage.RUNNING, feed_asked_at=NOW - MIN_POLL))

    results = at_once(lambda _: table.claim_feed(before, NOW, MIN_POLL, polls=4), 8)

    [claimed] = winners(results)
    assert (claimed.feed_asked_at, claimed.polls, claimed.version) == (NOW, 4, before.version)
    assert {error.current.feed_asked_at for error in results if error is not claimed} == {NOW}


def test_the_feed_of_a_row_that_moved_is_not_claimed(table):
    before = table.create(task(Stage.SUBMITTED))
    row = table.move(before, Stage.RUNNING, NOW)

    assert moved_on(table.claim_feed, before, NOW, MIN_POLL) == row


def test_a_row_that_is_not_due_stays_so(table):
    before = table.create(task(Stage.FAILED, due_at=None))

    row = table.record(before, due_at=None, billing=Billing.CHARGED)

    assert (row.due_at, row.billing) == (None, Billing.CHARGED)


def test_a_due_time_set_meanwhile_is_not_removed_from_a_row_that_had_none(table):
    before = table.create(task(Stage.FAILED, due_at=None))
    due = table.record(before, due_at=NOW)

    assert moved_on(table.record, before, due_at=None) == due
