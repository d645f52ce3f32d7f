"""How long this stack's recent tasks took, from the send to the stored result.

One small item for each kind of task has the latest of them:

    add   version = seen ──▶ version + 1, with one more; after three tries it is left out

An estimate may lack a task, but must not count one twice: each duration is kept with the first
digits of its task's id.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutItemInputTypeDef

ACT_ONE: Final = "act_one"
"""The one kind of task so far."""
KEPT: Final = 100
"""How many durations are kept."""
NEEDED: Final = 5
"""With fewer durations nothing is estimated."""
CACHE_SECONDS: Final = 60.0
_TRIES: Final = 3
_DIGITS: Final = 8

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class Durations:
    """The durations of recent tasks, in seconds."""

    seconds: tuple[float, ...] = ()

    def share(self, part: float) -> float | None:
        """Return the seconds in which this part of the tasks ended; None below five durations.

        It is one of the durations (the nearest rank): 0.5 is the median, 0.9 the 90th percentile.
        """
        if len(self.seconds) < NEEDED:
            return None
        return sorted(self.seconds)[math.ceil(part * len(self.seconds)) - 1]


class DurationTable:
    """The table of recent durations. What it returns may be a minute old."""

    def __init__(self, client: "DynamoDBClient", name: str, clock: Clock) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._recent = Durations()
        self._read_at = float("-inf")

    def recent(self) -> Durations:
        """Return the latest durations, or those read last while the table can't be read."""
        if self._clock() - self._read_at > CACHE_SECONDS:
            self._read_at = self._clock()
            try:
                self._recent = Durations(tuple(_seconds(entry) for entry in self._read()[1]))
            except (BotoCoreError, ClientError):
                logger.exception("durations not readable")
        return self._recent

    def add(self, task_id: str, seconds: float) -> bool:
        """Add the duration of a task once; return whether it is there.

        It is left out when other writers are faster three times in a row.
        """
        digits = task_id.rpartition("_")[2][:_DIGITS]
        for _ in range(_TRIES):
            version, entries = self._read(consistent=True)
            if any(entry.startswith(f"{digits} ") for entry in entries):
                return True
            if self._replace(version, [*entries, f"{digits} {seconds:.1f}"][-KEPT:]):
                return True
        return False

    def _read(self, *, consistent: bool = False) -> tuple[int, list[str]]:
        """Return the item's version, 0 if there is none, and its entries, oldest first."""
        answer = self._client.get_item(
            TableName=self._name, Key={"kind": {"S": ACT_ONE}}, ConsistentRead=consistent
        )
        item = answer.get("Item")
        if item is None:
            return 0, []
        return int(item["version"]["N"]), [entry["S"] for entry in item["durations"]["L"]]

    def _replace(self, version: int, entries: Sequence[str]) -> bool:
        """Write the item unless it has changed since ``version``; return whether it was written."""
        asked: PutItemInputTypeDef = {
            "TableName": self._name,
            "Item": {
                "kind": {"S": ACT_ONE},
                "version": {"N": str(version + 1)},
                "durations": {"L": [{"S": entry} for entry in entries]},
            },
            "ConditionExpression": "attribute_not_exists(kind)",
        }
        if version:
            asked["ConditionExpression"] = "version = :seen"
            asked["ExpressionAttributeValues"] = {":seen": {"N": str(version)}}
        try:
            self._client.put_item(**asked)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _seconds(entry: str) -> float:
    return float(entry.partition(" ")[2])
