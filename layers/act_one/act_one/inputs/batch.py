"""The body of ``POST /v1/tasks/batch``: many requests, each with an idempotency key of its own."""

import json
from typing import Final, NoReturn

from act_one.inputs.request import (
    MAX_REQUEST_BYTES,
    TransferRequest,
    checked_key,
    object_of,
    refuse_unknown,
    request_of,
)
from act_one.json_types import Json
from act_one.problems import ProblemError

MAX_BATCH: Final = 100
MAX_BATCH_BYTES: Final = 1_048_576
KEY: Final = "idempotency_key"


def read_batch(body: bytes | None) -> list[Json]:
    """Read the requests of a batch, unchecked. Raises ``ProblemError`` 400 and 413."""
    found = object_of(body, MAX_BATCH_BYTES)
    refuse_unknown(found, {"tasks"}, "a batch")
    tasks = found.get("tasks")
    if not isinstance(tasks, list) or not 1 <= len(tasks) <= MAX_BATCH:
        raise ProblemError(
            400,
            "batch-size",
            "The batch can't be read",
            f"tasks must be a list of 1 to {MAX_BATCH} requests; send more in further batches",
            field="tasks",
        )
    return tasks


def read_entry(entry: Json, *, allow_addresses: bool, own_files: str) -> TransferRequest:
    """Check one request of a batch: the body of ``POST /v1/tasks`` and ``idempotency_key``.

    Raises ``ProblemError`` 400, 403 and 413 as ``read_request`` does.
    """
    if not isinstance(entry, dict):
        _refuse(
            "body-not-object",
            "The request is not an object",
            "send an object with video, image and idempotency_key for each task",
            "tasks",
        )
    size = len(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MAX_REQUEST_BYTES:
        detail = f"a request may have {MAX_REQUEST_BYTES:,} bytes; send URLs, not files"
        _refuse("body-too-large", "The request is too large", detail, "body", status=413)
    key = entry.get(KEY)
    if not isinstance(key, str):
        detail = f"add {KEY}: a string of your own for each intended transfer, such as a UUID"
        _refuse("idempotency-key-missing", f"{KEY} is missing or not a string", detail, KEY)
    return request_of(
        {name: value for name, value in entry.items() if name != KEY},
        checked_key(key, KEY),
        allow_addresses=allow_addresses,
        own_files=own_files,
    )


def _refuse(code: str, title: str, detail: str, name: str, *, status: int = 400) -> NoReturn:
    raise ProblemError(status, code, title, detail, field=name)
