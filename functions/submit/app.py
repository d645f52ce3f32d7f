"""Serve the routes that create a task and send it to the provider.

``POST /v1/tasks`` is ours; ``POST /v1/runway/pro/act_one`` is the provider's own route, for clients
that were written for it.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.clients.caller import caller_of
from act_one.clock import seconds_left_of
from act_one.http_events import (
    Handler,
    body_of,
    header,
    json_response,
    location_below,
    query_of,
    serve_api,
)
from act_one.inputs.preflight import inputs_check
from act_one.inputs.query import check_names, read_wait
from act_one.inputs.request import read_request
from act_one.json_types import Json
from act_one.lifecycle.estimate import estimate
from act_one.lifecycle.read import reading_headers, with_links
from act_one.lifecycle.services import build_services, duration_table, key_ring
from act_one.lifecycle.submission import submit
from act_one.lifecycle.waiting import wait_for_end, wait_seconds
from act_one.provider.documents import created
from act_one.provider.serving import answer_as_provider
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


def post_task(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the task: 202 while it is open, 200 once it has ended."""
    parameters = query_of(event)
    check_names(parameters, "wait")
    wait = read_wait(parameters, header(event, "prefer"))
    task, headers = _submit(event, context)
    waited = wait_seconds(wait, seconds_left_of(context))
    task = wait_for_end(task, waited, lambda: _read_again(task), services.clock, time.sleep)
    headers = {
        "Location": location_below(event, task.task_id),
        **reading_headers(task, durations.recent(), waited, services.clock()),
        **headers,
    }
    return json_response(200 if task.done else 202, _shown(task), headers)


def post_act_one(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the task's id, in the provider's form."""

    def answer() -> tuple[Mapping[str, Json], Mapping[str, str]]:
        task, headers = _submit(event, context, from_cometapi=True)
        return created(task), headers

    return answer_as_provider(answer)


def _submit(
    event: dict[str, Any], context: LambdaContext, *, from_cometapi: bool = False
) -> tuple[Task, dict[str, str]]:
    """Submit a request; return its task, and the headers that say whether it is a repeat."""
    client = caller_of(event, services.clients)
    request = read_request(
        body_of(event),
        header(event, "idempotency-key"),
        allow_addresses=settings.unsafe_allow_private_media,
        own_files=services.uploads.files_of(client.name),
        from_cometapi=from_cometapi,
    )
    task, replayed = submit(
        request,
        client,
        callback_keys.keys(),
        services,
        seconds_left_of(context),
        check_inputs,
    )
    logger.info("task", extra={"stage": task.stage, "replayed": replayed})
    metrics.add_metric("TasksReplayed" if replayed else "TasksCreated", MetricUnit.Count, 1)
    return task, {"Idempotent-Replayed": "true"} if replayed else {}


def _read_again(task: Task) -> Task:
    return services.table.read(task.task_id) or task


def _shown(task: Task) -> dict[str, Any]:
    now = services.clock()
    if task.output is None:
        return {**api_document(task), **estimate(task, durations.recent(), now)}
    return with_links(task, services.uploads.client(), settings, now)


ROUTES: Final[Mapping[str, Handler]] = {
    "/tasks": post_task,
    "/runway/pro/act_one": post_act_one,
}
"""All are POST. A router would be imported for two entries of a table."""


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return ROUTES[event["resource"]](event, context)
