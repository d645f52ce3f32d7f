"""Identifiers of tasks, requests and writes."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from typing import Final

from act_one.json_types import Json

_TASK_ID: Final = re.compile(r"task_[0-9a-f]{32}")
_RETRY_OF: Final = "retry of"
"""Stands for a client, whose name has no spaces: no idempotency key leads to the same id."""


def derive_task_id(client_id: str, idempotency_key: str | None) -> str:
    """Return a task's id: the same for one client and key, random without a key.

    It is valid as a DynamoDB key and as a part of an execution name, an S3 key and a URL.
    """
    if idempotency_key is None:
        return f"task_{secrets.token_hex(16)}"
    identity = f"{client_id}\n{idempotency_key}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(identity).hexdigest()
    return f"task_{digest[:32]}"


def derive_retry_id(parent_id: str) -> str:
    """Return the id of the task that repeats another: there is one for each parent."""
    return derive_task_id(_RETRY_OF, parent_id)


def is_task_id(text: str) -> bool:
    """Return whether a text can be a task's id."""
    return _TASK_ID.fullmatch(text) is not None


def hash_request(body: Mapping[str, Json]) -> str:
    """Return a hash of a request, to notice a repeated key with another body."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def new_claim_id() -> str:
    """Return a random id for one write, to recognise the write when only its reply was lost."""
    return secrets.token_hex(8)
