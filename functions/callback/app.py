"""Serve the callback URL, which the provider calls when a task ends."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.clock import system_clock
from act_one.correlation import about_task
from act_one.http_events import body_of, json_response, problem_response, secured
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.services import build_services
from act_one.lifecycle.tables import key_ring
from act_one.problems import ProblemError
from act_one.provider.callback_token import UnknownTokenError, verify
from act_one.settings import Settings
from act_one.tasks.schema import NewerRowError

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
callback_keys = key_ring(settings.callback_secret)

NOT_FOUND = ProblemError(
    404, "not-found", "Not found", "use the callback URL that the task was created with"
)
REFUSALS_SECONDS = 60.0
"""Refused callbacks are counted for this long: a metric is a log line, and a flood is many."""
refused = 0
refusals_reported_at = float("-inf")


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Handle a callback if the path carries a valid token; otherwise respond 404."""
    try:
        # A function URL sends `rawPath`, a REST API in front of it `path`.
        task_id = verify(event.get("rawPath") or event.get("path") or "", callback_keys)
    except UnknownTokenError:
        _count_refusal()
        return secured(problem_response(NOT_FOUND))
    about_task(task_id)
    metrics.add_metric("CallbacksTaken", MetricUnit.Count, 1)
    try:
        handle_callback(task_id, body_of(event) or b"", services)
    except NewerRowError as newer:
        # The row stays due: the newer code's fallback asks for the result if no callback follows.
        logger.warning("newer row")
        metrics.add_metric("NewerRows", MetricUnit.Count, 1)
        return secured(problem_response(newer))
    return secured(json_response(200, {"received": True}))


def _count_refusal() -> None:
    """Count a refused callback; the metric is written once a minute by each environment."""
    global refused, refusals_reported_at  # noqa: PLW0603 - an environment handles one call at a time
    refused += 1
    if system_clock() - refusals_reported_at >= REFUSALS_SECONDS:
        metrics.add_metric("CallbacksRefused", MetricUnit.Count, refused)
        refused, refusals_reported_at = 0, system_clock()
