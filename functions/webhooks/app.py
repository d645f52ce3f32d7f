"""Webhook queue → the users' endpoints, signed."""

import os
from functools import partial
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one import safe_http
from act_one.api import seconds_left_of
from act_one.backend import QUICK, key_ring, task_table
from act_one.clock import system_clock
from act_one.settings import Settings
from act_one.webhook_queue import Message, WebhookQueue, serve
from act_one.webhooks import Sender, deliver

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
policy = safe_http.Policy(
    allow_http=settings.unsafe_allow_private_media,
    allow_private=settings.unsafe_allow_private_media,
)
sender = Sender(
    task_table(settings),
    key_ring(settings.webhook_secret),
    safe_http.session(policy),
    system_clock,
)
queue = WebhookQueue(boto3.client("sqs", config=QUICK), settings.webhook_queue_url)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Call the endpoints of a batch; what is to be tried again stays in the queue."""
    given = [Message.of_record(record) for record in event["Records"]]
    seconds_left = seconds_left_of(context)
    coming_again = serve(given, partial(deliver, sender=sender), queue, system_clock, seconds_left)
    return {"batchItemFailures": [{"itemIdentifier": one} for one in coming_again]}
