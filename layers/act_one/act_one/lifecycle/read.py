"""A task as its client may see it: its own tasks only, results with links that live an hour."""

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from act_one.aws import LINK_SECONDS
from act_one.json_types import Json
from act_one.problems import ProblemError
from act_one.tasks.documents import api_document
from act_one.tasks.table import TaskTable
from act_one.tasks.task import EVENTS_CLIENT, UPLOADS_CLIENT, Task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OF_THE_STACK: Final = frozenset({UPLOADS_CLIENT, EVENTS_CLIENT})
"""Whose tasks every API key of the stack may read: they belong to the account, to no key."""


def own_task(task_id: str, client_id: str, table: TaskTable) -> Task:
    """Read the row of a client's own task, or of one that came by the bucket or the bus.

    Raises ``ProblemError`` 404 for a task that is not there or is another client's: which of the
    two is nobody else's business.
    """
    task = table.read(task_id)
    if task is None or task.client_id not in {client_id, *OF_THE_STACK}:
        raise ProblemError(
            404,
            "task-not-found",
            "There is no such task",
            "no task of this API key has that id; it may have been removed after its retention",
            field="task_id",
        )
    return task


def with_links(task: Task, s3: "S3Client") -> dict[str, Json]:
    """Write a task with a presigned ``url`` for each object of its output."""
    shown = api_document(task)
    output = shown["output"]
    if isinstance(output, dict):
        shown["output"] = {name: _linked(stored, s3) for name, stored in output.items()}
    return shown


def _linked(stored: Json, s3: "S3Client") -> Json:
    if not isinstance(stored, dict):
        return stored
    place = urlsplit(str(stored["s3_uri"]))
    url = s3.generate_presigned_url(
        "get_object",
        Params={"Bucket": place.netloc, "Key": place.path.lstrip("/")},
        ExpiresIn=LINK_SECONDS,
    )
    return {"url": url, **stored}
