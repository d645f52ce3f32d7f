"""Write the end of a folder's task for people who have access to S3 only.

``result.json`` is written beside the inputs, which expire soon. A copy of it and of the video are
written to ``outgoing/<name>/``, where they stay as long as results do.
"""

from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

from act_one.ingest.context import IngestContext
from act_one.inputs.bucket import INCOMING, OUTGOING, RESULT, FileGoneError
from act_one.media.facts import RESULT_VIDEO_TYPES
from act_one.tasks.documents import document, readable_json
from act_one.tasks.task import Stage, Task

if TYPE_CHECKING:
    from act_one.json_types import Json

_VIDEOS: Final = frozenset({f"result.{ending}" for ending in RESULT_VIDEO_TYPES.values()})
_ASK_AGAIN: Final = (
    "put both files into the folder again, changed or not: that is a new task, which is paid anew"
)

logger = Logger(child=True)


def write_result(task_id: str, context: IngestContext) -> None:
    """Write the current state of an ended task beside its input files, and its video.

    Does nothing if a newer pair was submitted from the folder: the files are for that pair's task.
    What was written while the task was erased is removed.
    """
    written, folder = 0, ""
    # A concurrent invocation may write an older state: read the task again after each write.
    while (task := context.table.read(task_id)) and task.version > written:
        inputs = context.uploads.uri("")
        if task.erasing_since is not None:
            if written:
                _remove(task_id, folder, context)
            return
        if task.origin is None or not task.origin.startswith(inputs):
            return
        folder = task.origin.removeprefix(inputs)
        taken = context.pairs.read(folder)
        if not task.done or (taken is not None and taken.task_id != task_id):
            return
        outgoing = f"{OUTGOING}{folder.removeprefix(INCOMING)}"
        video = _video_name(task)
        body = _result(task, None if video is None else context.uploads.uri(outgoing + video))
        _write_outgoing(task, outgoing, video, body, context)
        context.uploads.write_json(folder + RESULT, body)
        written = task.version


def _remove(task_id: str, folder: str, context: IngestContext) -> None:
    """Remove the results of a folder's task, unless they are those of a newer pair."""
    taken = context.pairs.read(folder)
    if taken is not None and taken.task_id != task_id:
        return
    outgoing = f"{OUTGOING}{folder.removeprefix(INCOMING)}"
    for name in context.uploads.list_files(outgoing).keys() & {RESULT, *_VIDEOS}:
        context.uploads.delete(outgoing + name)
    context.uploads.delete(folder + RESULT)


def _result(task: Task, video: str | None) -> bytes:
    """Write the task, where its video was copied to, and how to ask for it again."""
    result: dict[str, Json] = {**document(task), "video_copy": video}
    if task.stage is not Stage.SUCCEEDED:
        result["ask_again"] = _ASK_AGAIN
    return readable_json(result)


def _video_name(task: Task) -> str | None:
    if task.output is None:
        return None
    return f"result.{RESULT_VIDEO_TYPES[task.output.video.content_type]}"


def _write_outgoing(
    task: Task, outgoing: str, video: str | None, body: bytes, context: IngestContext
) -> None:
    """Write the video, then ``result.json``, unless both are there; remove an older video."""
    there = context.uploads.list_files(outgoing)
    is_written = context.uploads.holds(outgoing + RESULT, there.get(RESULT), body)
    if is_written and (video is None or video in there):
        return
    if task.output is not None and video is not None:
        try:
            context.uploads.copy_result(task.output.video.s3_uri, outgoing + video)
        except FileGoneError:
            logger.warning("the result is gone")
            return
    for name in there.keys() & _VIDEOS - {video}:
        context.uploads.delete(outgoing + name)
    context.uploads.write_json(outgoing + RESULT, body)
