"""The simulator as a function: requests come by its function URL, due callbacks by a queue.

A function has no memory and no threads that outlive a request. So tasks are items of a table, and a
callback is a message of a queue that is delivered when it is due (`template.yaml` beside this).
"""

import base64
import hashlib
import hmac
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from local.simulator.behaviour import parse_behaviour
from local.simulator.callbacks import address_of, deliver
from local.simulator.clock import now
from local.simulator.content import pieces
from local.simulator.limits import Limits
from local.simulator.messages import Reply, Request, body_stop
from local.simulator.routes import answer
from local.simulator.simulation import Simulation
from local.simulator.table import TableLedger
from local.simulator.tasks import PendingCallback, ProviderTask

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_DELAY_SECONDS = 900  # of a message
MAX_MEDIA_BYTES = 4_000_000  # a reply is at most 6 MB, in base64
TEXT = ("application/json", "application/xml", "text/")


@dataclass(frozen=True, slots=True)
class Parts:
    """What every invocation uses. `simulation.url` is empty if `PUBLIC_URL` is."""

    simulation: Simulation
    ledger: TableLedger


@cache
def parts() -> Parts:
    """Build the simulation from the function's environment. Raises ValueError for a bad one."""
    key = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["KEY_SECRET"])
    ledger = TableLedger(boto3.client("dynamodb"), os.environ["TABLE"])
    queue = Queue(boto3.client("sqs"), os.environ["QUEUE_URL"])
    hosts = (host.strip().lower() for host in os.environ["CALLBACK_HOSTS"].split(","))
    deliver_to = os.environ["DELIVER_TO"]
    simulation = Simulation(
        url=os.environ["PUBLIC_URL"].rstrip("/"),
        api_keys=(key["SecretString"],),
        deliver_to=address_of(deliver_to) if deliver_to else None,
        default=parse_behaviour(os.environ["BEHAVIOUR"]),
        signing_key=hmac.digest(key["SecretString"].encode(), b"media", hashlib.sha256),
        ledger=ledger,
        send_later=queue.send_later,
        fetch_inputs=fetch_none,
        limits=Limits(
            raw_sockets=False,
            reply_seconds=25,
            media_bytes=MAX_MEDIA_BYTES,
            callback_seconds=2 * MAX_DELAY_SECONDS,
            callback_retries=10,
            callback_hosts=tuple(filter(None, hosts)),
            inspection_needs_key=True,
        ),
    )
    return Parts(simulation, ledger)


def fetch_none(_simulation: Simulation, _task: ProviderTask) -> None:
    """Fetch no inputs: their URLs are a stranger's, and a function may reach what others can't."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of due callbacks."""

    client: "SQSClient"
    url: str

    def send_later(self, simulation: Simulation, pending: PendingCallback) -> None:
        """Have the callback delivered when it is due; after the longest delay it waits again."""
        wait = math.ceil((pending.due - now()).total_seconds())
        self.client.send_message(
            QueueUrl=self.url,
            MessageBody=write_message(simulation, pending),
            DelaySeconds=min(max(0, wait), MAX_DELAY_SECONDS),
        )


def write_message(simulation: Simulation, pending: PendingCallback) -> str:
    """Write a callback, and the URL at which the simulator was called, which is in its body."""
    return json.dumps(
        {
            "url": simulation.url,
            "provider_task_id": pending.provider_task_id,
            "number": pending.number,
            "attempt": pending.attempt,
            "due": pending.due.isoformat(),
            "body": None if pending.body is None else pending.body.decode(),
        }
    )


def read_message(text: str) -> tuple[str, PendingCallback]:
    """Read a message: the simulator's URL, and the callback."""
    written = json.loads(text)
    url = written.pop("url")
    body = written["body"]
    pending = PendingCallback(
        **{
            **written,
            "due": datetime.fromisoformat(written["due"]),
            "body": None if body is None else body.encode(),
        }
    )
    return url, pending


def handler(event: dict[str, Any], _context: object) -> dict[str, Any] | None:
    """Answer a request, or deliver the callbacks of messages."""
    if "Records" not in event:
        return answer_event(parts().simulation, event)
    for record in event["Records"]:
        url, pending = read_message(record["body"])
        take(parts().ledger, replace(parts().simulation, url=url), pending)
    return None


def take(ledger: TableLedger, simulation: Simulation, pending: PendingCallback) -> None:
    """Deliver a callback once, or let it wait again if it isn't due yet."""
    if pending.due - now() > timedelta(seconds=1):
        simulation.send_later(simulation, pending)
    elif ledger.claim(pending):
        deliver(simulation, pending)


def answer_event(simulation: Simulation, event: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the event of a function URL's request."""
    call = event["requestContext"]
    method, path = call["http"]["method"], event["rawPath"]
    text = event.get("body") or ""
    request = Request(
        method=method,
        path=path,
        query=event.get("rawQueryString", ""),
        headers={name.lower(): value for name, value in event["headers"].items()},
        body=base64.b64decode(text) if event.get("isBase64Encoded") else text.encode(),
    )
    called = replace(simulation, url=simulation.url or f"https://{call['domainName']}")
    return write_reply(answer(called, request, method, path))


def write_reply(reply: Reply) -> dict[str, Any]:
    """Write a reply for a function URL, which adds the length, and leaves the body of HEAD out."""
    if reply.status is None:
        raise ValueError(f"{reply.outcome} needs a raw socket")
    headers = {"Content-Type": reply.content_type, **dict(reply.headers)}
    body = b"".join(pieces(reply.content, reply.start, body_stop(reply)))
    is_text = reply.content_type.startswith(TEXT)
    return {
        "statusCode": reply.status,
        "headers": headers,
        "body": body.decode() if is_text else base64.b64encode(body).decode(),
        "isBase64Encoded": not is_text,
    }
