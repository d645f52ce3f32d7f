"""Run one step of the fallback state machine: advance one overdue task."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.clock import seconds_left_of
from act_one.correlation import about_task
from act_one.lifecycle.advance import advance
from act_one.lifecycle.services import build_services, key_ring
from act_one.settings import Settings

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
callback_keys = key_ring(settings.callback_secret)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Advance a task; return the seconds until the next step, null to end the execution."""
    task_id: str = event["task_id"]
    about_task(task_id)
    wait_seconds = advance(task_id, callback_keys.keys(), services, seconds_left_of(context))
    return {"task_id": task_id, "wait_seconds": wait_seconds}
