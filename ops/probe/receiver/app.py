"""Serves the probe's inputs, answers the provider's callbacks, and records both.

    GET, HEAD /inputs/{run}/{step}/{name} performance.mp4, character.png; blank.png, all grey
    POST      /callbacks/{run}/{step}/{n} 500 to the first n callbacks, 200 to the others
    GET       /records/{secret}           what was recorded of the run whose id is the secret's hash
    GET       /inputs                     the inputs that are there

The provider sees a run's id, which can't be turned into the secret, so it can't read the records.
The receiver sends no request to others. Only the standard library and the runtime's boto3 are used:
`sam deploy` packages this folder as it is (`template.yaml`).
"""

import base64
import hashlib
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

VIDEO, IMAGE, BLANK = "performance.mp4", "character.png", "blank.png"
MAX_INPUT_BYTES = 4_000_000
"""A function's reply is at most 6 MB, in base64."""
MAX_BODY_CHARACTERS = 16_384
MAX_RECORDS = 500
"""Of a run; later requests are answered but not recorded."""
DAYS_KEPT = 14
RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")
RUN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that came in. Header names are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply; the body of one to HEAD says how long it would be."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One recorded request. `at` is in Unix seconds, `family` 4 or 6, 0 if it isn't known.

    `name` is the step of a callback, the step and the file of an input.
    """

    at: float
    kind: str
    name: str
    method: str
    status: int
    headers: Mapping[str, str]
    family: int
    body: str = ""


class Records(Protocol):
    """Where the records of runs are."""

    def add(self, run: str, record: Record) -> None:
        """Add a record to a run."""

    def of(self, run: str) -> list[Record]:
        """Return a run's records, oldest first."""


def run_of(secret: str) -> str:
    """Return the id of the run whose records this secret reads."""
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


def answer(call: Call, records: Records, inputs: Path) -> Answer:
    """Answer a request, and record it if it is an input's or a callback."""
    match call.method, call.path.strip("/").split("/"):
        case "GET", ["inputs"]:
            there = [name for name in (VIDEO, IMAGE, BLANK) if content_of(name, inputs)]
            return _json(200, {"inputs": there})
        case "GET" | "HEAD", ["inputs", run, step, name] if RUN.fullmatch(run):
            content = content_of(name, inputs)
            reply = _file(content, call) if content else _json(404, {"error": "no such input"})
            _record(call, records, run, "input", f"{step[:40]}/{name[:40]}", reply.status)
            return reply
        case "POST", ["callbacks", run, step, refusals] if RUN.fullmatch(run):
            before = sum(one.kind == "callback" and one.name == step for one in records.of(run))
            refused = refusals.isdecimal() and before < int(refusals[:3])
            status = 500 if refused else 200
            _record(call, records, run, "callback", step[:40], status)
            return _json(status, {"taken": not refused})
        case "GET", ["records", secret]:
            return _json(200, {"records": [asdict(one) for one in records.of(run_of(secret))]})
        case _:
            return _json(404, {"error": "no such route"})


def _record(call: Call, records: Records, run: str, kind: str, name: str, status: int) -> None:
    if len(records.of(run)) >= MAX_RECORDS:
        return
    body = call.body.decode(errors="replace")[:MAX_BODY_CHARACTERS]
    family = 6 if ":" in call.address else 4 if call.address else 0
    kept = {name: text for name, text in call.headers.items() if name != "authorization"}
    records.add(
        run,
        Record(
            at=time.time(),
            kind=kind,
            name=name,
            method=call.method,
            status=status,
            headers=kept,
            family=family,
            body=body,
        ),
    )


def content_of(name: str, inputs: Path) -> bytes:
    """Return an input, empty if it isn't there or is too large."""
    if name == BLANK:
        return blank()
    file = inputs / name
    if name not in (VIDEO, IMAGE) or not file.is_file() or file.stat().st_size > MAX_INPUT_BYTES:
        return b""
    return file.read_bytes()


@cache
def blank() -> bytes:
    """Return a PNG of 1280x720 grey pixels, in which there is no face."""
    rows = b"".join(b"\0" + b"\x80" * 1280 for _ in range(720))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 1280, 720, 8, 0, 0, 0, 0)
    image = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + image


def type_of(content: bytes) -> str:
    """Return the media type that a file's first bytes say."""
    if content.startswith(b"\x89PNG"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return "video/mp4" if content[4:8] == b"ftyp" else "application/octet-stream"


def _file(content: bytes, call: Call) -> Answer:
    headers = {"Content-Type": type_of(content), "Accept-Ranges": "bytes"}
    asked = RANGE.fullmatch(call.headers.get("range", ""))
    if asked is None:
        return Answer(status=200, body=content, headers=headers)
    start, stop = int(asked[1]), min(int(asked[2] or len(content)) + 1, len(content))
    if start >= stop:
        nothing = {"Content-Range": f"bytes */{len(content)}"}
        return Answer(status=416, headers={**headers, **nothing})
    part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return Answer(status=206, body=content[start:stop], headers={**headers, **part})


def _json(status: int, document: object) -> Answer:
    body = json.dumps(document).encode()
    return Answer(status=status, body=body, headers={"Content-Type": "application/json"})


# ── As a function ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TableRecords:
    """Records in a DynamoDB table, by `run` and `at`; they expire."""

    client: "DynamoDBClient"
    name: str

    def add(self, run: str, record: Record) -> None:
        """Add a record to a run; the time of one that has come at the same moment is taken."""
        item = {
            "run": {"S": run},
            "at": {"S": f"{record.at:017.6f}#{os.urandom(4).hex()}"},
            "record": {"S": json.dumps(asdict(record))},
            "expires": {"N": str(int(record.at) + DAYS_KEPT * 86_400)},
        }
        self.client.put_item(TableName=self.name, Item=item)

    def of(self, run: str) -> list[Record]:
        """Return a run's records, oldest first."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="#run = :run",
            ExpressionAttributeNames={"#run": "run"},
            ExpressionAttributeValues={":run": {"S": run}},
            ConsistentRead=True,
        )
        return [
            Record(**json.loads(item["record"]["S"])) for page in pages for item in page["Items"]
        ]


@cache
def _records() -> TableRecords:
    import boto3  # noqa: PLC0415 - a receiver on one's own machine doesn't need it

    return TableRecords(boto3.client("dynamodb"), os.environ["TABLE"])


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer the event of a function URL's request."""
    http, text = event["requestContext"]["http"], event.get("body") or ""
    call = Call(
        method=http["method"],
        path=event["rawPath"],
        headers={name.lower(): value for name, value in event["headers"].items()},
        body=base64.b64decode(text) if event.get("isBase64Encoded") else text.encode(),
        address=http.get("sourceIp") or "",
    )
    reply = answer(call, _records(), Path(__file__).parent / "inputs")
    # To HEAD too, so that Lambda says the length of the body, which it leaves out.
    return {
        "statusCode": reply.status,
        "headers": dict(reply.headers),
        "body": base64.b64encode(reply.body).decode(),
        "isBase64Encoded": True,
    }
