"""The entries of ``docs/problems.md``, each about one code."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from tools.openapi.raised import ROOT

ENTRIES = ROOT / "docs/problems.md"
_ENTRY = re.compile(
    r"^### (?P<code>[a-z0-9-]+)\n\n"
    r"\*\*(?P<statuses>[0-9, ]+)\.\*\* (?P<text>.+?)\n\n"
    r"```json\n(?P<example>.+?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)


class EntryError(Exception):
    """An entry of the page of problems is not in its form; the message names it."""


@dataclass(frozen=True)
class Entry:
    """What the page says of a code."""

    statuses: frozenset[int]
    text: str
    example: dict[str, Any]


@cache
def entries() -> dict[str, Entry]:
    """Read the page, in its order. Raises ``EntryError``."""
    page = ENTRIES.read_text()
    found = {match["code"]: _entry(match) for match in _ENTRY.finditer(page)}
    if odd := [heading for heading in _HEADING.findall(page) if heading not in found]:
        raise EntryError(
            f"docs/problems.md: {', '.join(odd)}: an entry is `### code`, then `**status.**` and "
            "what it means, then an example in a block of json"
        )
    return found


def _entry(match: re.Match[str]) -> Entry:
    try:
        example = json.loads(match["example"])
    except ValueError as error:
        raise EntryError(f"docs/problems.md: the example of {match['code']}: {error}") from error
    return Entry(
        statuses=frozenset(int(status) for status in match["statuses"].split(",")),
        text=" ".join(match["text"].split()),
        example=example,
    )
