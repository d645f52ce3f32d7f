"""A task in JSON: what the API shows its client, and what events and ``task.json`` show."""

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from act_one.clock import rfc3339
from act_one.json_types import Json
from act_one.tasks.task import SHARED_CLIENTS, Delivery, Notice, Output, Stage, StoredMedia, Task

_STATUS: Final[Mapping[Stage, str]] = {
    Stage.ACCEPTED: "queued",
    Stage.SUBMITTING: "queued",
    Stage.UNCONFIRMED: "running",
    Stage.SUBMITTED: "running",
    Stage.RUNNING: "running",
    Stage.STORING: "running",
    Stage.SUCCEEDED: "succeeded",
    Stage.FAILED: "failed",
    Stage.CANCELED: "canceled",
    Stage.EXPIRED: "expired",
}
STATUSES: Final = tuple(dict.fromkeys(_STATUS.values()))
"""Every ``status`` that a task can have."""


def status_of(stage: Stage) -> str:
    """Return the ``status`` that callers see in a stage."""
    return _STATUS[stage]


DISCLOSURE: Final = "ai-generated"
"""What every result is, and what its documents and objects say of it."""


def without_query(url: str) -> str:
    """Remove a URL's query and fragment: they may carry a signature.

    An ``s3://`` URI has neither: "?" and "#" are characters of a key.
    """
    if url.startswith("s3://"):
        return url
    scheme, host, path, _, _ = urlsplit(url)
    return urlunsplit((scheme, host, path, "", ""))


def document(task: Task) -> dict[str, Json]:
    """Write a task for events, ``task.json`` and logs: URLs have no query."""
    return {
        **_document(task, without_query(task.video), without_query(task.image)),
        "webhook": _webhook_document(task),
    }


def api_document(task: Task) -> dict[str, Json]:
    """Write a task for its own client: input URLs are as the client gave them.

    Clients that share a task see them without queries, which may be another's signatures.
    """
    webhook = _webhook_document(task)
    if webhook is not None:
        webhook["deliveries"] = [_delivery_document(delivery) for delivery in task.deliveries]
    if task.client_id in SHARED_CLIENTS:
        return {**document(task), "webhook": webhook}
    return {**_document(task, task.video, task.image), "webhook": webhook}


def _document(task: Task, video: str, image: str) -> dict[str, Json]:
    return {
        "id": task.task_id,
        "status": status_of(task.stage),
        "stage": str(task.stage),
        "done": task.done,
        "version": task.version,
        "billing": str(task.billing),
        "cost_micro_usd": task.cost,
        "progress": task.progress,
        "created_at": rfc3339(task.created_at),
        "updated_at": rfc3339(task.updated_at),
        "input": {"video": video, "image": image},
        "output": None if task.output is None else _output_document(task.output),
        "error": None if task.error is None else _notice_document(task.error),
        "warnings": [_notice_document(warning) for warning in task.warnings],
        "metadata": dict(task.metadata),
        "consent": task.consent,
        "disclosure": DISCLOSURE,
        "settled_by": None if task.settled_by is None else str(task.settled_by),
        "late": task.late,
        "correlation_id": task.correlation_id,
        "origin": None if task.origin is None else _origin_document(task.origin),
        "links": {"self": f"/v1/tasks/{task.task_id}"},
    }


def origin_text(origin: Mapping[str, Json]) -> str:
    """Write ``{"event": id}`` or ``{"message": id}`` as a task's ``origin``."""
    [(kind, name)] = origin.items()
    return f"{kind}:{name}"


def _origin_document(origin: str) -> dict[str, Json]:
    kind, _, name = origin.partition(":")
    return {"upload": origin} if kind == "s3" else {kind: name}


def readable_json(content: Mapping[str, Json]) -> bytes:
    """Write a document as JSON with a line for each member.

    What is nested is not indented: in deeply nested metadata, that takes 1,000 times its size.
    """
    lines = (
        f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in content.items()
    )
    return ("{\n" + ",\n".join(lines) + "\n}").encode()


def _webhook_document(task: Task) -> dict[str, Json] | None:
    """Write a task's webhook, without the query of its URL."""
    if task.webhook is None:
        return None
    return {
        "url": without_query(task.webhook.url),
        "events": list(task.webhook.events),
        "form": str(task.webhook.form),
    }


def _delivery_document(delivery: Delivery) -> dict[str, Json]:
    return {
        "webhook_id": delivery.webhook_id,
        "event": delivery.event,
        "attempt": delivery.attempt,
        "at": rfc3339(delivery.at),
        "status": delivery.status,
        "ms": delivery.milliseconds,
        "reply": delivery.reply,
        "error": delivery.error,
        "next_at": None if delivery.next_at is None else rfc3339(delivery.next_at),
    }


def _notice_document(notice: Notice) -> dict[str, Json]:
    return {"code": notice.code, "message": notice.message}


def _output_document(output: Output) -> dict[str, Json]:
    return {
        "video": _media_document(output.video),
        "poster": None if output.poster is None else _media_document(output.poster),
        "last_frame": None if output.last_frame is None else _media_document(output.last_frame),
    }


def _media_document(media: StoredMedia) -> dict[str, Json]:
    return {
        "s3_uri": media.s3_uri,
        "bytes": media.size,
        "sha256": media.sha256,
        "content_type": media.content_type,
        "duration_seconds": media.duration_seconds,
        "width": media.width,
        "height": media.height,
        "c2pa": media.c2pa,
    }
