"""The one clock: epoch seconds, RFC 3339, and the time that an invocation has left."""

import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Clock = Callable[[], float]
"""Returns the current time, in seconds since 1970-01-01T00:00:00Z."""

type SecondsLeft = Callable[[], float]
"""Returns how many seconds this invocation may still run."""

HOUR: Final = 3_600.0
DAY: Final = 86_400.0


def system_clock() -> float:
    """Return the current time in epoch seconds, to the millisecond as table rows store it."""
    return round(time.time(), 3)


def rfc3339(epoch_seconds: float) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds, e.g. ``2026-11-22T12:00:00.000Z``."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> float:
    """Read a time of RFC 3339, to the microsecond. Raises ``ValueError``."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(text)
    return (datetime.fromisoformat(text.upper()) - _EPOCH).total_seconds()


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.IGNORECASE,
)


def day_path(epoch_seconds: float) -> str:
    """Write the UTC day of a time as ``yyyy/mm/dd``, the way result keys are grouped."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y/%m/%d")


def utc_date(epoch_seconds: float) -> date:
    """Return the UTC day of a time."""
    return datetime.fromtimestamp(epoch_seconds, UTC).date()


def utc_day(epoch_seconds: float) -> str:
    """Write the UTC day of a time as ``yyyy-mm-dd``."""
    return utc_date(epoch_seconds).isoformat()


def next_utc_day(epoch_seconds: float) -> float:
    """Return when the UTC day after a time begins."""
    return (epoch_seconds // DAY + 1) * DAY


def seconds_left_of(context: "LambdaContext") -> SecondsLeft:
    """Return the function that returns the seconds an invocation may still run."""
    return lambda: context.get_remaining_time_in_millis() / 1_000
