"""Serve the REST API's other routes.

``GET /v1/tasks/{task_id}`` returns a task, ``POST …/cancel`` cancels it, ``POST
…/webhook-deliveries`` sends its webhook again, ``GET /v1/webhook-secret`` returns the secrets that
sign the client's webhooks, ``GET /v1/usage`` returns what its tasks cost, and ``POST /v1/uploads``
returns presigned forms. ``POST /v1/runway/feed`` is the provider's own route, for clients that were
written for it.
"""

import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import QUICK, s3_client
from act_one.clients.caller import caller_of
from act_one.clients.client import Client
from act_one.clients.directory import ClientDirectory
from act_one.clock import system_clock
from act_one.http_events import answer_problems, body_of, header
from act_one.inputs.uploads import open_upload
from act_one.json_types import Json
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.read import own_task, task_not_found, with_links
from act_one.lifecycle.services import key_ring, task_table
from act_one.lifecycle.usage import usage
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
table = task_table(settings)
ledger = LedgerTable(table.client, settings.ledger_table)
clients = ClientDirectory(table.client, settings.clients_table, system_clock)
s3 = s3_client()
webhook_queue = WebhookQueue(boto3.client("sqs", config=QUICK), settings.webhook_queue_url)
webhook_keys = key_ring(settings.webhook_secret)
routes = APIGatewayRestResolver()


@routes.get("/tasks/<task_id>")
def get_task(task_id: str) -> dict[str, Any]:
    """Return a task of this client, with links to its results that are valid for an hour."""
    return _shown(_own_task(task_id))


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
    return Response(
        HTTPStatus.OK, "application/json", json.dumps(secrets), {"Cache-Control": "no-store"}
    )


@routes.get("/usage")
def get_usage() -> dict[str, Any]:
    """Return what this client's tasks cost, day by day."""
    asked = routes.current_event.query_string_parameters
    return usage(_caller(), asked, ledger, settings, system_clock())


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
    return with_links(task, s3, settings, system_clock())


def _own_task(task_id: str) -> Task:
    return own_task(task_id, _caller(), table)


def _caller() -> Client:
    return caller_of(routes.current_event.raw_event, clients)


@logger.inject_lambda_context(clear_state=True)
@answer_problems
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return routes.resolve(event, context)
