"""A page of a client's tasks, newest first, by the index ``client``: never a scan.

The index has keys only, so a task costs it one write. The rows of a page are read from the table
and filtered here, 1,000 of them at most: a page may be short, even empty, and have a next one.

A token says where its page ended, and has a digest of that place, the client and the query. It
needs no secret: it grants nothing, because every query is about the client's own tasks.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_lambda_powertools import Logger

from act_one.inputs.query import PageQuery, TaskQuery, text_of
from act_one.problems import ProblemError
from act_one.tasks.documents import status_of
from act_one.tasks.identifiers import is_task_id
from act_one.tasks.rows import read_item
from act_one.tasks.schema import UnreadableRowError
from act_one.tasks.table import MAX_BATCH, Place, TaskTable
from act_one.tasks.task import Task

MAX_EXAMINED: Final = 1_000
"""How many rows are read for one page."""
SMALLEST_BATCH: Final = 10
"""Rows that are read at once after the first ones, so that a page takes few calls."""
_DIGEST_DIGITS: Final = 32
_PLACE: Final = re.compile(r"([0-9]{1,15})\.(\w+)\.([0-9a-f]+)")

logger = Logger(child=True)


def list_tasks(query: PageQuery, client_id: str, table: TaskTable) -> tuple[list[Task], str | None]:
    """Return a page of a client's tasks, newest first, and the token of the next; None: the last.

    Raises ``ProblemError``: 400 for a token of another client or query, 503 while the table is too
    busy to be read.
    """
    place = None
    if query.next_token is not None:
        place = _place_in(query.next_token, client_id, query.tasks)
    found: list[Task] = []
    examined, size, more = 0, query.limit, True
    while more and len(found) < query.limit and examined < MAX_EXAMINED:
        places, more = table.of_client(
            client_id,
            min(size, MAX_EXAMINED - examined),
            beyond=place,
            since=query.tasks.since,
            until=query.tasks.until,
        )
        rows, unread = table.read_rows([one.task_id for one in places])
        for one in places:
            if one.task_id in unread:
                if examined == 0:
                    raise _too_busy()
                return found, _token(place, client_id, query.tasks)
            if len(found) == query.limit:
                more = True
                break
            place, examined = one, examined + 1
            task = _readable(one.task_id, rows.get(one.task_id))
            if task is not None and _is_asked_for(task, query.tasks):
                found.append(task)
        size = _next_size(query.limit - len(found), examined, len(found))
    return found, _token(place, client_id, query.tasks) if more else None


def _next_size(wanted: int, examined: int, found: int) -> int:
    """Return how many rows to read for those still wanted: half as many again as it took so far."""
    likely = math.ceil(1.5 * wanted * examined / max(1, found))
    return min(MAX_BATCH, max(SMALLEST_BATCH, likely))


def _readable(task_id: str, row: Mapping[str, Any] | None) -> Task | None:
    """Read a row; None if it is gone, or if this code can't read it."""
    try:
        return None if row is None else read_item(row)
    except UnreadableRowError:
        logger.exception("unreadable row", extra={"task_id": task_id})
        return None


def _is_asked_for(task: Task, query: TaskQuery) -> bool:
    if task.erasing_since is not None:
        return False
    if query.statuses and status_of(task.stage) not in query.statuses:
        return False
    return all(text_of(task.metadata.get(name)) == text for name, text in query.metadata)


def _too_busy() -> ProblemError:
    return ProblemError(
        503,
        "too-busy",
        "The tasks could not be read",
        "the table is busy; send the same request again",
        retryable=True,
        retry_after=1,
    )


# ── Tokens ────────────────────────────────────────────────────────────────────────────────────


def _token(place: Place | None, client_id: str, query: TaskQuery) -> str | None:
    if place is None:
        return None
    milliseconds = round(place.created_at * 1_000)
    digest = _digest(place, client_id, query)
    text = f"{milliseconds}.{place.task_id}.{digest}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place_in(token: str, client_id: str, query: TaskQuery) -> Place:
    """Read a token of this client and query. Raises ``ProblemError`` 400 for any other."""
    try:
        padded = token + "=" * (-len(token) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        raise _not_ours() from None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise _not_ours()
    milliseconds, task_id, digest = found.groups()
    place = Place(task_id, int(milliseconds) / 1_000)
    in_range = (query.since or 0.0) <= place.created_at <= (query.until or float("inf"))
    if digest != _digest(place, client_id, query) or not is_task_id(task_id) or not in_range:
        raise _not_ours()
    return place


def _digest(place: Place, client_id: str, query: TaskQuery) -> str:
    parts: Sequence[object] = (
        place.task_id,
        place.created_at,
        client_id,
        sorted(query.statuses),
        query.since,
        query.until,
        query.metadata,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGEST_DIGITS]


def _not_ours() -> ProblemError:
    return ProblemError(
        400,
        "next-token-invalid",
        "The next_token is invalid",
        "use a next_token with the API key and the parameters of the page that it came with",
        field="next_token",
    )
