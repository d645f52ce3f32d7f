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
    """Build the reader of one of this stack's secrets."""
    return KeyRing(_secrets_manager(), secret, clock)


@functools.cache
def _secrets_manager() -> "SecretsManagerClient":
    """Build one client for all secrets: each further one takes 3 ms of a cold start."""
    return aws_client("secretsmanager")


def task_table(settings: Settings) -> TaskTable:
    """Build the stack's tasks table."""
    return TaskTable(aws_client("dynamodb"), settings.tasks_table, settings.ledger_table)


def duration_table(table: TaskTable, settings: Settings, clock: Clock) -> DurationTable:
    """Build the stack's table of recent durations, over the tasks table's connection."""
    return DurationTable(table.client, settings.stats_table, clock)
