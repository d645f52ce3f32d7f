"""The ledger of money: what the tasks of a client cost, day by day. Pure: no I/O, no clock.

A task is in one place of the ledger at a time, and each write to its row that changes the place
changes the ledger in the same transaction:

    open                  reserved
    ended, not billed     (nothing)
    ended, billed         spent
    ended, perhaps billed unknown

``committed`` is the sum of the three: the amount that a budget limits. A task stays in the account
of the UTC day on which it was created. Amounts are in micro-dollars.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from act_one.clock import utc_day
from act_one.tasks.task import Billing, Task

STACK: Final = "stack"
"""The account of all clients together, kept while the stack has a budget."""
_CLIENT: Final = "client#"
_OPEN: Final = "open#"
_ALWAYS: Final = "-"
"""The day of an account that counts what is open, whenever it was created."""

type Amounts = Mapping[str, int]
"""Changes of an account's numbers, by attribute."""


def client_account(client: str) -> str:
    """Name the account of a client's tasks."""
    return f"{_CLIENT}{client}"


def open_account(client: str) -> str:
    """Name the account that counts a client's open tasks, kept while their number is limited."""
    return f"{_OPEN}{client}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that an account's number may be after a task was added to it."""

    account: str
    attribute: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """A change of one account: its ``owner`` and ``day`` are its key in the ledger's table."""

    owner: str
    day: str
    amounts: Amounts
    limit: Limit | None = None


def postings(before: Task | None, after: Task, limits: Sequence[Limit] = ()) -> tuple[Posting, ...]:
    """Return the changes of accounts that go with a write to a row; none if its place stays.

    ``before`` is None for a new row, whose ``limits`` must hold.
    """
    old = {} if before is None else _amounts(before)
    new = _amounts(after)
    changed = {name: new.get(name, 0) - old.get(name, 0) for name in {**old, **new}}
    changed = {name: amount for name, amount in changed.items() if amount}
    if not changed:
        return ()
    by_account = {limit.account: limit for limit in limits}
    return tuple(
        posting
        for account in after.accounts
        if (posting := _posting(account, after, changed, by_account.get(account)))
    )


def _posting(account: str, task: Task, changed: Amounts, limit: Limit | None) -> Posting | None:
    counts_open = account.startswith(_OPEN)
    amounts = {name: n for name, n in changed.items() if (name == "open") == counts_open}
    if not amounts:
        return None
    day = _ALWAYS if counts_open else utc_day(task.created_at)
    return Posting(owner=account, day=day, amounts=amounts, limit=limit)


def _amounts(task: Task) -> dict[str, int]:
    """Return what a task, as it is, contributes to its accounts."""
    if not task.done:
        return {"tasks": 1, "open": 1, "reserved": task.price, "committed": task.price}
    ended = {"tasks": 1, str(task.stage): 1, "stored_bytes": _stored_bytes(task)}
    if task.billing is Billing.NONE:
        return ended
    place = "spent" if task.billing is Billing.CHARGED else "unknown"
    return {**ended, place: task.price, "committed": task.price}


def _stored_bytes(task: Task) -> int:
    if task.output is None:
        return 0
    media = (task.output.video, task.output.poster, task.output.last_frame)
    return sum(stored.size for stored in media if stored is not None)
