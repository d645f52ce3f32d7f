"""How tasks, requests and writes are named."""

import hashlib
import json
import secrets
from collections.abc import Mapping

from act_one.json_types import Json


def derive_task_id(client_id: str, idempotency_key: str | None) -> str:
    """Name a task: the same for one client and key, random without a key.

    The name works as a DynamoDB key, part of an execution name, of an S3 key and of a URL.
    """
    if idempotency_key is None:
        return f"task_{secrets.token_hex(16)}"
    named = f"{client_id}\n{idempotency_key}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(named).hexdigest()
    return f"task_{digest[:32]}"


def hash_request(body: Mapping[str, Json]) -> str:
    """Fingerprint a request, so that a repeated key with another body is noticed."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def new_claim_id() -> str:
    """Return a random id for one write, to recognise it when only its reply was lost."""
    return secrets.token_hex(8)
