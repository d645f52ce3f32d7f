"""HTTP requests as API Gateway and function URLs hand them to Lambda, and the replies."""

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from act_one.json_types import Json
from act_one.problems import ProblemError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]
"""A Lambda handler that takes a proxy event and returns a proxy response."""

logger = Logger(child=True)


def key_hash_of(event: Mapping[str, Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a request's API key.

    Tasks of before clients had names belong to it. API Gateway has already checked the key.
    """
    return hashlib.sha256((header(event, "x-api-key") or "").encode()).hexdigest()[:16]


def header(event: Mapping[str, Any], name: str) -> str | None:
    """Return the value of a header, None if it is missing. ``name`` is in lower case."""
    headers: Mapping[str, str] = event.get("headers") or {}
    return next((value for key, value in headers.items() if key.lower() == name), None)


def body_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the request's body, None if it has none."""
    body: str | None = event.get("body")
    if body is None:
        return None
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def location_below(event: Mapping[str, Any], name: str) -> str:
    """Return a ``Location`` for what is below the request's own URL.

    It is relative to that URL, whose beginning (a stage, or the path of a custom domain) the event
    doesn't say.
    """
    last = str(event["path"]).rpartition("/")[2]
    return f"{last}/{name}" if last else name


def json_response(
    status: int, body: Mapping[str, Json], headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a proxy response with a JSON body."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": json.dumps(body, ensure_ascii=False, separators=(",", ":")),
    }


def problem_response(problem: ProblemError) -> dict[str, Any]:
    """Return a proxy response with an RFC 9457 problem document."""
    headers = {"Content-Type": "application/problem+json"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return json_response(problem.status, problem.document(), headers)


def answer_problems(handler: Handler) -> Handler:
    """Decorate a handler: a ``ProblemError`` it raises is logged and becomes its response."""

    @functools.wraps(handler)
    def answering(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
        try:
            return handler(event, context)
        except ProblemError as problem:
            logger.info("problem", extra={"code": problem.code, "field": problem.field})
            return problem_response(problem)

    return answering
