"""Reading a task: clients see their own tasks, and get links to results that last an hour."""

from typing import TYPE_CHECKING

from act_one.clients.client import Client
from act_one.clock import rfc3339
from act_one.json_types import Json
from act_one.lifecycle.estimate import retry_after
from act_one.problems import ProblemError, TaskErasedError
from act_one.settings import Settings
from act_one.tasks.documents import api_document
from act_one.tasks.durations import Durations
from act_one.tasks.identifiers import is_task_id
from act_one.tasks.links import presigned
from act_one.tasks.schema import NewerRowError
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def own_task(task_id: str, client: Client, table: TaskTable) -> Task:
    """Read a task of this client, or of a shared one whose tasks it may read.

    Raises ``ProblemError`` 404 as ``visible_task`` does, and 410 for an erased task.
    """
    return not_erased(visible_task(task_id, client, table))


def not_erased(task: Task) -> Task:
    """Return the task. Raises ``ProblemError`` 410 if its erasure has begun."""
    if task.erasing_since is None:
        return task
    raise TaskErasedError(task.task_id, None if task.erased_at is None else rfc3339(task.erased_at))


def visible_task(task_id: str, client: Client, table: TaskTable) -> Task:
    """Read a task that this client may know of, erased or not.

    Raises ``ProblemError`` 404 for a task that does not exist and for one of another client alike,
    so that ids of other clients can't be probed. Raises ``NewerRowError`` for a task of this client
    that a newer release wrote.
    """
    try:
        task = table.read(task_id) if is_task_id(task_id) else None
    except NewerRowError as newer:
        if newer.client_id not in client.readable:
            raise task_not_found() from newer
        raise
    if task is None or task.client_id not in client.readable:
        raise task_not_found()
    return task


def task_not_found() -> ProblemError:
    """Return the problem of an id that is no task of the client's."""
    return ProblemError(
        404,
        "task-not-found",
        "The task does not exist",
        "no task that this client may read has that id; "
        "it may have been removed after its retention",
        field="task_id",
    )


def with_links(task: Task, s3: "S3Client", settings: Settings, now: float) -> dict[str, Json]:
    """Write a task with a presigned ``url`` for each object of its output.

    ``url`` is None for an object that has expired in the bucket: a row may outlive its objects.
    """
    shown = api_document(task)
    output = shown["output"]
    if isinstance(output, dict):
        expires_at = settings.result_expires_at(task.updated_at)
        expired = expires_at is not None and now >= expires_at
        shown["output"] = {
            name: _linked(stored, s3, expired=expired) for name, stored in output.items()
        }
    return shown


def reading_headers(task: Task, durations: Durations, waited: int, now: float) -> dict[str, str]:
    """Return when to read an open task again, and which wait the reply is the answer to."""
    headers = {"Preference-Applied": f"wait={waited}"} if waited else {}
    if not task.done:
        headers["Retry-After"] = str(retry_after(task, durations, now))
    return headers


def _linked(stored: Json, s3: "S3Client", *, expired: bool) -> Json:
    if not isinstance(stored, dict):
        return stored
    if expired:
        return {"url": None, **stored}
    return {"url": presigned(str(stored["s3_uri"]), s3), **stored}
