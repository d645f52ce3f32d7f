"""The copy of a task's result: claim the row, copy the media, write ``task.json``, move the row.

A copy that fails releases its claim and makes the row due; the fallback then starts another
attempt with a fresh URL from the feed. So the copy needs no provider key, and its queue retries
nothing.
"""

import traceback
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Final

import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from act_one.clock import HOUR
from act_one.lifecycle.services import Services
from act_one.media import copy
from act_one.media.copy import Destination, MediaError
from act_one.media.facts import RESULT_IMAGE_TYPES, RESULT_VIDEO_TYPES
from act_one.media.labels import object_labels
from act_one.net import downloads
from act_one.settings import Settings
from act_one.tasks import moves
from act_one.tasks.documents import document, readable_json
from act_one.tasks.links import result_prefix
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import MediaUrls, Notice, Output, StoredMedia, Task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LEASE_MARGIN_SECONDS: Final = 60.0
"""A lease outlives the function that holds it, so that two copies never overlap."""
IMAGES_SECONDS: Final = 30.0
"""For poster and last frame together: they are optional, and must not cost the video."""
MAX_RESULT_IMAGE_BYTES: Final = 33_554_432
RETRY_SECONDS: Final = 5.0
RETRY_MAX_SECONDS: Final = HOUR

logger = Logger(child=True)
metrics = Metrics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where results go, and the way out to where they come from."""

    bucket: str
    s3: "S3Client"
    s3_once: "S3Client"
    """For bodies that can't be sent again: one attempt for each call."""
    http: requests.Session

    def open_url(self, url: str, seconds: float, max_bytes: int) -> downloads.Download:
        """GET a media URL, as far as the session's policy allows."""
        return downloads.get(url, self.http, seconds=seconds, max_bytes=max_bytes)


def store_result(task_id: str, services: Services, storage: Storage) -> Task | None:
    """Copy the result of a `storing` task into the bucket; return the row.

    None if there is nothing to copy now: another attempt holds a live lease, or the stage is
    another.
    """
    settings = services.settings
    lease = settings.copy_timeout_seconds + LEASE_MARGIN_SECONDS
    try:
        task = services.table.claim_copy(task_id, services.clock(), lease)
    except MovedOnError:
        return None
    if task.source is None:
        message = f"{task_id} is storing without a source"
        raise ValueError(message)
    try:
        video = _copy_video(task, task.source, settings, storage)
        images, warnings = _copy_images(task, task.source, storage)
    except MediaError as error:
        logger.warning("copy failed", extra={"code": error.code, "reason": str(error)})
        return _try_later(task, error, services)
    except Exception as error:  # noqa: BLE001 - the claim is given up whatever went wrong
        # The error's own message is not logged: it may hold a signed URL.
        where = traceback.format_tb(error.__traceback__)
        logger.warning("copy error", extra={"error": type(error).__name__, "traceback": where})
        metrics.add_metric("CopyErrors", MetricUnit.Count, 1)
        unforeseen = MediaError("copy_error", f"{type(error).__name__}; the copy's log has more")
        return _try_later(task, unforeseen, services)
    return _succeed(task, Output(video=video, **images), warnings, services, storage)


def _copy_video(task: Task, source: MediaUrls, settings: Settings, storage: Storage) -> StoredMedia:
    return copy.copy(
        source.video,
        _destination(task, "video", storage),
        types=RESULT_VIDEO_TYPES,
        max_bytes=settings.max_media_bytes,
        seconds=settings.copy_timeout_seconds - IMAGES_SECONDS - 15.0,
        open_url=storage.open_url,
        s3=storage.s3,
        s3_once=storage.s3_once,
        adopt_first=_is_repeated(task),
    )


def _is_repeated(task: Task) -> bool:
    """Return whether an earlier attempt may have stored files, whose row write was then lost."""
    return task.copy_attempts > 1


def _copy_images(
    task: Task, source: MediaUrls, storage: Storage
) -> tuple[dict[str, StoredMedia], tuple[Notice, ...]]:
    """Copy poster and last frame; one that can't be had becomes a warning."""
    ends_at = monotonic() + IMAGES_SECONDS
    images: dict[str, StoredMedia] = {}
    warnings = task.warnings
    for name, url in (("poster", source.poster), ("last_frame", source.last_frame)):
        if url is None:
            continue
        try:
            images[name] = copy.copy(
                url,
                _destination(task, name, storage),
                types=RESULT_IMAGE_TYPES,
                max_bytes=MAX_RESULT_IMAGE_BYTES,
                seconds=ends_at - monotonic(),
                open_url=storage.open_url,
                s3=storage.s3,
                s3_once=storage.s3_once,
                adopt_first=_is_repeated(task),
            )
        except MediaError as error:
            missing = Notice(code=f"{name}_missing", message=f"{error.code}: {error}")
            warnings = replace(task, warnings=warnings).with_warning(missing)
    return images, warnings


def _destination(task: Task, name: str, storage: Storage) -> Destination:
    key = f"{result_prefix(task)}{name}"
    return Destination(bucket=storage.bucket, key=key, metadata=object_labels(task))


def _succeed(
    task: Task,
    output: Output,
    warnings: tuple[Notice, ...],
    services: Services,
    storage: Storage,
) -> Task:
    """Write ``task.json`` beside the media, as the task will be, then move the row."""
    now = services.clock()
    step = moves.to_succeeded(output, warnings, now, services.settings)
    _write_task_json(moves.applied(task, step, now), storage)
    try:
        return services.table.apply(task, step, now)
    except MovedOnError as error:
        # The lease ran out and another attempt took over; it adopts these same objects.
        logger.warning("copied, but the task moved on")
        return error.current or task


def _write_task_json(task: Task, storage: Storage) -> None:
    storage.s3.put_object(
        Bucket=storage.bucket,
        Key=f"{result_prefix(task)}task.json",
        Body=readable_json(document(task)),
        ContentType="application/json",
        Metadata=object_labels(task),
    )


def _try_later(task: Task, error: MediaError, services: Services) -> Task:
    backoff = min(RETRY_MAX_SECONDS, RETRY_SECONDS * 2.0 ** min(task.copy_attempts - 1, 12))
    warnings = task.with_warning(Notice(code="copy_retried", message=f"{error.code}: {error}"))
    now = services.clock()
    try:
        return services.table.release_copy(task, now, due_at=now + backoff, warnings=warnings)
    except MovedOnError as moved:
        return moved.current or task
