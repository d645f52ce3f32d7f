"""What ingest is given: its tables, bucket, settings and clients, and how it submits a request."""

import hmac
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
    from mypy_boto3_sqs import SQSClient

type Submit = Callable[[TransferRequest, str], Task]
"""Creates the task of a request, for the client with this id. Raises ``ProblemError``."""


@dataclass(frozen=True, slots=True)
class IngestContext:
    """What reading a folder or a message needs: clients of the event bus and of its queue too."""

    table: TaskTable
    uploads: UploadsBucket
    settings: Settings
    clock: Clock
    pairs: PairTable
    events: "EventBridgeClient"
    sqs: "SQSClient"

    def secret_key(self, key: str) -> str:
        """Turn an idempotency key into one from which clients can't compute the task's id.

        Every API key may read these tasks, so their ids must not be computable from what clients
        know, such as an order number or a file.
        """
        return hmac.digest(
            self.pairs.id_secret(), key.encode("utf-8", "surrogatepass"), "sha256"
        ).hex()
