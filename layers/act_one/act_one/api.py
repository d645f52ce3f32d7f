"""What handlers read alike from what Lambda hands them."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext


def client_of(headers: Mapping[str, str]) -> str:
    """Name the client by its API key without telling the key: 16 hex digits of its SHA-256.

    API Gateway has checked the key; what it calls the key's id isn't there everywhere.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    return hashlib.sha256(lower.get("x-api-key", "").encode()).hexdigest()[:16]


def header(event: Mapping[str, Any], name: str) -> str | None:
    """Return a header's value whatever its case, None if it wasn't sent."""
    headers: Mapping[str, str] = event.get("headers") or {}
    return next((value for key, value in headers.items() if key.lower() == name), None)


def body_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the body of a proxy event, REST API or function URL; None if there is none."""
    body: str | None = event.get("body")
    if body is None:
        return None
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def seconds_left_of(context: LambdaContext) -> Callable[[], float]:
    """Return what tells how many seconds this invocation may still run."""
    return lambda: context.get_remaining_time_in_millis() / 1_000
