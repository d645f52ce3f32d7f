"""What became of tasks, as metrics: counted from the moves in the tasks table's stream.

    the provider has it          TasksSubmitted   1
    its result is learnt         CallbacksMissed  1 without a callback, 0 with one
    it may have been billed      TasksUnconfirmed 1
    it is charged                SpentUsd         its price
    its result is stored         TasksStored      1, TaskSeconds, CopySeconds
    it ended without a result    TasksFailed      1

A record says what its write changed, so each change counts once, whichever function wrote it. A
batch of the stream that is read again is counted from the record on at which it had stopped.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from act_one.lifecycle.relay import sequence_of
from act_one.tasks import schema
from act_one.tasks.task import Billing, SettledBy, Stage

_BEFORE_PROVIDER: Final = frozenset({Stage.ACCEPTED, Stage.SUBMITTING, Stage.UNCONFIRMED})
_WITH_PROVIDER: Final = frozenset({Stage.SUBMITTED, Stage.RUNNING, Stage.STORING})
_WITHOUT_RESULT: Final = frozenset({Stage.FAILED, Stage.EXPIRED})

metrics = Metrics()

type Row = Mapping[str, Mapping[str, Any]]
"""A row as the stream gives it: each attribute under the letter of its type."""


def count_moves(records: Sequence[Mapping[str, Any]], failed: str | None) -> None:
    """Count what a batch changed, up to the record that the stream will send again.

    ``failed`` is that record's sequence number; None: there is none. Of a row that can't be read
    nothing is counted: the relay reports it.
    """
    for record in takewhile(lambda one: sequence_of(one) != failed, records):
        before, after = record["dynamodb"].get("OldImage"), record["dynamodb"].get("NewImage")
        if before and after:  # a row is inserted before anything has happened to its task
            try:
                counted = _counted(before, after)
            except (AttributeError, KeyError, TypeError, ValueError):
                continue
            for name, unit, value in counted:
                metrics.add_metric(name, unit, value)


def _counted(before: Row, after: Row) -> list[tuple[str, MetricUnit, float]]:
    schema.TASKS.check(after)
    found: list[tuple[str, MetricUnit, float]] = []
    if "settled_by" in after and "settled_by" not in before:
        missed = _missed(after)
        if missed is not None:
            found.append(("CallbacksMissed", MetricUnit.Count, missed))
    if after["billing"]["S"] == Billing.CHARGED != before["billing"]["S"]:
        price = float(after.get("price", {"N": "0"})["N"]) / 1_000_000
        found.append(("SpentUsd", MetricUnit.NoUnit, price))
    old, new = Stage(before["stage"]["S"]), Stage(after["stage"]["S"])
    if old is new:
        return found
    if old in _BEFORE_PROVIDER and new in _WITH_PROVIDER:
        found.append(("TasksSubmitted", MetricUnit.Count, 1))
    if new is Stage.UNCONFIRMED:
        found.append(("TasksUnconfirmed", MetricUnit.Count, 1))
    if new in _WITHOUT_RESULT and old not in _WITHOUT_RESULT:
        found.append(("TasksFailed", MetricUnit.Count, 1))
    if new is Stage.SUCCEEDED:
        found += [
            ("TasksStored", MetricUnit.Count, 1),
            ("TaskSeconds", MetricUnit.Seconds, _seconds_since("created_at", after)),
            ("CopySeconds", MetricUnit.Seconds, _seconds_since("source_known_at", after)),
        ]
    return found


def _missed(row: Row) -> int | None:
    """Return 1 for a task whose result the fallback had to find; 0 for one that was called back.

    None for one that a read found first: its callback may still come.
    """
    if "evidence" in row:
        return 0
    return 1 if row["settled_by"]["S"] == SettledBy.FALLBACK else None


def _seconds_since(name: str, row: Row) -> float:
    """Return the seconds from a time in a row to its latest move."""
    return round(float(row["updated_at"]["N"]) - float(row[name]["N"]), 3)
