"""What ingest is given: its tables, bucket, settings and clients, and how it submits a request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from act_one.clock import Clock
from act_one.ingest.pairs import PairTable
from act_one.inputs.bucket import UploadsBucket
from act_one.inputs.request import TransferRequest
from act_one.settings import Settings
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Task

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

type Submit = Callable[[TransferRequest, str], Task]
"""Creates the task of a request, for the client with this id. Raises ``ProblemError``."""


@dataclass(frozen=True, slots=True)
class IngestContext:
    """What reading a folder or a message needs. ``events`` is the client of the event bus."""

    table: TaskTable
    uploads: UploadsBucket
    settings: Settings
    clock: Clock
    pairs: PairTable
    events: "EventBridgeClient"
