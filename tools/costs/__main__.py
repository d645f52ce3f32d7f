"""What a task asks of AWS, counted on the local stack, and what that comes to.

    make costs     counts and writes docs/costs.md

The functions' own requests are counted by a tap between them and AWS, over a few tasks one after
the other, once every function is warm. What services do for each other (a rule fills a queue, a
queue or a stream runs a function) passes no tap and is reckoned from the template.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import requests

from act_one.tasks.task import Stage
from local.stack import ROOT, running_stack, use_only_this_machine
from tests.crashes.calls import Call, OwnerOf, Request
from tests.crashes.killing_proxy import Watch, tapped
from tests.e2e.drops import Dropper, image, video
from tests.endpoints import endpoint
from tests.template.deployment import expanded
from tools.costs.prices import Counts, page
from tools.costs.rows import Rows, Write, size_of

TASKS: Final = 5
PARAMETERS: Final = {
    "CallbackGraceSeconds": "5",
    "MinPollSeconds": "1",
    "PollIntervalSeconds": "15",
    "RequestsPerSecond": "1000",
    "RequestBurst": "1000",
}
PAGE: Final = ROOT / "docs/costs.md"
OF_AN_IDLE_SWEEP: Final = frozenset({"DynamoDB read"})
EVENT_OVERHEAD_BYTES: Final = 26
"""CloudWatch counts so many bytes with each event."""


class Requests:
    """Names requests as the price list does, and keeps the rows that they write."""

    def __init__(self) -> None:
        indexes = expanded()["Resources"]["TasksTable"]["Properties"]["GlobalSecondaryIndexes"]
        keys = [[key["AttributeName"] for key in index["KeySchema"]] for index in indexes]
        self.rows = Rows(keys)
        self._lock = threading.Lock()

    def __call__(self, request: Request, owner_of: OwnerOf) -> list[Call]:
        del owner_of
        service, _, operation = request.headers.get("x-amz-target", "").rpartition(".")
        if not service:
            return [Call(_object_request(request))]
        match operation:
            case "PutItem" | "UpdateItem":
                return self._write(operation.removesuffix("Item"), json.loads(request.body))
            case "TransactWriteItems":
                return [*self._transaction(json.loads(request.body)["TransactItems"])]
            case "GetItem" | "Query" | "BatchGetItem":
                return [Call("DynamoDB read")]
            case "PutEvents":
                return [Call("EventBridge event")] * len(json.loads(request.body)["Entries"])
            case "GetSecretValue":
                return [Call("Secrets Manager read")]
            case "StartExecution":
                return [Call("Step Functions start")]
            case _:
                return [Call("SQS request" if "SQS" in service else operation)]

    def _write(self, kind: str, asked: dict[str, Any]) -> list[Call]:
        if "kind" in asked.get("Item", {}):
            return [Call("DynamoDB durations write")]
        if "folder" in asked.get("Item", {}):
            return [Call("DynamoDB pairs write")]
        write = self._of_row(kind, asked)
        return [Call("DynamoDB write"), *_units(write.row), *_index_writes(write.index)]

    def _transaction(self, items: list[dict[str, dict[str, Any]]]) -> Iterator[Call]:
        """The writes of a transaction: the task's row, and the accounts in the ledger.

        It prepares and commits each of them, which takes twice the units.
        """
        for item in items:
            [(kind, asked)] = item.items()
            if "Ledger" in str(asked["TableName"]):
                yield Call("DynamoDB ledger write in a transaction")
            elif kind != "ConditionCheck":
                write = self._of_row(kind, asked)
                yield Call("DynamoDB write in a transaction")
                yield from _units(2 * write.row)
                yield from _index_writes(write.index)

    def _of_row(self, kind: str, asked: dict[str, Any]) -> Write:
        with self._lock:
            return self.rows.put(asked) if kind == "Put" else self.rows.update(asked)


def _units(count: int) -> list[Call]:
    return [Call("DynamoDB row unit")] * count


def _index_writes(count: int) -> list[Call]:
    return [Call("DynamoDB index write")] * count


def _object_request(request: Request) -> str:
    url = urlsplit(request.path)
    listing = request.method == "GET" and "list-type" in parse_qs(url.query)
    dear = listing or request.method in {"PUT", "POST"}
    return "S3 write or list" if dear else "S3 delete" if request.method == "DELETE" else "S3 read"


@dataclass(frozen=True)
class Way:
    """A way in: how a task is started, and what its caller asks of us besides."""

    name: str
    start: Callable[[Dropper, str], str]
    """Starts one under a name; answers its id."""
    api_calls: int
    reads: int = 0
    """How many of the calls read the task at its end."""
    is_swept: bool = False
    """Whether only the fallback ends it."""
    waits_for_delivery: bool = False
    """Whether its row is still written after its end."""


def by_url(behaviour: str = "seconds=1", **more: object) -> Callable[[Dropper, str], str]:
    def start(caller: Dropper, name: str) -> str:
        answer = caller.post(caller.body(behaviour, **more), {"Idempotency-Key": name.encode()})
        return str(answer.json()["id"])

    return start


def by_upload(caller: Dropper, name: str) -> str:
    upload = requests.post(
        f"{caller.stack.api_url}/uploads", headers=caller.headers, timeout=60
    ).json()
    for field, data in (("video", video(name)), ("image", image(name))):
        form = upload[field]
        files = {"file": data}
        given = {"Content-Type": "video/mp4" if field == "video" else "image/png"}
        requests.post(
            form["url"], data=given | form["fields"], files=files, timeout=60
        ).raise_for_status()
    return str(caller.post({"upload_id": upload["upload_id"]}).json()["id"])


def by_files(caller: Dropper, name: str) -> str:
    caller.put(name, "performance.mp4", video(name))
    caller.put(name, "character.png", image(name))
    return caller.task_of(name).task_id


def by_event(caller: Dropper, name: str) -> str:
    detail = json.dumps(caller.body("seconds=1", idempotency_key=name))
    caller.stack.client("events").put_events(
        Entries=[
            {
                "EventBusName": caller.stack.event_bus,
                "Source": "costs",
                "DetailType": "Task Requested",
                "Detail": detail,
            }
        ]
    )
    return caller.requested(name).task_id


def ways(webhook_url: str) -> tuple[Way, ...]:
    return (
        Way("POST with URLs", by_url(), api_calls=3, reads=2),
        Way("POST with an upload", by_upload, api_calls=4, reads=2),
        Way("files in the bucket", by_files, api_calls=0),
        Way("an event", by_event, api_calls=0),
        Way(
            "POST, a webhook asked for",
            by_url(webhook={"url": webhook_url}),
            api_calls=1,
            waits_for_delivery=True,
        ),
        Way(
            "POST, the callback missed",
            by_url("seconds=1&callback=lost"),
            api_calls=3,
            reads=2,
            is_swept=True,
        ),
    )


def count(way: Way, caller: Dropper, watch: Watch, named: Requests) -> Counts:
    """Count what one task asks for on average, with what its caller reads of it.

    The sweeper's own reads are an idle month's: of it, what it writes and starts is counted.
    """
    label = "".join(letter if letter.isalnum() else "-" for letter in way.name)
    run(way, caller, named, f"{label}-warm")
    before, logged = Counter(watch.seen), log_bytes(caller)
    rows = [run(way, caller, named, f"{label}-{number}") for number in range(TASKS)]
    total: Counter[str] = Counter()
    for (function, call), times in (Counter(watch.seen) - before).items():
        if "Sweeper" not in function or call.name not in OF_AN_IDLE_SWEEP:
            total[call.name] += times
    return Counts(
        way=way.name,
        api_calls=way.api_calls,
        requests={name: times / TASKS for name, times in total.items()},
        row_bytes=max(rows),
        log_bytes=(log_bytes(caller) - logged) / TASKS,
    )


def run(way: Way, caller: Dropper, named: Requests, name: str) -> int:
    """Follow one task to its end and a little beyond; answers the bytes of its row."""
    task_id = way.start(caller, name)
    if way.is_swept:
        while (task := caller.row(task_id)).stage is Stage.SUBMITTED:
            if task.due_at is not None and task.due_at <= time.time():
                caller.stack.sweep()
            time.sleep(0.5)
    caller.wait(task_id, {"succeeded"})
    for _ in range(way.reads):
        caller.get(task_id).raise_for_status()
    caller.settle()
    item = caller.table.client.get_item(
        TableName=caller.table.name, Key={"task_id": {"S": task_id}}
    )["Item"]
    kept = named.rows.items[task_id]
    if way.waits_for_delivery is False and size_of(item) != size_of(kept):
        raise AssertionError(f"the row of {name} is not as its writes were read")
    return size_of(item)


def count_idle(caller: Dropper, watch: Watch) -> dict[str, float]:
    """Count what a sweep of nothing asks for."""
    caller.stack.sweep()
    before = Counter(watch.seen)
    for _ in range(TASKS):
        caller.stack.sweep()
    seen = Counter(watch.seen) - before
    return {
        name: sum(times for (_, call), times in seen.items() if call.name == name) / TASKS
        for name in {call.name for _, call in seen}
    }


def log_bytes(caller: Dropper) -> int:
    """Sum the bytes that all functions have logged, as CloudWatch takes them in."""
    logs = caller.stack.client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    return sum(
        len(event["message"].encode()) + EVENT_OVERHEAD_BYTES
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    )


def main() -> None:
    """Count every way in and write the page."""
    use_only_this_machine()
    folder = ROOT / ".local/costs"
    named = Requests()
    with (
        running_stack(PARAMETERS, folder, sweeping=False) as stack,
        tapped(stack, named) as watch,
        endpoint(lambda *_: None) as called,
        ThreadPoolExecutor(1),
    ):
        caller = Dropper(stack)
        counted = []
        for way in ways(called.url):
            counted.append(count(way, caller, watch, named))
            print(counted[-1])
        idle = count_idle(caller, watch)
        print(idle)
    PAGE.write_text(page(counted, idle, expanded()))


if __name__ == "__main__":
    main()
