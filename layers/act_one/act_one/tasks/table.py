"""The tasks table: the only truth, and every conditional write to it under a name.

A *move* changes the stage: one write, one new version, one event (through the table's stream).
A *claim* reserves an action for a while. Both carry a random ``claim_id``: when a condition fails,
DynamoDB returns the row that it failed on, and our own claim in it means that an earlier attempt of
the same write succeeded and only its reply was lost.

    create           row absent ──▶ the first version
    move             version = seen, some only without a callback ──▶ version + 1
    record           version = seen ──▶ other fields; no new version, no event
    claim_due        due_at = seen ──▶ due_at = now + lease, fallback_runs + 1
    release_held     due_at = seen ──▶ due now, after a pause
    claim_copy       storing, no live lease ──▶ copy_lease_until = now + lease
    claim_feed       version = seen, not asked lately ──▶ feed_asked_at = now
    claim_webhook    not requested lately ──▶ webhook_asked_at = now
    release_copy     storing, the lease is ours ──▶ no lease, due again
    learn_id         provider_task_id absent ──▶ present
    record_callback  a result is awaited ──▶ the callback's body; due soon
    record_delivery  deliveries = seen ──▶ one more; no new version, no event
    begin_erasure    version = seen, the task has ended ──▶ erasing_since = now; no event
    end_erasure      erasing, version = seen ──▶ the tombstone, in place of the whole row

No other write changes a row whose erasure has begun, and none a row of a newer release: that is
part of every condition.

A write that changes what a task costs or whether it is open is one transaction with the ledger
(``ledger``), on condition that the row's ``billing`` is as seen.

From each read and write on, the log lines are about the task whose row it was (``correlation``).
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Unpack

from botocore.exceptions import ClientError

from act_one.correlation import about_task
from act_one.tasks import ledger, schema
from act_one.tasks.attributes import attribute
from act_one.tasks.identifiers import new_claim_id
from act_one.tasks.moves import HELD_SECONDS, Step, may_move
from act_one.tasks.rows import WATCHED, stored_name, take_up, to_item
from act_one.tasks.task import Delivery, Evidence, Stage, Task, TaskChanges
from act_one.tasks.tombstone import tombstone

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        PutTypeDef,
        QueryInputTypeDef,
        TransactWriteItemTypeDef,
        UpdateTypeDef,
    )

DUE_INDEX: Final = "due"
CLIENT_INDEX: Final = "client"
PROVIDER_TASK_INDEX: Final = "provider-task"

MAX_DELIVERIES: Final = 20
"""How many delivery attempts a row keeps; older ones are dropped."""
_DELIVERY_WRITES: Final = 10

MAX_BATCH: Final = 100
"""The most rows that one ``BatchGetItem`` reads."""
_BATCH_READS: Final = 5
_BATCH_SECONDS: Final = 0.05

_TRANSACTION_TRIES: Final = 5
_TRANSACTION_SECONDS: Final = 0.1
_LEDGER_TRIES: Final = 12
_LEDGER_SECONDS: Final = 0.02
"""The first wait after a conflict of transactions; each next one may be twice as long."""
_LEDGER_MAX_SECONDS: Final = 1.0
_BILLING_TRIES: Final = 3
_TRANSIENT: Final = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
"""Codes of a canceled transaction's reasons for which it is tried again."""
_FAILED: Final = "ConditionalCheckFailed"

_EXISTS: Final = "attribute_exists(task_id)"
_ABSENT: Final = "attribute_not_exists(task_id)"
_NOT_ERASED: Final = "attribute_not_exists(erasing_since)"
_ERASING: Final = "attribute_exists(erasing_since) AND attribute_not_exists(erased_at)"
_VERSION_SEEN: Final = "version = :seen_version"
_NOT_CALLED_BACK: Final = "attribute_not_exists(evidence)"
_BILLING_SEEN: Final = "billing = :seen_billing"
_DUE_SEEN: Final = "due_at = :seen_due"
_NOT_DUE: Final = "attribute_not_exists(due_at)"
_STORING: Final = "stage = :storing"
_NO_LIVE_LEASE: Final = "(attribute_not_exists(copy_lease_until) OR copy_lease_until <= :now)"
_LEASE_OURS: Final = "copy_lease_until = :our_lease"
_ID_UNKNOWN: Final = "attribute_not_exists(provider_task_id)"
_RESULT_KNOWN: Final = frozenset({Stage.STORING, Stage.SUCCEEDED, Stage.CANCELED})
_RESULT_AWAITED: Final = "NOT stage IN (:storing, :succeeded, :canceled)"
_DELIVERIES_SEEN: Final = "deliveries = :seen_deliveries"
_NO_DELIVERIES: Final = "(attribute_not_exists(deliveries) OR deliveries = :seen_deliveries)"
_FEED_RESTED: Final = "(attribute_not_exists(feed_asked_at) OR feed_asked_at <= :rested)"

_CREATED: Final[Mapping[tuple[str, ...], str]] = {
    (":since",): "created_at >= :since",
    (":until",): "created_at <= :until",
    (":since", ":until"): "created_at BETWEEN :since AND :until",
}

_SCHEMA_NAME: Final[Mapping[str, str]] = {"#schema": schema.ATTRIBUTE}

_WEBHOOK_RESTED: Final = "(attribute_not_exists(webhook_asked_at) OR webhook_asked_at <= :rested)"


class MovedOnError(Exception):
    """The row is not as it was seen; ``current`` is the row now, None if there is none."""

    def __init__(self, current: Task | None) -> None:
        super().__init__(f"now {current.stage}#{current.version}" if current else "no such task")
        self.current = current


class OverLimitError(Exception):
    """An account's number would be more than its limit, so that the row was not written."""

    def __init__(self, limit: ledger.Limit) -> None:
        super().__init__(f"{limit.account} has reached its limit")
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is among those of its client: they are in the order of their creation."""

    task_id: str
    created_at: float


@dataclass(frozen=True, slots=True)
class TaskTable:
    """The table ``name``, reached through ``client``, and the ledger's table."""

    client: "DynamoDBClient"
    name: str
    ledger_name: str = ""
    """Only tasks that are in no account can be written without one."""

    # ── Reading ───────────────────────────────────────────────────────────────────────────────

    def read(self, task_id: str) -> Task | None:
        """Read a row as it is now (strongly consistent); None if there is none."""
        answer = self.client.get_item(TableName=self.name, Key=_key(task_id), ConsistentRead=True)
        return take_up(answer["Item"]) if "Item" in answer else None

    def due(self, now: float) -> Iterator[tuple[str, float]]:
        """List the ids and due times of the rows that are due, longest overdue first."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=DUE_INDEX,
            KeyConditionExpression="watched = :open AND due_at <= :now",
            ExpressionAttributeValues={":open": {"S": WATCHED}, ":now": attribute(now)},
        )
        for page in pages:
            for item in page["Items"]:
                yield item["task_id"]["S"], float(item["due_at"]["N"])

    def held(self) -> Iterator[tuple[str, float]]:
        """List the ids and due times of the tasks that a pause holds, the oldest first."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=DUE_INDEX,
            KeyConditionExpression="watched = :open AND due_at > :century",
            ExpressionAttributeValues={
                ":open": {"S": WATCHED},
                ":century": attribute(HELD_SECONDS),
            },
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

    def of_client(
        self,
        client_id: str,
        limit: int,
        *,
        beyond: Place | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> tuple[list[Place], bool]:
        """List the rows of a client, newest first, and whether there may be more.

        Begins after ``beyond``. ``since`` and ``until`` bound the times of creation, inclusive. The
        index lags a little behind the table.
        """
        asked: QueryInputTypeDef = {
            "TableName": self.name,
            "IndexName": CLIENT_INDEX,
            "ScanIndexForward": False,
            "Limit": limit,
        }
        conditions, values = ["client_id = :client"], {":client": attribute(client_id)}
        bounds = {":since": since, ":until": until}
        given = {name: attribute(bound) for name, bound in bounds.items() if bound is not None}
        conditions += [_CREATED[tuple(given)]] if given else []
        asked["KeyConditionExpression"] = " AND ".join(conditions)
        asked["ExpressionAttributeValues"] = {**values, **given}
        if beyond is not None:
            asked["ExclusiveStartKey"] = {
                **_key(beyond.task_id),
                "client_id": attribute(client_id),
                "created_at": attribute(beyond.created_at),
            }
        answer = self.client.query(**asked)
        places = [
            Place(item["task_id"]["S"], float(item["created_at"]["N"])) for item in answer["Items"]
        ]
        return places, "LastEvaluatedKey" in answer

    def read_rows(self, task_ids: Sequence[str]) -> tuple[dict[str, Mapping[str, Any]], set[str]]:
        """Read up to 100 rows as they are now (strongly consistent), without a scan.

        Returns the rows by their ids, and the ids that DynamoDB was too busy to read in five tries.
        """
        rows: dict[str, Mapping[str, Any]] = {}
        wanted: Sequence[Mapping[str, Any]] = [_key(task_id) for task_id in task_ids]
        for attempt in range(_BATCH_READS):
            if not wanted:
                break
            if attempt:
                time.sleep(_BATCH_SECONDS * 2.0**attempt)
            answer = self.client.batch_get_item(
                RequestItems={self.name: {"Keys": wanted, "ConsistentRead": True}}
            )
            rows |= {item["task_id"]["S"]: item for item in answer["Responses"].get(self.name, ())}
            unread = answer.get("UnprocessedKeys", {}).get(self.name)
            wanted = unread["Keys"] if unread else ()
        return rows, {key["task_id"]["S"] for key in wanted}

    # ── Moves ─────────────────────────────────────────────────────────────────────────────────

    def create(self, task: Task, limits: Sequence[ledger.Limit] = ()) -> Task:
        """Write a new row and add it to its accounts, unless that exceeds one of the ``limits``.

        Raises ``MovedOnError`` with the row that has the id already, and ``OverLimitError``.
        """
        asked: PutTypeDef = {
            "TableName": self.name,
            "Item": to_item(task),
            "ConditionExpression": _ABSENT,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return self._put(asked, task, ledger.postings(None, task, limits))

    def apply(self, task: Task, step: Step, now: float, **changes: Unpack[TaskChanges]) -> Task:
        """Write a step: a move, or the changes of a row that stays in its stage.

        ``changes`` are written along; the step's own win. Nothing to change is no write. Raises
        ``MovedOnError`` when the row has moved since it was seen.
        """
        written: TaskChanges = {**changes, **step.changes}
        if step.target is not None:
            return self.move(
                task, step.target, now, unless_called_back=step.unless_called_back, **written
            )
        return self.record(task, **written) if written else task

    def move(
        self,
        task: Task,
        target: Stage,
        now: float,
        *,
        unless_called_back: bool = False,
        **changes: Unpack[TaskChanges],
    ) -> Task:
        """Move a task to another stage, from the version that was seen.

        Raises ``MovedOnError`` when the row has moved since, or was called back though
        ``unless_called_back``, and ``ValueError`` for a move that ``moves.MOVES`` does not list.
        """
        if not may_move(task.stage, target):
            message = f"a task can't move from {task.stage} to {target}"
            raise ValueError(message)
        # A stored or canceled task needs no further poll, even if a callback asked for one.
        ends = target in {Stage.SUCCEEDED, Stage.CANCELED}
        condition, values = _as_seen(task, {} if ends else changes)
        if task.stage is Stage.STORING and target is not Stage.SUCCEEDED:
            # A claim makes no version: a running copy must not lose its task to another move.
            condition, values = f"{condition} AND {_NO_LIVE_LEASE}", {**values, ":now": now}
        if unless_called_back:
            condition = f"{condition} AND {_NOT_CALLED_BACK}"
        return self._update_seen(
            task,
            {**changes, "stage": target, "version": task.version + 1, "updated_at": now},
            condition=condition,
            values=values,
            claim_id=new_claim_id(),
        )

    # ── Claims ────────────────────────────────────────────────────────────────────────────────

    def claim_due(self, task_id: str, seen_due: float, now: float, lease_seconds: float) -> Task:
        """Reserve the fallback of a due row. Raises ``MovedOnError`` when another has it."""
        return self._update(
            task_id,
            {"due_at": now + lease_seconds},
            add={"fallback_runs": 1},
            condition=_DUE_SEEN,
            values={":seen_due": seen_due},
            claim_id=new_claim_id(),
        )

    def release_held(self, task_id: str, seen_due: float, now: float) -> Task:
        """Make a held task due now. Raises ``MovedOnError`` when another released or moved it."""
        return self._update(
            task_id,
            {"due_at": now, "released_at": now},
            condition=_DUE_SEEN,
            values={":seen_due": seen_due},
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

    def release_copy(self, task: Task, now: float, **changes: Unpack[TaskChanges]) -> Task:
        """Give up a claimed copy after a failure; ``due_at`` says when to try it again.

        Raises ``MovedOnError`` when the lease ran out and another attempt has the task.
        """
        return self._update(
            task.task_id,
            {**changes, "copy_lease_until": None, "updated_at": now},
            condition=f"{_VERSION_SEEN} AND {_LEASE_OURS}",
            values={":seen_version": task.version, ":our_lease": task.copy_lease_until},
        )

    def claim_feed(
        self, task: Task, now: float, rest_seconds: float, **changes: Unpack[TaskChanges]
    ) -> Task:
        """Reserve the right to ask the feed about a task, once per ``rest_seconds``.

        ``changes`` are written along.

        A claim whose reply is lost is not recognised: the feed is then asked one time less. Raises
        ``MovedOnError`` when the feed was asked more recently, or the row has moved.
        """
        return self._update(
            task.task_id,
            {**changes, "feed_asked_at": now},
            condition=f"{_VERSION_SEEN} AND {_FEED_RESTED}",
            values={":seen_version": task.version, ":rested": now - rest_seconds},
        )

    def claim_webhook(self, task_id: str, now: float, rest_seconds: float) -> Task:
        """Reserve a request to send the webhook again, once per ``rest_seconds``.

        Raises ``MovedOnError`` when the last one is more recent, or there is no such row.
        """
        try:
            return self._update(
                task_id,
                {"webhook_asked_at": now},
                condition=f"{_EXISTS} AND {_WEBHOOK_RESTED}",
                values={":rested": now - rest_seconds},
            )
        except MovedOnError as error:
            if error.current is not None and error.current.webhook_asked_at == round(now, 3):
                return error.current  # an earlier attempt of this write succeeded
            raise

    # ── Facts about a row that stays in its stage ─────────────────────────────────────────────

    def record(self, task: Task, **changes: Unpack[TaskChanges]) -> Task:
        """Write fields of a row, unless it has moved since it was seen.

        A due time that a callback has set since is not removed. Raises ``MovedOnError`` in both
        cases.
        """
        condition, values = _as_seen(task, changes)
        return self._update_seen(task, changes, condition=condition, values=values)

    def learn_id(
        self, task: Task, provider_task_id: str, /, **changes: Unpack[TaskChanges]
    ) -> Task:
        """Write the provider's id, in any stage in which it isn't known yet.

        Raises ``MovedOnError`` when the row has an id already, or has moved though ``changes``
        change its billing, which depends on the stage.
        """
        condition, values = f"{_EXISTS} AND {_ID_UNKNOWN}", {}
        if "billing" in changes and task.accounts:
            condition, values = (
                f"{_ID_UNKNOWN} AND {_VERSION_SEEN}",
                {":seen_version": task.version},
            )
        learnt: TaskChanges = {**changes, "provider_task_id": provider_task_id}
        return self._update_seen(task, learnt, condition=condition, values=values)

    def record_callback(
        self,
        task_id: str,
        evidence: Evidence,
        due_at: float,
        feed_rest_seconds: float,
        *,
        success: Evidence | None = None,
        provider_task_id: str | None = None,
    ) -> tuple[Task | None, bool]:
        """Keep a callback's body and make the row due soon, unless its result is known.

        ``success`` and ``provider_task_id`` are what it reported, if it did; what earlier ones
        reported stays otherwise.

        Returns the row (None: there is none) and whether the feed may be asked now, which this
        write then reserves: at most once per ``feed_rest_seconds`` and task.
        """
        kept: TaskChanges = {"evidence": evidence}
        if success is not None:
            kept["success_callback"] = success
        if provider_task_id is not None:
            kept["callback_task_id"] = provider_task_id
        changes: TaskChanges = {**kept, "due_at": due_at}
        now = evidence.received_at
        stages = {f":{stage}": stage for stage in _RESULT_KNOWN}
        awaited = f"{_EXISTS} AND {_RESULT_AWAITED}"
        try:
            reserved = self._update(
                task_id,
                {**changes, "feed_asked_at": now},
                condition=f"{awaited} AND {_FEED_RESTED}",
                values={**stages, ":rested": now - feed_rest_seconds},
            )
        except MovedOnError as error:
            current = error.current
        else:
            return reserved, True
        if current is None or current.stage in {Stage.SUCCEEDED, Stage.CANCELED}:
            return current, False
        if current.erasing_since is not None:
            return current, False
        try:
            if current.stage is Stage.STORING:
                # The body may name a better URL, should the copy under way fail.
                stage = {":storing": Stage.STORING}
                return self._update(task_id, kept, condition=_STORING, values=stage), False
            return self._update(task_id, changes, condition=awaited, values=stages), False
        except MovedOnError as error:
            return error.current, False

    def record_delivery(self, task: Task, delivery: Delivery) -> Task:
        """Add a delivery attempt to the row's latest ones, whatever its stage.

        Raises ``MovedOnError`` when there is no such row, when it is erased, or when ten writes in
        a row met other writers (``current`` is the row then).
        """
        for _ in range(_DELIVERY_WRITES):
            seen = task.deliveries
            try:
                return self._update(
                    task.task_id,
                    {"deliveries": (*seen, delivery)[-MAX_DELIVERIES:]},
                    condition=f"{_EXISTS} AND {_DELIVERIES_SEEN if seen else _NO_DELIVERIES}",
                    values={":seen_deliveries": seen},
                )
            except MovedOnError as error:
                if error.current is None or error.current.erasing_since is not None:
                    raise
                if delivery in error.current.deliveries:
                    return error.current
                task = error.current
        raise MovedOnError(task)

    # ── The erasure ───────────────────────────────────────────────────────────────────────────

    def begin_erasure(self, task: Task, now: float) -> Task:
        """Forbid every other write to an ended task's row, for good.

        Raises ``MovedOnError`` when the row has moved since, or is being erased already, and
        ``ValueError`` for a task that has not ended.
        """
        if not task.done:
            message = f"a task that is {task.stage} can't be erased"
            raise ValueError(message)
        return self._update(
            task.task_id,
            {
                "erasing_since": now,
                "due_at": None,
                "version": task.version + 1,
                "updated_at": now,
            },
            condition=_VERSION_SEEN,
            values={":seen_version": task.version},
            claim_id=new_claim_id(),
        )

    def end_erasure(self, task: Task, now: float) -> Task:
        """Replace the row by its tombstone: attributes that this code doesn't know go too.

        The ledger keeps what the task cost, and loses the bytes that it stored. Raises
        ``MovedOnError`` when another call has ended the erasure.
        """
        erased = tombstone(task, now)
        asked: PutTypeDef = {
            "TableName": self.name,
            "Item": to_item(erased),
            "ConditionExpression": f"{_ERASING} AND {_VERSION_SEEN} AND {schema.NOT_NEWER}",
            "ExpressionAttributeNames": _SCHEMA_NAME,
            "ExpressionAttributeValues": {
                ":seen_version": attribute(task.version),
                ":schema_read": attribute(schema.TASKS.read),
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return self._put(asked, erased, ledger.postings(task, erased))

    # ── One write ─────────────────────────────────────────────────────────────────────────────

    def _put(self, asked: "PutTypeDef", task: Task, postings: Sequence[ledger.Posting]) -> Task:
        """Write a whole row once, even if the reply is lost; returns it."""
        written = task
        if postings:
            written = self._with_ledger({"Put": asked}, postings, task.claim_id) or task
        else:
            try:
                self._write(lambda: self.client.put_item(**asked))
            except self.client.exceptions.ConditionalCheckFailedException as error:
                written = _ours_or_raise(_item_of(error), task.claim_id)
        about_task(written.task_id, written.correlation_id)
        return written

    def _update_seen(
        self,
        task: Task,
        changes: Mapping[str, Any],
        *,
        condition: str,
        values: Mapping[str, object],
        claim_id: str | None = None,
    ) -> Task:
        """Write changes of a row that was read, and what they change in the ledger.

        Again, with the ledger's change reckoned anew, if only the row's billing became known since.
        """
        for _ in range(_BILLING_TRIES - 1):
            try:
                return self._update_once(task, changes, condition, values, claim_id)
            except MovedOnError as error:
                current = error.current
                if current is None or current.version != task.version:
                    raise
                if current.billing is task.billing:
                    raise
                task = replace(task, billing=current.billing)
        return self._update_once(task, changes, condition, values, claim_id)

    def _update_once(
        self,
        task: Task,
        changes: Mapping[str, Any],
        condition: str,
        values: Mapping[str, object],
        claim_id: str | None,
    ) -> Task:
        postings = ledger.postings(task, replace(task, **changes))
        if not postings:
            return self._update(
                task.task_id, changes, condition=condition, values=values, claim_id=claim_id
            )
        asked = self._update_request(
            task.task_id,
            changes,
            condition=f"{condition} AND {_BILLING_SEEN}",
            values={**values, ":seen_billing": task.billing},
            claim_id=claim_id,
        )
        current = self._with_ledger({"Update": asked}, postings, claim_id)
        current = current or self.read(task.task_id)
        if current is None:
            raise MovedOnError(None)
        return current

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
        """Write once, even if the reply is lost.

        An absent row fails every condition here, so that an update never creates one. A row whose
        erasure has begun fails them too, and so does a newer row: raises ``NewerRowError``.
        """
        asked = self._update_request(
            task_id, changes, condition=condition, values=values, add=add, claim_id=claim_id
        )
        try:
            answer = self._write(lambda: self.client.update_item(**asked, ReturnValues="ALL_NEW"))
        except self.client.exceptions.ConditionalCheckFailedException as error:
            return _ours_or_raise(_item_of(error), claim_id)
        return take_up(answer["Attributes"])

    def _update_request(
        self,
        task_id: str,
        changes: Mapping[str, object],
        *,
        condition: str,
        values: Mapping[str, object] | None = None,
        add: Mapping[str, int] | None = None,
        claim_id: str | None = None,
    ) -> "UpdateTypeDef":
        written = {**changes, schema.ATTRIBUTE: schema.TASKS.written}
        if claim_id is not None:
            written["claim_id"] = claim_id
        if "due_at" in written:
            written["watched"] = None if written["due_at"] is None else WATCHED
        expression, names, bound = _expression(written, add or {})
        given = {**(values or {}), ":schema_read": schema.TASKS.read}
        bound.update({name: attribute(value) for name, value in given.items()})
        return {
            "TableName": self.name,
            "Key": _key(task_id),
            "UpdateExpression": expression,
            "ConditionExpression": f"{condition} AND {_NOT_ERASED} AND {schema.NOT_NEWER}",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": bound,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _with_ledger(
        self,
        write: "TransactWriteItemTypeDef",
        postings: Sequence[ledger.Posting],
        claim_id: str | None,
    ) -> Task | None:
        """Write a row and its postings in one transaction, again after conflicts with others.

        Returns the row if an earlier attempt of the same write is found to have succeeded, None
        after a write. Raises ``MovedOnError`` and ``OverLimitError``.
        """
        items = [write, *(_posting_write(posting, self.ledger_name) for posting in postings)]
        wait = _LEDGER_SECONDS
        for attempt in range(_LEDGER_TRIES):
            try:
                self.client.transact_write_items(TransactItems=items)
            except self.client.exceptions.TransactionCanceledException as error:
                row, *accounts = error.response["CancellationReasons"]
                if row.get("Code") == _FAILED:
                    return _ours_or_raise(row.get("Item"), claim_id)
                for posting, reason in zip(postings, accounts, strict=True):
                    if reason.get("Code") == _FAILED and posting.limit is not None:
                        raise OverLimitError(posting.limit) from error
                codes = {reason.get("Code", "None") for reason in (row, *accounts)} - {"None"}
                if not codes <= _TRANSIENT or attempt == _LEDGER_TRIES - 1:
                    raise
                time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
                wait = min(2 * wait, _LEDGER_MAX_SECONDS)
            else:
                return None
        raise AssertionError  # the last attempt returned or raised

    def _write[Answer](self, write: Callable[[], Answer]) -> Answer:
        """Write, again if a transaction holds the row: that is not a failed condition."""
        for _ in range(_TRANSACTION_TRIES - 1):
            try:
                return write()
            except self.client.exceptions.TransactionConflictException:
                time.sleep(_TRANSACTION_SECONDS)
        return write()


def _as_seen(task: Task, changes: TaskChanges) -> tuple[str, dict[str, object]]:
    """Require that the row has not moved, and that a due time set meanwhile is not removed."""
    values: dict[str, object] = {":seen_version": task.version}
    if "due_at" not in changes or changes["due_at"] is not None:
        return _VERSION_SEEN, values
    if task.due_at is None:
        return f"{_VERSION_SEEN} AND {_NOT_DUE}", values
    return f"{_VERSION_SEEN} AND {_DUE_SEEN}", {**values, ":seen_due": task.due_at}


def _posting_write(posting: ledger.Posting, table: str) -> "TransactWriteItemTypeDef":
    """Write the change of one account, and its limit as the condition."""
    names = {f"#{name}": name for name in posting.amounts}
    values = {f":{name}": attribute(amount) for name, amount in posting.amounts.items()}
    added = ", ".join(f"#{name} :{name}" for name in posting.amounts)
    asked: UpdateTypeDef = {
        "TableName": table,
        "Key": {"owner": {"S": posting.owner}, "day": {"S": posting.day}},
        "UpdateExpression": f"ADD {added}",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    limit = posting.limit
    if limit is not None:
        room = limit.most - posting.amounts[limit.attribute]
        asked["ConditionExpression"] = (
            f"#{limit.attribute} <= :room"
            if room < 0
            else f"attribute_not_exists(#{limit.attribute}) OR #{limit.attribute} <= :room"
        )
        values[":room"] = attribute(room)
    return {"Update": asked}


def _item_of(error: ClientError) -> Mapping[str, Any] | None:
    """Return the row on which a condition failed; None if there is none."""
    response: Mapping[str, Any] = error.response
    return response.get("Item")


def _ours_or_raise(item: Mapping[str, Any] | None, claim_id: str | None) -> Task:
    current = take_up(item) if item else None
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
