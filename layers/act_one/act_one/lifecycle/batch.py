"""A batch: each request becomes an `accepted` row at once, and ingest sends it.

The rows are the record. A message of the ingest queue only makes a task's send begin soon: the
fallback sends a task whose message was lost once the row is due.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clients.client import Client
from act_one.clock import SecondsLeft
from act_one.inputs.batch import KEY, read_entry
from act_one.json_types import Json
from act_one.lifecycle.services import Services
from act_one.lifecycle.submission import accept, waits_for_first_send
from act_one.problems import KeyReusedError, ProblemError
from act_one.tasks.events import message_to_send
from act_one.tasks.task import Task

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

DUE_SECONDS: Final = 60.0
"""When the fallback takes a batch's first task if ingest has not."""
SEND_SECONDS: Final = 4.0
"""How much later it takes each next one: ingest sends two at a time, each for some seconds."""
MESSAGES_NEED_SECONDS: Final = 14.0
"""What is left for the messages and the reply once no further request is accepted: a queue that
doesn't answer takes four attempts of three seconds."""

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request of a batch that has a task, and whether the task existed before."""

    task: Task
    replayed: bool


type BatchResult = Accepted | ProblemError


@dataclass(frozen=True, slots=True)
class IngestQueue:
    """The ingest queue, reached through ``sqs``."""

    sqs: "SQSClient"
    url: str

    def send(self, task_ids: Iterable[str]) -> int:
        """Ask ingest to send tasks, one message each; return how many were asked for.

        Stops at the first message that the queue doesn't take: its client has tried again already,
        and the fallback sends the rest. ``SendMessageBatch`` would save little, and could fail for
        some messages only.
        """
        sent = 0
        for task_id in dict.fromkeys(task_ids):
            try:
                self.sqs.send_message(QueueUrl=self.url, MessageBody=message_to_send(task_id))
            except (BotoCoreError, ClientError):
                logger.exception("the rest is left to the fallback", extra={"sent": sent})
                break
            sent += 1
        return sent


def accept_batch(
    entries: Sequence[Json], client: Client, services: Services, seconds_left: SecondsLeft
) -> list[BatchResult]:
    """Turn each request into a task or a problem, in their order; write rows, send nothing.

    Stops in time for the messages and the reply: what is left then has a retryable problem.
    """
    return [
        _accept(entry, number, client, services)
        if seconds_left() > MESSAGES_NEED_SECONDS
        else _unfinished()
        for number, entry in enumerate(entries)
    ]


def unsent(results: Iterable[BatchResult]) -> list[str]:
    """List the ids of the tasks that ingest has to send, also those of an earlier, cut-off call."""
    return [
        result.task.task_id
        for result in results
        if isinstance(result, Accepted) and waits_for_first_send(result.task)
    ]


def _accept(entry: Json, number: int, client: Client, services: Services) -> BatchResult:
    try:
        request = read_entry(
            entry,
            allow_addresses=services.settings.unsafe_allow_private_media,
            own_files=services.uploads.files_of(client.name),
        )
        due_seconds = DUE_SECONDS + number * SEND_SECONDS
        return Accepted(*accept(request, client, services, due_seconds))
    except KeyReusedError as error:
        return KeyReusedError(KEY, error.differs)
    except ProblemError as problem:
        return problem
    except (BotoCoreError, ClientError):
        # The other requests have tasks, whose messages must still be sent.
        logger.exception("not accepted")
        return _unfinished()


def _unfinished() -> ProblemError:
    return ProblemError(
        503,
        "batch-unfinished",
        "The request could not be taken in time",
        "send the batch again, with the same keys: what was accepted is not paid for twice",
        retryable=True,
    )
