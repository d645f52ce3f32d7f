"""Serve the REST API's other routes.

``GET /v1/tasks`` lists tasks, ``GET /v1/tasks/{task_id}`` returns one, ``POST …/cancel`` cancels
it, ``POST …/webhook-deliveries`` sends its webhook again, ``GET /v1/webhook-secret`` returns the
secrets that sign the client's webhooks, ``GET /v1/usage`` returns what its tasks cost, and ``POST
/v1/uploads`` returns presigned forms. ``POST /v1/runway/feed`` is the provider's own route, for
clients that were written for it.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import aws_client, s3_client
from act_one.clients.caller import caller_of
from act_one.clock import seconds_left_of, system_clock, utc_date
from act_one.http_events import (
    Handler,
    body_of,
    header,
    json_response,
    query_of,
    route_of,
    serve_api,
)
from act_one.inputs.query import check_names, read_days, read_page_query, read_refresh, read_wait
from act_one.inputs.uploads import open_upload
from act_one.json_types import Json
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.estimate import estimate
from act_one.lifecycle.listing import list_tasks
from act_one.lifecycle.read import own_task, reading_headers, with_links
from act_one.lifecycle.refresh import refresh
from act_one.lifecycle.services import build_services
from act_one.lifecycle.tables import duration_table, key_ring
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


def get_tasks(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return a page of this client's tasks, newest first, and the token of the next page."""
    query = read_page_query(query_of(event))
    tasks, next_token = list_tasks(query, caller_of(event, clients).name, table)
    return json_response(200, {"tasks": [*map(_shown, tasks)], "next_token": next_token})


def get_task(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return a task of this client, with links to its results that are valid for an hour.

    Answers when the task is done or the time to ``wait`` is over. With ``refresh``, each look also
    asks the provider unless it was asked within ``MinPollSeconds``.
    """
    seconds_left = seconds_left_of(context)
    parameters = query_of(event)
    check_names(parameters, "wait", "refresh")
    wait, asks = read_wait(parameters, header(event, "prefer")), read_refresh(parameters)

    def look() -> Task:
        task = _own_task(event)
        return refresh(task, services, seconds_left) if asks else task

    waited = wait_seconds(wait, seconds_left)
    task = wait_for_end(look(), waited, look, system_clock, time.sleep)
    headers = reading_headers(task, durations.recent(), waited, system_clock())
    return json_response(200, _shown(task), headers)


def cancel_task(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Cancel a task that has not been sent yet."""
    canceled = cancel(_own_task(event), table, settings, system_clock)
    logger.info("canceled")
    return json_response(200, _shown(canceled))


def send_webhook_again(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Queue a webhook with the task's current state."""
    task = _own_task(event)
    send_again(task, table, webhook_queue, system_clock())
    return json_response(202, _shown(task))


def get_webhook_secret(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the secrets that sign this client's webhooks; ``previous`` is null or a secret."""
    return json_response(200, show_secrets(webhook_keys, caller_of(event, clients).name))


def get_usage(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return what this client's tasks cost, day by day."""
    now = system_clock()
    asked = read_days(query_of(event), utc_date(now))
    return json_response(200, usage(caller_of(event, clients), asked, ledger, settings, now))


def post_upload(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the forms with which the client uploads its inputs."""
    client = caller_of(event, clients)
    return json_response(201, open_upload(client.name, s3, settings, system_clock()))


def post_feed(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return a task of this client in the provider's form."""

    def answer() -> tuple[Mapping[str, Json], Mapping[str, str]]:
        form = feed_form(header(event, FEED_FORM_HEADER))
        task = own_task(feed_task_id(body_of(event)), caller_of(event, clients), table)
        return feed(task, links_of(task, s3, settings, system_clock()), form), {}

    return answer_as_provider(answer)


def _shown(task: Task) -> dict[str, Any]:
    now = system_clock()
    shown = with_links(task, s3, settings, now)
    return shown if task.done else {**shown, **estimate(task, durations.recent(), now)}


def _own_task(event: dict[str, Any]) -> Task:
    """Read the task that the path names."""
    return own_task(event["pathParameters"]["task_id"], caller_of(event, clients), table)


ROUTES: Final[Mapping[str, Handler]] = {
    "GET /tasks": get_tasks,
    "GET /tasks/{task_id}": get_task,
    "POST /tasks/{task_id}/cancel": cancel_task,
    "POST /tasks/{task_id}/webhook-deliveries": send_webhook_again,
    "GET /webhook-secret": get_webhook_secret,
    "GET /usage": get_usage,
    "POST /uploads": post_upload,
    "POST /runway/feed": post_feed,
}


@logger.inject_lambda_context(clear_state=True)
@serve_api(settings.cors_origin)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return ROUTES[route_of(event)](event, context)
