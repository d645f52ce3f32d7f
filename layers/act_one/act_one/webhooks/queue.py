"""The queue in which webhooks wait to be sent, and how many are sent side by side.

A message is one event for one endpoint. It stays in the queue until the endpoint took it, out of
sight between attempts. While an endpoint keeps its callers waiting, they take further messages off
the queue, so that one that hangs holds up nothing but itself.
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

from act_one.clock import Clock
from act_one.problems import ProblemError
from act_one.tasks.events import DETAIL_TYPES, SOURCE, detail_of
from act_one.tasks.task import Delivery, Task

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

AT_ONCE: Final = 50
"""So many calls one function has under way."""
BATCH: Final = 10
"""What one ``ReceiveMessage`` gives at most."""
PATIENCE_SECONDS: Final = 0.5
"""What takes longer than this is not waited for alone."""
ATTEMPT_NEEDS_SECONDS: Final = 20.0
"""A call may take 15 s, and what came of it must be written down after it."""

type Deliver = Callable[[str, int], Delivery | None]
"""Makes the n-th call that a message asks for; None: there was nobody to call."""

logger = Logger(child=True)
metrics = Metrics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was taken ``receives`` times."""

    message_id: str
    receipt: str
    receives: int
    body: str

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Read one as Lambda hands it over."""
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
        """Take up to ten messages, waiting a second for the first."""
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
        """Keep a message out of sight, for 12 hours at most from when it was taken."""
        self.client.change_message_visibility(
            QueueUrl=self.url,
            ReceiptHandle=message.receipt,
            VisibilityTimeout=math.ceil(max(0.0, seconds)),
        )

    def drop(self, message: Message) -> None:
        """Remove a message that is done with."""
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt)


def send_again(task: Task, queue: WebhookQueue) -> None:
    """Have a task's endpoint told of its current state, whatever it was told before.

    Raises ``ProblemError`` 409 for a task without a webhook, or of which there is nothing to tell.
    """
    if task.webhook is None:
        raise ProblemError(
            409,
            "no-webhook",
            "The task has no webhook",
            "nobody asked to be called for this task; name a webhook when submitting one",
        )
    if task.stage not in DETAIL_TYPES:
        raise ProblemError(
            409,
            "nothing-to-send",
            "There is no event to send yet",
            f"the task is {task.stage}, of which nobody is told; ask again once it has moved on",
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
    seconds_left: Callable[[], float],
) -> list[str]:
    """Deliver the messages of a batch side by side, and more while any of them takes its time.

    Answers the ids of those of the batch that are to come again. What was taken beside the batch
    is dropped or put off here; what fails for a reason of ours comes again by itself.
    """
    ids = {message.message_id for message in given}
    coming_again: list[str] = []
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
                    coming_again.append(message.message_id)
            room = len(waiting) <= AT_ONCE - BATCH and seconds_left() > ATTEMPT_NEEDS_SECONDS
            more = _more(queue) if waiting and room else None
            patience = PATIENCE_SECONDS if more is None else 0.0  # to take them was the waiting
            start(more or [])
    return coming_again


def _more(queue: WebhookQueue) -> list[Message] | None:
    """Take what there is within a second; None if that failed."""
    try:
        return queue.take()
    except (BotoCoreError, ClientError):
        logger.exception("no more taken")
        return None


def _settle(
    message: Message,
    ended: "Future[Delivery | None]",
    queue: WebhookQueue,
    clock: Clock,
    *,
    ours: bool,
) -> bool:
    """Drop a message or put it off; tell whether it is over. One of a batch is Lambda's to drop."""
    failure = ended.exception()
    if failure is not None:
        logger.error("webhook not sent", exc_info=failure)
        metrics.add_metric("WebhooksNotSent", MetricUnit.Count, 1)
        return False
    made = ended.result()
    if made is not None:
        _tell(made)
    try:
        if made is not None and made.next_at is not None:
            queue.put_off(message, made.next_at - clock())
            return False
        if ours:
            queue.drop(message)
    except (BotoCoreError, ClientError):
        logger.exception("message not settled, it comes again too soon")
        return False
    return True


def _tell(made: Delivery) -> None:
    told = {"webhook_id": made.webhook_id, "attempt": made.attempt, "status": made.status}
    if made.error is None:
        logger.info("webhook delivered", extra=told)
        metrics.add_metric("WebhooksDelivered", MetricUnit.Count, 1)
        return
    logger.info("webhook failed", extra={**told, "reason": made.error})
    metrics.add_metric("WebhooksFailed", MetricUnit.Count, 1)
    if made.next_at is None:
        logger.warning("webhook given up", extra=told)
        metrics.add_metric("WebhooksGivenUp", MetricUnit.Count, 1)
