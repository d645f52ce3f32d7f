"""Serve ``DELETE /v1/tasks/{task_id}``: erase a task of the client.

It is separate from the other routes so that only this function may delete files.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import s3_client
from act_one.clients.caller import caller_of
from act_one.clients.directory import ClientDirectory
from act_one.clock import system_clock
from act_one.http_events import Handler, json_response, route_of, serve_api
from act_one.lifecycle.erasure import TaskFiles, erase, erased_document, own
from act_one.lifecycle.read import visible_task
from act_one.lifecycle.tables import task_table
from act_one.settings import Settings

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
table = task_table(settings)
clients = ClientDirectory(table.client, settings.clients_table, system_clock)
files = TaskFiles(s3=s3_client(), results=settings.results_bucket, uploads=settings.uploads_bucket)


def delete_task(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Erase a task that has ended; return its id and when it was erased."""
    client = caller_of(event, clients)
    task = own(visible_task(event["pathParameters"]["task_id"], client, table), client)
    erased = erase(task, table, files, system_clock)
    logger.info("erased", extra={"task_id": task.task_id})
    metrics.add_metric("TasksErased", MetricUnit.Count, 1)
    return json_response(200, erased_document(erased))


ROUTES: Final[Mapping[str, Handler]] = {"DELETE /tasks/{task_id}": delete_task}


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return ROUTES[route_of(event)](event, context)
