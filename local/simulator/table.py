"""The record of a simulator that runs as a function: items of one DynamoDB table.

    id                        attributes
    task#{provider_task_id}   task (JSON), feeds, downloads, refused, callbacks (JSON each), claimed
    video#{SHA-256}           seen: valid creates with this video
    creates                   seen: requests to the create route
    faults                    faults (JSON)

Each item `expires`. Requests are lines of the function's log.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from local.simulator.behaviour import Behaviour
from local.simulator.ledger import AnsweredRequest, task_id_of
from local.simulator.outages import Fault, Faults
from local.simulator.tasks import CallbackAttempt, PendingCallback, ProviderTask

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DAYS_KEPT = 7


@dataclass(frozen=True, slots=True)
class TableLedger:
    """A `Ledger` in a table. A task that it returns is a copy: its counts don't change."""

    client: "DynamoDBClient"
    name: str

    def count_create(self) -> None:
        """Count a request to the create route."""
        self._add("creates", "seen")

    def count_video(self, video: str) -> int:
        """Count a valid create with this video; returns how many came before it."""
        return self._add(f"video#{hashlib.sha256(video.encode()).hexdigest()}", "seen") - 1

    def creates_seen(self) -> int:
        """Return how many requests to the create route were counted."""
        return int(self._get("creates").get("seen", {"N": "0"})["N"])

    def add_task(self, task: ProviderTask) -> None:
        """Add the task of an accepted create, which is billed."""
        self.client.put_item(
            TableName=self.name,
            Item={"id": {"S": _key(task)}, "task": {"S": write_task(task)}, "expires": _expires()},
        )
        _log("task", {"provider_task_id": task.provider_task_id, "task_id": task_id_of(task)})

    def find_task(self, provider_task_id: str) -> ProviderTask | None:
        """Return the task with that id, None if there is none."""
        item = self._get(f"task#{provider_task_id}")
        return read_task(item) if "task" in item else None

    def all_tasks(self) -> list[ProviderTask]:
        """Return all tasks of the last days, oldest first."""
        return sorted(map(read_task, self._task_items()), key=lambda task: task.created_at)

    def count_feed(self, task: ProviderTask) -> None:
        """Count a feed request for this task."""
        self._add(_key(task), "feeds")

    def count_download(self, task: ProviderTask) -> int:
        """Count a GET of the task's video; returns how many came before it."""
        return self._add(_key(task), "downloads") - 1

    def count_refused_download(self, task: ProviderTask) -> None:
        """Count a request for the task's video with an expired URL."""
        self._add(_key(task), "refused")

    def add_callback(self, task: ProviderTask, attempt: CallbackAttempt) -> None:
        """Add a callback that was sent."""
        self.client.update_item(
            TableName=self.name,
            Key={"id": {"S": _key(task)}},
            UpdateExpression="SET callbacks = list_append(if_not_exists(callbacks, :none), :one)",
            ExpressionAttributeValues={
                ":none": {"L": []},
                ":one": {"L": [{"S": json.dumps(asdict(attempt))}]},
            },
        )
        _log("callback", {"provider_task_id": task.provider_task_id} | asdict(attempt))

    def claim(self, pending: PendingCallback) -> bool:
        """Return whether this call is the first for a callback: its message may come twice."""
        one = f"{pending.number}.{pending.attempt}"
        try:
            self.client.update_item(
                TableName=self.name,
                Key={"id": {"S": f"task#{pending.provider_task_id}"}},
                UpdateExpression="ADD claimed :this",
                ConditionExpression="attribute_exists(id) AND NOT contains(claimed, :one)",
                ExpressionAttributeValues={":this": {"SS": [one]}, ":one": {"S": one}},
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def add_request(self, request: AnsweredRequest) -> None:
        """Write a request to the log."""
        _log("request", asdict(request))

    def requests(self) -> None:
        """Return None: requests are in the log."""
        return

    def faults(self) -> Faults:
        """Return the outages that were started."""
        written = self._get("faults").get("faults", {"S": "{}"})["S"]
        return {
            route: Fault(mode, datetime.fromisoformat(until) if until else None)
            for route, (mode, until) in json.loads(written).items()
        }

    def set_faults(self, faults: Faults) -> None:
        """Replace the outages."""
        written = {
            route: (fault.mode, fault.until.isoformat() if fault.until else None)
            for route, fault in faults.items()
        }
        item = {"id": {"S": "faults"}, "faults": {"S": json.dumps(written)}}
        self.client.put_item(TableName=self.name, Item={**item, "expires": _expires()})

    def _get(self, key: str) -> Mapping[str, Any]:
        answer = self.client.get_item(
            TableName=self.name, Key={"id": {"S": key}}, ConsistentRead=True
        )
        return answer.get("Item", {})

    def _add(self, key: str, count: str) -> int:
        answer = self.client.update_item(
            TableName=self.name,
            Key={"id": {"S": key}},
            UpdateExpression="ADD #count :one SET expires = :expires",
            ExpressionAttributeNames={"#count": count},
            ExpressionAttributeValues={":one": {"N": "1"}, ":expires": _expires()},
            ReturnValues="UPDATED_NEW",
        )
        return int(answer["Attributes"][count]["N"])

    def _task_items(self) -> Iterator[Mapping[str, Any]]:
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.name,
            FilterExpression="begins_with(id, :task) AND attribute_exists(task)",
            ExpressionAttributeValues={":task": {"S": "task#"}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]


def write_task(task: ProviderTask) -> str:
    """Write what never changes of a task."""
    return json.dumps(
        {
            "provider_task_id": task.provider_task_id,
            "upstream_id": task.upstream_id,
            "account": task.account,
            "video": task.video,
            "image": task.image,
            "callback_url": task.callback_url,
            "behaviour": asdict(task.behaviour),
            "created_at": task.created_at.isoformat(),
        }
    )


def read_task(item: Mapping[str, Any]) -> ProviderTask:
    """Read a task's item."""
    written = json.loads(item["task"]["S"])

    def count(name: str) -> int:
        return int(item.get(name, {"N": "0"})["N"])

    return ProviderTask(
        **{
            **written,
            "behaviour": Behaviour(**written["behaviour"]),
            "created_at": datetime.fromisoformat(written["created_at"]),
            "feeds": count("feeds"),
            "downloads": count("downloads"),
            "refused_downloads": count("refused"),
        },
        callbacks=[
            CallbackAttempt(**json.loads(one["S"])) for one in item.get("callbacks", {"L": []})["L"]
        ],
    )


def _key(task: ProviderTask) -> str:
    return f"task#{task.provider_task_id}"


def _expires() -> dict[str, str]:
    return {"N": str(int(time.time()) + DAYS_KEPT * 86_400)}


def _log(event: str, entry: Mapping[str, Any]) -> None:
    print(json.dumps({"event": event, **entry}))
