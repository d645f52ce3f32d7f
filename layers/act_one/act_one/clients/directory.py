"""The clients table: which API key is which client, each client's limits, and the pause.

    key#<SHA-256 of an API key>   the client's name
    client#<name>                 its limits, and the hashes and ids of its keys
    sending                       whether sending is paused

`ops.clients` and `ops.pause` write it; functions only read it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from act_one.clients.client import DEFAULT, DEFAULT_CLIENT, Client
from act_one.clock import Clock
from act_one.tasks import schema
from act_one.tasks.schema import NewerRowError
from act_one.tasks.task import SHARED_CLIENTS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CLIENT_SECONDS: Final = 30.0
"""How long a function may use a client as it read it."""
PAUSE_SECONDS: Final = 5.0
"""How long a function may go on sending after a pause."""
_MAX_KEPT: Final = 1_000
PAUSE_ID: Final = "sending"


def key_id(api_key: str) -> str:
    """Return the table's key of an API key, which the table itself must not hold."""
    return f"key#{hashlib.sha256(api_key.encode()).hexdigest()}"


def client_id(name: str) -> str:
    """Return the table's key of a client."""
    return f"client#{name}"


@dataclass(slots=True)
class ClientDirectory:
    """The clients table ``name``, reached through ``client``, as a function reads it."""

    client: "DynamoDBClient"
    name: str
    clock: Clock
    _kept: dict[str, tuple[float, Mapping[str, Any] | None]] = field(default_factory=dict)

    def of_key(self, api_key: str) -> Client:
        """Return the client of an API key that API Gateway has accepted."""
        row = self._read(key_id(api_key), CLIENT_SECONDS)
        if row:
            schema.CLIENTS.check(row)
        return self.named(row["client"]["S"] if row else DEFAULT_CLIENT) or DEFAULT

    def named(self, name: str) -> Client | None:
        """Return a client by its name; None if there is none."""
        row = self._read(client_id(name), CLIENT_SECONDS)
        if row is not None:
            return read_client(row)
        if name == DEFAULT_CLIENT:
            return DEFAULT
        return Client(name=name) if name in SHARED_CLIENTS else None

    def is_paused(self) -> bool:
        """Return whether no task may be sent now; a row of a newer release counts as a pause."""
        row = self._read(PAUSE_ID, PAUSE_SECONDS)
        if row is None:
            return False
        try:
            schema.CLIENTS.check(row)
        except NewerRowError:
            return True
        return row["paused"]["BOOL"] is True

    def _read(self, row_id: str, seconds: float) -> Mapping[str, Any] | None:
        now = self.clock()
        if row_id in self._kept and now - self._kept[row_id][0] < seconds:
            return self._kept[row_id][1]
        answer = self.client.get_item(
            TableName=self.name, Key={"id": {"S": row_id}}, ConsistentRead=True
        )
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[row_id] = (now, answer.get("Item"))
        return answer.get("Item")


def read_client(row: Mapping[str, Any]) -> Client:
    """Read a client's row. Raises ``NewerRowError``: it may limit more than this code can see."""
    schema.CLIENTS.check(row)

    def number(name: str) -> int | None:
        return int(row[name]["N"]) if name in row else None

    return Client(
        name=row["name"]["S"],
        daily_budget=number("daily_budget"),
        max_open=number("max_open"),
        consent_required="consent_required" in row and row["consent_required"]["BOOL"],
        may_read=frozenset(one["S"] for one in row.get("may_read", {"L": ()})["L"]),
        event_sources=tuple(one["S"] for one in row.get("event_sources", {"L": ()})["L"]),
        revoked="revoked" in row and row["revoked"]["BOOL"],
    )
