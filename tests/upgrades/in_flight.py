"""Tasks that are under way, in every way in which one waits, and what must become of them."""

import json
import time
from dataclasses import dataclass, field
from uuid import uuid4

import requests

from tests.e2e.caller import SECONDS, Caller
from tests.endpoints import Answer, Endpoint

LONG = 20
"""How many seconds the slow tasks take: about as long as an update of an idle machine."""
QUEUES = ("CopyFunction", "IngestFunction", "WebhooksFunction")
"""The functions that are kept from their queues."""


def fails_first(received, endpoint: Endpoint) -> Answer:
    """Answer the first attempt at each event with an error."""
    before = [one.headers["webhook-id"] for one in endpoint.received]
    first = before.count(received.headers["webhook-id"]) == 1
    return Answer(503 if first and received.path.endswith("/refused") else 204)


@dataclass
class InFlight:
    """Tasks by what they wait for; ``begin`` makes them, ``check_end`` waits for their ends."""

    caller: Caller
    receiver: Endpoint
    mark: str
    tasks: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, dict] = field(default_factory=dict)

    def begin(self) -> None:
        self._submit("refused", "seconds=0.2")
        self.receiver.wait(1, f"/{self.mark}/refused")
        self.keep_queues(waiting=True)
        self._submit("called-back", f"seconds={LONG}")
        self._submit("polled", f"callback=lost&seconds={LONG}")
        self._submit("storing", "seconds=0.2")
        self.tasks["batched"] = self._batch()
        self.caller.wait(self.tasks["storing"], ["storing"])
        ends_at = time.monotonic() + SECONDS
        while not self.caller.executions(self.tasks["polled"]):
            assert time.monotonic() < ends_at, "no execution polls the task whose callback is lost"
            time.sleep(0.2)

    def stages(self) -> dict[str, str]:
        return {name: self.caller.row(task_id).stage for name, task_id in self.tasks.items()}

    def queued(self) -> int:
        """Count the messages that wait, or that a function had and didn't delete."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        stack, sqs = self.caller.stack, self.caller.stack.client("sqs")
        return sum(
            int(number)
            for url in (stack.media_queue_url, stack.ingest_queue_url, stack.webhook_queue_url)
            for number in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)[
                "Attributes"
            ].values()
        )

    def keep_queues(self, *, waiting: bool) -> None:
        """Keep messages in their queues, or let the functions have them."""
        client = self.caller.stack.client("lambda")
        for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
            if any(name in mapping["FunctionArn"] for name in QUEUES):
                client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=not waiting)

    def check_end(self) -> None:
        for name, task_id in self.tasks.items():
            row = self.caller.wait(task_id, ["succeeded", "failed", "expired", "canceled"])
            assert row.stage == "succeeded", f"{name}: {row.stage}, {row.error}"
        for name, body in self.bodies.items():
            repeated = self.caller.post(body, {"Idempotency-Key": f"{self.mark}-{name}"})
            assert repeated.json()["id"] == self.tasks[name]
        for name, task_id in self.tasks.items():
            assert self.caller.creates_paid(task_id) == 1, name
            delivered = self.receiver.wait(2 if name == "refused" else 1, f"/{self.mark}/{name}")
            bodies = [json.loads(one.body)["data"] for one in delivered]
            assert {body["status"] for body in bodies} == {"succeeded"}, name
            assert len({one.headers["webhook-id"] for one in delivered}) == 1, name
            assert {*self.caller.objects(task_id)} >= {"video.mp4", "task.json"}, name

    def _submit(self, name: str, behaviour: str) -> None:
        webhook = {"url": f"{self.receiver.url}/{self.mark}/{name}", "events": ["task.succeeded"]}
        self.bodies[name] = self.caller.body(behaviour, webhook=webhook)
        posted = self.caller.post(self.bodies[name], {"Idempotency-Key": f"{self.mark}-{name}"})
        assert posted.status_code == 202, posted.text
        self.tasks[name] = posted.json()["id"]

    def _batch(self) -> str:
        """Leave the send of a task to ingest, whose queue waits."""
        webhook = {"url": f"{self.receiver.url}/{self.mark}/batched", "events": ["task.succeeded"]}
        one = self.caller.body("seconds=0.2", webhook=webhook, idempotency_key=uuid4().hex)
        answer = requests.post(
            f"{self.caller.stack.api_url}/tasks/batch",
            json={"tasks": [one]},
            headers=self.caller.headers,
            timeout=SECONDS,
        )
        assert answer.status_code == 207, answer.text
        return answer.json()["results"][0]["task"]["id"]
