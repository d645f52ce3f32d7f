"""What we tell others: a move of a task as an event on the stack's bus.

Source ``act-one``; the detail is the task without presigned URLs plus ``event_id`` =
``task_id#version``, so that a repeat is recognisable and an older event too.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from act_one.task import SETTLED, Json, Stage, Task, document

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

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

WEBHOOK_EVENTS: Final[Mapping[Stage, str]] = {stage: f"task.{stage}" for stage in DETAIL_TYPES}
"""What the same events are called towards webhooks: ``task.succeeded``."""
ENDS: Final = tuple(name for stage, name in WEBHOOK_EVENTS.items() if stage in SETTLED)
"""What a webhook is told of that names no events."""


def detail_of(task: Task) -> dict[str, Json]:
    """Write what the event of a task's latest move says of it."""
    return {**document(task), "event_id": f"{task.task_id}#{task.version}"}


def event_of(task: Task, bus: str) -> "PutEventsRequestEntryTypeDef | None":
    """Write the event for a task's latest move; None for a stage that nobody is told of."""
    detail_type = DETAIL_TYPES.get(task.stage)
    if detail_type is None:
        return None
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": detail_type,
        "Detail": json.dumps(detail_of(task), ensure_ascii=False),
    }
