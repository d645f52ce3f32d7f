"""The schema of stored rows: a number that rises when older code would misread what is written.

A row without a number has the first schema. One with a higher number than this code reads is from a
newer release, which is being rolled out or was rolled back. It is left alone: neither changed nor
guessed at, and its due time stays, so that the newer code takes it up (docs/upgrades.md).

``task_id``, ``client_id``, ``version``, ``due_at`` and ``schema`` mean the same in every schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from act_one.problems import ProblemError

ATTRIBUTE: Final = "schema"
_FIRST: Final = 1
RETRY_SECONDS: Final = 60
"""When to try again: an update of the functions takes a minute or two."""

NOT_NEWER: Final = "(attribute_not_exists(#schema) OR #schema <= :schema_read)"
"""The condition of a write that must not change a newer row."""


class UnreadableRowError(ValueError):
    """A row that this code can't read: written by newer code, or by hand."""


class NewerRowError(ProblemError, UnreadableRowError):
    """A row of a schema that only newer code reads; ``client_id`` is whose it is, if it says so."""

    def __init__(self, schema: int, client_id: str | None) -> None:
        super().__init__(
            503,
            "newer-release",
            "A newer release wrote the data",
            "the task or the client was written by a newer release of this service, which is being "
            "rolled out or was rolled back; nothing is lost or paid twice: send the same request "
            "again, with the same Idempotency-Key, as late as Retry-After says",
            retryable=True,
            retry_after=RETRY_SECONDS,
        )
        self.schema = schema
        self.client_id = client_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The newest schema of a kind of rows that this code reads, and the one that it writes.

    A release that reads a new schema comes before the release that writes it, so that both can run
    side by side, and the second one can be rolled back.
    """

    read: int
    written: int

    def check(self, row: Mapping[str, Any]) -> None:
        """Raise ``NewerRowError`` for a row of a newer schema."""
        found = int(row[ATTRIBUTE]["N"]) if ATTRIBUTE in row else _FIRST
        if found > self.read:
            raise NewerRowError(found, row.get("client_id", {}).get("S"))

    def stamp(self) -> dict[str, Any]:
        """Return the attribute that each put writes."""
        return {ATTRIBUTE: {"N": str(self.written)}}


TASKS: Final = Schema(read=1, written=1)
PAIRS: Final = Schema(read=1, written=1)
CLIENTS: Final = Schema(read=1, written=1)
