"""HTTP requests as API Gateway and function URLs hand them to Lambda, and the replies."""

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger

from act_one.correlation import begin, is_request_id
from act_one.json_types import Json
from act_one.problems import ProblemError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}
"""For browsers: keep no reply, which may hold a signed URL or a secret, and run nothing in it.
``template.yaml`` gives the same to what API Gateway answers itself."""
READABLE_HEADERS: Final = (
    "etag,idempotent-replayed,location,preference-applied,retry-after,x-request-id"
)
"""What pages of another origin may read, besides the body."""

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


def route_of(event: Mapping[str, Any]) -> str:
    """Return the method and the path that the template has, such as ``GET /tasks/{task_id}``.

    API Gateway sends a function nothing but its own routes, so a table of them is enough: a router
    would be a fifth of a cold start.
    """
    return f"{event['httpMethod']} {event['resource']}"


def query_of(event: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the values of each parameter of the query, in the order in which they were sent."""
    parameters: Mapping[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    return {name: list(values) for name, values in parameters.items()}


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


def location_beside(event: Mapping[str, Any], name: str) -> str:
    """Return a ``Location`` for what is beside the thing whose part the request's URL names.

    From ``…/tasks/one/retry`` it leads to ``…/tasks/<name>``; it is relative, as above.
    """
    return f"{'../../' if str(event['path']).endswith('/') else '../'}{name}"


def json_response(
    status: int, body: Mapping[str, Json], headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a proxy response with a JSON body."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text_response(status, text, {"Content-Type": "application/json", **(headers or {})})


def text_response(status: int, body: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return a proxy response."""
    return {"statusCode": status, "headers": {**headers}, "body": body}


def problem_response(problem: ProblemError) -> dict[str, Any]:
    """Return a proxy response with an RFC 9457 problem document."""
    headers = {"Content-Type": "application/problem+json"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return json_response(problem.status, problem.document(), headers)


def request_id_of(event: Mapping[str, Any]) -> str:
    """Return the client's ``X-Request-Id`` if it can be used, else API Gateway's own id."""
    sent = header(event, "x-request-id")
    return (
        sent if sent is not None and is_request_id(sent) else event["requestContext"]["requestId"]
    )


def secured(response: dict[str, Any]) -> dict[str, Any]:
    """Add what every response has for browsers; headers that it has already stay."""
    return _with_headers(response, SECURITY_HEADERS)


def serve_api(cors_origin: str) -> Callable[[Handler], Handler]:
    """Decorate the handler of a function behind the REST API.

    A ``ProblemError`` it raises is logged and becomes its response. Every response gets its
    ``X-Request-Id``, the headers for browsers and, if pages of ``cors_origin`` may call the API,
    those of CORS.
    """
    common = dict(SECURITY_HEADERS)
    if cors_origin:
        common["Access-Control-Allow-Origin"] = cors_origin
        common["Access-Control-Expose-Headers"] = READABLE_HEADERS

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def answering(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
            request_id = request_id_of(event)
            begin(request_id)
            try:
                response = handler(event, context)
            except ProblemError as problem:
                logger.info("problem", extra={"code": problem.code, "field": problem.field})
                response = problem_response(problem)
            return _with_headers(response, {**common, "X-Request-Id": request_id})

        return answering

    return decorate


def _with_headers(response: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Add headers that a response lacks."""
    given = {name.lower() for name in response["headers"]}
    added = {name: value for name, value in headers.items() if name.lower() not in given}
    return {**response, "headers": {**response["headers"], **added}}
