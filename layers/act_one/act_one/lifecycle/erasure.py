"""Erasing a task that has ended: its row forbids its return, then its files go, then its data.

    begin   the row: ``erasing_since``; from now on no other write changes it
    files   what the buckets have of the task, all versions
    end     the row: its tombstone, in place of all that it held

A call that dies between two steps leaves an erasure that has begun, which the next call finishes:
every step may be repeated. Nothing else takes it up, so the caller repeats it until it succeeds.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from act_one.clients.client import Client
from act_one.clock import Clock, rfc3339
from act_one.inputs.bucket import INCOMING, OUTGOING, RESULT, UPLOADS
from act_one.json_types import Json
from act_one.media.facts import RESULT_VIDEO_TYPES
from act_one.problems import ProblemError
from act_one.tasks.links import result_prefix
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage, Task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STRAGGLER_SECONDS: Final = 60.0
"""How long a request of a copy that was given up may still be on its way to the bucket."""

_COPIES: Final = frozenset({RESULT, *(f"result.{end}" for end in RESULT_VIDEO_TYPES.values())})
"""The names of what is written into a folder of ``outgoing/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFiles:
    """The buckets that have files of tasks, and a client that may delete them."""

    s3: "S3Client"
    results: str
    uploads: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """One version of an object; ``latest``: what a read without a version gets."""

    key: str
    version: str
    latest: bool
    is_marker: bool


def own(task: Task, client: Client) -> Task:
    """Return the task if it is the client's own. Raises ``ProblemError`` 403 for a shared one."""
    if task.client_id in {client.name} | client.former_ids:
        return task
    raise ProblemError(
        403,
        "task-not-yours",
        "The task is not this client's own",
        f"tasks of {task.client_id} are shared: this client may read and cancel them; "
        "the stack's operator erases them, with python -m ops.erase",
        field="task_id",
    )


def erase(task: Task, table: TaskTable, files: TaskFiles, clock: Clock) -> Task:
    """Erase a task, or finish its erasure; an erased one is returned as it is.

    Raises ``ProblemError`` 409 for a task that is open, or whose copy may have requests under way,
    and ``MovedOnError`` if the row is gone.
    """
    if task.erased_at is not None:
        return task
    try:
        if task.erasing_since is None:
            now = clock()
            _refuse_early(task, now)
            task = table.begin_erasure(task, now)
        delete_files(task, files)
        return table.end_erasure(task, clock())
    except MovedOnError as error:
        # The task came back just before, or another call erases it too.
        if error.current is None:
            raise
        return erase(error.current, table, files, clock)


def erased_document(task: Task) -> dict[str, Json]:
    """Write what a client is told of its erased task."""
    return {
        "id": task.task_id,
        "erased_at": None if task.erased_at is None else rfc3339(task.erased_at),
    }


def _refuse_early(task: Task, now: float) -> None:
    if not task.done:
        raise ProblemError(
            409,
            "not-erasable",
            "The task can't be erased yet",
            f"the task is {task.stage}; wait for its end, or cancel it while it is accepted",
        )
    wait = task.updated_at + STRAGGLER_SECONDS - now
    if _was_copied_in_vain(task) and wait > 0:
        seconds = math.ceil(wait)
        raise ProblemError(
            409,
            "not-erasable",
            "The task can't be erased yet",
            "an attempt to store its result failed a moment ago, and what it sent may still "
            f"arrive; try again in {seconds} s",
            retry_after=seconds,
        )


def _was_copied_in_vain(task: Task) -> bool:
    """Return whether a copy failed, so that a request of it may still be under way."""
    return task.copy_attempts > (1 if task.stage is Stage.SUCCEEDED else 0)


# ── Files ─────────────────────────────────────────────────────────────────────────────────────


def delete_files(task: Task, files: TaskFiles) -> None:
    """Delete what the buckets have of a task, all versions; what is gone already doesn't matter.

    Those are its results, its inputs among the client's uploads, and what was written about it into
    the folders that it came from. The inputs in ``incoming/`` are left to their own expiry.
    """
    inputs = f"s3://{files.uploads}/"
    if task.origin is not None and task.origin.startswith(f"{inputs}{INCOMING}"):
        name = task.origin.removeprefix(f"{inputs}{INCOMING}")
        _delete_copies(task, f"{OUTGOING}{name}", _COPIES, files)
        _delete_copies(task, f"{INCOMING}{name}", frozenset({RESULT}), files)
    for uri in (task.video, task.image):
        if uri.startswith(f"{inputs}{UPLOADS}{task.client_id}/"):
            key = uri.removeprefix(inputs)
            found = (one for one in _versions(files.uploads, key, files.s3) if one.key == key)
            _delete(found, files.uploads, files.s3)
    _delete(_versions(files.results, result_prefix(task), files.s3), files.results, files.s3)


def _delete_copies(task: Task, folder: str, names: frozenset[str], files: TaskFiles) -> None:
    """Delete what was written into a folder about the task, and what that replaced.

    If a newer task of the folder has written its own, that stays. ``result.json``, which says whose
    files they are, goes last.
    """
    keys = {folder + name for name in names}
    found = [
        one for one in _versions(files.uploads, f"{folder}result.", files.s3) if one.key in keys
    ]
    result = next((one for one in found if one.key == folder + RESULT and one.latest), None)
    is_others = (
        result is not None and not result.is_marker and _id_in(result, files) != task.task_id
    )
    doomed = [one for one in found if not (is_others and one.latest)]
    doomed.sort(key=lambda one: one.key == folder + RESULT)
    _delete(doomed, files.uploads, files.s3)


def _id_in(result: _Version, files: TaskFiles) -> object:
    """Return whose task a ``result.json`` is about."""
    answer = files.s3.get_object(Bucket=files.uploads, Key=result.key, VersionId=result.version)
    written: object = json.loads(answer["Body"].read())
    return written.get("id") if isinstance(written, dict) else None


def _versions(bucket: str, prefix: str, s3: "S3Client") -> Iterator[_Version]:
    """List the versions of objects, and the markers of deleted ones.

    A bucket without versioning lists each object as its version ``null``.
    """
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Versions", ()):
            yield _Version(
                key=found["Key"],
                version=found["VersionId"],
                latest=found["IsLatest"],
                is_marker=False,
            )
        for marker in page.get("DeleteMarkers", ()):
            yield _Version(
                key=marker["Key"],
                version=marker["VersionId"],
                latest=marker["IsLatest"],
                is_marker=True,
            )


def _delete(found: Iterable[_Version], bucket: str, s3: "S3Client") -> None:
    for one in found:
        s3.delete_object(Bucket=bucket, Key=one.key, VersionId=one.version)
