"""Handle the webhook queue: deliver signed webhooks to the users' endpoints."""

import os
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import aws_client, s3_client
from act_one.clock import seconds_left_of, system_clock
from act_one.lifecycle.tables import key_ring, task_table
from act_one.net import downloads
from act_one.settings import Settings
from act_one.tasks.links import Links, links_of
from act_one.tasks.task import Task
from act_one.webhooks.delivery import DeliveryContext, deliver, find_lane
from act_one.webhooks.queue import Calls, Message, WebhookQueue, serve

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
policy = downloads.Policy(
    allow_http=settings.unsafe_allow_private_media,
    allow_private=settings.unsafe_allow_private_media,
)
making_s3 = Lock()


@cache
def s3() -> "S3Client":
    """Build the client at the first webhook in CometAPI's form: it is a sixth of a cold start."""
    return s3_client()


def link(task: Task) -> Links:
    """Return the links to a task's results that a webhook in CometAPI's form has."""
    with making_s3:  # attempts run in threads, and a session builds one client at a time
        client = s3()
    return links_of(task, client, settings, system_clock())


delivery_context = DeliveryContext(
    task_table(settings),
    key_ring(settings.webhook_secret),
    downloads.session(policy),
    system_clock,
    link,
    settings.webhook_url,
)
calls = Calls(
    partial(find_lane, table=delivery_context.table), partial(deliver, context=delivery_context)
)
queue = WebhookQueue(aws_client("sqs"), settings.webhook_queue_url)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deliver a batch of webhooks; report the messages that have to be retried."""
    messages = [Message.of_record(record) for record in event["Records"]]
    seconds_left = seconds_left_of(context)
    retried = serve(messages, calls, queue, system_clock, seconds_left)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in retried]}
