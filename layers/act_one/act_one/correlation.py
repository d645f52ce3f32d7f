"""What log lines are about: the request at hand, and the task once its row is known.

    key             of what
    request_id      the request, message or event that is handled, if it has an id
    task_id         the task whose row was read or written last
    correlation_id  that task's, which is the id of the request that made it; the request's before

So one id finds a task's lines in the logs of all functions. The keys are kept apart for each thread
and each ``contextvars`` context.
"""

import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

from aws_lambda_powertools.logging.formatter import set_context_keys

MAX_CHARACTERS: Final = 128
_VISIBLE: Final = re.compile(rf"[!-~]{{1,{MAX_CHARACTERS}}}")
_request: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def is_request_id(text: object) -> bool:
    """Return whether a text of a caller's can be used: 1 to 128 visible ASCII characters."""
    return isinstance(text, str) and _VISIBLE.fullmatch(text) is not None


def begin(request_id: str) -> None:
    """Begin to handle a request, message or event with this id."""
    _request.set(request_id)
    _name(request_id=request_id)
    about_request()


def about_request() -> None:
    """Let the log lines be about the request, not about a task that was read for it."""
    _name(task_id=None, correlation_id=_request.get())


def about_task(task_id: str, correlation_id: str | None = None) -> None:
    """Let the log lines from now on be about a task; ``correlation_id`` is that of its row."""
    _name(task_id=task_id, correlation_id=correlation_id)


def of_request() -> str | None:
    """Return the id of the request at hand, which a task made for it keeps; None: there is none."""
    return _request.get()


def records_of(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the messages of a Lambda event of SQS; the log lines about each have its own id."""
    for record in event["Records"]:
        begin(record["messageId"])
        yield record


def _name(**keys: Any) -> None:  # noqa: ANN401 - Powertools types each value as a dictionary
    set_context_keys(**keys)
