"""Messages of the ingest queue: S3 events, requests, and events of tasks that ended.

Each request results in a task or in a `Task Rejected` event. Only temporary faults are left to the
queue's retries: a provider key that isn't set yet, an AWS service that can't be reached.
"""

import json
from dataclasses import replace
from typing import Final

from aws_lambda_powertools import Logger

from act_one.clients.client import Client
from act_one.correlation import begin, is_request_id
from act_one.ingest.context import IngestContext, Submit
from act_one.ingest.folders import is_trigger, take_folder
from act_one.ingest.results import write_result
from act_one.inputs.consent import readable_consent
from act_one.inputs.request import (
    FIELDS,
    MAX_KEY_CHARACTERS,
    checked_key,
    readable_metadata,
    refuse_unknown,
    request_of,
)
from act_one.json_types import Json
from act_one.problems import KeyReusedError, ProblemError
from act_one.tasks.documents import origin_text
from act_one.tasks.events import END_DETAIL_TYPES, rejection_of, send
from act_one.tasks.identifiers import is_task_id
from act_one.tasks.task import EVENTS_CLIENT

_KEY: Final = "idempotency_key"
_WHAT_TO_SEND: Final = (
    "send an event of the type Task Requested on the stack's bus, or a message: the body of "
    "POST /v1/tasks as JSON, with an idempotency_key"
)

_OF_MESSAGES: Final = frozenset({_KEY, "client"})
"""Fields of a request by event or message that are not in the body of ``POST /v1/tasks``."""

logger = Logger(child=True)


def take(body: str, message_id: str, context: IngestContext, submit: Submit) -> None:
    """Handle one message. Any exception means that the message has to be retried."""
    message = _read(body)
    if isinstance(message, dict) and "detail-type" in message and is_request_id(message.get("id")):
        begin(str(message["id"]))
    match message:
        case {"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}:
            if bucket == context.uploads.bucket and is_trigger(str(key)):
                take_folder(str(key), context, submit)
        case {"source": "act-one", "detail-type": kind, "detail": {"id": task_id}} if (
            kind in END_DETAIL_TYPES and is_task_id(str(task_id))
        ):
            write_result(str(task_id), context)
        case {
            "detail-type": "Task Requested",
            "id": str(event_id),
            "detail": dict(detail),
            **envelope,
        }:
            # A publisher's retry is a new event with a new id: only its own key stays the same.
            asked = {_KEY: event_id, **detail}
            _request(asked, {"event": event_id}, context, submit, str(envelope.get("source")))
        case dict(asked) if "detail-type" not in asked:
            _request(asked, {"message": message_id}, context, submit)
        case _:
            problem = ProblemError(
                400, "message-unknown", "The message is not a request", _WHAT_TO_SEND
            )
            _reject(problem, {}, {"message": message_id}, context)


def _read(body: str) -> Json:
    try:
        read: Json = json.loads(body.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return read


def _request(
    asked: dict[str, Json],
    origin: dict[str, Json],
    context: IngestContext,
    submit: Submit,
    source: str = "",
) -> None:
    """Submit a request, or send its rejection. Raises a ``ProblemError`` that is retryable."""
    try:
        key = _key_of(asked)
        client = _client_of(asked, source, context)
        refuse_unknown(asked, {*FIELDS, *_OF_MESSAGES}, "a request")
        request = request_of(
            {name: value for name, value in asked.items() if name not in _OF_MESSAGES},
            key,
            allow_addresses=context.settings.unsafe_allow_private_media,
            own_files=context.uploads.files_of(client.name),
        )
        asked_by = replace(
            request, idempotency_key=context.secret_key(key), origin=origin_text(origin)
        )
        task = submit(asked_by, client)
    except KeyReusedError:
        _reject(KeyReusedError(_KEY), asked, origin, context)
    except ProblemError as problem:
        if problem.retryable:
            raise
        _reject(problem, asked, origin, context)
    else:
        logger.info("task", extra={"stage": task.stage, "origin": origin})


def _client_of(asked: dict[str, Json], source: str, context: IngestContext) -> Client:
    """Return the client that a request names, if its event's source may speak for that client.

    Raises ``ProblemError`` 403 otherwise. Publishers are told apart by IAM's ``events:source``.
    """
    name = asked.get("client", EVENTS_CLIENT)
    if name == EVENTS_CLIENT:
        return context.client(EVENTS_CLIENT)
    client = context.client(name) if isinstance(name, str) else None
    if client is None or source not in client.event_sources:
        raise ProblemError(
            403,
            "client-not-yours",
            "The sender may not speak for this client",
            "leave out client, or have the stack's operator allow your events' source for it: "
            "python -m ops.clients STACK limit NAME --event-source SOURCE",
            field="client",
        )
    return client


def _key_of(asked: dict[str, Json]) -> str:
    if _KEY not in asked:
        title, fix = f"{_KEY} is missing", f"add {_KEY}"
    elif not isinstance(key := asked[_KEY], str):
        title, fix = f"{_KEY} is not a string", f"make {_KEY} a string"
    else:
        return checked_key(key, _KEY)
    detail = f"{fix}, unique to each transfer: messages may arrive twice"
    raise ProblemError(400, "idempotency-key-missing", title, detail, field=_KEY)


def _reject(
    problem: ProblemError,
    asked: dict[str, Json],
    origin: dict[str, Json],
    context: IngestContext,
) -> None:
    logger.info("problem", extra={"code": problem.code, "origin": origin})
    key = asked.get(_KEY)
    entry = rejection_of(
        problem.document(),
        origin,
        context.settings.event_bus,
        metadata=readable_metadata(asked.get("metadata", {})),
        consent=readable_consent(asked.get("consent")),
        idempotency_key=_printed(key) if isinstance(key, str) else None,
    )
    send(context.events, entry)


def _printed(key: str) -> str:
    """Return a key as an event can hold it: cut, and without halves of surrogate pairs."""
    return key[:MAX_KEY_CHARACTERS].encode("utf-8", "replace").decode()
