"""Serve ``POST /v1/tasks``: create a task and send it to the provider."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.clock import seconds_left_of
from act_one.http_events import (
    answer_problems,
    body_of,
    client_of,
    header,
    json_response,
    query_of,
)
from act_one.inputs.preflight import inputs_check
from act_one.inputs.query import check_names, read_wait
from act_one.inputs.request import read_request
from act_one.lifecycle.estimate import estimate
from act_one.lifecycle.read import reading_headers, with_links
from act_one.lifecycle.services import build_services, duration_table, key_ring
from act_one.lifecycle.submission import submit
from act_one.lifecycle.waiting import wait_for_end, wait_seconds
from act_one.settings import Settings
from act_one.tasks.documents import api_document
from act_one.tasks.task import Task

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
callback_keys = key_ring(settings.callback_secret)
durations = duration_table(settings)
check_inputs = inputs_check(settings)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@answer_problems
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the task: 202 while it is open, 200 once it has ended."""
    client_id = client_of(event)
    parameters = query_of(event)
    check_names(parameters, "wait")
    wait = read_wait(parameters, header(event, "prefer"))
    seconds_left = seconds_left_of(context)
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
        seconds_left,
        check_inputs,
    )
    logger.info("task", extra={"task_id": task.task_id, "stage": task.stage, "replayed": replayed})
    metrics.add_metric("TasksReplayed" if replayed else "TasksCreated", MetricUnit.Count, 1)
    waited = wait_seconds(wait, seconds_left)
    task = wait_for_end(task, waited, lambda: _read_again(task), services.clock, time.sleep)
    headers = {
        "Location": f"/v1/tasks/{task.task_id}",
        **reading_headers(task, durations.recent(), waited, services.clock()),
    }
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_response(200 if task.done else 202, _shown(task), headers)


def _read_again(task: Task) -> Task:
    return services.table.read(task.task_id) or task


def _shown(task: Task) -> dict[str, Any]:
    now = services.clock()
    if task.output is None:
        return {**api_document(task), **estimate(task, durations.recent(), now)}
    return with_links(task, services.uploads.client(), settings, now)
