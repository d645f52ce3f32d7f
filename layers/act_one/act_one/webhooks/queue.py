"""The webhook queue, and the concurrent delivery of its messages.

A message is one event for one endpoint. It stays in the queue until it is delivered, hidden between
attempts. While an endpoint is slow to answer, the function receives further messages, so that a
hanging endpoint doesn't delay the others.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clock import Clock, SecondsLeft
from act_one.problems import ProblemError
from act_one.tasks.events import DETAIL_TYPES, SOURCE, detail_of
from act_one.tasks.task import Delivery, Task

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

AT_ONCE: Final = 50
"""Concurrent delivery attempts of one invocation."""
BATCH: Final = 10
"""The most messages that one ``ReceiveMessage`` returns."""
PATIENCE_SECONDS: Final = 0.5
"""After waiting this long for attempts to end, further messages are received."""
ATTEMPT_NEEDS_SECONDS: Final = 20.0
"""An attempt may take 15 s, and its outcome is written after it."""

type Deliver = Callable[[str, int], Delivery | None]
"""Makes the n-th delivery attempt of a message's text; None: no delivery is due."""

logger = Logger(child=True)
metrics = Metrics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An SQS message that was received ``receives`` times."""

    message_id: str
    receipt: str
    receives: int
    body: str

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

    def take(self) -> list[Message]:
        """Receive up to ten messages, waiting up to a second for the first."""
        answer = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=1,
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

    def drop(self, message: Message) -> None:
        """Delete a message."""
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt)


def send_again(task: Task, queue: WebhookQueue) -> None:
    """Queue a webhook with the task's current state, whatever was delivered before.

    Raises ``ProblemError`` 409 for a task without a webhook, or in a stage that has no event.
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
    again = {
        "source": SOURCE,
        "detail-type": DETAIL_TYPES[task.stage],
        "detail": detail_of(task),
        "on_demand": True,
    }
    queue.put(json.dumps(again, ensure_ascii=False))


def serve(
    given: Sequence[Message],
    deliver: Deliver,
    queue: WebhookQueue,
    clock: Clock,
    seconds_left: SecondsLeft,
) -> list[str]:
    """Deliver the messages of a batch concurrently, and further ones while any attempt is slow.

    Returns the ids of the batch's messages that have to be retried. Further messages are deleted or
    hidden here; one that failed with an exception reappears after its visibility timeout.
    """
    ids = {message.message_id for message in given}
    retried: list[str] = []
    under_way: dict[Future[Delivery | None], Message] = {}

    def start(messages: Sequence[Message]) -> None:
        for message in messages:
            under_way[pool.submit(deliver, message.body, message.receives)] = message

    with ThreadPoolExecutor(AT_ONCE) as pool:
        start(given)
        patience = PATIENCE_SECONDS
        while under_way:
            done, waiting = wait(under_way, timeout=patience)
            for future in done:
                message = under_way.pop(future)
                over = _settle(message, future, queue, clock, ours=message.message_id not in ids)
                if not over and message.message_id in ids:
                    retried.append(message.message_id)
            room = len(waiting) <= AT_ONCE - BATCH and seconds_left() > ATTEMPT_NEEDS_SECONDS
            more = _more(queue) if waiting and room else None
            patience = PATIENCE_SECONDS if more is None else 0.0  # receiving has waited already
            start(more or [])
    return retried


def _more(queue: WebhookQueue) -> list[Message] | None:
    """Receive messages for up to a second; None if that failed."""
    try:
        return queue.take()
    except (BotoCoreError, ClientError):
        logger.exception("no further messages received")
        return None


def _settle(
    message: Message,
    ended: "Future[Delivery | None]",
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
