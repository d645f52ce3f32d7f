"""Mutants of the sweep, of restores and redrives, and of the clients of S3."""

import math
from dataclasses import replace
from typing import Final

from act_one import aws
from act_one.lifecycle import sweep
from act_one.media import copy
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage
from ops import redrive, restore
from tests.protocol.mutants.registry import altered, mutant

SWEEP: Final = "lifecycle/test_sweep.py::"
RESTORE: Final = "test_restore.py::"
REPLAY: Final = "test_replay.py::"
AWS: Final = "test_aws.py::"

# ── The sweep ─────────────────────────────────────────────────────────────────────────────────


@mutant(
    "an unreadable row is claimed by each sweep",
    TaskTable,
    "claim_due",
    killer=SWEEP + "test_an_unreadable_row_holds_up_no_other_and_is_not_claimed_each_minute",
)
def _(claim_due, self, task_id, seen_due, now, lease_seconds):
    if lease_seconds == sweep.UNREADABLE_SECONDS:
        return None
    return claim_due(self, task_id, seen_due, now, lease_seconds)


altered(
    "an unreadable row ends the sweep",
    sweep,
    "UnreadableRowError",
    MovedOnError,
    killer=SWEEP + "test_an_unreadable_row_holds_up_no_other_and_is_not_claimed_each_minute",
)


@mutant(
    "a sweep starts all executions that are due",
    sweep,
    "sweep",
    killer=SWEEP + "test_a_sweep_starts_no_more_executions_than_an_account_can_run",
)
def _(sweep_once, *arguments):
    sweep.MAX_STARTS = math.inf
    return sweep_once(*arguments)


# ── Restores and redrives ─────────────────────────────────────────────────────────────────────


@mutant(
    "a restored task that waited is sent again",
    restore,
    "made_safe",
    killer=RESTORE + "test_a_task_that_waited_is_unconfirmed_and_never_sent_again",
)
def _(made_safe, task, *rest):
    waited = task.stage in {Stage.ACCEPTED, Stage.SUBMITTING}
    return task if waited else made_safe(task, *rest)


@mutant(
    "a restored row has the versions that it had before",
    restore,
    "made_safe",
    killer=RESTORE + "test_a_task_that_waited_is_unconfirmed_and_never_sent_again",
)
def _(made_safe, task, *rest):
    return replace(made_safe(task, *rest), version=task.version)


@mutant(
    "a restored row passes for the one that is there",
    restore,
    "replace",
    killer=RESTORE + "test_a_row_that_is_there_is_not_changed",
)
def _(copy, task, *, claim_id=None, **changes):
    del claim_id
    return copy(task, **changes)


@mutant(
    "an open task comes back with the due time and the lease that it had",
    restore,
    "made_safe",
    killer=RESTORE + "test_an_open_task_becomes_due",
)
def _(made_safe, task, *rest):
    safe = made_safe(task, *rest)
    return replace(safe, due_at=task.due_at, copy_lease_until=task.copy_lease_until)


@mutant(
    "a batch that the bus refuses again is removed",
    redrive,
    "_is_published",
    killer=REPLAY + "test_a_batch_that_the_bus_refuses_again_is_kept",
)
def _(is_published, *arguments):
    is_published(*arguments)
    return True


@mutant(
    "an object without records is removed",
    redrive,
    "_records",
    killer=REPLAY + "test_an_object_without_records_is_kept",
)
def _(records, content):
    return records(content) or []


# ── S3 ────────────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a call that S3 is too busy for is not repeated",
    aws,
    "s3_client",
    killer=AWS + "test_a_call_that_s3_is_too_busy_for_is_repeated",
)
def _(s3_client, **_attempts):
    return s3_client(attempts=1)


@mutant(
    "a body that can't be read again is sent again",
    aws,
    "s3_client",
    killer=AWS + "test_a_body_that_cannot_be_read_again_is_sent_once",
)
def _(s3_client, **_attempts):
    return s3_client()


@mutant(
    "a stream is sent to S3 by the client that repeats calls",
    copy,
    "copy",
    killer="media/test_copy.py::test_a_body_is_sent_by_the_client_that_repeats_no_call",
)
def _(copy_one, *arguments, s3, s3_once, **named):
    del s3_once
    return copy_one(*arguments, s3=s3, s3_once=s3, **named)
