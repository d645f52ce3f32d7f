"""One call of a user's endpoint: what it is sent, what came of it, and when it is called again.

Signed as Standard Webhooks has it (https://www.standardwebhooks.com). At least once and in no
order: ``webhook-id`` tells a repeat, the task's ``version`` which of two is newer.
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
"""So much later, at most, of what the schedule says."""
LONGEST_WAIT: Final = 11.5 * HOUR
"""For whoever says ``Retry-After``: a message stays out of sight for 12 hours at most."""
MAX_WEBHOOK_BYTES: Final = 20_000
REPLY_CHARACTERS: Final = 200
_REPLY_BYTES: Final = REPLY_CHARACTERS * 4
_WHATEVER_COMES: Final = 2**62
"""A reply may be as long as it likes, since no more than its first bytes are read."""
_CUT_FIRST: Final = ("warnings", "metadata")
_SECRET: Final = re.compile(
    r"(whsec_)?([A-Za-z0-9+/]{4}){2,}([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?"
)

logger = Logger(child=True)


class WebhookSecretError(Exception):
    """The secret that signs webhooks is not base64; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The table, the secret that signs, the way out and the clock."""

    table: TaskTable
    key_ring: KeyRing
    http: requests.Session
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What an endpoint is to be told: an event of the bus, or the same again on demand."""

    task_id: str
    webhook_id: str
    event: str
    detail: dict[str, Json]
    on_demand: bool


def read_announcement(text: str) -> Announcement:
    """Read a message of the webhook queue."""
    event = json.loads(text)
    detail = event["detail"]
    return Announcement(
        task_id=detail["id"],
        webhook_id=detail["event_id"],
        event=f"task.{detail['stage']}",
        detail=detail,
        on_demand=event.get("on_demand") is True,
    )


def deliver(text: str, attempt: int, sender: Sender) -> Delivery | None:
    """Make the ``attempt``-th (from 1) call that a message of the queue asks for.

    Answers what came of it, ``next_at`` being when the message should come again, or None when
    there is nobody to tell: the row is gone, the endpoint was told already, or wants no more.
    Raises ``KeyNotSetError`` and ``WebhookSecretError`` when nothing can be signed.
    """
    announced = read_announcement(text)
    task = sender.table.read(announced.task_id)
    if task is None or task.webhook is None or _is_over(announced, task):
        return None
    began_at = sender.clock()
    body = write_body(announced)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": announced.webhook_id,
        "webhook-timestamp": str(int(began_at)),
        "webhook-signature": sign(announced.webhook_id, began_at, body, sender.key_ring.keys()),
    }
    started = monotonic()
    reply = _post(task.webhook.url, headers, body.encode(), sender.http)
    made = Delivery(
        webhook_id=announced.webhook_id,
        event=announced.event,
        attempt=attempt,
        at=began_at,
        milliseconds=round((monotonic() - started) * 1_000),
        status=reply.status,
        reply=reply.text,
        error=reply.error,
        next_at=_next_at(attempt, reply, sender.clock()),
    )
    _keep(task, made, sender.table)
    return made


def _is_over(announced: Announcement, task: Task) -> bool:
    """Tell whether this was delivered (a message may come twice) or the endpoint is gone."""
    return not announced.on_demand and any(
        made.status == HTTPStatus.GONE
        or (made.webhook_id == announced.webhook_id and made.error is None)
        for made in task.deliveries
    )


def _keep(task: Task, made: Delivery, table: TaskTable) -> None:
    """Write the attempt into the row, as far as that goes: the endpoint was called either way."""
    try:
        table.record_delivery(task, made)
    except (BotoCoreError, ClientError, MovedOnError):
        logger.exception("delivery not kept", extra={"webhook_id": made.webhook_id})


# ── What is sent ──────────────────────────────────────────────────────────────────────────────


def write_body(announced: Announcement) -> str:
    """Write the body, under 20,000 bytes: ``type``, ``timestamp`` and, as ``data``, the task.

    ``cut`` names what had to be left out for that; reading the task gives it.
    """
    detail = announced.detail
    data = {name: value for name, value in detail.items() if name != "event_id"}
    body: dict[str, Json] = {
        "type": announced.event,
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
    """Sign with each key that receivers may hold, so that one can be replaced by another."""
    moment = datetime.fromtimestamp(int(at), UTC)
    for key in keys.both():
        if not _SECRET.fullmatch(key):
            raise WebhookSecretError(
                "the secret that signs webhooks is not base64, with or without whsec_ before it; "
                "docs/operations.md says how to make one"
            )
    return " ".join(Signer(key).sign(webhook_id, moment, body) for key in keys.both())


# ── What came of it ───────────────────────────────────────────────────────────────────────────


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
            max_bytes=_WHATEVER_COMES,
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
        return f"answered {status}: redirects are not followed, name the URL they lead to"
    if status == HTTPStatus.GONE:
        return "answered 410: no more is sent for this task"
    return f"answered {status}"


def _beginning(answer: Download, url: str) -> str:
    """Read the reply's first 200 characters, as far as they come, without our URL's query."""
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
