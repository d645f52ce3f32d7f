"""One delivery attempt of a webhook: its body and signature, its outcome, the time of the retry.

Signed according to Standard Webhooks (https://www.standardwebhooks.com). Delivered at least once
and in any order: ``webhook-id`` identifies a repeat, ``version`` the newer state.

A message only says that a task reached a version. What is sent is made from the task's row, so
that the right to send a message is not the right to have anything signed:

    version of the message    what is sent
    above the row's           nothing: no such version exists
    the row's                 the row, if the webhook names the event of its stage
    below the row's           nothing: the newer version has a message of its own

No end is lost, because a row that leaves an end always reaches another one.
"""

import json
import random
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

from act_one import VERSION
from act_one.clock import HOUR, Clock
from act_one.json_types import Json
from act_one.keys import KeyRing, Keys
from act_one.net import downloads
from act_one.net.downloads import Download, PeerError, UnsafeAddressError
from act_one.net.exchange import retry_after
from act_one.provider.documents import callback
from act_one.tasks.documents import document
from act_one.tasks.events import WEBHOOK_EVENTS
from act_one.tasks.links import Linking
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Delivery, Task, WebhookForm
from act_one.webhooks.queue import Lane
from act_one.webhooks.secrets import client_secrets, signer_of

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

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """What a delivery attempt needs: the table, the signing key, the HTTP session and the clock.

    ``link`` makes the links in webhooks of CometAPI's form. ``default_url`` is the endpoint of
    tasks that specify none.
    """

    table: TaskTable
    key_ring: KeyRing
    http: requests.Session
    clock: Clock
    link: Linking
    default_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMessage:
    """A message of the webhook queue: a task reached a version, or a client requested a repeat."""

    task_id: str
    version: int
    asked_at: float | None = None
    """When a client requested it, in epoch seconds; None for an event of the bus."""


def read_message(text: str) -> WebhookMessage | None:
    """Read a message of the webhook queue; None if it names no task and version."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match message:
        case {"detail": {"id": str(task_id), "version": int(version)}} if (
            task_id and not isinstance(version, bool)
        ):
            asked_at = message.get("asked_at")
            return WebhookMessage(
                task_id=task_id,
                version=version,
                asked_at=asked_at if isinstance(asked_at, int | float) else None,
            )
    logger.warning("message unreadable")
    return None


def _read_due(text: str, table: TaskTable) -> tuple[WebhookMessage, Task, str] | None:
    """Read a message, its task's row and the endpoint's URL; None when no delivery is due.

    That is when the row has expired, is erased or is at another version, the webhook doesn't name
    its event, the webhook was delivered or given up already, or the endpoint answered 410.
    """
    message = read_message(text)
    task = None if message is None else table.read(message.task_id)
    if message is None or task is None or task.webhook is None or task.stage not in WEBHOOK_EVENTS:
        return None
    if task.erasing_since is not None:
        return None
    if message.asked_at is None:
        names_it = WEBHOOK_EVENTS[task.stage] in task.webhook.events
        if message.version != task.version or not names_it or _is_over(task):
            return None
    return message, task, task.webhook.url


def find_lane(text: str, table: TaskTable) -> Lane | None:
    """Return the endpoint and the client of a message's webhook; None when no delivery is due."""
    due = _read_due(text, table)
    if due is None:
        return None
    _, task, url = due
    return Lane(endpoint=urlsplit(url).netloc.lower(), client=task.client_id)


def deliver(text: str, context: DeliveryContext) -> Delivery | None:
    """Make the next delivery attempt of a message.

    Returns its outcome, with the time of the next attempt in ``next_at``, or None when no delivery
    is due. Raises ``KeyNotSetError`` and ``WebhookSecretError`` when it can't be signed.
    """
    due = _read_due(text, context.table)
    if due is None:
        return None
    message, task, url = due
    webhook_id = _webhook_id(task)
    attempt = _attempts(message, task) + 1
    keys = client_secrets(context.key_ring.keys(), signer_of(task, context.default_url))
    began_at = context.clock()
    body = write_body(task, context.link)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"act-one/{VERSION}",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(began_at)),
        "webhook-signature": sign(webhook_id, began_at, body, keys),
    }
    started = monotonic()
    reply = _post(url, headers, body.encode(), context.http)
    made = Delivery(
        webhook_id=webhook_id,
        event=WEBHOOK_EVENTS[task.stage],
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


def _webhook_id(task: Task) -> str:
    return f"{task.task_id}#{task.version}"


def _is_over(task: Task) -> bool:
    """Return whether this was delivered or given up (SQS may repeat it), or replied 410."""
    of_this = [made for made in task.deliveries if made.webhook_id == _webhook_id(task)]
    return (
        any(made.status == HTTPStatus.GONE for made in task.deliveries)
        or any(made.error is None for made in of_this)
        or len(of_this) > len(RETRIES)
    )


def _attempts(message: WebhookMessage, task: Task) -> int:
    """Count a message's attempts in the row: SQS also counts receives without an attempt."""
    since = message.asked_at or 0.0
    return sum(
        made.webhook_id == _webhook_id(task) and made.at >= since for made in task.deliveries
    )


def _keep(task: Task, made: Delivery, table: TaskTable) -> None:
    """Write the attempt into the row; a failure is only logged, as the endpoint was called."""
    try:
        table.record_delivery(task, made)
    except (BotoCoreError, ClientError, MovedOnError):
        logger.exception("delivery not kept", extra={"webhook_id": made.webhook_id})


# ── What is sent ──────────────────────────────────────────────────────────────────────────────


def write_body(task: Task, link: Linking) -> str:
    """Return the body, at most 20,000 bytes, in the form of the task's webhook.

    In CometAPI's form it is made anew for each attempt, because its links last an hour.
    """
    if task.webhook is not None and task.webhook.form is WebhookForm.COMETAPI:
        return _written(callback(task, link(task)))
    return _standard_body(task)


def _standard_body(task: Task) -> str:
    """Write ``type``, ``timestamp`` and, as ``data``, the task.

    ``cut`` lists the members emptied to meet the limit; reading the task returns them.
    """
    data = document(task)
    body: dict[str, Json] = {
        "type": WEBHOOK_EVENTS[task.stage],
        "timestamp": data["updated_at"],
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
