"""The stack's tables and secrets: what functions need that don't reach the provider."""

import functools
from typing import TYPE_CHECKING

from act_one.aws import aws_client
from act_one.clock import Clock, system_clock
from act_one.keys import KeyRing
from act_one.settings import Settings
from act_one.tasks.durations import DurationTable
from act_one.tasks.table import TaskTable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def key_ring(secret: str, clock: Clock = system_clock) -> KeyRing:
    """Build the reader of a secret: one of this stack's, by its name, or any, by its ARN."""
    is_arn = secret.startswith("arn:")
    return KeyRing(_secrets_manager(secret.split(":")[3] if is_arn else None), secret, clock)


@functools.cache
def _secrets_manager(region: str | None) -> "SecretsManagerClient":
    """Build one client for all secrets of a region: each further one takes 3 ms of a cold start.

    Secrets Manager finds no secret of another region, not even by its ARN.
    """
    return aws_client("secretsmanager", region=region)


def task_table(settings: Settings) -> TaskTable:
    """Build the stack's tasks table."""
    return TaskTable(aws_client("dynamodb"), settings.tasks_table, settings.ledger_table)


def duration_table(table: TaskTable, settings: Settings, clock: Clock) -> DurationTable:
    """Build the stack's table of recent durations, over the tasks table's connection."""
    return DurationTable(table.client, settings.stats_table, clock)
