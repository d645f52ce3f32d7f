"""What a client's tasks cost, day by day, as the ledger has it."""

from typing import Final

from act_one.clients.client import Client
from act_one.clock import next_utc_day, rfc3339, utc_day
from act_one.inputs.query import DaysQuery
from act_one.json_types import Json
from act_one.settings import Settings
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.ledger import STACK, Amounts, client_account
from act_one.tasks.task import SETTLED

_MONEY: Final = ("reserved", "spent", "unknown")


def usage(
    client: Client, asked: DaysQuery, ledger: LedgerTable, settings: Settings, now: float
) -> dict[str, Json]:
    """Write the accounts of a client's days, oldest first; days without tasks are left out."""
    first, last = asked.first.isoformat(), asked.last.isoformat()
    days = ledger.days(client_account(client.name), first, last)
    return {
        "client": client.name,
        "from": first,
        "to": last,
        "days": [{"date": day, **_shown(amounts)} for day, amounts in days.items()],
        "budget": budget_left(client, ledger, settings, now),
    }


def budget_left(
    client: Client, ledger: LedgerTable, settings: Settings, now: float
) -> dict[str, Json] | None:
    """Write what is left of today's budget: of the tighter one, the client's or the stack's.

    None if there is no budget.
    """
    today = utc_day(now)
    left = [
        most - ledger.days(owner, today, today).get(today, {}).get("committed", 0)
        for owner, most in (
            (client_account(client.name), client.daily_budget),
            (STACK, settings.daily_budget),
        )
        if most is not None
    ]
    if not left:
        return None
    return {"left_micro_usd": max(0, min(left)), "resets_at": rfc3339(next_utc_day(now))}


def _shown(amounts: Amounts) -> dict[str, Json]:
    return {
        "tasks": amounts.get("tasks", 0),
        **{str(stage): amounts.get(stage, 0) for stage in sorted(SETTLED)},
        **{f"{name}_micro_usd": amounts.get(name, 0) for name in _MONEY},
        "stored_bytes": amounts.get("stored_bytes", 0),
    }
