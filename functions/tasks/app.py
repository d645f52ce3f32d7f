"""``GET /v1/tasks/{task_id}`` says what became of a task.

``POST …/cancel`` withdraws it, ``POST …/webhook-deliveries`` has its webhook sent again, and
``POST /v1/uploads`` answers where a video and an image may be uploaded.
"""

import os
from http import HTTPStatus
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import QUICK, s3_client
from act_one.clock import system_clock
from act_one.http_events import CONTENT_TYPE, client_of
from act_one.inputs.uploads import open_upload
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.read import own_task, with_links
from act_one.lifecycle.services import task_table
from act_one.problems import ProblemError
from act_one.settings import Settings
from act_one.tasks.task import Task
from act_one.webhooks.queue import WebhookQueue, send_again

logger = Logger()
settings = Settings.from_environment(os.environ)
table = task_table(settings)
s3 = s3_client()
webhook_queue = WebhookQueue(boto3.client("sqs", config=QUICK), settings.webhook_queue_url)
routes = APIGatewayRestResolver()


@routes.get("/tasks/<task_id>")
def get_task(task_id: str) -> dict[str, Any]:
    """Answer the task of the client that asks, with links to its results that live an hour."""
    return with_links(_asked_for(task_id), s3)


@routes.post("/tasks/<task_id>/cancel")
def cancel_task(task_id: str) -> dict[str, Any]:
    """Withdraw a task that was not sent yet."""
    return with_links(cancel(_asked_for(task_id), table, settings, system_clock), s3)


@routes.post("/tasks/<task_id>/webhook-deliveries")
def send_webhook_again(task_id: str) -> tuple[dict[str, Any], int]:
    """Have the task's endpoint told of its current state once more."""
    task = _asked_for(task_id)
    send_again(task, webhook_queue)
    return with_links(task, s3), HTTPStatus.ACCEPTED


@routes.post("/uploads")
def post_upload() -> tuple[dict[str, Any], int]:
    """Answer where the client may upload its inputs."""
    client_id = client_of(routes.current_event.headers)
    return open_upload(client_id, s3, settings, system_clock()), 201


def _asked_for(task_id: str) -> Task:
    return own_task(task_id, client_of(routes.current_event.headers), table)


@routes.exception_handler(ProblemError)  # type: ignore[untyped-decorator]  # not typed there
def answer_problem(problem: ProblemError) -> Response[dict[str, Any]]:
    """Answer a problem as RFC 9457 has it."""
    return Response(problem.status, CONTENT_TYPE, problem.document())


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return routes.resolve(event, context)
