"""Tells the published forms of task objects apart."""

import json
from typing import Any, Literal

Shape = Literal["wrapped", "flat", "legacy", "bare", "guide", "other", "not JSON"]

GATEWAY = frozenset({"action", "fail_reason", "submit_time", "finish_time", "result_url"})
LEGACY = frozenset({"state", "video_url", "poster", "last_frame", "point", "refund"})


def shape_of(content: str) -> Shape:
    """Return the form of a body that has a task: the feed's four, and two of callbacks.

    A callback's `legacy` is the bare object, without `code` and `data` around it.
    """
    document = object_in(content)
    if document is None:
        return "not JSON"
    inner = document.get("data")
    if isinstance(inner, dict) and "task_id" not in document:
        if GATEWAY & inner.keys():
            return "wrapped"
        return "legacy" if LEGACY & inner.keys() else "other"
    if "task_id" in document:
        if "result" in document and not LEGACY & document.keys():
            return "guide"
        if GATEWAY & document.keys():
            return "flat"
        return "legacy" if LEGACY & document.keys() else "other"
    return "bare" if {"id", "status"} <= document.keys() else "other"


def object_in(content: str) -> dict[str, Any] | None:
    """Read a JSON object, None if the body is something else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def nested_in(content: str) -> Shape | None:
    """Return the form of the object inside a wrapped one, None if there is none."""
    inner = (object_in(content) or {}).get("data")
    nested = inner.get("data") if isinstance(inner, dict) else None
    return shape_of(json.dumps(nested)) if isinstance(nested, dict) else None
