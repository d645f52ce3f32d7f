"""HTTP requests as API Gateway and function URLs hand them to Lambda, and the replies."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from act_one.json_types import Json
from act_one.problems import ProblemError


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


CONTENT_TYPE: Final = "application/problem+json"


def json_response(
    status: int, body: Mapping[str, Json], headers: Mapping[str, str] | None = None
) -> dict[str, object]:
    """Answer a Lambda proxy event (REST API or function URL) with JSON."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": json.dumps(body, ensure_ascii=False, separators=(",", ":")),
    }


def problem_response(problem: ProblemError) -> dict[str, object]:
    """Answer a Lambda proxy event with a problem."""
    return json_response(problem.status, problem.document(), {"Content-Type": CONTENT_TYPE})
