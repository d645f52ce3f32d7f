"""What we tell others: a move of a task as an event on the stack's bus.

Source ``act-one``; the detail is the task without presigned URLs plus ``event_id`` =
``task_id#version``, so that a repeat is recognisable and an older event too.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from act_one.task import SETTLED, Json, Stage, Task, document

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef


class NotSentError(Exception):
    """The bus didn't take an event; try again."""


SOURCE: Final = "act-one"

DETAIL_TYPES: Final[Mapping[Stage, str]] = {
    Stage.UNCONFIRMED: "Task Unconfirmed",
    Stage.SUBMITTED: "Task Submitted",
    Stage.RUNNING: "Task Running",
    Stage.STORING: "Task Storing",
    Stage.SUCCEEDED: "Task Succeeded",
    Stage.FAILED: "Task Failed",
    Stage.CANCELED: "Task Canceled",
    Stage.EXPIRED: "Task Expired",
}
"""Stages that others are told of; `accepted` and `submitting` are nobody's business."""
REJECTED: Final = "Task Rejected"
"""A request by bucket or bus that became no task."""
ENDED: Final = frozenset({DETAIL_TYPES[stage] for stage in SETTLED})


def event_of(task: Task, bus: str) -> "PutEventsRequestEntryTypeDef | None":
    """Write the event for a task's latest move; None for a stage that nobody is told of."""
    detail_type = DETAIL_TYPES.get(task.stage)
    if detail_type is None:
        return None
    detail = {**document(task), "event_id": f"{task.task_id}#{task.version}"}
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": detail_type,
        "Detail": json.dumps(detail, ensure_ascii=False),
    }


def rejection_of(
    problem: Mapping[str, Json], origin: Mapping[str, Json], bus: str, state: str = ""
) -> "PutEventsRequestEntryTypeDef":
    """Write the event for a request that became no task.

    ``origin`` says what asked: a folder (``upload``), an ``event`` or a ``message``, by its id.
    The same problem of the same ``state`` of it has the same ``event_id``.
    """
    told = json.dumps([problem, origin, state], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()
    detail = {"event_id": f"rejected_{digest[:32]}", "origin": origin, "problem": problem}
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": REJECTED,
        "Detail": json.dumps(detail, ensure_ascii=False),
    }


def send(events: "EventBridgeClient", entry: "PutEventsRequestEntryTypeDef") -> None:
    """Put one event on its bus. Raises ``NotSentError`` when the bus doesn't take it."""
    [result] = events.put_events(Entries=[entry])["Entries"]
    if "ErrorCode" in result:
        raise NotSentError(result["ErrorCode"])
