"""What ingest is given: its tables, bucket, settings and clients, and how it submits a request."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from act_one.clients.client import Client
from act_one.clients.directory import ClientDirectory
from act_one.clock import Clock
from act_one.ingest.pairs import PairTable
from act_one.inputs.bucket import UploadsBucket
from act_one.inputs.request import TransferRequest
from act_one.problems import ProblemError
from act_one.settings import Settings
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Task

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sqs import SQSClient

type Submit = Callable[[TransferRequest, Client], Task]
"""Creates the task of a client's request. Raises ``ProblemError``."""


@dataclass(frozen=True, slots=True)
class IngestContext:
    """What reading a folder or a message needs: clients of the event bus and of its queue too."""

    table: TaskTable
    uploads: UploadsBucket
    settings: Settings
    clock: Clock
    clients: ClientDirectory
    pairs: PairTable
    events: "EventBridgeClient"
    sqs: "SQSClient"

    def client(self, name: str) -> Client:
        """Return a client by its name. Raises ``ProblemError`` if it may request no tasks."""
        found = self.clients.named(name)
        if found is None or found.revoked:
            shown = name[:64].encode("utf-8", "replace").decode()
            raise ProblemError(
                403,
                "client-unknown",
                "There is no such client",
                f"{shown!r} is not a client of this stack; ask its operator for the name",
                field="client",
            )
        return found

    def secret_key(self, key: str) -> str:
        """Turn an idempotency key into one from which clients can't compute the task's id.

        Every API key may read these tasks, so their ids must not be computable from what clients
        know, such as an order number or a file.
        """
        return hmac.digest(
            self.pairs.id_secret(), key.encode("utf-8", "surrogatepass"), "sha256"
        ).hex()
