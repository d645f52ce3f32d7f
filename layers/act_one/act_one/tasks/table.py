"""The tasks table: the only truth, and every conditional write to it under a name.

A *move* changes the stage: one write, one new version, one event (through the table's stream).
A *claim* reserves an action for a while. Both carry a random ``claim_id``: when a condition
fails, DynamoDB returns the row it failed on, and our own claim in it means that an earlier try
of the same write succeeded and only its reply was lost.

    create      row absent ──▶ submitting
    move        version = seen ──▶ version + 1
    claim_due  due_at = seen ──▶ due_at = now + lease, fallback_runs + 1
    claim_copy  storing, no live lease ──▶ copy_lease_until = now + lease
    release     storing, the lease is ours ──▶ no lease, due again
    learn_id    provider_task_id absent ──▶ present
    note_*      facts about a row that exists, whatever its stage
    keep_delivery  the list is as seen ──▶ one delivery more; no new version, no event
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from act_one.tasks.identifiers import new_claim_id
from act_one.tasks.moves import may_move
from act_one.tasks.rows import WATCHED, attribute, read_item, stored_name, to_item
from act_one.tasks.task import Delivery, Evidence, Stage, Task

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DUE_INDEX: Final = "due"
PROVIDER_TASK_INDEX: Final = "provider-task"

DELIVERIES_KEPT: Final = 20
"""So many attempts at calling a webhook a row holds, the latest ones."""
_DELIVERY_TRIES: Final = 10

_TRANSACTION_TRIES: Final = 5
_TRANSACTION_SECONDS: Final = 0.1

_EXISTS: Final = "attribute_exists(task_id)"
_ABSENT: Final = "attribute_not_exists(task_id)"
_VERSION_SEEN: Final = "version = :seen_version"
_DUE_SEEN: Final = "due_at = :seen_due"
_STORING: Final = "stage = :storing"
_NO_LIVE_LEASE: Final = "(attribute_not_exists(copy_lease_until) OR copy_lease_until <= :now)"
_ID_UNKNOWN: Final = "attribute_not_exists(provider_task_id)"
_LEASE_MINE: Final = "copy_lease_until = :my_lease"
_IN_HAND: Final = frozenset({Stage.STORING, Stage.SUCCEEDED, Stage.CANCELED})
_AWAITED: Final = "NOT stage IN (:storing, :succeeded, :canceled)"
_DELIVERIES_SEEN: Final = "deliveries = :seen_deliveries"
_NO_DELIVERIES: Final = "(attribute_not_exists(deliveries) OR deliveries = :seen_deliveries)"
_FEED_RESTED: Final = "(attribute_not_exists(feed_asked_at) OR feed_asked_at <= :rested)"


class MovedOnError(Exception):
    """The row is not as it was seen; ``current`` is what it is now, None if there is none."""

    def __init__(self, current: Task | None) -> None:
        super().__init__(f"now {current.stage}#{current.version}" if current else "no such task")
        self.current = current


@dataclass(frozen=True, slots=True)
class TaskTable:
    """The table ``name``, reached through ``client``."""

    client: "DynamoDBClient"
    name: str

    def create(self, task: Task) -> Task:
        """Write a new row. Raises ``MovedOnError`` with the row that has the id already."""
        try:
            self._written(
                lambda: self.client.put_item(
                    TableName=self.name,
                    Item=to_item(task),
                    ConditionExpression=_ABSENT,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            )
        except self.client.exceptions.ConditionalCheckFailedException as error:
            return _ours_or_raise(error.response, task.claim_id)
        return task

    def read(self, task_id: str) -> Task | None:
        """Read a row as it is now (strongly consistent)."""
        answer = self.client.get_item(TableName=self.name, Key=_key(task_id), ConsistentRead=True)
        return read_item(answer["Item"]) if "Item" in answer else None

    def move(self, task: Task, target: Stage, now: float, **changes: object) -> Task:
        """Move a task to another stage, from the version that was seen.

        ``changes`` are other fields of ``Task``. Raises ``MovedOnError`` when the row has moved
        since, and ``ValueError`` for a move that ``task.MOVES`` doesn't know.
        """
        if not may_move(task.stage, target):
            message = f"{task.stage} to {target} is no move of a task"
            raise ValueError(message)
        moved = {"stage": target, "version": task.version + 1, "updated_at": now}
        # What is stored or canceled needs no look any more, whoever asked for one.
        ends = target in {Stage.SUCCEEDED, Stage.CANCELED}
        condition, values = _as_seen(task, {} if ends else changes)
        if task.stage is Stage.STORING and target is not Stage.SUCCEEDED:
            # A claim makes no version: nobody may take the task from under a copy that runs.
            condition, values = f"{condition} AND {_NO_LIVE_LEASE}", {**values, ":now": now}
        return self._update(
            task.task_id,
            {**changes, **moved},
            condition=condition,
            values=values,
            claim_id=new_claim_id(),
        )

    def claim_due(self, task_id: str, seen_due: float, now: float, lease_seconds: float) -> Task:
        """Reserve the look at a due row. Raises ``MovedOnError`` when another has it."""
        return self._update(
            task_id,
            {"due_at": now + lease_seconds},
            add={"fallback_runs": 1},
            condition=_DUE_SEEN,
            values={":seen_due": seen_due},
            claim_id=new_claim_id(),
        )

    def claim_copy(self, task_id: str, now: float, lease_seconds: float) -> Task:
        """Reserve the copy of a ``storing`` task's media, counting the attempt.

        Raises ``MovedOnError`` when another copy holds a live lease or the stage is another.
        """
        leased_until = now + lease_seconds
        return self._update(
            task_id,
            {"copy_lease_until": leased_until, "due_at": leased_until},
            add={"copy_attempts": 1},
            condition=f"{_STORING} AND {_NO_LIVE_LEASE}",
            values={":storing": Stage.STORING, ":now": now},
            claim_id=new_claim_id(),
        )

    def learn_id(self, task: Task, provider_task_id: str, **changes: object) -> Task:
        """Write down the provider's id, in any stage in which it isn't known yet.

        Raises ``MovedOnError`` when the row has an id already.
        """
        return self._update(
            task.task_id,
            {**changes, "provider_task_id": provider_task_id},
            condition=f"{_EXISTS} AND {_ID_UNKNOWN}",
        )

    def release_copy(self, task: Task, now: float, due_at: float, **facts: object) -> Task:
        """Give a claimed copy back after a failure, to be tried again once it is due.

        Raises ``MovedOnError`` when the lease ran out and another attempt has the task.
        """
        return self._update(
            task.task_id,
            {**facts, "copy_lease_until": None, "due_at": due_at, "updated_at": now},
            condition=f"{_VERSION_SEEN} AND {_LEASE_MINE}",
            values={":seen_version": task.version, ":my_lease": task.copy_lease_until},
        )

    def record_callback(
        self,
        task_id: str,
        evidence: Evidence,
        due_at: float,
        feed_rest_seconds: float,
        *,
        announces_success: bool = False,
    ) -> tuple[Task | None, bool]:
        """Keep a callback's evidence and make the row due soon, unless its result is in hand.

        Answers the row (None: there is none) and whether the feed may be asked now, which this
        write then reserves: at most once per ``feed_rest_seconds`` and task.
        """
        told = {"evidence": evidence}
        if announces_success:
            told["success_callback"] = evidence
        facts = {**told, "due_at": due_at}
        now = evidence.received_at
        waiting = {f":{stage}": stage for stage in _IN_HAND}
        try:
            reserved = self._update(
                task_id,
                {**facts, "feed_asked_at": now},
                condition=f"{_EXISTS} AND {_AWAITED} AND {_FEED_RESTED}",
                values={**waiting, ":rested": now - feed_rest_seconds},
            )
        except MovedOnError as error:
            if error.current is not None and error.current.stage is Stage.STORING:
                return self._keep(task_id, told), False
            if error.current is None or error.current.stage in _IN_HAND:
                return error.current, False
        else:
            return reserved, True
        try:
            row = self._update(
                task_id, facts, condition=f"{_EXISTS} AND {_AWAITED}", values=waiting
            )
        except MovedOnError as error:
            return error.current, False
        return row, False

    def _keep(self, task_id: str, told: Mapping[str, Evidence]) -> Task | None:
        """Keep what may name a better address, should the copy under way fail."""
        try:
            return self._update(
                task_id,
                told,
                condition=_STORING,
                values={":storing": Stage.STORING},
            )
        except MovedOnError as error:
            return error.current

    def record(self, task: Task, **facts: object) -> Task:
        """Write fields of a row that stays in its stage, unless it has moved since it was seen.

        Nor is a look called off that was asked for since, by a callback. Raises ``MovedOnError``
        in both cases.
        """
        condition, values = _as_seen(task, facts)
        return self._update(task.task_id, facts, condition=condition, values=values)

    def keep_delivery(self, task: Task, delivery: Delivery) -> Task:
        """Add an attempt at calling a webhook to the row's latest ones, whatever its stage.

        Makes no new version, so no event. Raises ``MovedOnError`` when there is no such row, or
        when ten writes met others' (``current`` says).
        """
        for _ in range(_DELIVERY_TRIES):
            seen = task.deliveries
            try:
                return self._update(
                    task.task_id,
                    {"deliveries": (*seen, delivery)[-DELIVERIES_KEPT:]},
                    condition=f"{_EXISTS} AND {_DELIVERIES_SEEN if seen else _NO_DELIVERIES}",
                    values={":seen_deliveries": seen},
                )
            except MovedOnError as error:
                if error.current is None:
                    raise
                if delivery in error.current.deliveries:
                    return error.current
                task = error.current
        raise MovedOnError(task)

    def due(self, now: float) -> Iterator[tuple[str, float]]:
        """List the ids of rows that are due, longest overdue first, with the due times seen."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=DUE_INDEX,
            KeyConditionExpression="watched = :open AND due_at <= :now",
            ExpressionAttributeValues={":open": {"S": WATCHED}, ":now": attribute(now)},
        )
        for page in pages:
            for item in page["Items"]:
                yield item["task_id"]["S"], float(item["due_at"]["N"])

    def owners_of(self, provider_task_id: str) -> list[str]:
        """List the ids of the tasks that hold a provider id (eventually consistent)."""
        answer = self.client.query(
            TableName=self.name,
            IndexName=PROVIDER_TASK_INDEX,
            KeyConditionExpression="provider_task_id = :id",
            ExpressionAttributeValues={":id": {"S": provider_task_id}},
        )
        return [item["task_id"]["S"] for item in answer["Items"]]

    def _update(
        self,
        task_id: str,
        changes: Mapping[str, object],
        *,
        condition: str,
        values: Mapping[str, object] | None = None,
        add: Mapping[str, int] | None = None,
        claim_id: str | None = None,
    ) -> Task:
        """Write once, whatever becomes of the reply.

        An absent row fails every condition here, so that an update never creates one.
        """
        written = dict(changes)
        if claim_id is not None:
            written["claim_id"] = claim_id
        if "due_at" in written:
            written["watched"] = None if written["due_at"] is None else WATCHED
        expression, names, bound = _expression(written, add or {})
        bound.update({name: attribute(value) for name, value in (values or {}).items()})
        try:
            answer = self._written(
                lambda: self.client.update_item(
                    TableName=self.name,
                    Key=_key(task_id),
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=bound,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            )
        except self.client.exceptions.ConditionalCheckFailedException as error:
            return _ours_or_raise(error.response, claim_id)
        return read_item(answer["Attributes"])

    def _written[Answer](self, write: Callable[[], Answer]) -> Answer:
        """Write, waiting out others' transactions on the row: those are no failed condition."""
        for _ in range(_TRANSACTION_TRIES - 1):
            try:
                return write()
            except self.client.exceptions.TransactionConflictException:
                time.sleep(_TRANSACTION_SECONDS)
        return write()


def _as_seen(task: Task, changes: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """The row has not moved, nor is a look called off that a callback asked for meanwhile."""
    values: dict[str, object] = {":seen_version": task.version}
    if "due_at" not in changes or changes["due_at"] is not None:
        return _VERSION_SEEN, values
    return f"{_VERSION_SEEN} AND {_DUE_SEEN}", {**values, ":seen_due": task.due_at}


def _ours_or_raise(response: Mapping[str, Any], claim_id: str | None) -> Task:
    item = response.get("Item")
    current = read_item(item) if item else None
    if current is not None and claim_id is not None and current.claim_id == claim_id:
        return current
    raise MovedOnError(current)


def _expression(
    changes: Mapping[str, object], add: Mapping[str, int]
) -> tuple[str, dict[str, str], dict[str, Any]]:
    sets = [name for name, value in changes.items() if value is not None]
    removes = [name for name, value in changes.items() if value is None]
    names = {f"#{name}": stored_name(name) for name in (*changes, *add)}
    values = {f":{name}": attribute(changes[name]) for name in sets}
    values.update({f":{name}": attribute(amount) for name, amount in add.items()})
    clauses = (
        ("SET", [f"#{name} = :{name}" for name in sets]),
        ("REMOVE", [f"#{name}" for name in removes]),
        ("ADD", [f"#{name} :{name}" for name in add]),
    )
    return " ".join(f"{word} {', '.join(part)}" for word, part in clauses if part), names, values


def _key(task_id: str) -> dict[str, Any]:
    return {"task_id": {"S": task_id}}
