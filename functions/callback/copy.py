"""Handle the media queue: copy a task's results from the provider to the results bucket.

It is separate from the callback so that the function behind the public URL has no S3 permissions.
"""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from act_one.aws import s3_client
from act_one.correlation import about_task, records_of
from act_one.lifecycle.estimate import keep_duration
from act_one.lifecycle.services import build_services
from act_one.lifecycle.storing import Storage, store_result
from act_one.lifecycle.tables import duration_table
from act_one.net import downloads
from act_one.settings import Settings

logger = Logger()
metrics = Metrics()
settings = Settings.from_environment(os.environ)
services = build_services(settings)
durations = duration_table(services.table, settings, services.clock)
policy = downloads.Policy(
    allow_http=settings.allow_http_media, allow_private=settings.unsafe_allow_private_media
)
storage = Storage(
    bucket=settings.results_bucket,
    s3=s3_client(),
    s3_once=s3_client(attempts=1),
    http=downloads.session(policy),
)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Copy the results of the task in a `Task Storing` event (the batch size is 1)."""
    for record in records_of(event):
        task_id = json.loads(record["body"])["detail"]["id"]
        about_task(task_id)
        task = store_result(task_id, services, storage)
        keep_duration(task, durations, settings.task_timeout_seconds)
        stage = task.stage if task else "another's"
        logger.info("copy", extra={"stage": stage})
        metrics.add_metric("CopiesEnded" if task else "CopiesSkipped", MetricUnit.Count, 1)
