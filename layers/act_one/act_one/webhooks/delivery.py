"""One delivery attempt of a webhook: its body and signature, its outcome, the time of the retry.

Signed according to Standard Webhooks (https://www.standardwebhooks.com). Delivered at least once
and in any order: ``webhook-id`` identifies a repeat, ``version`` the newer state.
"""

import json
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import requests
from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError
from standardwebhooks import Webhook as Signer

from act_one.clock import HOUR, Clock
from act_one.json_types import Json
from act_one.keys import KeyRing, Keys
from act_one.net import downloads
from act_one.net.downloads import Download, PeerError, UnsafeAddressError
from act_one.net.exchange import retry_after
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Delivery, Task

ATTEMPT_SECONDS: Final = 15.0
"""For resolving, connecting, sending and the reply together."""
RETRIES: Final = (5.0, 300.0, 0.5 * HOUR, 2 * HOUR, 5 * HOUR, 10 * HOUR)
"""Seconds from a failed attempt to the next one; after the last there is none."""
JITTER: Final = 0.1
"""Each delay is longer than scheduled by up to this fraction."""
LONGEST_WAIT: Final = 11.5 * HOUR
"""Upper limit for ``Retry-After``: SQS hides a message for 12 hours at most."""
MAX_WEBHOOK_BYTES: Final = 20_000
REPLY_CHARACTERS: Final = 200
_REPLY_BYTES: Final = REPLY_CHARACTERS * 4
_ANY_LENGTH: Final = 2**62
"""No limit for a reply's length: only its first bytes are read."""
_CUT_FIRST: Final = ("warnings", "metadata")
_SECRET: Final = re.compile(
    r"(whsec_)?([A-Za-z0-9+/]{4}){2,}([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?"
)

logger = Logger(child=True)


class WebhookSecretError(Exception):
    """The secret that signs webhooks is not base64; the message says what to do."""


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """What a delivery attempt needs: the table, the signing key, the HTTP session and the clock."""

    table: TaskTable
    key_ring: KeyRing
    http: requests.Session
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMessage:
    """A message of the webhook queue: an event of the bus, or a repeat that a client requested."""

    task_id: str
    webhook_id: str
    event: str
    detail: dict[str, Json]
    on_demand: bool


def read_message(text: str) -> WebhookMessage:
    """Read a message of the webhook queue."""
    event = json.loads(text)
    detail = event["detail"]
    return WebhookMessage(
        task_id=detail["id"],
        webhook_id=detail["event_id"],
        event=f"task.{detail['stage']}",
        detail=detail,
        on_demand=event.get("on_demand") is True,
    )


def deliver(text: str, attempt: int, context: DeliveryContext) -> Delivery | None:
    """Make the ``attempt``-th (from 1) delivery attempt of a message.

    Returns its outcome, with the time of the next attempt in ``next_at``, or None when no delivery
    is due: the row has expired, the webhook was delivered already, or the endpoint answered 410.
    Raises ``KeyNotSetError`` and ``WebhookSecretError`` when it can't be signed.
    """
    message = read_message(text)
    task = context.table.read(message.task_id)
    if task is None or task.webhook is None or _is_over(message, task):
        return None
    began_at = context.clock()
    body = write_body(message)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message.webhook_id,
        "webhook-timestamp": str(int(began_at)),
        "webhook-signature": sign(message.webhook_id, began_at, body, context.key_ring.keys()),
    }
    started = monotonic()
    reply = _post(task.webhook.url, headers, body.encode(), context.http)
    made = Delivery(
        webhook_id=message.webhook_id,
        event=message.event,
        attempt=attempt,
        at=began_at,
        milliseconds=round((monotonic() - started) * 1_000),
        status=reply.status,
        reply=reply.text,
        error=reply.error,
        next_at=_next_at(attempt, reply, context.clock()),
    )
    _keep(task, made, context.table)
    return made


def _is_over(message: WebhookMessage, task: Task) -> bool:
    """Return whether this was delivered already (SQS may repeat it) or the endpoint is gone."""
    return not message.on_demand and any(
        made.status == HTTPStatus.GONE
        or (made.webhook_id == message.webhook_id and made.error is None)
        for made in task.deliveries
    )


def _keep(task: Task, made: Delivery, table: TaskTable) -> None:
    """Write the attempt into the row; a failure is only logged, as the endpoint was called."""
    try:
        table.record_delivery(task, made)
    except (BotoCoreError, ClientError, MovedOnError):
        logger.exception("delivery not kept", extra={"webhook_id": made.webhook_id})


# ── What is sent ──────────────────────────────────────────────────────────────────────────────


def write_body(message: WebhookMessage) -> str:
    """Return the body, at most 20,000 bytes: ``type``, ``timestamp`` and, as ``data``, the task.

    ``cut`` lists the members emptied to meet the limit; reading the task returns them.
    """
    detail = message.detail
    data = {name: value for name, value in detail.items() if name != "event_id"}
    body: dict[str, Json] = {
        "type": message.event,
        "timestamp": detail["updated_at"],
        "data": data,
    }
    cut: list[Json] = []
    for name in _CUT_FIRST:
        if len(_written(body).encode()) <= MAX_WEBHOOK_BYTES:
            break
        data[name] = [] if isinstance(data[name], list) else {}
        cut.append(name)
        body["cut"] = cut
    return _written(body)


def _written(body: dict[str, Json]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def sign(webhook_id: str, at: float, body: str, keys: Keys) -> str:
    """Sign with the current and the previous key, so that the key can be rotated."""
    moment = datetime.fromtimestamp(int(at), UTC)
    for key in keys.both():
        if not _SECRET.fullmatch(key):
            raise WebhookSecretError(
                "the secret that signs webhooks is not base64, with or without whsec_ before it; "
                "docs/operations.md explains how to create one"
            )
    return " ".join(Signer(key).sign(webhook_id, moment, body) for key in keys.both())


# ── The outcome ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    error: str | None
    status: int | None = None
    text: str = ""
    retry_after: str | None = None


def _post(url: str, headers: dict[str, str], body: bytes, http: requests.Session) -> _Reply:
    try:
        with downloads.request(
            "POST",
            url,
            http,
            seconds=ATTEMPT_SECONDS,
            max_bytes=_ANY_LENGTH,
            headers=headers,
            body=body,
            redirects=0,
        ) as answer:
            return _Reply(
                error=_fault(answer.status),
                status=answer.status,
                text=_beginning(answer, url),
                retry_after=answer.headers.get("retry-after"),
            )
    except UnsafeAddressError as error:
        return _Reply(error=f"not called: {error}")
    except PeerError as error:
        return _Reply(error=f"{error.code}: {error}")


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed; use the URL that it redirects to"
    if status == HTTPStatus.GONE:
        return "answered 410: no more webhooks are sent for this task"
    return f"answered {status}"


def _beginning(answer: Download, url: str) -> str:
    """Read up to 200 characters of the reply, with our URL's query removed."""
    read = b""
    try:
        while len(read) < _REPLY_BYTES and (piece := answer.read1(_REPLY_BYTES - len(read))):
            read += piece
    except PeerError as error:
        logger.info("reply not read", extra={"reason": str(error)})
    text = read.decode("utf-8", "replace")
    if query := urlsplit(url).query:
        text = text.replace(query, "…")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:REPLY_CHARACTERS]


def _next_at(attempt: int, reply: _Reply, now: float) -> float | None:
    if reply.error is None or reply.status == HTTPStatus.GONE or attempt > len(RETRIES):
        return None
    wait = RETRIES[attempt - 1] * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311 - spreads load, guards nothing
    asked = retry_after(reply.retry_after, now, longest=LONGEST_WAIT)
    return round(now + max(wait, asked or 0.0), 3)
