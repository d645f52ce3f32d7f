"""Files as people put them into the uploads bucket: each one whole, and no two alike."""

import hashlib
import hmac
import json
import struct
import time
from typing import Any

import requests

from act_one.ingest.pairs import PairTable
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.task import EVENTS_CLIENT, UPLOADS_CLIENT, Task
from local.emulator import ROOT
from local.simulator.media import png_with_text
from tests.e2e.caller import SECONDS, Caller

VIDEO = (ROOT / "local/media/performance.mp4").read_bytes()
IMAGE = (ROOT / "local/media/character.png").read_bytes()


def video(name: str) -> bytes:
    """A performance video of its own: with a box that players skip."""
    tag = name.encode()
    return VIDEO + struct.pack(">I4s", 8 + len(tag), b"free") + tag


def image(name: str) -> bytes:
    """A character image of its own: with a comment before its end."""
    return png_with_text(IMAGE, name.encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Dropper(Caller):
    """A client that has access to S3 only."""

    def put(self, folder: str, name: str, data: bytes | Any) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.s3.put_object(
            Bucket=self.stack.uploads_bucket, Key=f"incoming/{folder}/{name}", Body=body
        )

    def remove(self, folder: str, name: str) -> None:
        self.s3.delete_object(Bucket=self.stack.uploads_bucket, Key=f"incoming/{folder}/{name}")

    def uri(self, folder: str) -> str:
        return f"s3://{self.stack.uploads_bucket}/incoming/{folder}/"

    def names(self, folder: str) -> set[str]:
        prefix = f"incoming/{folder}/"
        answer = self.s3.list_objects_v2(Bucket=self.stack.uploads_bucket, Prefix=prefix)
        return {found["Key"].removeprefix(prefix) for found in answer.get("Contents", ())}

    def written(self, folder: str, name: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Wait for a document that the stack writes into a folder."""
        ends_at = time.monotonic() + seconds
        while name not in self.names(folder):
            assert time.monotonic() < ends_at, f"no {name} in {folder}: {self.names(folder)}"
            time.sleep(0.2)
        return json.loads(self.object(self.uri(folder) + name))

    def tasks_of(self, folder: str) -> list[Task]:
        """List the tasks that came of a folder, the oldest first."""
        pages = (
            self.stack.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self.stack.tasks_table,
                FilterExpression="origin = :origin",
                ExpressionAttributeValues={":origin": {"S": self.uri(folder)}},
            )
        )
        ids = [item["task_id"]["S"] for page in pages for item in page["Items"]]
        return sorted(map(self.row, ids), key=lambda task: task.created_at)

    def task_of(self, folder: str, count: int = 1, seconds: float = SECONDS) -> Task:
        """Wait until a folder has led to so many tasks; the newest."""
        ends_at = time.monotonic() + seconds
        while len(tasks := self.tasks_of(folder)) < count:
            assert time.monotonic() < ends_at, f"{folder} led to {len(tasks)} tasks"
            time.sleep(0.2)
        assert len(tasks) == count
        return tasks[-1]

    def requested_id(self, key: str, owner: str = EVENTS_CLIENT) -> str:
        """Compute the id of the task that is requested by event under a key."""
        client = self.stack.client("dynamodb")
        [name] = [one for one in client.list_tables()["TableNames"] if "PairsTable" in one]
        secret = PairTable(client, name).id_secret()
        return derive_task_id(owner, hmac.digest(secret, key.encode(), "sha256").hex())

    def requested(self, key: str, seconds: float = SECONDS, owner: str = EVENTS_CLIENT) -> Task:
        """Wait for the task that was requested by event under a key."""
        task_id = self.requested_id(key, owner)
        ends_at = time.monotonic() + seconds
        while (task := self.table.read(task_id)) is None:
            assert time.monotonic() < ends_at, f"{key} led to no task"
            time.sleep(0.2)
        return task

    def settle(self, seconds: float = SECONDS) -> None:
        """Wait until the ingest queue is empty, in flight too."""
        ends_at = time.monotonic() + seconds
        quiet = 0
        while quiet < 3:
            assert time.monotonic() < ends_at, "the ingest queue does not empty"
            counts = self.stack.client("sqs").get_queue_attributes(
                QueueUrl=self.stack.ingest_queue_url, AttributeNames=["All"]
            )["Attributes"]
            idle = all(
                counts[f"ApproximateNumberOfMessages{which}"] == "0" for which in ("", "NotVisible")
            )
            quiet = quiet + 1 if idle else 0
            time.sleep(0.3)

    def message(self, body: Any) -> str:
        """Put a message onto the ingest queue; return its id."""
        text = body if isinstance(body, str) else json.dumps(body)
        answer = self.stack.client("sqs").send_message(
            QueueUrl=self.stack.ingest_queue_url, MessageBody=text
        )
        return str(answer["MessageId"])

    def event(self, detail: Any, detail_type: str = "Task Requested") -> str:
        """Put an event of another service onto the stack's bus; return its id."""
        entry = {
            "EventBusName": self.stack.event_bus,
            "Source": "my.shop",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
        }
        [sent] = self.stack.client("events").put_events(Entries=[entry])["Entries"]
        return str(sent["EventId"])

    def faults(self, **wanted: str) -> None:
        """Begin or end an outage of the provider."""
        url = f"{self.stack.provider_url}/_simulator/faults"
        requests.post(url, json=wanted, timeout=SECONDS).raise_for_status()

    def provider_got(self, task_id: str) -> dict[str, Any]:
        """What the provider read at the URLs that it was given: SHA-256 of each input."""
        ends_at = time.monotonic() + SECONDS
        while None in (got := self.provider_task(task_id)["inputs"]).values():
            assert time.monotonic() < ends_at, got
            time.sleep(0.2)
        return got


__all__ = ["UPLOADS_CLIENT", "Dropper", "image", "sha256", "video"]
