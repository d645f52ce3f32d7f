"""A client sees what its tasks cost, and what is left of its budget."""

from dataclasses import replace
from datetime import date

import pytest

from act_one.clients.client import Client
from act_one.clock import DAY
from act_one.inputs.query import DaysQuery
from act_one.lifecycle.usage import usage
from act_one.tasks import moves
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.ledger import STACK, client_account
from act_one.tasks.task import Billing, Notice
from tests.unit.examples import TASK
from tests.unit.fakes import BEGINNING, settings

ALL = DaysQuery(first=date(2027, 1, 1), last=date(2027, 1, 31))
PRICE = 400_000


@pytest.fixture
def ledger(table):
    return LedgerTable(table.client, table.ledger_name)


@pytest.fixture
def create(table):
    """Create a task of a client, so many days after the beginning."""

    def create_task(number, client="client-1", days=0):
        accounts = (client_account(client), STACK)
        return table.create(
            replace(
                TASK,
                task_id=f"task_{number}",
                claim_id=str(number),
                client_id=client,
                created_at=BEGINNING + days * DAY,
                price=PRICE,
                accounts=accounts,
            )
        )

    return create_task


def test_days_with_tasks_are_shown_oldest_first(table, ledger, create):
    failed = moves.to_failed(Notice(code="x", message=""), BEGINNING, settings())
    table.apply(create(1), failed, BEGINNING, billing=Billing.CHARGED)
    create(2, days=2)
    create(3, client="other")

    shown = usage(Client(name="client-1"), ALL, ledger, settings(), BEGINNING)

    assert [day["date"] for day in shown["days"]] == ["2027-01-15", "2027-01-17"]
    assert shown["days"][0] == {
        "date": "2027-01-15",
        "tasks": 1,
        "succeeded": 0,
        "failed": 1,
        "canceled": 0,
        "expired": 0,
        "reserved_micro_usd": 0,
        "spent_micro_usd": PRICE,
        "unknown_micro_usd": 0,
        "stored_bytes": 0,
    }
    assert shown["days"][1]["reserved_micro_usd"] == PRICE
    assert (shown["client"], shown["from"], shown["to"]) == (
        *("client-1", "2027-01-01", "2027-01-31"),
    )


def test_days_that_are_not_asked_for_are_left_out(ledger, create):
    create(1)
    create(2, days=1)
    asked = DaysQuery(first=date(2027, 1, 16), last=date(2027, 1, 16))

    shown = usage(Client(name="client-1"), asked, ledger, settings(), BEGINNING)

    assert [day["date"] for day in shown["days"]] == ["2027-01-16"]


@pytest.mark.parametrize(
    ("own", "stack", "left"),
    [
        (None, 0.0, None),
        (1_000_000, 0.0, 600_000),
        (None, 1.0, 200_000),
        (1_000_000, 2.0, 600_000),
        (3_000_000, 1.0, 200_000),
        (100_000, 0.0, 0),
    ],
)
def test_the_tighter_budget_says_what_is_left(ledger, create, own, stack, left):
    create(1)
    create(2, client="other")
    client = Client(name="client-1", daily_budget=own)

    shown = usage(client, ALL, ledger, settings(daily_budget_usd=stack), BEGINNING)

    budget = {"left_micro_usd": left, "resets_at": "2027-01-16T00:00:00.000Z"}
    assert shown["budget"] == (None if left is None else budget)
