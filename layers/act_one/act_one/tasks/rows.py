"""A task as a row of the tasks table, and back."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, Final

from act_one.correlation import about_task
from act_one.tasks import schema
from act_one.tasks.attributes import attribute, plain
from act_one.tasks.schema import NewerRowError, UnreadableRowError
from act_one.tasks.task import (
    Billing,
    Delivery,
    Evidence,
    MediaUrls,
    Notice,
    Output,
    PinnedFile,
    SettledBy,
    Stage,
    StoredMedia,
    Task,
    Webhook,
    WebhookForm,
)

WATCHED: Final = "open"
"""The due index's one partition: it takes 1,000 writes a second, about 100 tasks a second."""

_STORED_NAMES: Final[Mapping[str, str]] = {
    "fallback_runs": "look",
    "success_callback": "announced",
}
"""Fields whose attribute in the row keeps an older name: rows live longer than code."""
_FIELD_NAMES: Final = {stored: name for name, stored in _STORED_NAMES.items()}

_KNOWN: Final = {member.name for member in fields(Task)}


def stored_name(field_name: str) -> str:
    """Return the name of the row's attribute that holds a field of ``Task``."""
    return _STORED_NAMES.get(field_name, field_name)


def to_item(task: Task) -> dict[str, Any]:
    """Write a task as a row."""
    values = {member.name: getattr(task, member.name) for member in fields(task)}
    # Callers' JSON is kept as text: DynamoDB would turn 1.0 into 1.
    values["metadata"] = json.dumps(dict(task.metadata), ensure_ascii=False)
    values["watched"] = None if task.due_at is None else WATCHED
    item = {
        stored_name(name): attribute(value) for name, value in values.items() if value is not None
    }
    return item | schema.TASKS.stamp()


def take_up(item: Mapping[str, Any]) -> Task:
    """Read a row to work on: the log lines from now on are about its task.

    Raises ``UnreadableRowError``.
    """
    about_task(item["task_id"]["S"], item.get("correlation_id", {}).get("S"))
    return read_item(item)


def read_item(item: Mapping[str, Any]) -> Task:
    """Read a row, as the table or its stream gives it; attributes of newer code are ignored.

    Raises ``UnreadableRowError``, and its kind ``NewerRowError`` for a row of a newer schema.
    """
    try:
        schema.TASKS.check(item)
        return _read_item(item)
    except NewerRowError:
        raise
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableRowError(repr(error)) from error


def _read_item(item: Mapping[str, Any]) -> Task:
    row = {_FIELD_NAMES.get(name, name): value for name, value in item.items()}
    values: dict[str, Any] = {name: plain(row[name]) for name in _KNOWN & row.keys()}
    values["stage"] = Stage(values["stage"])
    values["billing"] = Billing(values["billing"])
    values["metadata"] = json.loads(values["metadata"])
    values["accounts"] = tuple(values.get("accounts", ()))
    values["warnings"] = _read_each(Notice, values.get("warnings", ()))
    values["deliveries"] = _read_each(Delivery, values.get("deliveries", ()))
    for name, read in _NESTED.items():
        if values.get(name) is not None:
            values[name] = read(values[name])
    return Task(**values)


def _read_known[Kind](kind: type[Kind], stored: Mapping[str, Any]) -> Kind:
    """Read a map as a dataclass; members that only newer code knows are ignored."""
    return kind(**_known_members(kind, stored))


def _known_members(kind: type, stored: Mapping[str, Any]) -> dict[str, Any]:
    known = {member.name for member in fields(kind)}
    return {name: value for name, value in stored.items() if name in known}


def _read_each[Kind](kind: type[Kind], stored: Iterable[Mapping[str, Any]]) -> tuple[Kind, ...]:
    return tuple(_read_known(kind, one) for one in stored)


def _read_output(stored: Mapping[str, Any]) -> Output:
    media = _known_members(Output, stored)
    return Output(**{name: _read_known(StoredMedia, one) for name, one in media.items()})


def _read_webhook(stored: Mapping[str, Any]) -> Webhook:
    return Webhook(
        url=stored["url"],
        events=tuple(stored["events"]),
        form=WebhookForm(stored.get("form", WebhookForm.STANDARD)),
    )


_NESTED: Final[Mapping[str, Any]] = {
    "evidence": partial(_read_known, Evidence),
    "success_callback": partial(_read_known, Evidence),
    "source": partial(_read_known, MediaUrls),
    "video_file": lambda value: _read_known(PinnedFile, {"version": None} | value),
    "image_file": lambda value: _read_known(PinnedFile, {"version": None} | value),
    "output": _read_output,
    "error": partial(_read_known, Notice),
    "settled_by": SettledBy,
    "webhook": _read_webhook,
}
