"""Values as DynamoDB attributes, ``{"S": "text"}``, and back.

Only the types that rows have: text, numbers, booleans, lists and maps. boto3 has such a pair too,
but to import it imports all of boto3.
"""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from enum import StrEnum
from math import isfinite
from typing import Any


def attribute(value: object) -> dict[str, Any]:
    """Write a value as an attribute; floats to the thousandth, dataclasses as maps.

    Members of maps that are None are left out, as DynamoDB's NULL means something else: that a
    value is known to be none. Raises ``TypeError`` for other types, sets and bytes among them,
    and for floats that are no number.
    """
    match value:
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value.value if isinstance(value, StrEnum) else value}
        case int():
            return {"N": str(value)}
        case float():
            return {"N": _decimal(value)}
        case Mapping():
            return {
                "M": {k: attribute(member) for k, member in value.items() if member is not None}
            }
        case list() | tuple():
            return {"L": [attribute(member) for member in value]}
        case None:
            return {"NULL": True}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return attribute(asdict(value))
    raise TypeError(f"{type(value).__name__} can't be stored")


def _decimal(value: float) -> str:
    """Write a float in decimal digits, which `str` doesn't do for very large or small ones."""
    if not isfinite(value):
        raise TypeError(f"{value} can't be stored")
    return f"{Decimal(str(round(value, 3))):f}"


def plain(stored: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what was written
    """Read an attribute: whole numbers are int, others float.

    Raises ``KeyError`` for sets and bytes, ``ValueError`` for what is no attribute.
    """
    [(kind, value)] = stored.items()
    return _READERS[kind](value)


def _number(digits: str) -> int | float:
    number = Decimal(digits)
    return int(number) if number == number.to_integral_value() else float(number)


_READERS: dict[str, Any] = {
    "S": str,
    "N": _number,
    "BOOL": bool,
    "NULL": lambda _: None,
    "L": lambda members: [plain(member) for member in members],
    "M": lambda members: {name: plain(member) for name, member in members.items()},
}
