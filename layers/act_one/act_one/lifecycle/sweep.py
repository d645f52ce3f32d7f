"""The sweep: starts an execution of the fallback for each task that is due.

After a pause it first makes the tasks due that were held, in the order of their creation.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from act_one.clock import HOUR, Clock
from act_one.correlation import about_task
from act_one.tasks.schema import NewerRowError, UnreadableRowError
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Task

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

START_LEASE_SECONDS: Final = 120.0
"""How long a started execution has until its first turn, which renews the row's due time."""
SWEEP_SECONDS: Final = 40.0
"""A sweep stops after this; the next one, a minute after the last began, continues."""
RELEASE_SECONDS: Final = 10.0
"""How much of that it may take to release held tasks."""
MAX_STARTS: Final = 500
"""Executions that one sweep starts. With a second for each poll, they keep a minute's eight of the
ten functions busy that a new account may run at once."""
UNREADABLE_SECONDS: Final = HOUR
"""How long a row that this code can't read is left alone."""

logger = Logger(child=True)
metrics = Metrics()


def sweep(
    table: TaskTable,
    stepfunctions: "SFNClient",
    fallback_arn: str,
    clock: Clock,
    is_paused: Callable[[], bool],
) -> int:
    """Claim due rows and start their fallback; return how many were started.

    A row that can't be read is reported, and set aside so that it isn't claimed by each sweep. A
    row of a newer release is reported and stays due, for the newer code.
    """
    began_at = clock()
    if not is_paused():
        _release_held(table, clock)
    started = newer = 0
    for task_id, due_at in table.due(clock()):
        if clock() - began_at > SWEEP_SECONDS or started == MAX_STARTS:
            break
        now = clock()
        about_task(task_id)
        try:
            task = table.claim_due(task_id, due_at, now, START_LEASE_SECONDS)
        except MovedOnError:
            continue
        except NewerRowError:
            newer += 1
            continue
        except UnreadableRowError:
            logger.exception("unreadable row")
            metrics.add_metric("UnreadableRows", MetricUnit.Count, 1)
            with suppress(MovedOnError, UnreadableRowError):  # the claim itself was written
                table.claim_due(task_id, now + START_LEASE_SECONDS, now, UNREADABLE_SECONDS)
            continue
        _start(task, stepfunctions, fallback_arn)
        started += 1
    if newer:  # one line for all: each sweep meets them again
        logger.warning("newer rows", extra={"rows": newer})
        metrics.add_metric("NewerRows", MetricUnit.Count, newer)
    return started


def _release_held(table: TaskTable, clock: Clock) -> None:
    """Make held tasks due now, no more than a sweep can start.

    Rows of a newer release are passed: the oldest of all, they would be met by each sweep first.
    """
    began_at, released = clock(), 0
    for task_id, due_at in table.held():
        if released == MAX_STARTS or clock() - began_at > RELEASE_SECONDS:
            return
        with suppress(MovedOnError, UnreadableRowError):
            table.release_held(task_id, due_at, clock())
            released += 1


def _start(task: Task, stepfunctions: "SFNClient", fallback_arn: str) -> None:
    """Start one execution per claim; its name makes a repeated start harmless."""
    try:
        stepfunctions.start_execution(
            stateMachineArn=fallback_arn,
            name=f"{task.task_id}-{task.fallback_runs}",
            input=json.dumps({"task_id": task.task_id}),
        )
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        logger.info("already started", extra={"run": task.fallback_runs})
