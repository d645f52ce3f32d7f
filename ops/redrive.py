"""Try again what was given up: results that couldn't be fetched, announcements nobody took.

    python -m ops.redrive STACK_NAME      with the operator's own AWS credentials

Tasks that failed with `media_unavailable` are made due: the fallback asks the feed and, if the
provider still has the result, copies it. Nothing is paid for. Messages of the dead-letter queues
of media, ingest and webhooks go back to where they came from.
"""

import sys
import time
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from act_one.tasks.rows import read_item
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage

_DEAD_LETTER_QUEUES: Final = (
    "MediaDeadLetterQueueUrl",
    "IngestDeadLetterQueueUrl",
    "WebhookDeadLetterQueueUrl",
)


class StackError(Exception):
    """The stack can't be redriven; the message is a sentence for the operator."""


def redrive(stack_name: str, session: boto3.Session) -> tuple[int, bool]:
    """Make given-up tasks due and move dead letters back.

    Answers how many tasks are due now and whether there were dead letters to move. Raises
    ``StackError`` if there is no such stack, or if it is another application's.
    """
    outputs = _outputs(stack_name, session)
    table = TaskTable(session.client("dynamodb"), outputs["TasksTable"])
    due = sum(_make_due(item, table) for item in _given_up(table))
    moved = [_move_back(outputs[queue], session) for queue in _DEAD_LETTER_QUEUES]
    return due, any(moved)


def _outputs(stack_name: str, session: boto3.Session) -> dict[str, str]:
    try:
        stacks = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ValidationError":
            raise
        raise StackError(
            f"There is no stack {stack_name!r} in {session.region_name}; "
            "`aws cloudformation list-stacks` lists their names."
        ) from error
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stacks[0].get("Outputs", ())}
    if not {"TasksTable", *_DEAD_LETTER_QUEUES} <= outputs.keys():
        raise StackError(f"{stack_name!r} is not a stack of act-one, or is not deployed yet.")
    return outputs


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
    except MovedOnError:
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
    """Redrive the stack that is named; 2 if that can't be done."""
    if len(arguments) != 1 or not arguments[0].strip():
        print("Name the stack: make redrive STACK=act-one", file=sys.stderr)
        return 2
    try:
        due, moved = redrive(arguments[0].strip(), boto3.Session())
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as error:
        print(f"AWS can't do that: {error}", file=sys.stderr)
        return 2
    print(f"{due} tasks are looked at again; dead letters {'go back' if moved else 'are none'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
