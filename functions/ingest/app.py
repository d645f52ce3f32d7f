"""Handle the ingest queue.

It has events of the uploads bucket, requests by event or message, ends of tasks, and tasks of
batches that wait to be sent.
"""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import aws_client
from act_one.clients.client import Client
from act_one.clock import seconds_left_of
from act_one.correlation import records_of
from act_one.ingest.context import IngestContext
from act_one.ingest.messages import take
from act_one.ingest.pairs import PairTable
from act_one.inputs.preflight import inputs_check
from act_one.inputs.request import TransferRequest
from act_one.lifecycle.services import build_services
from act_one.lifecycle.submission import send_accepted, submit
from act_one.lifecycle.tables import key_ring
from act_one.settings import Settings
from act_one.tasks.task import Task

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
callback_keys = key_ring(settings.callback_secret)
check_inputs = inputs_check(settings)
ingest_context = IngestContext(
    services.table,
    services.uploads,
    settings,
    services.clock,
    services.clients,
    PairTable(services.table.client, settings.pairs_table),
    aws_client("events"),
    aws_client("sqs"),
)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle a batch of messages; report those that have to be retried."""

    def send(request: TransferRequest, client: Client) -> Task:
        task, replayed = submit(
            request,
            client,
            callback_keys.keys(),
            services,
            seconds_left_of(context),
            check_inputs,
        )
        metrics.add_metric("TasksReplayed" if replayed else "TasksCreated", MetricUnit.Count, 1)
        return task

    def send_waiting(task_id: str) -> None:
        send_accepted(
            task_id, callback_keys.keys(), services, seconds_left_of(context), check_inputs
        )

    failed = []
    for record in records_of(event):
        try:
            take(record["body"], record["messageId"], ingest_context, send, send_waiting)
        except Exception:
            # One failure must not affect the other messages: the queue retries this one.
            logger.exception("not taken", extra={"message_id": record["messageId"]})
            metrics.add_metric("MessagesNotTaken", MetricUnit.Count, 1)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
