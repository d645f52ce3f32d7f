"""A folder of the uploads bucket → one task: ``incoming/<name>/`` with a video and an image.

Whatever happened in a folder, it is looked at as a whole, as it is now: events may come twice, late
or in any order. Its pair is claimed, then submitted under a key made of its contents, so that a
message that comes back after a crash ends what was begun. What is wrong is written beside the files
as ``problem.json``, and the task, once it ends, as ``result.json``.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

from act_one.clock import DAY
from act_one.ingest.pairs import Content, Pair, PairTable, PairTakenError, Verdict, judge
from act_one.inputs.bucket import INCOMING, FileGoneError, FoundFile
from act_one.inputs.request import MAX_REQUEST_BYTES, TransferRequest, read_request
from act_one.json_types import Json
from act_one.lifecycle.services import Services
from act_one.problems import ProblemError
from act_one.tasks.documents import document
from act_one.tasks.events import rejection_of, send
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.task import UPLOADS_CLIENT, PinnedFile, Task

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

PROBLEM: Final = "problem.json"
RESULT: Final = "result.json"
OWN_FILES: Final = frozenset({PROBLEM, RESULT})
"""What we write ourselves: it never starts anything, or we would answer ourselves for ever."""
OPTIONS: Final = "task.json"
MAX_FILES: Final = 20
"""A folder with more than these is no place for two files."""
KEPT_SECONDS: Final = 30 * DAY
"""How long it is known which pair was taken: longer than its files are there."""
_TRIES: Final = 5

logger = Logger(child=True)

type Submit = Callable[[TransferRequest, str], Task]
"""Makes a task of a request for a client (``submission.submit``)."""


class UnsettledError(Exception):
    """A folder changes faster than it can be looked at; its message has to come back."""


@dataclass(frozen=True, slots=True)
class IngestContext:
    """What taking a pair needs beside the services."""

    services: Services
    pairs: PairTable
    events: "EventBridgeClient"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """A folder as S3 lists it: names → contents."""

    name: str
    files: Mapping[str, Content]
    sizes: Mapping[str, int]

    @property
    def inputs(self) -> list[str]:
        """The names of what somebody put there to be transferred."""
        ours = OWN_FILES | {OPTIONS}
        return [name for name in self.files if name not in ours and name[:1] not in {"", "."}]

    def state(self) -> str:
        return json.dumps(
            [
                (name, content.etag, content.modified)
                for name, content in sorted(self.files.items())
                if name not in OWN_FILES
            ]
        )


def is_trigger(key: str) -> bool:
    """Tell whether a file may have to do with a task, by its key alone."""
    name = key.rpartition("/")[2]
    return key.startswith(INCOMING) and name not in OWN_FILES


def take_folder(key: str, context: IngestContext, submit: Submit) -> None:
    """Look at the folder of a file that came or went, and start the task that it holds, if any.

    Raises ``ProblemError`` 5xx for what passes, and ``UnsettledError``: the message has to come
    back. Any other problem is written into the folder.
    """
    name = f"{key.rpartition('/')[0]}/"
    for _ in range(_TRIES):
        folder = _list(name, context)
        try:
            task = _take_pair(folder, context, submit)
        except (FileGoneError, PairTakenError):
            continue
        except ProblemError as problem:
            if problem.status >= 500:
                raise
            if problem.status == 409:
                continue  # somebody made its task just now, of an older task.json
            _write_problem(problem, folder, context)
            return
        if task is not None and task.done:
            write_result(task.task_id, context)
        return
    raise UnsettledError(name)


def _take_pair(folder: _Folder, context: IngestContext, submit: Submit) -> Task | None:
    services = context.services
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
    task = services.table.read(task_id)
    if task is None and RESULT in folder.files:
        _remove(RESULT, folder, context)  # it is the last pair's
    if verdict is Verdict.NEW:
        context.pairs.claim(pair, task_id, taken, services.clock() + KEPT_SECONDS)
    if task is None:
        task = submit(request, UPLOADS_CLIENT)
    if PROBLEM in folder.files:
        _remove(PROBLEM, folder, context)
    return task


def _list(name: str, context: IngestContext) -> _Folder:
    files = context.services.uploads
    # One page is enough: what has more is refused.
    answer = files.client().list_objects_v2(Bucket=files.bucket, Prefix=name, Delimiter="/")
    listed = {found["Key"].removeprefix(name): found for found in answer.get("Contents", ())}
    return _Folder(
        name=name,
        files={
            name: Content(etag=found["ETag"].strip('"'), modified=found["LastModified"].timestamp())
            for name, found in listed.items()
        },
        sizes={name: found["Size"] for name, found in listed.items()},
    )


# ── Which files they are ──────────────────────────────────────────────────────────────────────


def _two_files(folder: _Folder, context: IngestContext) -> dict[str, tuple[str, FoundFile]] | None:
    """Tell video and image apart by their content; None while one of them is still to come.

    Raises ``ProblemError`` when there are others, ``FileGoneError`` when they are changing.
    """
    names = folder.inputs
    if not names:
        return None
    if folder.name == INCOMING:
        raise ProblemError(
            400,
            "upload-without-folder",
            "The file is in no folder of its own",
            f"put a video and an image into a folder of their own, {INCOMING}<name>/; "
            f"directly in {INCOMING} nothing is taken",
        )
    if len(names) > MAX_FILES:
        raise _too_many(f"{len(names)} files", names[:3])
    found = {
        name: context.services.uploads.inspect(folder.name + name, folder.files[name].etag)
        for name in names
    }
    for name, file in found.items():
        if file.kind is None:
            raise ProblemError(
                422,
                "input-wrong-type",
                "This is neither a video nor an image",
                f"{name} is {file.media_type or 'neither a video nor an image'}; remove it, "
                "and put one performance video and one character image there",
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
        "There is more than one of a kind",
        f"there are {what} ({', '.join(names)}); leave one video and one image, remove the others",
    )


def _read_pair(
    folder: _Folder, found: Mapping[str, tuple[str, FoundFile]], context: IngestContext
) -> tuple[Pair, TransferRequest]:
    """Make a request of the two files and of ``task.json``. Raises ``ProblemError``."""
    services = context.services
    contents = {kind: folder.files[name] for kind, (name, _) in found.items()}
    pair = Pair(folder=folder.name, video=contents["video"], image=contents["image"])
    origin = services.uploads.uri(folder.name)
    uris = {kind: f"{origin}{name}" for kind, (name, _) in found.items()}
    request = read_request(
        json.dumps({**_options(folder, context), **uris}).encode(),
        pair.key,
        allow_addresses=services.settings.unsafe_allow_private_media,
        own_files=origin,
    )
    held = {
        kind: PinnedFile(version=file.version, media_type=str(file.media_type))
        for kind, (_, file) in found.items()
    }
    return pair, replace(request, origin=origin, video_file=held["video"], image_file=held["image"])


def _options(folder: _Folder, context: IngestContext) -> dict[str, Json]:
    if OPTIONS not in folder.files:
        return {}
    if folder.sizes[OPTIONS] > MAX_REQUEST_BYTES:
        raise _bad_options(f"it may have {MAX_REQUEST_BYTES:,} bytes")
    try:
        options = json.loads(context.services.uploads.read(folder.name + OPTIONS))
    except (ValueError, RecursionError) as error:
        raise _bad_options("it can't be read as JSON in UTF-8") from error
    if not isinstance(options, dict):
        raise _bad_options("it is JSON but not an object")
    for name in ("video", "image", "upload_id"):
        if name in options:
            raise _bad_options(f"it says {name}, but the files beside it are the inputs")
    return options


def _bad_options(what: str) -> ProblemError:
    return ProblemError(
        400,
        "task-json-invalid",
        f"{OPTIONS} can't be used",
        f"{OPTIONS}: {what}; write an object such as "
        '{"metadata": {"order": "42"}}, upload it again, or remove it',
    )


# ── What is written beside them ───────────────────────────────────────────────────────────────


def _write_problem(problem: ProblemError, folder: _Folder, context: IngestContext) -> None:
    """Tell what is wrong, in the folder and on the bus; once, however often it is looked at."""
    services = context.services
    told = problem.document()
    body = _json(told)
    written = folder.files.get(PROBLEM)
    logger.info("problem", extra={"code": problem.code, "folder": folder.name})
    if written is not None and written.etag == hashlib.md5(body, usedforsecurity=False).hexdigest():
        return
    # The event first: a document that is there says that both were sent.
    origin = {"upload": services.uploads.uri(folder.name)}
    rejection = rejection_of(told, origin, services.settings.event_bus, folder.state())
    send(context.events, rejection)
    _put(PROBLEM, body, folder.name, context)


def write_result(task_id: str, context: IngestContext) -> None:
    """Write a task that ended beside the files that it was made of, as it is now.

    Not if a newer pair was taken from its folder: that one's task is what is awaited there.
    """
    services = context.services
    written = 0
    # Others may write an older state at the same moment: the last to write looks again.
    while (task := services.table.read(task_id)) and task.origin and task.version > written:
        folder = task.origin.removeprefix(services.uploads.uri(""))
        taken = context.pairs.read(folder)
        if not task.done or (taken is not None and taken.task_id != task_id):
            return
        _put(RESULT, _json(document(task)), folder, context)
        written = task.version


def _json(content: Mapping[str, Json]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode()


def _put(name: str, body: bytes, folder: str, context: IngestContext) -> None:
    files = context.services.uploads
    files.client().put_object(
        Bucket=files.bucket, Key=folder + name, Body=body, ContentType="application/json"
    )


def _remove(name: str, folder: _Folder, context: IngestContext) -> None:
    files = context.services.uploads
    files.client().delete_object(Bucket=files.bucket, Key=folder.name + name)
