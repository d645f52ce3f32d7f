"""Handle the tasks table's stream: publish each change of a task to the event bus."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import aws_client
from act_one.lifecycle.funnel import count_moves
from act_one.lifecycle.relay import publish
from act_one.settings import Settings

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
events = aws_client("events")


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Publish a batch of changes; the stream retries from the first one that failed."""
    failed = publish(event["Records"], events, settings.event_bus)
    if settings.watched:
        count_moves(event["Records"], failed)
    return {"batchItemFailures": [{"itemIdentifier": failed}] if failed else []}
