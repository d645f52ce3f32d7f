"""What tasks cost is in the ledger, in step with their rows."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from act_one.tasks import moves
from act_one.tasks import table as table_module
from act_one.tasks.ledger import STACK, Limit, client_account, open_account, postings
from act_one.tasks.table import MovedOnError, OverLimitError
from act_one.tasks.task import Billing, Notice, Output, Stage, StoredMedia
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import BEGINNING, settings

DAY = "2027-01-15"
NOW = BEGINNING + 100.0
PRICE = 400_000
ACCOUNT, OPEN = client_account("client-1"), open_account("client-1")
PAID = replace(TASK, price=PRICE, accounts=(ACCOUNT, STACK, OPEN))
VIDEO = StoredMedia(s3_uri="s3://b/v", size=9, sha256="0", content_type="video/mp4")
FAILURE = Notice(code="provider_failed", message="")


def budget(dollars, account=ACCOUNT):
    return Limit(account=account, attribute="committed", most=round(dollars * 1_000_000))


@pytest.fixture
def account(table):
    """Read an account of the ledger."""

    def read(owner=ACCOUNT, day=DAY):
        key = {"owner": {"S": owner}, "day": {"S": day}}
        found = table.client.get_item(TableName=table.ledger_name, Key=key).get("Item", {})
        return {name: int(value["N"]) for name, value in found.items() if "N" in value}

    return read


def money(account):
    names = ("reserved", "spent", "unknown", "committed")
    return tuple(account.get(name, 0) // PRICE for name in names)


# ── Where a task is in the ledger ─────────────────────────────────────────────────────────────


def test_an_open_task_is_reserved(table, account):
    table.create(PAID)

    expected = {"tasks": 1, "reserved": PRICE, "committed": PRICE}
    assert account() == account(STACK) == expected
    assert account(OPEN, "-") == {"open": 1}


@pytest.mark.parametrize(
    ("billing", "expected"),
    [
        (Billing.NONE, (0, 0, 0, 0)),
        (Billing.CHARGED, (0, 1, 0, 1)),
        (Billing.UNKNOWN, (0, 0, 1, 1)),
    ],
)
def test_an_end_takes_the_reservation_to_where_the_billing_says(table, account, billing, expected):
    created = table.create(PAID)
    step = moves.to_failed(FAILURE, NOW, settings(), billing=billing)

    failed = table.apply(created, step, NOW)

    assert failed == table.read(TASK.task_id)
    assert (failed.stage, failed.billing) == (Stage.FAILED, billing)
    assert money(account()) == money(account(STACK)) == expected
    assert account()["failed"] == 1
    assert account(OPEN, "-") == {"open": 0}


def test_a_late_result_of_a_failed_task_is_counted_as_its_success(table, account):
    created = table.create(PAID)
    failed = table.apply(
        created, moves.to_failed(FAILURE, NOW, settings(), billing=Billing.CHARGED), NOW
    )
    storing = table.move(failed, Stage.STORING, NOW, source=SOURCE)

    assert (money(account()), account(OPEN, "-")) == ((1, 0, 0, 1), {"open": 1})

    output = Output(video=VIDEO, poster=VIDEO)
    table.apply(storing, moves.to_succeeded(output, (), NOW, settings()), NOW)

    assert (money(account()), account(OPEN, "-")) == ((0, 1, 0, 1), {"open": 0})
    counts = {name: account()[name] for name in ("tasks", "failed", "succeeded", "stored_bytes")}
    assert counts == {"tasks": 1, "failed": 0, "succeeded": 1, "stored_bytes": 18}


def test_a_charge_that_becomes_known_after_the_end_is_spent(table, account):
    created = table.create(PAID)
    failed = table.apply(created, moves.to_failed(FAILURE, NOW, settings()), NOW)
    assert money(account()) == (0, 0, 1, 1)

    recorded = table.record(failed, billing=Billing.CHARGED)

    assert recorded == table.read(TASK.task_id)
    assert money(account()) == (0, 1, 0, 1)


def test_an_id_learnt_after_the_end_charges_once(table, account):
    created = table.create(PAID)
    failed = table.apply(created, moves.to_failed(FAILURE, NOW, settings()), NOW)

    table.learn_id(failed, "provider-1", billing=Billing.CHARGED)
    with pytest.raises(MovedOnError):
        table.learn_id(failed, "provider-1", billing=Billing.CHARGED)

    assert money(account()) == (0, 1, 0, 1)


def test_an_id_that_charges_a_row_that_moved_is_not_learnt_from_the_old_one(table, account):
    created = table.create(PAID)
    table.apply(created, moves.to_failed(FAILURE, NOW, settings()), NOW)

    with pytest.raises(MovedOnError) as caught:
        table.learn_id(created, "provider-1", billing=Billing.CHARGED)

    table.learn_id(caught.value.current, "provider-1", billing=Billing.CHARGED)
    assert money(account()) == (0, 1, 0, 1)


def test_moves_of_an_open_task_do_not_touch_the_ledger(table, account):
    created = table.create(PAID)
    before = account()
    submitted = table.apply(created, moves.to_submitted("p", NOW, settings()), NOW)
    table.move(submitted, Stage.RUNNING, NOW)

    assert account() == before
    assert postings(created, submitted) == ()


def test_a_billing_that_becomes_known_before_an_end_is_the_one_that_counts(table, account):
    """The row's billing changes without a version: an end from an older read must not miss it."""
    created = table.create(PAID)
    table.record(created, billing=Billing.CHARGED)

    ended = table.apply(created, moves.to_failed(FAILURE, NOW, settings()), NOW)

    assert (ended.stage, ended.billing) == (Stage.FAILED, Billing.CHARGED)
    assert money(account()) == (0, 1, 0, 1)


def test_a_task_in_no_account_needs_no_ledger(table):
    bare = replace(table, ledger_name="")
    created = bare.create(TASK)

    assert bare.apply(created, moves.to_failed(FAILURE, NOW, settings()), NOW).done


def test_a_task_stays_in_the_account_of_the_day_of_its_creation(table, account):
    created = table.create(PAID)
    later = NOW + 100_000

    table.apply(created, moves.to_failed(FAILURE, later, settings(), billing=Billing.NONE), later)

    assert money(account()) == (0, 0, 0, 0)
    assert account(day="2027-01-16") == {}


# ── Limits ────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_is_never_exceeded_by_tasks_at_once(table, account):
    def create(number):
        one = replace(PAID, task_id=f"task_{number:032x}", claim_id=f"claim-{number}")
        try:
            return table.create(one, [budget(2.0)])
        except OverLimitError:
            return None

    with ThreadPoolExecutor(8) as pool:
        created = [one for one in pool.map(create, range(20)) if one is not None]

    assert len(created) == 5
    assert account()["committed"] == 5 * PRICE


@pytest.mark.parametrize("limited", [ACCOUNT, STACK])
def test_what_exceeds_a_budget_is_not_written(table, account, limited):
    with pytest.raises(OverLimitError) as caught:
        table.create(PAID, [budget(0.39, limited)])

    assert caught.value.limit.account == limited
    assert table.read(TASK.task_id) is None
    assert account() == account(STACK) == {}


def test_a_budget_that_was_released_can_be_used(table):
    created = table.create(PAID, [budget(0.4)])
    table.apply(created, moves.to_failed(FAILURE, NOW, settings(), billing=Billing.NONE), NOW)

    assert table.create(replace(PAID, task_id="task_2", claim_id="2"), [budget(0.4)])


def test_open_tasks_are_limited_until_one_ends(table):
    limit = Limit(account=OPEN, attribute="open", most=1)
    created = table.create(PAID, [limit])
    other = replace(PAID, task_id="task_2", claim_id="2")
    with pytest.raises(OverLimitError) as caught:
        table.create(other, [limit])
    assert caught.value.limit == limit

    table.apply(created, moves.to_failed(FAILURE, NOW, settings()), NOW)

    assert table.create(other, [limit]) == other


def test_a_repeated_request_is_no_matter_of_the_budget(table, account):
    table.create(PAID, [budget(0.4)])

    with pytest.raises(MovedOnError) as caught:
        table.create(replace(PAID, claim_id="other"), [budget(0.4)])

    assert caught.value.current == PAID
    assert account()["committed"] == PRICE


# ── One write, whatever happens to it ─────────────────────────────────────────────────────────


class RepeatingTransactions:
    """A client that sends each transaction twice, with another token."""

    def __init__(self, client):
        self._client = client
        self.exceptions, self.get_item = client.exceptions, client.get_item

    def transact_write_items(self, **request):
        self._client.transact_write_items(**request)
        return self._client.transact_write_items(**request)


def test_a_repeated_transaction_counts_once(table, account):
    repeating = replace(table, client=RepeatingTransactions(table.client))

    created = repeating.create(PAID, [budget(0.4)])
    ended = repeating.apply(created, moves.to_failed(FAILURE, NOW, settings()), NOW)

    assert ended.stage is Stage.FAILED
    assert (money(account()), account()["tasks"]) == ((0, 0, 1, 1), 1)


class Conflicting:
    """A client whose first transactions meet others."""

    def __init__(self, client, times, code="TransactionConflict"):
        self._client, self.times, self._code = client, times, code
        self.exceptions, self.get_item = client.exceptions, client.get_item

    def transact_write_items(self, **request):
        self.times -= 1
        if self.times >= 0:
            reasons = [{"Code": "None"}, *({"Code": self._code} for _ in request["TransactItems"])]
            raise self.exceptions.TransactionCanceledException(
                {"Error": {}, "CancellationReasons": reasons[:-1]}, "TransactWriteItems"
            )
        return self._client.transact_write_items(**request)


def test_conflicts_with_other_transactions_are_waited_for(table, account, monkeypatch):
    monkeypatch.setattr(table_module, "_LEDGER_SECONDS", 0.0)

    replace(table, client=Conflicting(table.client, 11)).create(PAID)

    assert account()["tasks"] == 1


@pytest.mark.parametrize(("times", "code"), [(12, "TransactionConflict"), (1, "ValidationError")])
def test_what_does_not_pass_is_raised(table, monkeypatch, times, code):
    monkeypatch.setattr(table_module, "_LEDGER_SECONDS", 0.0)
    client = Conflicting(table.client, times, code)

    with pytest.raises(client.exceptions.TransactionCanceledException):
        replace(table, client=client).create(PAID)


def test_a_row_from_before_the_ledger_is_read():
    assert (TASK.price, TASK.accounts, task(billing=Billing.CHARGED).cost) == (0, (), None)
