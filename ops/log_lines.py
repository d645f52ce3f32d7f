"""What the functions' logs say about one task."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from act_one.tasks.task import Task
from ops.deployed import Stack

BEFORE_SECONDS: Final = 300.0
"""How long before its row a task may have log lines: of the request that made it."""
INVOCATIONS: Final = 6
"""For how many invocations one call looks for the lines of Lambda itself: patterns are short."""
_USUAL: Final = frozenset(
    {
        *("level", "location", "message", "timestamp", "service", "cold_start", "xray_trace_id"),
        *("function_name", "function_memory_size", "function_arn", "function_request_id"),
        *("task_id", "correlation_id", "request_id", "exception", "stack_trace", "traceback"),
        *("stackTrace", "time", "requestId"),
    }
)
"""What every log line has, or what is too long to be shown."""


def log_groups(stack: Stack) -> dict[str, str]:
    """Return the log groups of the functions, by the functions' short names."""
    return {
        one.name.removesuffix("Logs"): one.id
        for one in stack.of_type("AWS::Logs::LogGroup")
        if one.name.endswith("Logs") and not one.name.endswith("StateMachineLogs")
    }


def lines_about(task: Task, group: str, stack: Stack) -> Iterator[tuple[float, str]]:
    """Yield a function's log lines about a task, each with its time (epoch seconds).

    Lambda's own lines about their invocations are among them.

    A client chooses its request ids, so a line that has only that one counts if it names no task.
    """
    ids = [("task_id", task.task_id), ("correlation_id", task.correlation_id)]
    invocations: set[str] = set()
    for event, line in _lines(ids, task, group, stack):
        if _is_about(line, task):
            invocations.add(str(line.get("function_request_id", "")))
            yield _moment(line, event), line_text(line)
    for first in range(0, len(invocations), INVOCATIONS):
        some = sorted(invocations)[first : first + INVOCATIONS]
        found = [(key, one) for one in some for key in ("requestId", "record.requestId") if one]
        for event, line in _lines(found, task, group, stack) if found else ():
            if _ended_badly(line, invocations):
                yield _moment(line, event), line_text(line)


def _lines(
    values: Iterable[tuple[str, str | None]], task: Task, group: str, stack: Stack
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Yield the log events, and their JSON, in which one of the members has its value."""
    pattern = " || ".join(f"($.{key} = {json.dumps(one)})" for key, one in values if one)
    pages = (
        stack.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=group,
            startTime=int((task.created_at - BEFORE_SECONDS) * 1_000),
            filterPattern=f"{{ {pattern} }}",
        )
    )
    for page in pages:
        for event in page["events"]:
            yield event, _line(event["message"])


def _is_about(line: Mapping[str, Any], task: Task) -> bool:
    named, of_request = line.get("task_id"), line.get("correlation_id")
    return named == task.task_id or (
        not named and task.correlation_id is not None and of_request == task.correlation_id
    )


def _ended_badly(line: Mapping[str, Any], invocations: set[str]) -> bool:
    """Return whether Lambda wrote this line about one of these invocations: a crash, a timeout."""
    record = line.get("record")
    named = record.get("requestId") if isinstance(record, dict) else line.get("requestId")
    return named in invocations and "task_id" not in line


def _line(message: str) -> dict[str, Any]:
    try:
        found = json.loads(message)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _moment(line: Mapping[str, Any], event: Mapping[str, Any]) -> float:
    """Return when a line was written: its own time is more exact than when it was received."""
    try:
        written = datetime.strptime(str(line.get("timestamp")), "%Y-%m-%d %H:%M:%S,%f%z")
    except ValueError:
        return float(event["timestamp"]) / 1_000
    return written.timestamp()


def line_text(line: Mapping[str, Any]) -> str:
    """Write a log line without what all have: its level if it is not INFO, message and fields."""
    level = str(line.get("level", "INFO"))
    parts = [] if level == "INFO" else [level]
    parts.append(str(line.get("message", "")))
    parts += [f"{key}={_value(value)}" for key, value in line.items() if key not in _USUAL]
    if raised := str(line.get("exception", "")).strip():
        parts.append(raised.splitlines()[-1])
    return " ".join(parts)


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
