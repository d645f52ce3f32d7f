"""Run one step of the fallback state machine: advance one overdue task."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.clock import seconds_left_of
from act_one.correlation import about_task
from act_one.lifecycle.advance import advance
from act_one.lifecycle.services import build_services
from act_one.lifecycle.tables import key_ring
from act_one.settings import Settings
from act_one.tasks.task import Notice

if TYPE_CHECKING:
    from act_one.inputs.request import InputsCheck, TransferRequest

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
callback_keys = key_ring(settings.callback_secret)


@cache
def inputs_check() -> "InputsCheck":
    """Build the check at the first task that is sent again, which are few.

    With what it imports, it is a quarter of a cold start.
    """
    from act_one.inputs.preflight import inputs_check as build  # noqa: PLC0415 - see above

    return build(settings)


def check_inputs(request: "TransferRequest") -> tuple[Notice, ...]:
    """Check the inputs of a task before it is sent."""
    return inputs_check()(request)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Advance a task; return the seconds until the next step, null to end the execution."""
    task_id: str = event["task_id"]
    about_task(task_id)
    wait_seconds = advance(
        task_id, callback_keys.keys(), services, seconds_left_of(context), check_inputs
    )
    return {"task_id": task_id, "wait_seconds": wait_seconds}
