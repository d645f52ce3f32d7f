"""Pause the sending of tasks, for an incident or a migration, and resume it.

    python -m ops.pause STACK            new tasks wait, and nothing is billed
    python -m ops.pause STACK --resume   they are sent, the oldest first

with the operator's own AWS credentials. Requests are accepted meanwhile. Tasks that the provider
has already go on. Files in the uploads bucket last `InputRetentionDays`: resume before they end.
"""

import sys
from typing import TYPE_CHECKING

import boto3

from act_one.clients.directory import PAUSE_ID, PAUSE_SECONDS
from ops.client_rows import write_row
from ops.stacks import CommandError, run, stack_outputs

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def set_paused(table: str, dynamodb: "DynamoDBClient", *, paused: bool) -> None:
    """Write whether no task may be sent. Raises ``NewerRowError``: that is a pause."""
    write_row(dynamodb, table, PAUSE_ID, {"paused": paused})


def main(arguments: list[str]) -> int:
    """Pause or resume the stack that is named; returns the exit status."""
    return run(lambda: _command(arguments))


def _command(arguments: list[str]) -> str:
    match arguments:
        case [stack, *rest] if stack.strip() and rest in ([], ["--resume"]):
            session = boto3.Session()
            outputs = stack_outputs(stack.strip(), session, "ClientsTable")
            paused = not rest
            set_paused(outputs["ClientsTable"], session.client("dynamodb"), paused=paused)
        case _:
            raise CommandError("Name the stack: make pause STACK=act-one")
    if paused:
        return (
            f"Sending is paused; creates that began up to {PAUSE_SECONDS:.0f} s from now still end."
        )
    return "Sending is resumed; the tasks that waited are sent from the next minute on."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
