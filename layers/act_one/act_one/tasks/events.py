"""Events on the stack's bus: for each move of a task, each erasure and each rejected request.

Source ``act-one``; the detail is the task without presigned URLs plus ``event_id`` =
``task_id#version``, so that a repeat is recognisable and an older event too.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from act_one.clock import rfc3339
from act_one.json_types import Json
from act_one.tasks.documents import document
from act_one.tasks.task import SETTLED, Stage, Task

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef


class EventNotSentError(Exception):
    """The bus did not accept an event; try again."""


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
"""Stages that have an event; `accepted` and `submitting` are internal."""
ERASED: Final = "Task Erased"
"""A task that was erased: who has a copy of its data must remove it."""
REJECTED: Final = "Task Rejected"
"""A request by bucket or bus that was refused, so that it has no task."""
END_DETAIL_TYPES: Final = frozenset({DETAIL_TYPES[stage] for stage in SETTLED})

WEBHOOK_EVENTS: Final[Mapping[Stage, str]] = {stage: f"task.{stage}" for stage in DETAIL_TYPES}
"""The names of the same events in webhooks, such as ``task.succeeded``."""
DEFAULT_WEBHOOK_EVENTS: Final = tuple(
    name for stage, name in WEBHOOK_EVENTS.items() if stage in SETTLED
)
"""The events that a webhook gets if it names none: the ends of tasks."""


def detail_of(task: Task) -> dict[str, Json]:
    """Write the detail of the event of a task's latest move."""
    return {**document(task), "event_id": f"{task.task_id}#{task.version}"}


def detail_of_erasure(task: Task) -> dict[str, Json]:
    """Write the detail of the event of an erasure: nothing but which task and when."""
    return {
        "id": task.task_id,
        "version": task.version,
        "erased_at": None if task.erased_at is None else rfc3339(task.erased_at),
        "event_id": f"{task.task_id}#{task.version}",
    }


def detail_type_of(task: Task) -> str | None:
    """Name the event of a task's latest version; None if it has none.

    The begin of an erasure has none: until it ends, there is still something of the task.
    """
    if task.erasing_since is not None:
        return None if task.erased_at is None else ERASED
    return DETAIL_TYPES.get(task.stage)


def event_of(task: Task, bus: str) -> "PutEventsRequestEntryTypeDef | None":
    """Write the event for a task's latest version; None if it has none."""
    detail_type = detail_type_of(task)
    if detail_type is None:
        return None
    detail = detail_of_erasure(task) if detail_type == ERASED else detail_of(task)
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": detail_type,
        "Detail": json.dumps(detail, ensure_ascii=False),
    }


def rejection_of(
    problem: Mapping[str, Json],
    origin: Mapping[str, Json],
    bus: str,
    state: str = "",
    *,
    metadata: Mapping[str, Json] | None = None,
    consent: str | None = None,
    idempotency_key: str | None = None,
) -> "PutEventsRequestEntryTypeDef":
    """Write the event for a refused request.

    ``origin`` is the folder (``upload``), ``event`` or ``message`` that it came from. The same
    problem in the same ``state`` of the origin has the same ``event_id``. ``metadata``,
    ``consent`` and ``idempotency_key`` are those of the request, as far as they could be read.
    """
    identity = json.dumps([problem, origin, state], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()
    detail = {
        "event_id": f"rejected_{digest[:32]}",
        "origin": origin,
        "problem": problem,
        "metadata": metadata or {},
        "consent": consent,
        "idempotency_key": idempotency_key,
    }
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": REJECTED,
        "Detail": json.dumps(detail, ensure_ascii=False),
    }


def send(events: "EventBridgeClient", entry: "PutEventsRequestEntryTypeDef") -> None:
    """Put one event on its bus. Raises ``EventNotSentError`` when the bus does not accept it."""
    [result] = events.put_events(Entries=[entry])["Entries"]
    if "ErrorCode" in result:
        raise EventNotSentError(result["ErrorCode"])
