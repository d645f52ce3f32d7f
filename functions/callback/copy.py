"""The other half of the callback: the provider's media → the results bucket, off the media queue.

A Lambda of its own, so that S3 rights, memory and minutes stay away from a public URL.
"""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import s3_client
from act_one.lifecycle.services import build_services
from act_one.lifecycle.storing import Storage, store_result
from act_one.net import downloads
from act_one.settings import Settings

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
policy = downloads.Policy(
    allow_http=settings.allow_http_media, allow_private=settings.unsafe_allow_private_media
)
storage = Storage(bucket=settings.results_bucket, s3=s3_client(), http=downloads.session(policy))


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Copy the result that one `Task Storing` event announces (the queue's batch size is 1)."""
    for record in event["Records"]:
        task_id = json.loads(record["body"])["detail"]["id"]
        logger.append_keys(task_id=task_id)
        task = store_result(task_id, services, storage)
        stage = task.stage if task else "another's"
        logger.info("copy", extra={"stage": stage})
        metrics.add_metric("CopiesEnded" if task else "CopiesSkipped", MetricUnit.Count, 1)
