"""Handle the webhook queue: deliver signed webhooks to the users' endpoints."""

import os
from functools import partial
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import QUICK
from act_one.clock import seconds_left_of, system_clock
from act_one.lifecycle.services import key_ring, task_table
from act_one.net import downloads
from act_one.settings import Settings
from act_one.webhooks.delivery import DeliveryContext, deliver, find_lane
from act_one.webhooks.queue import Calls, Message, WebhookQueue, serve

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
policy = downloads.Policy(
    allow_http=settings.unsafe_allow_private_media,
    allow_private=settings.unsafe_allow_private_media,
)
delivery_context = DeliveryContext(
    task_table(settings),
    key_ring(settings.webhook_secret),
    downloads.session(policy),
    system_clock,
    settings.webhook_url,
)
calls = Calls(
    partial(find_lane, table=delivery_context.table), partial(deliver, context=delivery_context)
)
queue = WebhookQueue(boto3.client("sqs", config=QUICK), settings.webhook_queue_url)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deliver a batch of webhooks; report the messages that have to be retried."""
    messages = [Message.of_record(record) for record in event["Records"]]
    seconds_left = seconds_left_of(context)
    retried = serve(messages, calls, queue, system_clock, seconds_left)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in retried]}
