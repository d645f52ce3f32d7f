"""Try again what was given up: results that couldn't be fetched, messages and events.

    python -m ops.redrive STACK_NAME      with the operator's own AWS credentials

Tasks that failed with `media_unavailable` are made due: the fallback asks the feed and, if the
provider still has the result, copies it. Nothing is paid for. Messages of the dead-letter queues
of media, ingest and webhooks go back to their queues. Moves in the bucket of the relay's failures
are published; a subscriber that has got one before recognises its `event_id`.
"""

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3

from act_one.tasks.rows import read_item
from act_one.tasks.schema import NewerRowError
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage
from ops.stacks import CommandError, run, stack_outputs

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client


_DEAD_LETTER_QUEUES: Final = (
    "MediaDeadLetterQueueUrl",
    "IngestDeadLetterQueueUrl",
    "WebhookDeadLetterQueueUrl",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What a redrive did."""

    due: int
    """Tasks made due."""
    moved: bool
    """Whether there were messages in dead-letter queues."""
    replayed: int = 0
    """Failed batches of the relay that were published."""
    kept: int = 0
    """Failed batches of the relay that could not be published."""


def redrive(stack_name: str, session: boto3.Session) -> Redriven:
    """Make given-up tasks due, move dead letters back and publish what the relay gave up.

    Raises ``CommandError`` if there is no such stack, or if it is another application's.
    """
    outputs = stack_outputs(
        stack_name, session, "TasksTable", "RelayFailuresBucket", *_DEAD_LETTER_QUEUES
    )
    table = TaskTable(session.client("dynamodb"), outputs["TasksTable"])
    due = sum(_make_due(item, table) for item in _given_up(table))
    moved = [_move_back(outputs[queue], session) for queue in _DEAD_LETTER_QUEUES]
    replayed, kept = replay(
        outputs["RelayFailuresBucket"],
        _relay(stack_name, session),
        session.client("s3"),
        session.client("lambda"),
    )
    return Redriven(due=due, moved=any(moved), replayed=replayed, kept=kept)


def replay(bucket: str, relay: str, s3: "S3Client", functions: "LambdaClient") -> tuple[int, int]:
    """Have the relay publish the moves in a bucket of failed stream batches again.

    The bus takes events with our source from the relay only. Removes what was published; returns
    how many batches were and how many stay in the bucket.
    """
    published = kept = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            records = _records(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
            if records is None or not _is_published(records, relay, functions):
                kept += 1
                continue
            s3.delete_object(Bucket=bucket, Key=found["Key"])
            published += 1
    return published, kept


def _is_published(records: list[dict[str, Any]], relay: str, functions: "LambdaClient") -> bool:
    """Run the relay over records; return whether it published all of them."""
    event = json.dumps({"Records": records}).encode()
    answer = functions.invoke(FunctionName=relay, Payload=event)
    if answer.get("FunctionError"):
        return False
    reply: object = json.loads(answer["Payload"].read())
    return reply == {"batchItemFailures": []}


def _relay(stack_name: str, session: boto3.Session) -> str:
    answer = session.client("cloudformation").describe_stack_resource(
        StackName=stack_name, LogicalResourceId="RelayFunction"
    )
    return answer["StackResourceDetail"]["PhysicalResourceId"]


def _records(content: bytes) -> list[dict[str, Any]] | None:
    """Read the stream records in an invocation record; None if it has none.

    AWS documents its `payload` as the whole event, but not whether as text or as an object.
    """
    try:
        payload = json.loads(content)["payload"]
        event = json.loads(payload) if isinstance(payload, str) else payload
        records = event["Records"]
    except (KeyError, TypeError, ValueError):
        return None
    return records if isinstance(records, list) else None


def _given_up(table: TaskTable) -> list[dict[str, Any]]:
    pages = table.client.get_paginator("scan").paginate(
        TableName=table.name,
        FilterExpression="stage = :failed AND #error.code = :given_up",
        ExpressionAttributeNames={"#error": "error"},
        ExpressionAttributeValues={
            ":failed": {"S": Stage.FAILED},
            ":given_up": {"S": "media_unavailable"},
        },
    )
    return [item for page in pages for item in page["Items"]]


def _make_due(item: dict[str, Any], table: TaskTable) -> bool:
    try:
        table.record(read_item(item), due_at=time.time())
    except (MovedOnError, NewerRowError):
        return False
    return True


def _move_back(dead_letters: str, session: boto3.Session) -> bool:
    sqs = session.client("sqs")
    asked = ["QueueArn", "ApproximateNumberOfMessages"]
    found = sqs.get_queue_attributes(
        QueueUrl=dead_letters,
        AttributeNames=asked,  # type: ignore[arg-type]  # two of the names that it takes
    )["Attributes"]
    if found["ApproximateNumberOfMessages"] == "0":
        return False
    sqs.start_message_move_task(SourceArn=found["QueueArn"])
    return True


def main(arguments: list[str]) -> int:
    """Redrive the stack that is named; returns the exit status."""
    return run(lambda: _command(arguments))


def _command(arguments: list[str]) -> str:
    if len(arguments) != 1 or not arguments[0].strip():
        raise CommandError("Name the stack: make redrive STACK=act-one")
    done = redrive(arguments[0].strip(), boto3.Session())
    return (
        f"{done.due} tasks are polled again. "
        f"{'Dead letters go back' if done.moved else 'There are no dead letters'}. "
        f"{done.replayed} batches of events were published, {done.kept} could not be."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
