"""Serve ``POST /v1/tasks``: create a task and send it to the provider."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.clock import seconds_left_of
from act_one.http_events import body_of, client_of, header, json_response, serve_api
from act_one.inputs.preflight import inputs_check
from act_one.inputs.request import read_request
from act_one.lifecycle.services import build_services, key_ring
from act_one.lifecycle.submission import submit
from act_one.settings import Settings
from act_one.tasks.documents import api_document

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
callback_keys = key_ring(settings.callback_secret)
check_inputs = inputs_check(settings)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the task: 202 while it is open, 200 once it has ended."""
    client_id = client_of(event)
    request = read_request(
        body_of(event),
        header(event, "idempotency-key"),
        allow_addresses=settings.unsafe_allow_private_media,
        own_files=services.uploads.files_of(client_id),
    )
    task, replayed = submit(
        request,
        client_id,
        callback_keys.keys(),
        services,
        seconds_left_of(context),
        check_inputs,
    )
    logger.info("task", extra={"stage": task.stage, "replayed": replayed})
    metrics.add_metric("TasksReplayed" if replayed else "TasksCreated", MetricUnit.Count, 1)
    headers = {"Location": f"/v1/tasks/{task.task_id}"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_response(200 if task.done else 202, api_document(task), headers)
