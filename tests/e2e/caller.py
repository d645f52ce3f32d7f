"""What the end-to-end tests do with a stack: call it, look behind it, hear its bus."""

import hashlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from act_one.tasks.rows import read_item
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Task
from local.stack import LocalStack

SECONDS = 180


class Caller:
    """A client of the API, who may also look behind it."""

    def __init__(self, stack: LocalStack, api_key: str | None = None) -> None:
        self.stack = stack
        self.headers = {"x-api-key": api_key or stack.api_key}
        self.table = TaskTable(stack.client("dynamodb"), stack.tasks_table)
        self.s3 = stack.client("s3")

    def body(self, behaviour: str = "", **more: Any) -> dict[str, Any]:
        query = f"?{behaviour}" if behaviour else ""
        return {
            "video": f"{self.stack.provider_url}/inputs/performance.mp4{query}",
            "image": f"{self.stack.provider_url}/inputs/character.png",
            **more,
        }

    def post(self, body: Any, headers: dict[str, str] | None = None) -> requests.Response:
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        return requests.post(
            f"{self.stack.api_url}/tasks",
            data=data,
            headers={**self.headers, **(headers or {})},
            timeout=SECONDS,
        )

    def submit(self, behaviour: str = "", **more: Any) -> str:
        answer = self.post(self.body(behaviour, **more))
        assert answer.status_code in {200, 202}, answer.text
        return answer.json()["id"]

    def get(self, task_id: str) -> requests.Response:
        url = f"{self.stack.api_url}/tasks/{task_id}"
        return requests.get(url, headers=self.headers, timeout=SECONDS)

    def cancel(self, task_id: str) -> requests.Response:
        url = f"{self.stack.api_url}/tasks/{task_id}/cancel"
        return requests.post(url, headers=self.headers, timeout=SECONDS)

    def read(self, task_id: str) -> dict[str, Any]:
        answer = self.get(task_id)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def row(self, task_id: str) -> Task:
        row = self.table.read(task_id)
        assert row is not None
        return row

    def wait(self, task_id: str, stages: Iterable[str], seconds: float = SECONDS) -> Task:
        """Wait until a task is in one of some stages."""
        wanted = set(stages)
        ends_at = time.monotonic() + seconds
        pause = 0.1
        while (row := self.row(task_id)).stage not in wanted:
            assert time.monotonic() < ends_at, f"{task_id} is {row.stage}, not {wanted}"
            time.sleep(pause)
            pause = min(0.8, pause * 1.3)  # who waits long may look seldom
        return row

    def tasks(self) -> list[Task]:
        """Read all rows."""
        pages = (
            self.stack.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.stack.tasks_table)
        )
        return [read_item(item) for page in pages for item in page["Items"]]

    def accounts_of_rows(self) -> dict[str, int]:
        """Sum up what the rows say that the ledger must have of all clients."""
        sums: Counter[str] = Counter()
        for task in self.tasks():
            place = {"charged": "spent", "unknown": "unknown"}.get(task.billing)
            place = place if task.done else "reserved"
            if task.accounts and place is not None:
                sums[place] += task.price
        return dict(sums)

    def accounts(self) -> dict[str, int]:
        """Sum up what the ledger has of all clients."""
        client = self.stack.client("dynamodb")
        [name] = [one for one in client.list_tables()["TableNames"] if "LedgerTable" in one]
        pages = client.get_paginator("scan").paginate(TableName=name)
        sums: Counter[str] = Counter()
        for item in (item for page in pages for item in page["Items"]):
            if item["owner"]["S"].startswith("client#"):
                for place in ("spent", "unknown", "reserved"):
                    sums[place] += int(item.get(place, {"N": "0"})["N"])
        return {place: amount for place, amount in sums.items() if amount}

    def accounts_of_stack(self) -> int:
        """Sum up what the ledger has of the whole stack, in micro-dollars."""
        client = self.stack.client("dynamodb")
        [name] = [one for one in client.list_tables()["TableNames"] if "LedgerTable" in one]
        items = client.scan(TableName=name)["Items"]
        return sum(int(one["committed"]["N"]) for one in items if one["owner"]["S"] == "stack")

    def rows(self) -> int:
        return self.stack.client("dynamodb").scan(TableName=self.stack.tasks_table, Select="COUNT")[
            "Count"
        ]

    def objects(self, task_id: str) -> dict[str, str]:
        """List a task's objects: name → SHA-256 of the bytes that S3 gives back."""
        mine = [key for key in self.result_keys() if f"/{task_id}/" in key]
        return {key.rpartition("/")[2]: self.sha256(key) for key in mine}

    def result_keys(self) -> list[str]:
        """List the keys of all results."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.stack.results_bucket, Prefix="tasks/"
        )
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def object(self, uri: str) -> bytes:
        place = urlsplit(uri)
        answer = self.s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
        return answer["Body"].read()

    def sha256(self, key: str) -> str:
        data = self.object(f"s3://{self.stack.results_bucket}/{key}")
        return hashlib.sha256(data).hexdigest()

    def executions(self, task_id: str) -> list[str]:
        """List the fallback's executions for a task."""
        pages = (
            self.stack.client("stepfunctions")
            .get_paginator("list_executions")
            .paginate(stateMachineArn=self.stack.fallback_arn)
        )
        names = [run["name"] for page in pages for run in page["executions"]]
        return [name for name in names if name.startswith(task_id)]

    def simulator(self, path: str) -> Any:
        url = f"{self.stack.provider_url}/_simulator/{path}"
        return requests.get(url, timeout=SECONDS).json()

    def creates_paid(self, task_id: str) -> int:
        return self.simulator("bill")["by_callback"].get(task_id, 0)

    def provider_task(self, task_id: str) -> dict[str, Any]:
        return self.simulator(f"tasks/{self.row(task_id).provider_task_id}")


def named(detail: dict[str, Any]) -> str:
    """Say what an event is about: a task, or what became none."""
    return detail.get("id") or next(iter(detail.get("origin", {}).values()), "")


class Bus:
    """Everything that the stack puts on its bus, heard through a rule and a queue of our own."""

    def __init__(self, stack: LocalStack) -> None:
        self._sqs = stack.client("sqs")
        self._heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._stop = threading.Event()
        self._url = self._sqs.create_queue(QueueName="heard")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        events = stack.client("events")
        events.put_rule(
            Name="hear",
            EventBusName=stack.event_bus,
            EventPattern=json.dumps({"source": ["act-one"]}),
        )
        events.put_targets(
            Rule="hear",
            EventBusName=stack.event_bus,
            Targets=[{"Id": "queue", "Arn": arn["Attributes"]["QueueArn"]}],
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def of(self, task_id: str, last: str, seconds: float = SECONDS) -> list[dict[str, Any]]:
        """Return a task's events once one of the type `last` is among them."""
        ends_at = time.monotonic() + seconds
        while last not in {event["detail-type"] for event in self._heard[task_id]}:
            assert time.monotonic() < ends_at, f"{last} was not heard: {self._heard[task_id]}"
            time.sleep(0.1)
        return list(self._heard[task_id])

    def everything(self) -> list[dict[str, Any]]:
        """Return all events heard so far."""
        return [event for events in list(self._heard.values()) for event in events]

    def _listen(self) -> None:
        while not self._stop.is_set():
            answer = self._sqs.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            for message in answer.get("Messages", ()):
                event = json.loads(message["Body"])
                self._heard[named(event["detail"])].append(event)
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
