"""What the API's routes are for. A new route needs one entry in ``ROUTES``.

The generator takes methods and paths from template.yaml, checks that each has an entry here, and
adds what is the same for all: the key, path parameters, and the problems that API Gateway answers
with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from act_one.correlation import MAX_CHARACTERS
from act_one.inputs.query import DEFAULT_LIMIT, MAX_LIMIT
from act_one.inputs.request import MAX_KEY_CHARACTERS
from act_one.lifecycle.waiting import LONGEST_WAIT
from act_one.tasks.documents import STATUSES
from tools.openapi.schemas import EXAMPLE_ID


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply that is no problem.

    ``schema`` names one of ``schemas.py``; ``media_types`` are those of other content; a reply
    without a body has none. ``headers`` name entries of ``HEADERS``, beside those of
    ``OF_EVERY_REPLY``. ``is_task``: its body has the id that other routes take.
    """

    description: str
    schema: str | None = None
    others: tuple[str, ...] = ()
    """Other schemas that the body may have instead."""
    media_types: tuple[str, ...] = ("application/json",)
    headers: tuple[str, ...] = ()

    @property
    def is_task(self) -> bool:
        return self.schema == "Task"


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route, ``problems`` beside those of ``OF_EVERY_ROUTE``, by their codes.

    ``operation`` is its id, which generated clients name a function by. ``body`` names the schemas
    of which the body must match one. ``parameters`` name entries of ``PARAMETERS``; those in the
    path and of ``OF_EVERY_REQUEST`` are added. ``public``: it takes no API key.
    """

    operation: str
    tag: str
    summary: str
    replies: Mapping[int, Reply]
    description: str = ""
    problems: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    needs_body: bool = True
    body_examples: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    public: bool = False
    error_schema: str | None = None
    """The form of errors that the code raises, if they are no problem documents."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """Statuses of codes that this route answers with another one than others."""


TAGS: Final = {
    "tasks": "Transfers, and what became of them.",
    "uploads": "Files of yours that have no URL.",
    "webhooks": "Calls from the stack to your endpoint.",
    "cometapi": "The provider's own routes, for clients that were written for it.",
    "description": "This description. It takes no key.",
}

HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    "Location": {
        "description": "Where the task can be read, relative to the request's URL.",
        "schema": {
            "type": "string",
            "format": "uri-reference",
            "pattern": "^(tasks|[.][.])/task_[0-9a-f]{32}$",
        },
    },
    "Idempotent-Replayed": {
        "description": "The task existed before: nothing was created or paid.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try or, of an open task, the next read.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Preference-Applied": {
        "description": "How long the reply was ready to wait for the end; missing without a wait.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
    },
    "X-Request-Id": {
        "required": True,
        "description": "The id that the request was sent with, if it could be used, or one that "
        "API Gateway made.",
        "schema": {"type": "string", "minLength": 1},
    },
}
OF_EVERY_REPLY: Final = ("X-Request-Id",)

PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "task_id": {
        "in": "path",
        "required": True,
        "description": "The task's id.",
        "schema": {"type": "string", "pattern": "^task_[0-9a-f]{32}$"},
        "example": EXAMPLE_ID,
    },
    "name": {
        "in": "path",
        "required": True,
        "description": "A page, or a file that a page needs.",
        "schema": {
            "type": "string",
            "enum": ["problems", "pages.css", "start.js", "swagger-ui.css", "swagger-ui.js"],
        },
    },
    "status": {
        "in": "query",
        "required": False,
        "description": "One or several, with commas.",
        "style": "form",
        "explode": False,
        "schema": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "enum": [*STATUSES]},
        },
    },
    "created_after": {
        "in": "query",
        "required": False,
        "description": "The beginning of a range of times, which includes it.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "created_before": {
        "in": "query",
        "required": False,
        "description": "The end of the range, which doesn't include it.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "limit": {
        "in": "query",
        "required": False,
        "description": "How many tasks a page may have.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_LIMIT,
            "default": DEFAULT_LIMIT,
        },
    },
    "next_token": {
        "in": "query",
        "required": False,
        "description": "Of the page before, for the same parameters but `limit`.",
        "schema": {"type": "string"},
    },
    "wait": {
        "in": "query",
        "required": False,
        "description": "Seconds to wait for the task's end before the reply; more than "
        f"{LONGEST_WAIT} count as {LONGEST_WAIT}. It wins over `Prefer`.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
        "example": LONGEST_WAIT,
    },
    "refresh": {
        "in": "query",
        "required": False,
        "description": "Whether to ask the provider, unless that was done a moment ago. It makes "
        "up for a lost callback.",
        "schema": {"type": "boolean", "default": False},
    },
    "from": {
        "in": "query",
        "required": False,
        "description": "The first day; without it, 30 days before the last one.",
        "schema": {"type": "string", "format": "date"},
    },
    "to": {
        "in": "query",
        "required": False,
        "description": "The last day, at most 366 days after the first; without it, today.",
        "schema": {"type": "string", "format": "date"},
    },
    "X-Request-Id": {
        "in": "header",
        "required": False,
        "description": f"An id of yours: 1 to {MAX_CHARACTERS} visible ASCII characters; others "
        "are ignored. The reply has it, and a task that the request creates, as `correlation_id`.",
        "schema": {"type": "string"},
        "example": "checkout-7f3a",
    },
    "Prefer": {
        "in": "header",
        "required": False,
        "description": "`wait=25` waits for the task's end, as the parameter `wait` does (RFC "
        "7240). What can't be read is ignored.",
        "schema": {"type": "string"},
        "example": f"wait={LONGEST_WAIT}",
    },
    "X-Feed-Form": {
        "in": "header",
        "required": False,
        "description": "Which of CometAPI's two forms the reply has.",
        "schema": {"type": "string", "enum": ["legacy", "wrapped"], "default": "legacy"},
    },
    "Idempotency-Key": {
        "in": "header",
        "required": False,
        "description": "Names the intended transfer: the same key and body return the same task "
        "for as long as it exists. Without a key every request is a new task, and is paid for.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_KEY_CHARACTERS,
            "pattern": "\\S",
        },
        "example": "order-1001",
    },
}

OF_EVERY_REQUEST: Final = ("X-Request-Id",)

OF_EVERY_ROUTE: Final = ("too-many-requests", "timed-out", "failed", "refused")
OF_ROUTES_WITH_A_KEY: Final = (
    *("api-key-missing", "client-revoked", "quota-exceeded", "newer-release"),
)
OF_ROUTES_WITH_A_BODY: Final = ("body-too-large",)
ELSEWHERE: Final = {
    "upload-without-folder": "folders",
    "upload-ambiguous": "folders",
    "upload-incomplete": "folders",
    "task-json-invalid": "folders",
    "message-unknown": "messages",
    "client-unknown": "folders, events and messages",
    "client-not-yours": "events and messages",
    "not-found": "the callback URL",
}
"""Codes that no route of this API answers with, and where they come from."""

INPUT_PROBLEMS: Final = (
    *("body-missing", "body-not-json", "body-not-object", "unknown-field"),
    *("field-missing", "field-not-string", "field-empty"),
    *("url-invalid", "url-scheme", "url-credentials", "url-address", "url-too-long"),
    *("input-not-yours", "upload-id-invalid", "upload-id-and-url"),
    *("metadata-not-object", "metadata-not-text", "metadata-number", "metadata-too-deep"),
    *("metadata-too-large", "preflight-unknown", "webhook-twice", "webhook-not-object"),
    *("webhook-url-missing", "webhook-url-refused", "webhook-events"),
    *("idempotency-key-empty", "idempotency-key-too-long", "idempotency-key-reused"),
    *("input-unreachable", "input-wrong-type", "input-broken", "input-no-video", "input-cut-off"),
    *("input-too-large", "input-aspect-ratio", "input-too-long", "input-too-short"),
    *("input-not-there", "input-url-too-long", "provider-key-not-set"),
    *("consent-missing", "consent-invalid", "budget-exceeded", "too-many-open-tasks"),
    "task-erased",
)
"""What can be wrong with a transfer."""

_KNOWN: Final = ("task-not-found", "task-erased")
_QUERY: Final = ("unknown-parameter", "repeated-parameter")
_WAITING: Final = ("wait", "Prefer")
_CREATED: Final = ("Location", "Idempotent-Replayed", "Preference-Applied")
_RETRIED: Final = ("Location", "Idempotent-Replayed", "Retry-After")
_OF_SENDING: Final = (
    *("input-unreachable", "input-wrong-type", "input-broken", "input-no-video", "input-cut-off"),
    *("input-too-large", "input-aspect-ratio", "input-too-long", "input-too-short"),
    "input-url-too-long",
)
_OF_BATCHES: Final = (
    *INPUT_PROBLEMS,
    *("batch-size", "batch-unfinished", "idempotency-key-missing"),
)
_OF_RETRIES: Final = (
    *("task-not-found", "not-retryable", "retry-may-bill-twice"),
    *("body-missing", "body-not-json", "body-not-object", "unknown-field", "field-not-boolean"),
    *("preflight-unknown", "provider-key-not-set", "consent-missing", "budget-exceeded"),
    *("too-many-open-tasks", "input-not-there", "idempotency-key-reused", "task-erased"),
    *_OF_SENDING,
)

ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("POST", "/tasks"): Route(
        operation="submit_task",
        tag="tasks",
        summary="Submit a task",
        description="Checks the inputs, writes the task and sends it to the provider. Poll "
        "`Location`, send `wait`, or listen for the task's event or webhook. After a reply of 5xx, "
        "or none, send the same request with the same `Idempotency-Key` again: it is never paid "
        "twice.",
        body=("TransferOfUrls", "TransferOfUpload"),
        body_examples={
            "urls": {
                "video": "https://media.example.com/performance.mp4",
                "image": "https://media.example.com/character.png",
                "metadata": {"order": "42"},
            },
            "upload": {"upload_id": "5f2b8c0d9e4a7163"},
        },
        parameters=("Idempotency-Key", *_WAITING),
        replies={
            202: Reply(
                description="The task was created, or exists, and isn't done.",
                schema="Task",
                headers=(*_CREATED, "Retry-After"),
            ),
            200: Reply(
                description="The task is done: a repeat, rejected at once, or waited for. Or the "
                "request is a dry run.",
                schema="Task",
                others=("DryRun",),
                headers=_CREATED,
            ),
        },
        problems=(*INPUT_PROBLEMS, *_QUERY, "wait-invalid", "field-not-boolean"),
    ),
    ("POST", "/tasks/batch"): Route(
        operation="submit_batch",
        tag="tasks",
        summary="Submit many tasks",
        description="Each request becomes a task at once, which waits to be sent, or a problem. "
        "Inputs are checked when the tasks are sent.",
        body=("Batch",),
        body_examples={
            "two": {
                "tasks": [
                    {
                        "idempotency_key": f"order-{number}",
                        "video": f"https://media.example.com/{number}.mp4",
                        "image": "https://media.example.com/character.png",
                    }
                    for number in (1001, 1002)
                ]
            }
        },
        replies={207: Reply(description="What became of each.", schema="BatchResults")},
        problems=(*_OF_BATCHES,),
    ),
    ("POST", "/tasks/{task_id}/retry"): Route(
        operation="retry_task",
        tag="tasks",
        summary="Repeat a task that has no result",
        description="Creates a task with the same inputs and options, once: a second call returns "
        "the same task. If the result is at the provider but could not be fetched, the task itself "
        "is returned, and fetched again at no cost.",
        body=("Retry",),
        needs_body=False,
        replies={
            202: Reply(description="The task is under way.", schema="Task", headers=_RETRIED),
            200: Reply(description="It has ended.", schema="Task", headers=_RETRIED),
        },
        problems=_OF_RETRIES,
    ),
    ("GET", "/tasks"): Route(
        operation="list_tasks",
        tag="tasks",
        summary="List your tasks",
        # OpenAPI has no words for a parameter whose name is only begun.
        description="Newest first, in pages; the last page is the one whose `next_token` is null. "
        "`metadata.NAME=TEXT` in the query asks for tasks whose `metadata` has that text, number "
        "or boolean under that name; it may be there for several names. All parameters must "
        "apply.",
        parameters=("status", "created_after", "created_before", "limit", "next_token"),
        replies={200: Reply(description="A page of tasks.", schema="TaskPage")},
        problems=(
            *(*_QUERY, "status-unknown", "time-invalid", "time-range-empty", "limit-invalid"),
            *("next-token-invalid", "too-busy"),
        ),
    ),
    ("GET", "/tasks/{task_id}"): Route(
        operation="get_task",
        tag="tasks",
        summary="Read a task",
        description="Once it has succeeded, `output` has links to the stored files.",
        parameters=(*_WAITING, "refresh"),
        replies={
            200: Reply(
                description="The task. Open ones have `Retry-After`.",
                schema="Task",
                headers=("Retry-After", "Preference-Applied"),
            )
        },
        problems=(*_KNOWN, *_QUERY, "wait-invalid", "refresh-invalid"),
    ),
    ("POST", "/tasks/{task_id}/cancel"): Route(
        operation="cancel_task",
        tag="tasks",
        summary="Cancel a task that was not sent",
        description="A canceled task is returned as it is.",
        replies={200: Reply(description="The canceled task.", schema="Task")},
        problems=(*_KNOWN, "not-cancelable"),
    ),
    ("DELETE", "/tasks/{task_id}"): Route(
        operation="erase_task",
        tag="tasks",
        summary="Erase a task that has ended",
        description="Deletes its results, its uploaded inputs and what is known of it, but for a "
        "tombstone. It can't be undone. After a reply of 5xx, or none, repeat it.",
        replies={200: Reply(description="It is erased, now or before.", schema="Erased")},
        problems=("task-not-found", "task-not-yours", "not-erasable"),
    ),
    ("POST", "/tasks/{task_id}/webhook-deliveries"): Route(
        operation="send_webhook_again",
        tag="webhooks",
        summary="Send a task's webhook again",
        description="With the task's current state, whatever was delivered before.",
        replies={202: Reply(description="The webhook is queued.", schema="Task")},
        problems=(*_KNOWN, "no-webhook", "nothing-to-send", "webhook-sent-lately"),
    ),
    ("GET", "/webhook-secret"): Route(
        operation="get_webhook_secret",
        tag="webhooks",
        summary="Read the secrets that sign your webhooks",
        replies={200: Reply(description="The secrets.", schema="WebhookSecrets")},
        problems=("webhook-secret-not-set",),
    ),
    ("POST", "/uploads"): Route(
        operation="open_upload",
        tag="uploads",
        summary="Open an upload",
        description="Returns two forms for presigned POSTs to S3, valid for 15 minutes.",
        replies={201: Reply(description="The forms.", schema="Upload")},
    ),
    ("GET", "/usage"): Route(
        operation="get_usage",
        tag="tasks",
        summary="Read what your tasks cost",
        description="By days; those without tasks are left out.",
        parameters=("from", "to"),
        replies={200: Reply(description="The days, oldest first.", schema="Usage")},
        problems=(*_QUERY, "date-invalid"),
    ),
    ("POST", "/runway/pro/act_one"): Route(
        operation="create_as_cometapi",
        tag="cometapi",
        summary="Submit a task, in CometAPI's form",
        body=("CometApiTransfer",),
        parameters=("Idempotency-Key",),
        replies={
            200: Reply(
                description="The task's id.",
                schema="CometApiCreated",
                headers=("Idempotent-Replayed",),
            )
        },
        problems=(*INPUT_PROBLEMS, "field-not-boolean"),
        error_schema="CometApiError",
    ),
    ("POST", "/runway/feed"): Route(
        operation="feed_as_cometapi",
        tag="cometapi",
        summary="Read a task, in CometAPI's form",
        body=("CometApiTaskId",),
        parameters=("X-Feed-Form",),
        replies={200: Reply(description="The task.", schema="CometApiFeed")},
        problems=("task-id-missing", "feed-form-unknown", *_KNOWN),
        error_schema="CometApiError",
        statuses={"task-not-found": 400},
    ),
    ("GET", "/openapi.json"): Route(
        operation="get_openapi",
        tag="description",
        summary="Read this description",
        replies={200: Reply(description="An OpenAPI document.")},
        problems=("no-such-route",),
        public=True,
    ),
    ("GET", "/docs"): Route(
        operation="get_docs",
        tag="description",
        summary="Open this description as a page",
        replies={200: Reply(description="A page with Swagger UI.", media_types=("text/html",))},
        problems=("no-such-route",),
        public=True,
    ),
    ("GET", "/docs/{name}"): Route(
        operation="get_docs_page",
        tag="description",
        summary="Open the page of problems",
        description="`type` of a problem leads here.",
        replies={
            200: Reply(
                description="A page, or a file that a page needs.",
                media_types=("text/html", "text/css", "text/javascript"),
            )
        },
        problems=("no-such-route",),
        public=True,
    ),
}
