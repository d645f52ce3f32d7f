"""What a task asks of AWS, counted on the local stack, and what that comes to.

    make costs     counts and writes docs/costs.md

The functions' own requests are counted by a tap between them and AWS, over a few tasks one after
the other, once every function is warm. What services do for each other (a rule fills a queue, a
queue or a stream runs a function) passes no tap and is reckoned from the template.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

import requests

from local.expand import expand
from local.stack import ROOT, running_stack, use_only_this_machine
from tests.crashes.calls import Call, OwnerOf, Request
from tests.crashes.killing_proxy import Watch, tapped
from tests.e2e.drops import Dropper, image, video
from tests.endpoints import endpoint
from tools.costs.prices import Counts, page

TASKS: Final = 5
PARAMETERS: Final = {
    "CallbackGraceSeconds": "5",
    "MinPollSeconds": "1",
    "PollIntervalSeconds": "15",
    "RequestsPerSecond": "1000",
    "RequestBurst": "1000",
}
PAGE: Final = ROOT / "docs/costs.md"


def requests_of(request: Request, owner_of: OwnerOf) -> list[Call]:
    """Name a request as the price list does."""
    del owner_of
    service, _, operation = request.headers.get("x-amz-target", "").rpartition(".")
    if not service:
        return [Call(_object_request(request))]
    match operation:
        case "PutItem" | "UpdateItem":
            asked = json.loads(request.body)
            if "kind" in asked.get("Item", {}):
                return [Call("DynamoDB durations write")]
            return [Call("DynamoDB write"), *_index_writes(asked)]
        case "TransactWriteItems":
            return [*_transaction(json.loads(request.body)["TransactItems"])]
        case "GetItem" | "Query":
            return [Call("DynamoDB read")]
        case "PutEvents":
            return [Call("EventBridge event")] * len(json.loads(request.body)["Entries"])
        case "GetSecretValue":
            return [Call("Secrets Manager read")]
        case "StartExecution":
            return [Call("Step Functions start")]
        case _:
            return [Call("SQS request" if "SQS" in service else operation)]


def _object_request(request: Request) -> str:
    url = urlsplit(request.path)
    listing = request.method == "GET" and "list-type" in parse_qs(url.query)
    dear = listing or request.method in {"PUT", "POST"}
    return "S3 write or list" if dear else "S3 delete" if request.method == "DELETE" else "S3 read"


def _transaction(items: list[dict[str, dict[str, object]]]) -> Iterator[Call]:
    """The writes of a transaction: the task's row, and the accounts in the ledger."""
    for item in items:
        [(kind, asked)] = item.items()
        if "Ledger" in str(asked["TableName"]):
            yield Call("DynamoDB ledger write in a transaction")
        elif kind != "ConditionCheck":
            yield Call("DynamoDB write in a transaction")
            yield from _index_writes(asked)


def _index_writes(asked: dict[str, object]) -> Iterator[Call]:
    """A row that is written in an index too: out of its old place there, and into its new one."""
    item, names = asked.get("Item"), asked.get("ExpressionAttributeNames")
    written = set(item) if isinstance(item, dict) else set()
    written |= set(names.values()) if isinstance(names, dict) else set()
    if "due_at" in written:
        yield Call("DynamoDB index write")
        if not isinstance(item, dict):
            yield Call("DynamoDB index write")
    if "client_id" in written and isinstance(item, dict):  # neither of its keys ever changes
        yield Call("DynamoDB index write")
    if "provider_task_id" in written:
        yield Call("DynamoDB index write")


@dataclass(frozen=True)
class Way:
    """A way in: how a task is started, and what its caller asks of us besides."""

    name: str
    start: Callable[[Dropper, str], str]
    """Starts one under a name; answers its id."""
    api_calls: int


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
        Way("POST with URLs", by_url(), api_calls=3),
        Way("POST with an upload", by_upload, api_calls=4),
        Way("files in the bucket", by_files, api_calls=0),
        Way("an event", by_event, api_calls=0),
        Way(
            "POST, a webhook asked for",
            by_url(webhook={"url": webhook_url}),
            api_calls=1,
        ),
        Way("POST, the callback missed", by_url("seconds=1&callback=lost"), api_calls=3),
    )


def count(way: Way, caller: Dropper, watch: Watch) -> Counts:
    """Count what one task asks for on average, its caller's two reads left out."""
    label = "".join(letter if letter.isalnum() else "-" for letter in way.name)
    run(way, caller, f"{label}-warm")
    before = Counter(watch.seen)
    rows = [run(way, caller, f"{label}-{number}") for number in range(TASKS)]
    total: Counter[str] = Counter()
    for (_, call), times in (Counter(watch.seen) - before).items():
        total[call.name] += times
    return Counts(
        way=way.name,
        api_calls=way.api_calls,
        requests={name: times / TASKS for name, times in total.items()},
        row_bytes=max(rows),
    )


def run(way: Way, caller: Dropper, name: str) -> int:
    """Follow one task to its end and a little beyond; answers the bytes of its row."""
    task_id = way.start(caller, name)
    caller.wait(task_id, {"succeeded"})
    caller.settle()
    item = caller.table.client.get_item(
        TableName=caller.table.name, Key={"task_id": {"S": task_id}}
    )["Item"]
    return sum(len(name) + size(value) for name, value in item.items())


def size(value: object) -> int:
    """Bytes of an attribute as DynamoDB counts them, near enough."""
    match value:
        case {"M": dict(members)}:
            return 3 + sum(1 + len(name) + size(member) for name, member in members.items())
        case {"L": list(members)}:
            return 3 + sum(1 + size(member) for member in members)
        case {"N": str(number)}:
            return 2 + len(number) // 2
        case {"S": str(text)}:
            return len(text.encode())
    return 1


def main() -> None:
    """Count every way in and write the page."""
    use_only_this_machine()
    folder = ROOT / ".local/costs"
    with (
        running_stack(PARAMETERS, folder) as stack,
        tapped(stack, requests_of) as watch,
        endpoint(lambda *_: None) as called,
        ThreadPoolExecutor(1),
    ):
        caller = Dropper(stack)
        counted = []
        for way in ways(called.url):
            counted.append(count(way, caller, watch))
            print(counted[-1])
    PAGE.write_text(page(counted, expand(ROOT / "template.yaml")))


if __name__ == "__main__":
    main()
