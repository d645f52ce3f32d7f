"""Create a task from a folder of the uploads bucket that holds a video and an image.

The folder is ``incoming/<name>/``.
S3 events may arrive twice, late or in any order, so each one makes us read the whole folder as it
is now. The pair is claimed, then submitted under an idempotency key derived from its contents: a
message retried after a crash completes the same task. A problem is written beside the files as
``problem.json``, and the task, once it has ended, as ``result.json``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aws_lambda_powertools import Logger

from act_one.clock import DAY
from act_one.ingest.context import IngestContext, Submit
from act_one.ingest.pairs import Content, Pair, PairTakenError, Verdict, judge
from act_one.inputs.bucket import INCOMING, FileGoneError, FoundFile, ListedFile
from act_one.inputs.request import MAX_REQUEST_BYTES, TransferRequest, read_request
from act_one.json_types import Json
from act_one.problems import KeyReusedError, ProblemError
from act_one.tasks.documents import document
from act_one.tasks.events import rejection_of, send
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.task import UPLOADS_CLIENT, PinnedFile, Task

PROBLEM: Final = "problem.json"
RESULT: Final = "result.json"
OWN_FILES: Final = frozenset({PROBLEM, RESULT})
"""Files that this module writes. They are no trigger: that would be an endless loop."""
OPTIONS: Final = "task.json"
MAX_FILES: Final = 20
"""More files than this are refused without reading them."""
KEPT_SECONDS: Final = 30 * DAY
"""How long a claim is kept: longer than the bucket keeps the files."""
_TRIES: Final = 5

logger = Logger(child=True)


class UnsettledError(Exception):
    """The folder changed during each of several reads; the message has to be retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """A folder (``name`` ends with ``/``) and its files by their names in it."""

    name: str
    files: Mapping[str, ListedFile]

    @property
    def inputs(self) -> list[str]:
        """The names of the files that may be a video or an image."""
        ours = OWN_FILES | {OPTIONS}
        return [name for name in self.files if name not in ours and name[:1] not in {"", "."}]

    def state(self) -> str:
        """Return a text that changes when the client changes the folder."""
        return json.dumps(
            [
                (name, file.etag, file.modified)
                for name, file in sorted(self.files.items())
                if name not in OWN_FILES
            ]
        )


def is_trigger(key: str) -> bool:
    """Return whether a change of this file can start a task."""
    name = key.rpartition("/")[2]
    return key.startswith(INCOMING) and name not in OWN_FILES


def take_folder(key: str, context: IngestContext, submit: Submit) -> None:
    """Read the folder of a file that was added or removed, and submit its pair, if complete.

    Raises a retryable ``ProblemError`` or ``UnsettledError`` when the message has to be retried.
    Any other problem is written into the folder.
    """
    name = f"{key.rpartition('/')[0]}/"
    for _ in range(_TRIES):
        folder = _Folder(name=name, files=context.uploads.list_files(name))
        try:
            task = _take_pair(folder, context, submit)
        except (FileGoneError, PairTakenError):
            continue
        except KeyReusedError:
            continue  # another invocation just submitted the pair with an older task.json
        except ProblemError as problem:
            if problem.retryable:
                raise
            _write_problem(problem, folder, context)
            return
        if task is not None and task.done:
            write_result(task.task_id, context)
        return
    raise UnsettledError(name)


def _take_pair(folder: _Folder, context: IngestContext, submit: Submit) -> Task | None:
    found = _two_files(folder, context)
    if found is None:
        return None
    pair, request = _read_pair(folder, found, context)
    taken = context.pairs.read(folder.name)
    verdict = judge(pair, taken)
    if verdict is Verdict.MIXED:
        logger.info("half of a new pair", extra={"folder": folder.name})
        return None
    task_id = derive_task_id(UPLOADS_CLIENT, pair.key)
    task = context.table.read(task_id)
    if task is None and RESULT in folder.files:
        context.uploads.delete(folder.name + RESULT)  # it belongs to the previous pair
    if verdict is Verdict.NEW:
        context.pairs.claim(pair, task_id, taken, context.clock() + KEPT_SECONDS)
    if task is None:
        task = submit(request, UPLOADS_CLIENT)
    if PROBLEM in folder.files:
        context.uploads.delete(folder.name + PROBLEM)
    return task


# ── The pair ──────────────────────────────────────────────────────────────────────────────────


def _two_files(folder: _Folder, context: IngestContext) -> dict[str, tuple[str, FoundFile]] | None:
    """Find the video and the image by content; None while one of them is missing.

    Raises ``ProblemError`` when there are other files, ``FileGoneError`` when a file was replaced.
    """
    names = folder.inputs
    if not names:
        return None
    if folder.name == INCOMING:
        raise ProblemError(
            400,
            "upload-without-folder",
            "The file is not in a folder",
            f"put a video and an image into a folder of their own, {INCOMING}<name>/; "
            f"files directly in {INCOMING} start no task",
        )
    if len(names) > MAX_FILES:
        raise _too_many(f"{len(names)} files", names[:3])
    found = {
        name: context.uploads.inspect(folder.name + name, folder.files[name].etag) for name in names
    }
    for name, file in found.items():
        if file.kind is None:
            raise ProblemError(
                422,
                "input-wrong-type",
                "The file is neither a video nor an image",
                f"{name} is {file.media_type or 'neither a video nor an image'}; replace it by "
                "one performance video and one character image",
                extensions={"file": name},
            )
    kinds = {
        kind: [(name, file) for name, file in found.items() if file.kind == kind]
        for kind in ("video", "image")
    }
    for kind, files in kinds.items():
        if len(files) > 1:
            raise _too_many(f"{len(files)} {kind}s", [name for name, _ in files])
    if not all(kinds.values()):
        return None
    return {kind: files[0] for kind, files in kinds.items()}


def _too_many(what: str, names: list[str]) -> ProblemError:
    return ProblemError(
        422,
        "upload-ambiguous",
        "The folder has more than one video or image",
        f"the folder has {what} ({', '.join(names)}); keep one video and one image",
    )


def _read_pair(
    folder: _Folder, found: Mapping[str, tuple[str, FoundFile]], context: IngestContext
) -> tuple[Pair, TransferRequest]:
    """Build a request from the two files and ``task.json``. Raises ``ProblemError``."""
    contents = {kind: _content(folder.files[name]) for kind, (name, _) in found.items()}
    pair = Pair(folder=folder.name, video=contents["video"], image=contents["image"])
    origin = context.uploads.uri(folder.name)
    uris = {kind: f"{origin}{name}" for kind, (name, _) in found.items()}
    request = read_request(
        json.dumps({**_options(folder, context), **uris}).encode(),
        pair.key,
        allow_addresses=context.settings.unsafe_allow_private_media,
        own_files=origin,
    )
    pinned = {
        kind: PinnedFile(version=file.version, media_type=str(file.media_type))
        for kind, (_, file) in found.items()
    }
    return pair, replace(
        request, origin=origin, video_file=pinned["video"], image_file=pinned["image"]
    )


def _content(file: ListedFile) -> Content:
    return Content(etag=file.etag, modified=file.modified)


def _options(folder: _Folder, context: IngestContext) -> dict[str, Json]:
    if OPTIONS not in folder.files:
        return {}
    if folder.files[OPTIONS].size > MAX_REQUEST_BYTES:
        raise _bad_options(f"it is larger than {MAX_REQUEST_BYTES:,} bytes")
    try:
        options = json.loads(context.uploads.read(folder.name + OPTIONS))
    except (ValueError, RecursionError) as error:
        raise _bad_options("it can't be read as JSON in UTF-8") from error
    if not isinstance(options, dict):
        raise _bad_options("it is JSON but not an object")
    for name in ("video", "image", "upload_id"):
        if name in options:
            raise _bad_options(f"it has {name}, but the files beside it are the inputs")
    return options


def _bad_options(what: str) -> ProblemError:
    return ProblemError(
        400,
        "task-json-invalid",
        f"{OPTIONS} can't be used",
        f"{OPTIONS}: {what}; write an object such as "
        '{"metadata": {"order": "42"}}, upload it again, or remove it',
    )


# ── problem.json and result.json ──────────────────────────────────────────────────────────────


def _write_problem(problem: ProblemError, folder: _Folder, context: IngestContext) -> None:
    """Write the problem into the folder and send it to the bus, unless that was done already."""
    document_of_problem = problem.document()
    body = _json(document_of_problem)
    written = folder.files.get(PROBLEM)
    logger.info("problem", extra={"code": problem.code, "folder": folder.name})
    if written is not None and written.etag == hashlib.md5(body, usedforsecurity=False).hexdigest():
        return
    # The event goes first: once the file exists, both have been sent.
    origin = {"upload": context.uploads.uri(folder.name)}
    bus = context.settings.event_bus
    send(context.events, rejection_of(document_of_problem, origin, bus, folder.state()))
    context.uploads.write_json(folder.name + PROBLEM, body)


def write_result(task_id: str, context: IngestContext) -> None:
    """Write the current state of an ended task beside its input files.

    Does nothing if a newer pair was submitted from the folder: the file is for that pair's task.
    """
    written = 0
    # A concurrent invocation may write an older state: read the task again after each write.
    while (task := context.table.read(task_id)) and task.origin and task.version > written:
        folder = task.origin.removeprefix(context.uploads.uri(""))
        taken = context.pairs.read(folder)
        if not task.done or (taken is not None and taken.task_id != task_id):
            return
        context.uploads.write_json(folder + RESULT, _json(document(task)))
        written = task.version


def _json(content: Mapping[str, Json]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode()
