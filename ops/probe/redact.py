"""Writes replies down so that they may be shown: their form, without anybody's secrets.

What is shown is chosen, not what is hidden: a JSON document keeps its names, and the values of
fields that are words of the protocol. Every other value becomes its kind. At the end, known secrets
and what looks like one are removed from the whole text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from act_one.provider.replies import scrub

WORDS: Final = frozenset({"status", "state", "code", "progress", "action", "type", "failurecode"})
"""Fields whose values are words or numbers of the protocol."""
TEXTS: Final = frozenset({"msg", "message", "fail_reason", "failure", "error"})
"""Fields whose values are sentences for people."""
SHOWN_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-ranges",
        "cache-control",
        "connection",
        "content-length",
        "content-range",
        "content-type",
        "range",
        "retry-after",
        "server",
        "transfer-encoding",
        "user-agent",
    }
)
_WORD: Final = re.compile(r"[A-Za-z0-9_. %-]{0,40}")
_LONG: Final = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_NUMBER: Final = re.compile(r"(?<!\d)\d{9,}(?!\d)")
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_URL: Final = re.compile(
    r"(?i)((?:[a-z0-9+]+:)?//)(?:[^\s\"'<>/?#]*@)?([^\s\"'<>/?#]+)([^\s\"'<>]*)"
)
_MAIL: Final = re.compile(r"[^\s@\"'<>(,;]+@[^\s@\"'<>),;]+")
_ADDRESS: Final = re.compile(
    r"(?i)(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w)"
    r"|(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])"
)
_MARKUP: Final = re.compile(r"\{|\[(?=\s*[\[{\"])")
_MAX_ITEMS: Final = 3
_MAX_DEPTH: Final = 6


def outline(document: object, name: str = "", depth: int = 0) -> object:
    """Return the form of a JSON document: names, words of the protocol, kinds of values."""
    if depth > _MAX_DEPTH:
        return "…"
    match document:
        case dict():
            return {
                text(str(key)): outline(value, str(key).lower(), depth + 1)
                for key, value in document.items()
            }
        case list():
            return [outline(value, name, depth + 1) for value in document[:_MAX_ITEMS]]
        case None | bool():
            return document
        case int() | float():
            return document if name in WORDS and abs(document) < 1_000 else "number"
        case str():
            return _outline_of_text(document, name, depth)
        case _:
            return type(document).__name__


def _outline_of_text(value: str, name: str, depth: int) -> object:
    if value == "":
        return ""
    if value[0] in "{[" and (inner := _json_in(value)) is not None:
        return outline(inner, name, depth + 1)
    if re.match(r"(?i)(https?:)?//", value):
        return str(url(value))
    if name in WORDS and _WORD.fullmatch(value):
        return text(value)
    if name in TEXTS:
        return text(value)[:200]
    kind = "digits" if value.isdecimal() else "text"
    return f"{kind} of {len(value)}"


def _json_in(value: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def body(content: str) -> object:
    """Return the form of a body: a JSON document's, or that it is none."""
    if not content:
        return "empty"
    try:
        return outline(json.loads(content))
    except (ValueError, RecursionError):
        return f"not JSON, {len(content)} characters" + (
            ", HTML" if "<html" in content[:500].lower() else ""
        )


def headers(found: Mapping[str, str]) -> dict[str, str]:
    """Return the names of headers, with the values of those that say nothing about anybody."""
    return {
        text(name): text(value) if name.lower() in SHOWN_HEADERS else "…"
        for name, value in sorted(found.items())
    }


def url(value: str) -> dict[str, Any]:
    """Return what may be shown of a URL: never its path or the values of its query."""
    parts = urlsplit(value)
    ending = parts.path.rpartition(".")[2].lower()
    return {
        "scheme": parts.scheme or "none",
        "host": text(parts.hostname or ""),
        "ending": ending if re.fullmatch("[a-z0-9]{2,4}", ending) else "",
        "query": sorted({text(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)}),
    }


def text(value: str) -> str:
    """Remove from a text what looks like a secret, an id or somebody, and JSON with all it says."""
    value = scrub(value)
    if begun := _MARKUP.search(value):
        value = f"{value[: begun.start()]}{begun[0]}…{'}' if begun[0] == '{' else ']'}"
    value = _URL.sub(lambda found: found[1] + found[2] + ("/…" if found[3] else ""), value)
    value = _ADDRESS.sub("…", _MAIL.sub("…", value))
    value = _UUID.sub("…", value)
    value = _LONG.sub("…", value)
    return _NUMBER.sub("…", value)


def without(document: str, secrets: Iterable[str]) -> str:
    """Remove known secrets from a whole report, however they got there."""
    for secret in sorted({one for one in secrets if len(one) >= 6}, key=len, reverse=True):
        document = document.replace(secret, "…")
        document = document.replace(json.dumps(secret)[1:-1], "…")
    return document
