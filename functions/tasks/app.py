"""Serve the REST API's other routes.

``GET /v1/tasks`` lists tasks, ``GET /v1/tasks/{task_id}`` returns one, ``POST …/cancel`` cancels
it, ``POST …/webhook-deliveries`` sends its webhook again, ``GET /v1/webhook-secret`` returns the
secrets that sign the client's webhooks, ``GET /v1/usage`` returns what its tasks cost, and ``POST
/v1/uploads`` returns presigned forms. ``POST /v1/runway/feed`` is the provider's own route, for
clients that were written for it.
"""

import json
import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import aws_client, s3_client
from act_one.clients.caller import caller_of
from act_one.clients.client import Client
from act_one.clock import seconds_left_of, system_clock, utc_date
from act_one.http_events import body_of, header, query_of, serve_api
from act_one.inputs.query import check_names, read_days, read_page_query, read_refresh, read_wait
from act_one.inputs.uploads import open_upload
from act_one.json_types import Json
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.estimate import estimate
from act_one.lifecycle.listing import list_tasks
from act_one.lifecycle.read import own_task, reading_headers, task_not_found, with_links
from act_one.lifecycle.refresh import refresh
from act_one.lifecycle.services import build_services, duration_table, key_ring
from act_one.lifecycle.usage import usage
from act_one.lifecycle.waiting import wait_for_end, wait_seconds
from act_one.provider.documents import feed
from act_one.provider.serving import FEED_FORM_HEADER, answer_as_provider, feed_form, feed_task_id
from act_one.settings import Settings
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.links import links_of
from act_one.tasks.task import Task
from act_one.webhooks.queue import WebhookQueue, send_again
from act_one.webhooks.secrets import show_secrets

logger = Logger()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
table, clients = services.table, services.clients
ledger = LedgerTable(table.client, settings.ledger_table)
durations = duration_table(services.table, settings, services.clock)
s3 = s3_client()
webhook_queue = WebhookQueue(aws_client("sqs"), settings.webhook_queue_url)
webhook_keys = key_ring(settings.webhook_secret)
routes = APIGatewayRestResolver()


@routes.get("/tasks")
def get_tasks() -> dict[str, Any]:
    """Return a page of this client's tasks, newest first, and the token of the next page."""
    query = read_page_query(query_of(routes.current_event.raw_event))
    tasks, next_token = list_tasks(query, _caller().name, table)
    return {"tasks": [_shown(task) for task in tasks], "next_token": next_token}


@routes.get("/tasks/<task_id>")
def get_task(task_id: str) -> Response[str]:
    """Return a task of this client, with links to its results that are valid for an hour.

    Answers when the task is done or the time to ``wait`` is over. With ``refresh``, each look also
    asks the provider if nobody has lately.
    """
    event, seconds_left = routes.current_event.raw_event, seconds_left_of(routes.lambda_context)
    parameters = query_of(event)
    check_names(parameters, "wait", "refresh")
    wait, asks = read_wait(parameters, header(event, "prefer")), read_refresh(parameters)

    def look() -> Task:
        task = _own_task(task_id)
        return refresh(task, services, seconds_left) if asks else task

    waited = wait_seconds(wait, seconds_left)
    task = wait_for_end(look(), waited, look, system_clock, time.sleep)
    headers = reading_headers(task, durations.recent(), waited, system_clock())
    return Response(HTTPStatus.OK, "application/json", json.dumps(_shown(task)), headers)


@routes.post("/tasks/<task_id>/cancel")
def cancel_task(task_id: str) -> dict[str, Any]:
    """Cancel a task that has not been sent yet."""
    return _shown(cancel(_own_task(task_id), table, settings, system_clock))


@routes.post("/tasks/<task_id>/webhook-deliveries")
def send_webhook_again(task_id: str) -> tuple[dict[str, Any], int]:
    """Queue a webhook with the task's current state."""
    task = _own_task(task_id)
    send_again(task, table, webhook_queue, system_clock())
    return _shown(task), HTTPStatus.ACCEPTED


@routes.get("/webhook-secret")
def get_webhook_secret() -> Response[str]:
    """Return the secrets that sign this client's webhooks; ``previous`` is null or a secret."""
    secrets = show_secrets(webhook_keys, _caller().name)
    return Response(HTTPStatus.OK, "application/json", json.dumps(secrets))


@routes.get("/usage")
def get_usage() -> dict[str, Any]:
    """Return what this client's tasks cost, day by day."""
    now = system_clock()
    asked = read_days(query_of(routes.current_event.raw_event), utc_date(now))
    return usage(_caller(), asked, ledger, settings, now)


@routes.post("/uploads")
def post_upload() -> tuple[dict[str, Any], int]:
    """Return the forms with which the client uploads its inputs."""
    return open_upload(_caller().name, s3, settings, system_clock()), HTTPStatus.CREATED


@routes.post("/runway/feed")
def post_feed() -> Response[str]:
    """Return a task of this client in the provider's form."""
    event = routes.current_event.raw_event

    def answer() -> tuple[Mapping[str, Json], Mapping[str, str]]:
        form = feed_form(header(event, FEED_FORM_HEADER))
        task = _own_task(feed_task_id(body_of(event)))
        return feed(task, links_of(task, s3, settings, system_clock()), form), {}

    replied = answer_as_provider(answer)
    return Response(replied["statusCode"], body=replied["body"], headers=replied["headers"])


@routes.not_found
def no_such_task(_error: NotFoundError) -> NoReturn:
    """Refuse an id that no route takes for one: API Gateway sends known paths only."""
    raise task_not_found()


def _shown(task: Task) -> dict[str, Any]:
    now = system_clock()
    shown = with_links(task, s3, settings, now)
    return shown if task.done else {**shown, **estimate(task, durations.recent(), now)}


def _own_task(task_id: str) -> Task:
    return own_task(task_id, _caller(), table)


def _caller() -> Client:
    return caller_of(routes.current_event.raw_event, clients)


@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return routes.resolve(event, context)
