"""Serve ``DELETE /v1/tasks/{task_id}``: erase a task of the client.

It is separate from the other routes so that only this function may delete files.
"""

import os
from typing import Any, NoReturn

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import s3_client
from act_one.clients.caller import caller_of
from act_one.clients.directory import ClientDirectory
from act_one.clock import system_clock
from act_one.http_events import serve_api
from act_one.lifecycle.erasure import TaskFiles, erase, erased_document, own
from act_one.lifecycle.read import task_not_found, visible_task
from act_one.lifecycle.services import task_table
from act_one.settings import Settings

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
table = task_table(settings)
clients = ClientDirectory(table.client, settings.clients_table, system_clock)
files = TaskFiles(s3=s3_client(), results=settings.results_bucket, uploads=settings.uploads_bucket)
routes = APIGatewayRestResolver()


@routes.delete("/tasks/<task_id>")
def delete_task(task_id: str) -> dict[str, Any]:
    """Erase a task that has ended; return its id and when it was erased."""
    client = caller_of(routes.current_event.raw_event, clients)
    task = own(visible_task(task_id, client, table), client)
    erased = erase(task, table, files, system_clock)
    logger.info("erased", extra={"task_id": task_id})
    metrics.add_metric("TasksErased", MetricUnit.Count, 1)
    return erased_document(erased)


@routes.not_found
def no_such_task(_error: NotFoundError) -> NoReturn:
    """Refuse an id that no route takes for one: API Gateway sends known paths only."""
    raise task_not_found()


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return routes.resolve(event, context)
