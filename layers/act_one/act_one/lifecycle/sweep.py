"""The sweep: starts an execution of the fallback for each task that is due."""

import json
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

from act_one.clock import Clock
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Task

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

START_LEASE_SECONDS: Final = 120.0
"""How long a started execution has until its first turn, which renews the row's due time."""
SWEEP_SECONDS: Final = 40.0
"""A sweep stops after this; the next one, a minute after the last began, continues."""

logger = Logger(child=True)


def sweep(table: TaskTable, stepfunctions: "SFNClient", fallback_arn: str, clock: Clock) -> int:
    """Claim each due row and start its fallback; return how many were started."""
    began_at = clock()
    started = 0
    for task_id, due_at in table.due(began_at):
        if clock() - began_at > SWEEP_SECONDS:
            break
        try:
            task = table.claim_due(task_id, due_at, clock(), START_LEASE_SECONDS)
        except MovedOnError:
            continue
        _start(task, stepfunctions, fallback_arn)
        started += 1
    return started


def _start(task: Task, stepfunctions: "SFNClient", fallback_arn: str) -> None:
    """Start one execution per claim; its name makes a repeated start harmless."""
    try:
        stepfunctions.start_execution(
            stateMachineArn=fallback_arn,
            name=f"{task.task_id}-{task.fallback_runs}",
            input=json.dumps({"task_id": task.task_id}),
        )
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        logger.info("already started", extra={"task_id": task.task_id, "run": task.fallback_runs})
