"""Serve the routes that create tasks and send them to the provider.

``POST /v1/tasks`` creates one or, as a dry run, says what would happen; ``POST /v1/tasks/batch``
creates many, which ingest sends; ``POST /v1/tasks/{task_id}/retry`` repeats one that has no result.
``POST /v1/runway/pro/act_one`` is the provider's own route, for clients that were written for it.
"""

import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import aws_client
from act_one.clients.caller import caller_of
from act_one.clients.client import Client
from act_one.clock import seconds_left_of
from act_one.correlation import about_request, about_task
from act_one.http_events import (
    Handler,
    body_of,
    header,
    json_response,
    location_below,
    location_beside,
    query_of,
    route_of,
    serve_api,
)
from act_one.inputs.batch import read_batch
from act_one.inputs.preflight import inputs_check
from act_one.inputs.query import check_names, read_wait
from act_one.inputs.request import TransferRequest, read_request
from act_one.inputs.retry import read_retry
from act_one.json_types import Json
from act_one.lifecycle.batch import Accepted, BatchResult, IngestQueue, accept_batch, unsent
from act_one.lifecycle.dry_run import dry_run
from act_one.lifecycle.estimate import estimate
from act_one.lifecycle.read import own_task, reading_headers, with_links
from act_one.lifecycle.retry import retry
from act_one.lifecycle.services import build_services
from act_one.lifecycle.submission import submit
from act_one.lifecycle.tables import duration_table, key_ring
from act_one.lifecycle.waiting import wait_for_end, wait_seconds
from act_one.provider.documents import created
from act_one.provider.serving import answer_as_provider
from act_one.settings import Settings
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.documents import api_document
from act_one.tasks.task import Task

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
callback_keys = key_ring(settings.callback_secret)
durations = duration_table(services.table, settings, services.clock)
ledger = LedgerTable(services.table.client, settings.ledger_table)
check_inputs = inputs_check(settings)


def post_task(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the task: 202 while it is open, 200 once it has ended; 200 for a dry run."""
    parameters = query_of(event)
    check_names(parameters, "wait")
    wait = read_wait(parameters, header(event, "prefer"))
    client = caller_of(event, services.clients)
    request = _request(event, client)
    if request.dry_run:
        recent = durations.recent()
        shown = dry_run(request, client, services, ledger, recent, check_inputs)
        return json_response(200, shown)
    task, headers = _submit(request, client, context)
    waited = wait_seconds(wait, seconds_left_of(context))
    task = wait_for_end(task, waited, lambda: _read_again(task), services.clock, time.sleep)
    headers = {
        "Location": location_below(event, task.task_id),
        **reading_headers(task, durations.recent(), waited, services.clock()),
        **headers,
    }
    return json_response(_status(task), _shown(task), headers)


def post_batch(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return 207 with a task or a problem for each request."""
    client = caller_of(event, services.clients)
    entries = read_batch(body_of(event))
    results = accept_batch(entries, client, services, seconds_left_of(context))
    ingest_queue().send(unsent(results))
    created = [one for one in results if isinstance(one, Accepted) and not one.replayed]
    about_request()
    logger.info("batch", extra={"requests": len(entries), "accepted": len(created)})
    metrics.add_metric("TasksCreated", MetricUnit.Count, len(created))
    return json_response(207, {"results": [_result(result) for result in results]})


def post_retry(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the task that repeats another, or the other one if its result is copied again."""
    client = caller_of(event, services.clients)
    options = read_retry(body_of(event))
    parent = own_task(event["pathParameters"]["task_id"], client, services.table)
    task, existed = retry(
        parent,
        options,
        client,
        callback_keys.keys(),
        services,
        seconds_left_of(context),
        check_inputs,
    )
    about_task(task.task_id, task.correlation_id)
    logger.info("retry", extra={"stage": task.stage, "replayed": existed})
    if task.task_id != parent.task_id:
        metrics.add_metric("TasksReplayed" if existed else "TasksCreated", MetricUnit.Count, 1)
    # A failed task whose copy was asked for again is under way, although its stage doesn't say so.
    status = 202 if task.task_id == parent.task_id else _status(task)
    headers = {
        "Location": location_beside(event, task.task_id),
        **reading_headers(task, durations.recent(), 0, services.clock()),
        **_replayed(existed),
    }
    return json_response(status, _shown(task), headers)


def post_act_one(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the task's id, in the provider's form."""

    def answer() -> tuple[Mapping[str, Json], Mapping[str, str]]:
        client = caller_of(event, services.clients)
        request = _request(event, client, from_cometapi=True)
        task, headers = _submit(request, client, context)
        return created(task), headers

    return answer_as_provider(answer)


def _request(
    event: dict[str, Any], client: Client, *, from_cometapi: bool = False
) -> TransferRequest:
    return read_request(
        body_of(event),
        header(event, "idempotency-key"),
        allow_addresses=settings.unsafe_allow_private_media,
        own_files=services.uploads.files_of(client.name),
        from_cometapi=from_cometapi,
    )


def _submit(
    request: TransferRequest, client: Client, context: LambdaContext
) -> tuple[Task, dict[str, str]]:
    """Submit a request; return its task, and the headers that say whether it is a repeat."""
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
    return task, _replayed(replayed)


def _replayed(replayed: bool) -> dict[str, str]:  # noqa: FBT001 - its only argument
    return {"Idempotent-Replayed": "true"} if replayed else {}


def _status(task: Task) -> int:
    return 200 if task.done else 202


def _result(result: BatchResult) -> dict[str, Json]:
    """Write a result of a batch: as the same request alone would be answered."""
    if isinstance(result, Accepted):
        task = result.task
        return {
            "status": _status(task),
            "task": _shown(task),
            "replayed": result.replayed,
        }
    return {"status": result.status, "problem": result.document()}


@cache
def ingest_queue() -> IngestQueue:
    """Build the ingest queue at its first use: only batches need it."""
    return IngestQueue(aws_client("sqs"), settings.ingest_queue_url)


def _read_again(task: Task) -> Task:
    return services.table.read(task.task_id) or task


def _shown(task: Task) -> dict[str, Any]:
    now = services.clock()
    if task.output is None:
        return {**api_document(task), **estimate(task, durations.recent(), now)}
    return with_links(task, services.uploads.client(), settings, now)


ROUTES: Final[Mapping[str, Handler]] = {
    "POST /tasks": post_task,
    "POST /tasks/batch": post_batch,
    "POST /tasks/{task_id}/retry": post_retry,
    "POST /runway/pro/act_one": post_act_one,
}


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return ROUTES[route_of(event)](event, context)
