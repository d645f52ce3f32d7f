"""What a write to the tasks table costs, by the sizes of the row before and after it.

A write takes a unit per KB of the larger of the two, begun or whole, and each index a unit for an
entry that is made, one for an entry that is removed: two for one that moves.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

type Item = dict[str, dict[str, Any]]
UNIT_BYTES: Final = 1_024
_IS_NEW: Final = "attribute_not_exists(task_id)"
_CLAUSE: Final = re.compile(r"\b(SET|REMOVE|ADD)\s+")


@dataclass(frozen=True, slots=True)
class Write:
    """The units of one write: of the row itself, and of its indexes."""

    row: int
    index: int


@dataclass(frozen=True)
class Rows:
    """The rows as functions write them. ``indexes`` are the keys of each index."""

    indexes: Sequence[Sequence[str]]
    items: dict[str, Item] = field(default_factory=dict)

    def put(self, asked: Mapping[str, Any]) -> Write:
        """Write a whole row. A row that must not exist and does is left as it is, for its units."""
        item: Item = asked["Item"]
        task_id = item["task_id"]["S"]
        there = self.items.get(task_id)
        if there is not None and _IS_NEW in asked.get("ConditionExpression", ""):
            return Write(_units(there), 0)
        return self._written(task_id, item)

    def update(self, asked: Mapping[str, Any]) -> Write:
        """Apply an update as ``tasks.table`` writes them. Raises ``ValueError`` for others."""
        task_id = asked["Key"]["task_id"]["S"]
        row = dict(self.items.get(task_id, asked["Key"]))
        names, values = asked["ExpressionAttributeNames"], asked["ExpressionAttributeValues"]
        _, *parts = _CLAUSE.split(asked["UpdateExpression"])
        if not parts or _CLAUSE.split(asked["UpdateExpression"])[0]:
            raise ValueError(asked["UpdateExpression"])
        for word, clause in zip(parts[::2], parts[1::2], strict=True):
            for change in clause.split(","):
                name, *value = change.replace("=", " ").split()
                match word:
                    case "SET":
                        row[names[name]] = values[value[0]]
                    case "REMOVE":
                        row.pop(names[name], None)
                    case _:
                        before = int(row.get(names[name], {"N": "0"})["N"])
                        row[names[name]] = {"N": str(before + int(values[value[0]]["N"]))}
        return self._written(task_id, row)

    def _written(self, task_id: str, row: Item) -> Write:
        before = self.items.get(task_id, {})
        self.items[task_id] = row
        units = max(_units(before), _units(row))
        entries = [(_entry(before, keys), _entry(row, keys)) for keys in self.indexes]
        moved = [(old, new) for old, new in entries if old != new]
        return Write(units, sum((old is not None) + (new is not None) for old, new in moved))


def _units(row: Item) -> int:
    return math.ceil(size_of(row) / UNIT_BYTES)


def _entry(row: Item, keys: Sequence[str]) -> list[dict[str, Any]] | None:
    """Return a row's place in an index; None if it has none."""
    return [row[key] for key in keys] if all(key in row for key in keys) else None


def size_of(row: Item) -> int:
    """Return the bytes of a row as DynamoDB counts them, near enough."""
    return sum(len(name) + _size(value) for name, value in row.items())


def _size(value: object) -> int:
    match value:
        case {"M": dict(members)}:
            return 3 + sum(1 + len(name) + _size(member) for name, member in members.items())
        case {"L": list(members)}:
            return 3 + sum(1 + _size(member) for member in members)
        case {"N": str(number)}:
            return 2 + len(number) // 2
        case {"S": str(text)}:
            return len(text.encode())
    return 1
