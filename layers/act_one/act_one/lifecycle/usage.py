"""What a client's tasks cost, day by day, as the ledger has it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final, NoReturn

from act_one.clients.client import Client
from act_one.clock import next_utc_day, rfc3339, utc_day
from act_one.json_types import Json
from act_one.problems import ProblemError
from act_one.settings import Settings
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.ledger import STACK, Amounts, client_account
from act_one.tasks.task import SETTLED

DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 366
_MONEY: Final = ("reserved", "spent", "unknown")
PARAMETERS: Final = ("from", "to")


def usage(
    client: Client, asked: Mapping[str, str], ledger: LedgerTable, settings: Settings, now: float
) -> dict[str, Json]:
    """Write the accounts of a client's days, ``from`` and ``to`` included, oldest first.

    Days without tasks are left out. Raises ``ProblemError`` 400.
    """
    for name in sorted(asked.keys() - {*PARAMETERS}):
        _refuse("unknown-parameter", name[:64], f"the parameters are {', '.join(PARAMETERS)}")
    today = datetime.fromtimestamp(now, UTC).date()
    last = _day(asked, "to") or today
    first = _day(asked, "from") or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        _refuse("date-invalid", "from", "from must not be later than to")
    if (last - first).days >= MAX_DAYS:
        _refuse("date-invalid", "from", f"from and to may be {MAX_DAYS} days apart at most")
    days = ledger.days(client_account(client.name), first.isoformat(), last.isoformat())
    return {
        "client": client.name,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "days": [{"date": day, **_shown(amounts)} for day, amounts in days.items()],
        "budget": _budget(client, ledger, settings, now),
    }


def _shown(amounts: Amounts) -> dict[str, Json]:
    return {
        "tasks": amounts.get("tasks", 0),
        **{str(stage): amounts.get(stage, 0) for stage in sorted(SETTLED)},
        **{f"{name}_micro_usd": amounts.get(name, 0) for name in _MONEY},
        "stored_bytes": amounts.get("stored_bytes", 0),
    }


def _budget(
    client: Client, ledger: LedgerTable, settings: Settings, now: float
) -> dict[str, Json] | None:
    """Write what is left of today's budget: of the tighter one, the client's or the stack's."""
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


def _day(asked: Mapping[str, str], name: str) -> date | None:
    if name not in asked:
        return None
    try:
        return date.fromisoformat(asked[name])
    except ValueError:
        _refuse("date-invalid", name, f"{name} must be a day such as 2026-11-28, in UTC")


def _refuse(code: str, field: str, detail: str) -> NoReturn:
    raise ProblemError(400, code, f"The parameter {field} can't be used", detail, field=field)
