"""The query of a request: the tasks or days to list, how long to wait, whether to ask the feed."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NoReturn

from act_one.clock import parse_rfc3339
from act_one.json_types import Json
from act_one.problems import ProblemError
from act_one.tasks.documents import STATUSES

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
METADATA: Final = "metadata."
DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 366

_LIST: Final = frozenset({"status", "created_after", "created_before", "limit", "next_token"})
_DAY: Final = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_PREFERENCE: Final = re.compile(r'\s*wait\s*=\s*("?)([0-9]{1,9})\1\s*(;.*)?', re.IGNORECASE)

type Parameters = Mapping[str, Sequence[str]]
"""The values of each parameter of a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """Which tasks to list: those that every part applies to."""

    statuses: frozenset[str] = frozenset()
    """Any of these; empty: all."""
    since: float | None = None
    """The earliest time of creation, in epoch seconds, as is the latest."""
    until: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    """Names and texts of members, by name."""

    @property
    def filters(self) -> bool:
        """Whether rows have to be read to tell whether they are asked for."""
        return bool(self.statuses or self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """A page of a list."""

    tasks: TaskQuery
    limit: int = DEFAULT_LIMIT
    next_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysQuery:
    """Days in UTC, both included."""

    first: date
    last: date


def read_page_query(parameters: Parameters) -> PageQuery:
    """Read the query of a list. Raises ``ProblemError`` 400 naming the parameter at fault."""
    metadata = {n for n in parameters if n.startswith(METADATA) and n != METADATA}
    _check_names(parameters, _LIST | metadata, "status, created_after, created_before, "
                 "metadata.<name>, limit and next_token")  # fmt: skip
    statuses = [status for text in parameters.get("status", ()) for status in text.split(",")]
    for status in statuses:
        if status not in STATUSES:
            detail = f"status may be one or several, with commas, of {', '.join(STATUSES)}"
            _refuse("status-unknown", "There is no such status", detail, "status")
    after, before = (_milliseconds(parameters, n) for n in ("created_after", "created_before"))
    if after is not None and before is not None and after >= before:
        detail = "created_before must be later than created_after"
        _refuse("time-range-empty", "No time is in this range", detail, "created_before")
    return PageQuery(
        tasks=TaskQuery(
            statuses=frozenset(statuses),
            since=None if after is None else after / 1_000,
            until=None if before is None else (before - 1) / 1_000,
            metadata=tuple(
                (name.removeprefix(METADATA), str(_value(parameters, name)))
                for name in sorted(metadata)
            ),
        ),
        limit=_limit(_value(parameters, "limit")),
        next_token=_value(parameters, "next_token"),
    )


def read_wait(parameters: Parameters, prefer: str | None) -> int:
    """Return the seconds to wait that ``wait`` or, without it, the header ``Prefer`` asks for.

    Raises ``ProblemError`` 400 for a bad ``wait``. A bad preference is ignored (RFC 7240), and so
    are repetitions of one.
    """
    text = _value(parameters, "wait")
    if text is not None:
        if not _NUMBER.fullmatch(text):
            detail = "wait must be a whole number of seconds; more than 25 count as 25"
            _refuse("wait-invalid", "The wait is invalid", detail, "wait")
        return int(text)
    for preference in (prefer or "").split(","):
        if preference.partition("=")[0].strip().lower() == "wait":
            found = _PREFERENCE.fullmatch(preference)
            return int(found[2]) if found else 0
    return 0


def read_refresh(parameters: Parameters) -> bool:
    """Return whether to ask the provider. Raises ``ProblemError`` 400."""
    text = _value(parameters, "refresh")
    if text not in {None, "true", "false"}:
        detail = "refresh must be true or false"
        _refuse("refresh-invalid", "refresh is invalid", detail, "refresh")
    return text == "true"


def read_days(parameters: Parameters, today: date) -> DaysQuery:
    """Read the days of an account. Raises ``ProblemError`` 400 naming the parameter at fault."""
    check_names(parameters, "from", "to")
    last = _day(parameters, "to") or today
    first = _day(parameters, "from") or last - timedelta(days=DEFAULT_DAYS - 1)
    if not 0 <= (last - first).days < MAX_DAYS:
        detail = f"from must not be later than to, nor {MAX_DAYS} days or more before it"
        _refuse("date-invalid", "No such days can be shown", detail, "from")
    return DaysQuery(first=first, last=last)


def check_names(parameters: Parameters, *known: str) -> None:
    """Refuse parameters that a route doesn't know. Raises ``ProblemError`` 400."""
    _check_names(parameters, frozenset(known), " and ".join(known))


def text_of(value: Json) -> str | None:
    """Return the text of a string, a number or a boolean, as JSON has it; None for others."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else None


def _check_names(parameters: Parameters, known: frozenset[str], shown: str) -> None:
    for name in sorted(parameters.keys() - known):
        cut = name[:64].encode("utf-8", "replace").decode()
        detail = f"{cut!r} is no parameter of this route; it has {shown}"
        _refuse("unknown-parameter", "There is no such parameter", detail, cut)


def _value(parameters: Parameters, name: str) -> str | None:
    """Return the one value of a parameter, None without one."""
    values = parameters.get(name, ())
    if len(values) > 1:
        detail = f"{name} is there {len(values)} times; give it once"
        _refuse("repeated-parameter", f"{name} is repeated", detail, name)
    return values[0] if values else None


def _milliseconds(parameters: Parameters, name: str) -> int | None:
    """Read a time as the first millisecond that isn't before it."""
    text = _value(parameters, name)
    if text is None:
        return None
    try:
        return math.ceil(round(parse_rfc3339(text) * 1_000_000) / 1_000)
    except ValueError:
        detail = (
            f"{name} must be a time such as 2026-11-22T12:00:00Z (RFC 3339); "
            "in a query, write the + of an offset as %2B"
        )
        _refuse("time-invalid", "The time is invalid", detail, name)


def _day(parameters: Parameters, name: str) -> date | None:
    text = _value(parameters, name)
    if text is None:
        return None
    try:
        found = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        detail = f"{name} must be a day of this century such as 2026-11-28, in UTC"
        _refuse("date-invalid", "The day is invalid", detail, name)
    return found


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        detail = f"limit must be a number from 1 to {MAX_LIMIT}"
        _refuse("limit-invalid", "The limit is invalid", detail, "limit")
    return int(text)


def _refuse(code: str, title: str, detail: str, name: str) -> NoReturn:
    raise ProblemError(400, code, title, detail, field=name)
