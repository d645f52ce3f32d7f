"""Serve the REST API's other routes.

``GET /v1/tasks/{task_id}`` returns a task, ``POST …/cancel`` cancels it, ``POST
…/webhook-deliveries`` sends its webhook again, ``GET /v1/webhook-secret`` returns the secrets that
sign the client's webhooks, and ``POST /v1/uploads`` returns presigned forms.
"""

import json
import os
from http import HTTPStatus
from typing import Any, NoReturn

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import QUICK, s3_client
from act_one.clock import system_clock
from act_one.http_events import answer_problems, client_of
from act_one.inputs.uploads import open_upload
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.read import own_task, task_not_found, with_links
from act_one.lifecycle.services import key_ring, task_table
from act_one.settings import Settings
from act_one.tasks.task import Task
from act_one.webhooks.queue import WebhookQueue, send_again
from act_one.webhooks.secrets import show_secrets

logger = Logger()
settings = Settings.from_environment(os.environ)
table = task_table(settings)
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
    secrets = show_secrets(webhook_keys, client_of(routes.current_event.raw_event))
    return Response(
        HTTPStatus.OK, "application/json", json.dumps(secrets), {"Cache-Control": "no-store"}
    )


@routes.post("/uploads")
def post_upload() -> tuple[dict[str, Any], int]:
    """Return the forms with which the client uploads its inputs."""
    client_id = client_of(routes.current_event.raw_event)
    return open_upload(client_id, s3, settings, system_clock()), HTTPStatus.CREATED


@routes.not_found
def no_such_task(_error: NotFoundError) -> NoReturn:
    """Refuse an id that no route takes for one: API Gateway sends known paths only."""
    raise task_not_found()


def _shown(task: Task) -> dict[str, Any]:
    return with_links(task, s3, settings, system_clock())


def _own_task(task_id: str) -> Task:
    return own_task(task_id, client_of(routes.current_event.raw_event), table)


@logger.inject_lambda_context(clear_state=True)
@answer_problems
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return routes.resolve(event, context)
