"""What the ingest queue brings: files that came or went, requests by event, tasks that ended.

Whatever a message says, it is answered: by a task, or by a `Task Rejected` event. Only what passes
by itself is left to the queue: a provider key that isn't set yet, AWS out of reach.
"""

import json
from typing import Final

from aws_lambda_powertools import Logger

from act_one.ingest.folders import IngestContext, Submit, is_trigger, take_folder, write_result
from act_one.inputs.request import read_request
from act_one.json_types import Json
from act_one.problems import ProblemError
from act_one.tasks.events import END_DETAIL_TYPES, rejection_of, send
from act_one.tasks.task import EVENTS_CLIENT

_WHAT_TO_SEND: Final = (
    "send an event of the type Task Requested on the stack's bus, or a message: the body of "
    "POST /v1/tasks as JSON, with an idempotency_key"
)

logger = Logger(child=True)


def take(body: str, message_id: str, context: IngestContext, submit: Submit) -> None:
    """Do what a message of the queue asks for. Raises what has to be tried again."""
    match _read(body):
        case {"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}:
            if bucket == context.services.uploads.bucket and is_trigger(str(key)):
                take_folder(str(key), context, submit)
        case {"source": "act-one", "detail-type": kind, "detail": {"id": task_id}} if (
            kind in END_DETAIL_TYPES
        ):
            write_result(str(task_id), context)
        case {"detail-type": "Task Requested", "id": str(event_id), "detail": dict(detail)}:
            # A publisher that tries again sends another event: only a key of its own is the same.
            asked = {"idempotency_key": event_id, **detail}
            _request(asked, {"event": event_id}, context, submit)
        case dict(asked) if "detail-type" not in asked:
            _request(asked, {"message": message_id}, context, submit)
        case _:
            problem = ProblemError(400, "message-unknown", "This is no request", _WHAT_TO_SEND)
            _reject(problem, {"message": message_id}, context)


def _read(body: str) -> Json:
    try:
        read: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return read


def _request(
    asked: dict[str, Json], origin: dict[str, Json], context: IngestContext, submit: Submit
) -> None:
    """Submit what was asked for. Raises ``ProblemError`` 5xx, for what passes."""
    services = context.services
    try:
        key = _key_of(asked)
        request = read_request(
            json.dumps({n: v for n, v in asked.items() if n != "idempotency_key"}).encode(),
            key,
            allow_addresses=services.settings.unsafe_allow_private_media,
            own_files=services.uploads.files_of(EVENTS_CLIENT),
        )
        task = submit(request, EVENTS_CLIENT)
    except ProblemError as problem:
        if problem.status >= 500:
            raise
        _reject(problem, origin, context)
    else:
        logger.info("task", extra={"task_id": task.task_id, "stage": task.stage, "origin": origin})


def _key_of(asked: dict[str, Json]) -> str:
    key = asked.get("idempotency_key")
    if not isinstance(key, str):
        raise ProblemError(
            400,
            "idempotency-key-missing",
            "There is no idempotency_key",
            "add idempotency_key, a text of your own for each transfer: messages come twice",
            field="idempotency_key",
        )
    return key


def _reject(problem: ProblemError, origin: dict[str, Json], context: IngestContext) -> None:
    logger.info("problem", extra={"code": problem.code, "origin": origin})
    bus = context.services.settings.event_bus
    send(context.events, rejection_of(problem.document(), origin, bus))
