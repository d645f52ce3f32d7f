"""Where the stored results of a task are, and links to them: presigned URLs of an hour."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from act_one.aws import LINK_SECONDS
from act_one.clock import day_path
from act_one.settings import Settings
from act_one.tasks.task import StoredMedia, Task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Presigned URLs of a task's results; None for what there is not, or not any more."""

    video: str | None = None
    poster: str | None = None
    last_frame: str | None = None


type Linking = Callable[[Task], Links]
"""Makes the links of a task."""


def result_prefix(task: Task) -> str:
    """Name the folder of a task's results: ``tasks/{yyyy}/{mm}/{dd}/{task_id}/``, by creation."""
    return f"tasks/{day_path(task.created_at)}/{task.task_id}/"


def presigned(s3_uri: str, s3: "S3Client") -> str:
    """Return a URL with which anyone may get the object for an hour."""
    place = urlsplit(s3_uri)
    return s3.generate_presigned_url(
        "get_object",
        Params={"Bucket": place.netloc, "Key": place.path.lstrip("/")},
        ExpiresIn=LINK_SECONDS,
    )


def links_of(task: Task, s3: "S3Client", settings: Settings, now: float) -> Links:
    """Return the links of a task, without those to objects that have expired in the bucket."""
    output = task.output
    expires_at = settings.result_expires_at(task.updated_at)
    if output is None or (expires_at is not None and now >= expires_at):
        return Links()

    def link(stored: StoredMedia | None) -> str | None:
        return None if stored is None else presigned(stored.s3_uri, s3)

    return Links(
        video=link(output.video), poster=link(output.poster), last_frame=link(output.last_frame)
    )
