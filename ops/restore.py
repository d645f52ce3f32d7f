"""Bring back rows that the tasks table lost, from a table that was restored to a point in time.

    python -m ops.restore STACK_NAME RESTORED_TABLE      with the operator's own AWS credentials

Copies the rows that the stack's table doesn't have; it changes no row that is there. The stack may
have sent a task after the point in time, so a waiting task becomes `unconfirmed`: it is never sent
again. Open tasks become due, so that the fallback polls for them. The sweeper's schedule is
disabled meanwhile.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import boto3

from act_one.clock import system_clock
from act_one.lifecycle.next_step import HAS_CREATE
from act_one.settings import Settings
from act_one.tasks import moves
from act_one.tasks.identifiers import new_claim_id
from act_one.tasks.rows import read_item
from act_one.tasks.schema import UnreadableRowError
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage, Task
from ops.stacks import CommandError, run, stack_outputs

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SCHEDULE: Final = "SweeperFunctionEveryMinute"
FORGOTTEN_VERSIONS: Final = 100
"""Added to an open row's version: more than the moves that it may have made since, so that its next
events are newer than any that subscribers got."""
_SCHEDULE_FIELDS: Final = (
    *("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "Target"),
    *("FlexibleTimeWindow", "Description", "StartDate", "EndDate", "KmsKeyArn"),
)


@dataclass(slots=True)
class Restored:
    """How many rows of the restored table were copied, or why they were not."""

    copied: int = 0
    unconfirmed: int = 0
    """Of the copied ones: tasks that waited, and are not sent again."""
    present: int = 0
    expired: int = 0
    """Their time to live is over."""
    unreadable: int = 0


def restore(stack_name: str, restored_table: str, session: boto3.Session) -> Restored:
    """Copy missing rows into a stack's table while its sweeper's schedule is disabled.

    Raises ``CommandError``, before anything is changed, if there is no such stack or table.
    """
    outputs = stack_outputs(stack_name, session, "SweeperFunction", "TasksTable")
    dynamodb = session.client("dynamodb")
    _check_table(restored_table, dynamodb)
    sweeper = session.client("lambda").get_function_configuration(
        FunctionName=outputs["SweeperFunction"]
    )
    settings = Settings.from_environment(sweeper["Environment"]["Variables"])
    schedule = session.client("cloudformation").describe_stack_resource(
        StackName=stack_name, LogicalResourceId=SCHEDULE
    )["StackResourceDetail"]["PhysicalResourceId"]
    table = TaskTable(dynamodb, settings.tasks_table)
    with _disabled(schedule, session.client("scheduler")):
        return copy_missing(restored_table, table, settings, system_clock())


def _check_table(name: str, dynamodb: "DynamoDBClient") -> None:
    """Raise ``CommandError`` unless there is a table of this name whose key is that of tasks."""
    try:
        key = dynamodb.describe_table(TableName=name)["Table"]["KeySchema"]
    except dynamodb.exceptions.ResourceNotFoundException as error:
        raise CommandError(
            f"There is no table {name!r}; `aws dynamodb list-tables` lists their names."
        ) from error
    if [part["AttributeName"] for part in key] != ["task_id"]:
        raise CommandError(f"{name!r} is not a table of tasks; name the one that was restored.")


def copy_missing(restored_table: str, table: TaskTable, settings: Settings, now: float) -> Restored:
    """Copy the rows that ``table`` doesn't have from another table, made safe."""
    done = Restored()
    pages = table.client.get_paginator("scan").paginate(TableName=restored_table)
    for item in (item for page in pages for item in page["Items"]):
        try:
            task = read_item(item)
        except UnreadableRowError as error:
            print(f"{item['task_id']} can't be read: {error}", file=sys.stderr)
            done.unreadable += 1
            continue
        if task.expires_at is not None and task.expires_at <= now:
            done.expired += 1
            continue
        safe = made_safe(task, settings, now)
        try:
            # With its old claim, a row that is there could pass for the one just written. In no
            # account: the ledger has had its amounts since it was first written.
            table.create(replace(safe, claim_id=new_claim_id(), accounts=()))
        except MovedOnError:
            done.present += 1
        else:
            done.copied += 1
            done.unconfirmed += safe.stage is not task.stage
    return done


def made_safe(task: Task, settings: Settings, now: float) -> Task:
    """Return a row of the past as it can be written now: never sent again, and due if open."""
    if task.stage in {Stage.ACCEPTED, Stage.SUBMITTING}:
        task = moves.applied(task, moves.to_unconfirmed(task, now, settings), now)
    if task.stage not in {*HAS_CREATE, Stage.STORING}:
        return task
    return replace(
        task, version=task.version + FORGOTTEN_VERSIONS, due_at=now, copy_lease_until=None
    )


@contextmanager
def _disabled(name: str, scheduler: Any) -> Iterator[None]:  # noqa: ANN401 - it has no stubs here
    """Disable a schedule; enable it again at the end, unless that is an error."""
    schedule = scheduler.get_schedule(Name=name)
    if schedule["State"] == "DISABLED":
        yield
        return
    kept = {field: schedule[field] for field in _SCHEDULE_FIELDS if schedule.get(field)}
    scheduler.update_schedule(**kept, State="DISABLED")
    print(f"The sweeper's schedule {name} is disabled.")
    try:
        yield
    except BaseException:
        print(f"{name} stays disabled: run this again, or enable it.", file=sys.stderr)
        raise
    scheduler.update_schedule(**kept, State="ENABLED")
    print(f"{name} is enabled again.")


def main(arguments: list[str]) -> int:
    """Restore into the stack that is named; returns the exit status."""
    return run(lambda: _command(arguments))


def _command(arguments: list[str]) -> str:
    named = [argument.strip() for argument in arguments]
    if len(named) != 2 or not all(named):
        raise CommandError(
            "Name the stack and the restored table: "
            "make restore STACK=act-one FROM=act-one-restored"
        )
    done = restore(named[0], named[1], boto3.Session())
    return (
        f"{done.copied} rows were copied, {done.unconfirmed} of them as unconfirmed. "
        f"Not copied: {done.present} that are there, {done.expired} expired, "
        f"{done.unreadable} unreadable."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
