"""What we tell others: a move of a task as an event on the stack's bus.

Source ``act-one``; the detail is the task without presigned URLs plus ``event_id`` =
``task_id#version``, so that a repeat is recognisable and an older event too.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from act_one.task import Stage, Task, document

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
