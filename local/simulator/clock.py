"""The one place that asks what time it is."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current moment, UTC."""
    return datetime.now(UTC)
