"""Compares what a template says with what a service says of the resource."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_REFERENCE: Final = re.compile(r"\$\{(\w+)(?:\.(\w+))?\}")


def differences(said: Any, read: Any, ids: Mapping[str, str], path: str = "") -> Iterator[str]:
    """List where a resource isn't what the template says. More than it says is no difference.

    ``ids`` are the physical ids of what the template refers to.
    """
    match said, read:
        case dict(), Mapping():
            for name, member in said.items():
                yield from differences(member, read.get(name), ids, f"{path}.{name}".lstrip("."))
        case list(), list() if len(said) == len(read):
            yield from _of_lists(said, read, ids, path)
        case list(), _ if not isinstance(read, list):
            # A list of one and its member mean the same in a policy.
            if len(said) != 1 or [*differences(said[0], read, ids)]:
                yield _unequal(path, said, read)
        case _, list() if not isinstance(said, list):
            if len(read) != 1 or [*differences(said, read[0], ids)]:
                yield _unequal(path, said, read)
        case _:
            if not _same(said, read, ids):
                yield _unequal(path, said, read)


def _of_lists(said: list[Any], read: list[Any], ids: Mapping[str, str], path: str) -> Iterator[str]:
    """The order of a list means nothing in the properties that are compared here."""
    rest = list(read)
    for member in said:
        same = next((one for one in rest if not [*differences(member, one, ids)]), None)
        if same is not None:
            rest.remove(same)
        else:
            like = [one for one in rest if _name(one) is not None and _name(one) == _name(member)]
            found = like[0] if like else None
            yield from differences(
                member, found, ids, f"{path}[{_name(member) or said.index(member)}]"
            )


def _name(member: Any) -> str | None:
    keys = ("Id", "ID", "IndexName", "AttributeName", "PolicyName", "ResourcePath")
    names = [str(member[key]) for key in keys if isinstance(member, dict) and key in member]
    return names[0] if names else None


def _unequal(path: str, said: Any, read: Any) -> str:
    return f"{path} is absent" if read is None else f"{path} is {_short(read)}, not {_short(said)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _same(said: Any, read: Any, ids: Mapping[str, str]) -> bool:
    """Compare two values; a reference means anything that has the resource's own name in it."""
    if not isinstance(said, str) or "${" not in said:
        return _text(said) == _text(read)
    pattern, end = "", 0
    for found in _REFERENCE.finditer(said):
        own = re.split(r"[/|:]", ids.get(found[1], ""))[-1]
        name = re.escape(own) if found[2] in {None, "Arn", "StreamArn"} else ""
        pattern += re.escape(said[end : found.start()]) + f".*{name}.*"
        end = found.end()
    return re.fullmatch(pattern + re.escape(said[end:]), str(read), re.DOTALL) is not None


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower() if isinstance(value, bool | str) else str(value)
