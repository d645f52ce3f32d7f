"""The services that work on a task needs. Each handler's module builds them once."""

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from act_one.aws import aws_client
from act_one.clients.directory import ClientDirectory
from act_one.clock import Clock, system_clock
from act_one.inputs.bucket import UploadsBucket
from act_one.keys import KeyRing
from act_one.provider.client import CometApi
from act_one.settings import Settings
from act_one.tasks.durations import DurationTable
from act_one.tasks.table import TaskTable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True, slots=True)
class Services:
    """The tasks table, the provider, the settings, the clock, the clients and the uploads."""

    table: TaskTable
    provider: CometApi
    settings: Settings
    clock: Clock
    clients: ClientDirectory
    uploads: UploadsBucket = field(default_factory=UploadsBucket)


def key_ring(secret: str, clock: Clock = system_clock) -> KeyRing:
    """Build the reader of a secret: one of this stack's, by its name, or any, by its ARN."""
    is_arn = secret.startswith("arn:")
    return KeyRing(_secrets_manager(secret.split(":")[3] if is_arn else None), secret, clock)


@functools.cache
def _secrets_manager(region: str | None) -> "SecretsManagerClient":
    """Build one client for all secrets of a region: each further one takes 5 ms of a cold start.

    Secrets Manager finds no secret of another region, not even by its ARN.
    """
    return aws_client("secretsmanager", region=region)


def task_table(settings: Settings) -> TaskTable:
    """Build the stack's tasks table."""
    return TaskTable(aws_client("dynamodb"), settings.tasks_table, settings.ledger_table)


def duration_table(table: TaskTable, settings: Settings, clock: Clock) -> DurationTable:
    """Build the stack's table of recent durations, over the tasks table's connection."""
    return DurationTable(table.client, settings.stats_table, clock)


def build_services(settings: Settings, clock: Clock = system_clock) -> Services:
    """Build the real services from the settings."""
    provider = CometApi(
        base_url=settings.provider_base_url,
        runway_version=settings.runway_version,
        key_ring=key_ring(settings.provider_secret, clock),
        clock=clock,
    )
    uploads = UploadsBucket(settings.uploads_bucket, settings.input_base_url)
    table = task_table(settings)
    directory = ClientDirectory(table.client, settings.clients_table, clock)
    return Services(table, provider, settings, clock, directory, uploads)
