"""The services that work on a task needs. Each handler's module builds them once."""

from dataclasses import dataclass, field

from act_one.clients.directory import ClientDirectory
from act_one.clock import Clock, system_clock
from act_one.inputs.bucket import UploadsBucket
from act_one.lifecycle.tables import key_ring, task_table
from act_one.provider.client import CometApi
from act_one.settings import Settings
from act_one.tasks.table import TaskTable


@dataclass(frozen=True, slots=True)
class Services:
    """The tasks table, the provider, the settings, the clock, the clients and the uploads."""

    table: TaskTable
    provider: CometApi
    settings: Settings
    clock: Clock
    clients: ClientDirectory
    uploads: UploadsBucket = field(default_factory=UploadsBucket)


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
