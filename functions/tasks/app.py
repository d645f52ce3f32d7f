"""``GET /v1/tasks/{task_id}``: what became of a task."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.api import client_of
from act_one.backend import task_table
from act_one.media import s3_client
from act_one.problems import CONTENT_TYPE, ProblemError
from act_one.reading import read_task
from act_one.settings import Settings

logger = Logger()
settings = Settings.from_environment(os.environ)
table = task_table(settings)
s3 = s3_client()
routes = APIGatewayRestResolver()


@routes.get("/tasks/<task_id>")
def get_task(task_id: str) -> dict[str, Any]:
    """Answer the task of the client that asks, with links to its results that live an hour."""
    return read_task(task_id, client_of(routes.current_event.headers), table, s3)


@routes.exception_handler(ProblemError)  # type: ignore[untyped-decorator]  # not typed there
def answer_problem(problem: ProblemError) -> Response[dict[str, Any]]:
    """Answer a problem as RFC 9457 has it."""
    return Response(problem.status, CONTENT_TYPE, problem.document())


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Route a request of the REST API."""
    return routes.resolve(event, context)
