"""Serves the provider's routes to clients that were written for the provider."""

import json
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final

from aws_lambda_powertools import Logger

from act_one.http_events import json_response
from act_one.json_types import Json
from act_one.problems import ProblemError
from act_one.provider.documents import FeedForm, failure, failure_status

FEED_FORM_HEADER: Final = "x-feed-form"
"""A header of ours, because the provider publishes two forms and no way to choose one."""

type Headers = Mapping[str, str]

logger = Logger(child=True)


def answer_as_provider(
    answer: Callable[[], tuple[Mapping[str, Json], Headers]],
) -> dict[str, Any]:
    """Return a proxy response with the body and headers that ``answer`` returns.

    A ``ProblemError`` that it raises is logged and becomes an error of the provider's form.
    ``exec_time`` is how many seconds the reply took.
    """
    began = monotonic()
    status = 200
    try:
        body, headers = answer()
    except ProblemError as problem:
        logger.info("problem", extra={"code": problem.code, "field": problem.field})
        status, body = failure_status(problem), failure(problem)
        seconds = problem.retry_after
        headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return json_response(status, {**body, "exec_time": round(monotonic() - began, 6)}, headers)


def feed_task_id(body: bytes | None) -> str:
    """Read the id from the body of a feed request. Raises ``ProblemError``."""
    try:
        asked = json.loads(body or b"")
    except (ValueError, RecursionError):
        asked = None
    task_id = asked.get("task_id") if isinstance(asked, dict) else None
    if not isinstance(task_id, str) or not task_id:
        raise ProblemError(
            400,
            "task-id-missing",
            "The feed needs the id of a task",
            'send the JSON object {"task_id": "task_…"} with the id that the create replied',
            field="task_id",
        )
    return task_id


def feed_form(asked: str | None) -> FeedForm:
    """Read the header ``X-Feed-Form``; without it, the form is legacy. Raises ``ProblemError``."""
    try:
        return FeedForm.LEGACY if asked is None else FeedForm(asked.strip().lower())
    except ValueError:
        raise ProblemError(
            400,
            "feed-form-unknown",
            "The feed has no such form",
            f"X-Feed-Form is {' or '.join(FeedForm)}; without it, the reply is {FeedForm.LEGACY}",
            field="X-Feed-Form",
        ) from None
