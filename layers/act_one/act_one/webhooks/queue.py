"""The webhook queue, and the concurrent delivery of its messages.

A message is one event for one endpoint. It stays in the queue until it is delivered, hidden between
attempts. While an endpoint is slow to answer, the function receives further messages, and no
endpoint or client takes more than its share of calls, so that a hanging endpoint doesn't delay the
others.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clock import Clock, SecondsLeft
from act_one.problems import ProblemError
from act_one.tasks.events import DETAIL_TYPES
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Delivery, Task

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

AT_ONCE: Final = 50
"""Concurrent delivery attempts of one invocation."""
BATCH: Final = 10
"""The most messages that one ``ReceiveMessage`` returns."""
PATIENCE_SECONDS: Final = 0.5
"""After waiting this long for attempts to end, further messages are received."""
PER_ENDPOINT: Final = 10
"""Concurrent delivery attempts of one invocation to one endpoint (host and port)."""
PER_CLIENT: Final = 20
"""Concurrent delivery attempts of one invocation for one client."""
SLOW_SECONDS: Final = 2.0
"""When all calls of an endpoint or client last longer, its other messages are put off."""
FIRST_PAUSE: Final = 15.0
LONGEST_PAUSE: Final = 2_400.0
"""A pause is longer than these, which are in seconds, by up to half of it."""
RESEND_REST_SECONDS: Final = 10
"""The shortest time between two requests to send a task's webhook again."""
MAX_HELD: Final = 500
"""Messages that wait in the function for a call to end."""
HELD_PER_CLIENT: Final = 100
"""Of these, so many of one client."""
ATTEMPT_NEEDS_SECONDS: Final = 20.0
"""An attempt may take 15 s, and its outcome is written after it."""

logger = Logger(child=True)
metrics = Metrics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An SQS message that was received ``receives`` times."""

    message_id: str
    receipt: str
    receives: int
    body: str
    log: Context = field(default_factory=copy_context, compare=False, repr=False)
    """In which it is handled: calls are concurrent, and each has log lines about its own task."""

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Read a record of a Lambda event."""
        return cls(
            message_id=record["messageId"],
            receipt=record["receiptHandle"],
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
            body=record["body"],
        )


@dataclass(frozen=True, slots=True)
class WebhookQueue:
    """The queue ``url``, reached through ``client``."""

    client: "SQSClient"
    url: str

    def put(self, text: str) -> None:
        """Add a message."""
        self.client.send_message(QueueUrl=self.url, MessageBody=text)

    def take(self, wait_seconds: int = 1) -> list[Message]:
        """Receive up to ten messages, waiting so long for the first."""
        answer = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Message(
                message_id=found["MessageId"],
                receipt=found["ReceiptHandle"],
                receives=int(found["Attributes"]["ApproximateReceiveCount"]),
                body=found["Body"],
            )
            for found in answer.get("Messages", ())
        ]

    def put_off(self, message: Message, seconds: float) -> None:
        """Hide a message; SQS allows 12 hours at most, counted from when it was received."""
        self.client.change_message_visibility(
            QueueUrl=self.url,
            ReceiptHandle=message.receipt,
            VisibilityTimeout=math.ceil(max(0.0, seconds)),
        )

    def put_off_all(self, messages: Sequence[tuple[Message, float]]) -> None:
        """Hide up to ten messages, each for its own time in seconds."""
        self.client.change_message_visibility_batch(
            QueueUrl=self.url,
            Entries=[
                {
                    "Id": str(number),
                    "ReceiptHandle": message.receipt,
                    "VisibilityTimeout": math.ceil(seconds),
                }
                for number, (message, seconds) in enumerate(messages)
            ],
        )

    def drop(self, message: Message) -> None:
        """Delete a message."""
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt)


def send_again(task: Task, table: TaskTable, queue: WebhookQueue, now: float) -> None:
    """Queue a webhook with the task's current state, whatever was delivered before.

    Raises ``ProblemError`` 409 for a task without a webhook, or in a stage that has no event, and
    429 within ten seconds of the last time.
    """
    if task.webhook is None:
        raise ProblemError(
            409,
            "no-webhook",
            "The task has no webhook",
            "this task was submitted without a webhook; specify one when submitting a task",
        )
    if task.stage not in DETAIL_TYPES:
        raise ProblemError(
            409,
            "nothing-to-send",
            "There is no event to send yet",
            f"the stage {task.stage} has no event; try again once the task has moved on",
        )
    try:
        table.claim_webhook(task.task_id, now, RESEND_REST_SECONDS)
    except MovedOnError as error:
        raise ProblemError(
            429,
            "webhook-sent-lately",
            "The webhook was sent again a moment ago",
            f"a task's webhook can be sent again once per {RESEND_REST_SECONDS} seconds; "
            "wait as long as Retry-After says",
            retry_after=RESEND_REST_SECONDS,
        ) from error
    detail = {"id": task.task_id, "version": task.version}
    queue.put(json.dumps({"detail": detail, "asked_at": now}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What shares a limit of concurrent calls: the same endpoint (host, port), the same client."""

    endpoint: str
    client: str


@dataclass(frozen=True, slots=True)
class Calls:
    """How a message's text is looked up, and delivered.

    ``find_lane`` returns None if no delivery is due. ``deliver`` makes the next attempt; it returns
    None if no delivery is due any more.
    """

    find_lane: Callable[[str], Lane | None]
    deliver: Callable[[str], Delivery | None]


def serve(
    given: Sequence[Message],
    calls: Calls,
    queue: WebhookQueue,
    clock: Clock,
    seconds_left: SecondsLeft,
) -> list[str]:
    """Deliver the messages of a batch concurrently, and further ones while any attempt is slow.

    A message whose endpoint or client has no call free waits here; if none gets free for two
    seconds it is put off, so that it doesn't delay the messages behind it. Returns the ids of the
    batch's messages that have to be retried. Further messages are deleted or hidden here; one that
    failed with an exception reappears after its visibility timeout.
    """
    run = _Run({message.message_id for message in given}, calls, queue, clock)
    with ThreadPoolExecutor(AT_ONCE) as callers, ThreadPoolExecutor(BATCH) as readers:
        arrived, patience = given, PATIENCE_SECONDS
        while True:
            run.look_up(arrived, readers)
            run.start(callers)
            if not run.under_way:
                return run.retried
            wanted = FIRST_COMPLETED if run.held else ALL_COMPLETED
            done, waiting = wait(run.under_way, timeout=patience, return_when=wanted)
            for future in done:
                run.settle(run.under_way.pop(future).message, future)
            if seconds_left() <= ATTEMPT_NEEDS_SECONDS:
                run.hand_back()
                arrived, patience = (), PATIENCE_SECONDS
                continue
            room = len(waiting) <= AT_ONCE - BATCH and len(run.held) <= MAX_HELD - BATCH
            more = _more(queue, 0 if run.held else 1) if waiting and room else None
            arrived = more or ()
            received = more is not None and (more or not run.held)
            patience = 0.0 if received else PATIENCE_SECONDS  # receiving has waited already


@dataclass(frozen=True, slots=True)
class _Call:
    """A delivery attempt under way since ``began_at``, in seconds of the monotonic clock."""

    message: Message
    lane: Lane
    began_at: float


@dataclass(slots=True)
class _Run:
    """The state of one invocation; ``ids`` are those of the messages that Lambda gave."""

    ids: set[str]
    calls: Calls
    queue: WebhookQueue
    clock: Clock
    retried: list[str] = field(default_factory=list)
    held: list[tuple[Message, Lane]] = field(default_factory=list)
    under_way: "dict[Future[Delivery | None], _Call]" = field(default_factory=dict)

    def look_up(self, arrived: Sequence[Message], readers: ThreadPoolExecutor) -> None:
        """Hold the messages with a delivery that is due, settle the others."""
        found = [
            (one, readers.submit(one.log.run, self.calls.find_lane, one.body)) for one in arrived
        ]
        for message, ended in found:
            if ended.exception() is None and (lane := ended.result()) is not None:
                self.held.append((message, lane))
            else:
                self.settle(message, ended)

    def start(self, callers: ThreadPoolExecutor) -> None:
        """Begin the calls for which there is room, and put off those that would wait long."""
        ready, self.held, blocked = _sort(self.held, self.under_way.values())
        for message, lane in ready:
            future = callers.submit(message.log.run, self.calls.deliver, message.body)
            self.under_way[future] = _Call(message, lane, monotonic())
        self._put_off(blocked, _pause)

    def hand_back(self) -> None:
        """Let another invocation have the messages that are held."""
        self._put_off([message for message, _ in self.held], lambda _: 0.0)
        self.held = []

    def settle(self, message: Message, ended: Future[Any]) -> None:
        """Delete or hide a message whose lookup or attempt has ended."""
        ours = message.message_id not in self.ids
        over = message.log.run(_settle, message, ended, self.queue, self.clock, ours=ours)
        if not over and not ours:
            self.retried.append(message.message_id)

    def _put_off(self, messages: Sequence[Message], seconds: Callable[[Message], float]) -> None:
        """Hide messages; one for which that fails reappears after its visibility timeout."""
        self.retried.extend(one.message_id for one in messages if one.message_id in self.ids)
        for start in range(0, len(messages), BATCH):
            part = [(one, seconds(one)) for one in messages[start : start + BATCH]]
            try:
                self.queue.put_off_all(part)
            except (BotoCoreError, ClientError):
                logger.exception("messages not hidden, they are retried later")


def _sort(
    held: Sequence[tuple[Message, Lane]], under_way: Collection[_Call]
) -> tuple[list[tuple[Message, Lane]], list[tuple[Message, Lane]], list[Message]]:
    """Divide messages: those to call now, those to hold, and those to put off.

    A message is put off when its endpoint or client has as many calls under way as it may, and
    either began none for two seconds or has enough messages that wait.
    """
    endpoints = Counter(call.lane.endpoint for call in under_way)
    clients = Counter(call.lane.client for call in under_way)
    recent = [call.lane for call in under_way if monotonic() - call.began_at < SLOW_SECONDS]
    lively_endpoints = {lane.endpoint for lane in recent}
    lively_clients = {lane.client for lane in recent}
    waiting: Counter[str] = Counter()
    ready: list[tuple[Message, Lane]] = []
    kept: list[tuple[Message, Lane]] = []
    blocked: list[Message] = []
    for message, lane in held:
        endpoint_full = endpoints[lane.endpoint] >= PER_ENDPOINT
        client_full = clients[lane.client] >= PER_CLIENT
        if (
            (endpoint_full and lane.endpoint not in lively_endpoints)
            or (client_full and lane.client not in lively_clients)
            or waiting[lane.client] >= HELD_PER_CLIENT
        ):
            blocked.append(message)
        elif endpoint_full or client_full or len(under_way) + len(ready) >= AT_ONCE:
            kept.append((message, lane))
            waiting[lane.client] += 1
        else:
            ready.append((message, lane))
            endpoints[lane.endpoint] += 1
            clients[lane.client] += 1
            lively_endpoints.add(lane.endpoint)
            lively_clients.add(lane.client)
    return ready, kept, blocked


def _pause(message: Message) -> float:
    """Return for how many seconds a message is put off: longer with each receive."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 1.5 ** min(message.receives - 1, 20))
    return pause * random.uniform(1.0, 1.5)  # noqa: S311 - spreads load, guards nothing


def _more(queue: WebhookQueue, wait_seconds: int) -> list[Message] | None:
    """Receive messages; None if that failed."""
    try:
        return queue.take(wait_seconds)
    except (BotoCoreError, ClientError):
        logger.exception("no further messages received")
        return None


def _settle(
    message: Message,
    ended: "Future[Any]",
    queue: WebhookQueue,
    clock: Clock,
    *,
    ours: bool,
) -> bool:
    """Delete or hide a message; return whether it is done. Lambda deletes those of its batch."""
    failure = ended.exception()
    if failure is not None:
        logger.error("webhook not sent", exc_info=failure)
        metrics.add_metric("WebhooksNotSent", MetricUnit.Count, 1)
        return False
    made = ended.result()
    if made is not None:
        _log_attempt(made)
    try:
        if made is not None and made.next_at is not None:
            queue.put_off(message, made.next_at - clock())
            return False
        if ours:
            queue.drop(message)
    except (BotoCoreError, ClientError):
        logger.exception("message neither deleted nor hidden, it is retried early")
        return False
    return True


def _log_attempt(made: Delivery) -> None:
    fields = {"webhook_id": made.webhook_id, "attempt": made.attempt, "status": made.status}
    if made.error is None:
        logger.info("webhook delivered", extra=fields)
        metrics.add_metric("WebhooksDelivered", MetricUnit.Count, 1)
        return
    logger.info("webhook failed", extra={**fields, "reason": made.error})
    metrics.add_metric("WebhooksFailed", MetricUnit.Count, 1)
    if made.next_at is None:
        logger.warning("webhook given up", extra=fields)
        metrics.add_metric("WebhooksGivenUp", MetricUnit.Count, 1)
