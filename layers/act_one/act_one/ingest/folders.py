"""Create a task from a folder of the uploads bucket that holds a video and an image.

The folder is ``incoming/<name>/``, or ``incoming/@<client>/<name>/`` for a client's own tasks:
whoever may write there speaks for the client.
S3 events may arrive twice, late or in any order, so each one makes us read the whole folder as it
is now. The pair is claimed, then submitted under an idempotency key derived from its contents: a
message retried after a crash completes the same task. Why no task can be created, or what the
folder waits for, is written beside the files as ``problem.json``, which is replaced or removed at
each change of the folder.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

from act_one.clients.client import Client
from act_one.clock import DAY
from act_one.ingest.context import IngestContext, Submit
from act_one.ingest.pairs import Content, Pair, PairTakenError, Taken, Verdict, judge
from act_one.ingest.results import write_result
from act_one.inputs.bucket import INCOMING, RESULT, FileGoneError, FoundFile, ListedFile
from act_one.inputs.consent import ConsentMissingError, readable_consent
from act_one.inputs.request import (
    MAX_REQUEST_BYTES,
    TransferRequest,
    readable_metadata,
    refuse_unknown,
    request_of,
)
from act_one.json_types import Json
from act_one.problems import KeyReusedError, ProblemError
from act_one.tasks.documents import readable_json
from act_one.tasks.events import rejection_of, send
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.task import UPLOADS_CLIENT, PinnedFile, Stage, Task

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

PROBLEM: Final = "problem.json"
OWN_FILES: Final = frozenset({PROBLEM, RESULT})
"""Files that ingest writes. They are no trigger: that would be an endless loop."""
OPTIONS: Final = "task.json"
OPTION_FIELDS: Final = ("callback_url", "consent", "metadata", "preflight", "webhook")
MAX_FILES: Final = 20
"""More files than this are refused without reading them."""
WAIT_SECONDS: Final = 30
"""How long a folder may stay incomplete before ``problem.json`` says what it waits for."""
_ASKED_AGAIN: Final = frozenset({Stage.FAILED, Stage.CANCELED, Stage.EXPIRED})
"""Ends after which the same two files, put again, are another task."""
_TOO_MANY: Final = "upload-ambiguous"
_TRIES: Final = 5

logger = Logger(child=True)


class UnsettledError(Exception):
    """The folder changed during each of several reads; the message has to be retried."""


class IncompleteError(ProblemError):
    """The folder waits for another file: nothing was refused."""

    def __init__(self, title: str, detail: str) -> None:
        super().__init__(422, "upload-incomplete", title, detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """A folder (``name`` ends with ``/``) and its files by their names in it.

    Of one that has too many entries to be read, only ``problem.json`` is there, and ``unread``.
    """

    name: str
    files: Mapping[str, ListedFile]
    unread: ProblemError | None = None

    @property
    def inputs(self) -> list[str]:
        """The names of the files that may be a video or an image."""
        ours = OWN_FILES | {OPTIONS}
        return [name for name in self.files if name not in ours and name[:1] not in {"", "."}]

    @property
    def is_shared(self) -> bool:
        """Whether it is a folder of folders, from whose own files no task is made."""
        inner = self.name.removeprefix(INCOMING)
        return not inner or (inner.startswith("@") and inner.count("/") == 1)

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
        folder = _read_folder(name, context)
        task = None
        try:
            task = _take_pair(folder, context, submit)
            wrote = _remove_problem(folder, context)
        except (FileGoneError, PairTakenError):
            continue
        except KeyReusedError:
            continue  # another invocation just submitted the pair with an older task.json
        except IncompleteError as waiting:
            wrote = _write_waiting(waiting, key, folder, context)
        except ProblemError as problem:
            if problem.retryable:
                raise
            wrote = _write_problem(problem, key, folder, context)
        if wrote and _read_folder(name, context).state() != folder.state():
            continue  # the files have changed, and another invocation may have been faster
        if task is not None and task.done:
            write_result(task.task_id, context)
        return
    raise UnsettledError(name)


def client_of_folder(name: str) -> str:
    """Return whose folder it is: that of ``@<client>`` in ``incoming/@<client>/<name>/``."""
    first = name.removeprefix(INCOMING).partition("/")[0]
    return first.removeprefix("@") if first.startswith("@") else UPLOADS_CLIENT


def _read_folder(name: str, context: IngestContext) -> _Folder:
    try:
        return _Folder(name=name, files=context.uploads.list_files(name))
    except ProblemError as problem:
        found = context.uploads.list_files(name + PROBLEM)
        files = {PROBLEM: found[""]} if "" in found else {}
        return _Folder(name=name, files=files, unread=problem)


def _take_pair(folder: _Folder, context: IngestContext, submit: Submit) -> Task | None:
    if folder.unread is not None:
        raise folder.unread
    found = _two_files(folder, context)
    if found is None:
        return None
    pair, request = _read_pair(folder, found, context)
    client = context.client(client_of_folder(folder.name))
    taken = context.pairs.read(folder.name)
    verdict = judge(pair, taken)
    if taken is None or verdict is Verdict.NEW:
        taken = _claim(pair, taken, context)
    else:
        taken = _keep_claim(taken, context)
    if verdict is Verdict.MIXED:
        raise _half_replaced(pair, taken, found)
    task = context.table.read(taken.task_id)
    if taken.created:
        return task
    if task is None:
        if RESULT in folder.files:
            context.uploads.delete(folder.name + RESULT)  # it belongs to the previous pair
        task = _submit(taken, request, client, context, submit)
    # From now on the pair is never submitted again, even if the task's row is gone.
    context.pairs.claim(pair, task.task_id, taken, taken.expires_at, run=taken.run, created=True)
    return task


def _submit(
    taken: Taken,
    request: TransferRequest,
    client: Client,
    context: IngestContext,
    submit: Submit,
) -> Task:
    # The key by which it was claimed: that of an older release may be of its ETags.
    key = _request_key(taken.pair, taken.run, context)
    try:
        return submit(replace(request, idempotency_key=key), client)
    except KeyReusedError:
        raise
    except ConsentMissingError as problem:
        problem.detail = _ADD_CONSENT
        raise
    except ProblemError as problem:
        if not problem.retryable:
            problem.detail += _BOTH_FILES
        raise


_ADD_CONSENT: Final = (
    f"consent is required here; put {OPTIONS} into the folder, "
    'such as {"consent": "release-114"}, with your own reference to the consent of the people who '
    "are shown: that starts the task"
)
_BOTH_FILES: Final = (
    "; then put both files into the folder again, even if only one of them has to change: "
    "a new file beside an old one starts no task"
)


def _claim(pair: Pair, seen: Taken | None, context: IngestContext) -> Taken:
    """Claim a new pair, for its task if it has one that didn't fail, or else for another one."""
    run, task_id, created = 1, _task_id(pair, 1, context), False
    if seen is not None and seen.pair.key == pair.key:
        run, task_id, created = seen.run, seen.task_id, seen.created
    while (task := context.table.read(task_id)) is not None and task.stage in _ASKED_AGAIN:
        run, created = run + 1, False
        task_id = _task_id(pair, run, context)
    expires_at = context.settings.claim_expires_at(context.clock())
    created = created or task is not None
    return context.pairs.claim(pair, task_id, seen, expires_at, run=run, created=created)


def _keep_claim(taken: Taken, context: IngestContext) -> Taken:
    """Extend a claim with each change of its folder: it must outlive every file in it."""
    expires_at = context.settings.claim_expires_at(context.clock())
    kept = taken.expires_at
    if kept is None or (expires_at is not None and expires_at - kept < DAY):
        return taken
    return context.pairs.claim(
        taken.pair, taken.task_id, taken, expires_at, run=taken.run, created=taken.created
    )


def _request_key(pair: Pair, run: int, context: IngestContext) -> str:
    return context.secret_key(f"{pair.key}\n{run}")


def _task_id(pair: Pair, run: int, context: IngestContext) -> str:
    return derive_task_id(client_of_folder(pair.folder), _request_key(pair, run, context))


# ── The pair ──────────────────────────────────────────────────────────────────────────────────


def _two_files(folder: _Folder, context: IngestContext) -> dict[str, tuple[str, FoundFile]] | None:
    """Find the video and the image by content; None in a folder without either.

    Raises ``IncompleteError`` while one of them is missing, ``ProblemError`` when there are other
    files, ``FileGoneError`` when a file was replaced.
    """
    names = folder.inputs
    if not names:
        return None
    if folder.is_shared:
        raise ProblemError(
            400,
            "upload-without-folder",
            "The file is not in a folder",
            f"put a video and an image into a folder of their own, {folder.name}<name>/; "
            f"files directly in {folder.name} start no task",
        )
    if len(names) > MAX_FILES:
        raise _too_many(f"more than {MAX_FILES} files", names[:3])
    found = {
        name: context.uploads.inspect(folder.name + name, folder.files[name].etag) for name in names
    }
    for name, file in found.items():
        if file.kind is None:
            raise _not_media(name, file)
    kinds = {
        kind: [(name, file) for name, file in found.items() if file.kind == kind]
        for kind in ("video", "image")
    }
    for kind, files in kinds.items():
        if len(files) > 1:
            raise _too_many(f"{len(files)} {kind}s", [name for name, _ in files])
    for kind, files in kinds.items():
        if not files:
            raise _alone(names[0], f"the {_WHAT[kind]}")
    return {kind: files[0] for kind, files in kinds.items()}


_WHAT: Final = {"video": "performance video", "image": "character image"}


def _not_media(name: str, file: FoundFile) -> ProblemError:
    title = "The file is neither a video nor an image"
    fix = "replace it by one performance video and one character image"
    if file.empty:
        title, fix = "The file is empty", "upload it again"
    detail = f"{name} is {file.what}; {fix}"
    return ProblemError(422, "input-wrong-type", title, detail, extensions={"file": name})


def _alone(name: str, missing: str) -> IncompleteError:
    return IncompleteError(
        "The folder waits for its second file",
        f"{name} is here; put {missing} beside it to start a task",
    )


def _half_replaced(
    pair: Pair, taken: Taken, found: Mapping[str, tuple[str, FoundFile]]
) -> IncompleteError:
    old = "image" if pair.video.replaces(taken.pair.video) else "video"
    return IncompleteError(
        "The folder waits for its second new file",
        f"{found[old][0]} belongs to the pair that was read before, and one new file beside it "
        f"starts no task; put {found[old][0]} again, changed or not, to start one",
    )


def _too_many(what: str, names: list[str]) -> ProblemError:
    return ProblemError(
        422,
        _TOO_MANY,
        "The folder has more than one video or image",
        f"the folder has {what} ({', '.join(names)}); keep one video and one image",
    )


def _read_pair(
    folder: _Folder, found: Mapping[str, tuple[str, FoundFile]], context: IngestContext
) -> tuple[Pair, TransferRequest]:
    """Build a request from the two files and ``task.json``. Raises ``ProblemError``."""
    contents = {kind: _content(folder.files[name], file) for kind, (name, file) in found.items()}
    pair = Pair(folder=folder.name, video=contents["video"], image=contents["image"])
    origin = context.uploads.uri(folder.name)
    uris = {kind: f"{origin}{name}" for kind, (name, _) in found.items()}
    request = request_of(
        {**_options(folder, context), **uris},
        None,
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


def _content(listed: ListedFile, file: FoundFile) -> Content:
    return Content(etag=listed.etag, modified=listed.modified, checksum=file.checksum)


def _options(folder: _Folder, context: IngestContext) -> dict[str, Json]:
    """Read ``task.json``, if there is one, and check the names of its fields."""
    options = _read_options(folder, context)
    for name in ("video", "image", "upload_id"):
        if name in options:
            raise _bad_options(f"it has {name}, but the files beside it are the inputs")
    refuse_unknown(options, OPTION_FIELDS, OPTIONS)
    return options


def _read_options(folder: _Folder, context: IngestContext) -> dict[str, Json]:
    if OPTIONS not in folder.files:
        return {}
    if folder.files[OPTIONS].size > MAX_REQUEST_BYTES:
        raise _bad_options(f"it is larger than {MAX_REQUEST_BYTES:,} bytes")
    try:
        options = json.loads(context.uploads.read(folder.name + OPTIONS).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _bad_options("it can't be read as JSON in UTF-8") from error
    if not isinstance(options, dict):
        raise _bad_options("it is JSON but not an object")
    return options


def _bad_options(what: str) -> ProblemError:
    return ProblemError(
        400,
        "task-json-invalid",
        f"{OPTIONS} can't be used",
        f"{OPTIONS}: {what}; write an object such as "
        '{"metadata": {"order": "42"}}, upload it again, or remove it',
    )


# ── problem.json ──────────────────────────────────────────────────────────────────────────────


def _remove_problem(folder: _Folder, context: IngestContext) -> bool:
    if PROBLEM in folder.files:
        context.uploads.delete(folder.name + PROBLEM)
    return PROBLEM in folder.files


def _write_waiting(
    waiting: IncompleteError, key: str, folder: _Folder, context: IngestContext
) -> bool:
    """Write what the folder waits for, at once only in the place of an older problem.

    Files of a pair arrive one after the other, so the folder is read again after a while.
    """
    rests = max(folder.files[name].modified for name in folder.inputs) + WAIT_SECONDS
    if PROBLEM in folder.files or context.clock() >= rests:
        return _write(readable_json(waiting.document()), folder, context)
    _read_later(key, context)
    return False


def _read_later(key: str, context: IngestContext) -> None:
    """Have the folder of a file read again after a while."""
    again = {
        "source": "aws.s3",
        "detail": {"bucket": {"name": context.uploads.bucket}, "object": {"key": key}},
    }
    context.sqs.send_message(
        QueueUrl=context.settings.ingest_queue_url,
        DelaySeconds=WAIT_SECONDS,
        MessageBody=json.dumps(again),
    )


def _write_problem(
    problem: ProblemError, key: str, folder: _Folder, context: IngestContext
) -> bool:
    """Write the problem into the folder and send it to the bus, unless that was done already.

    Returns whether the folder has to be compared with what was read of it.
    """
    body = readable_json(problem.document())
    if _is_there(body, folder, context):
        return False
    logger.info("problem", extra={"code": problem.code, "folder": folder.name})
    with context.pairs.rejecting(folder.name, context.clock()) as ours:
        if not ours:
            # Another invocation is sending one. If it is stopped, the folder still gets its own.
            _read_later(key, context)
            return False
        # Another invocation may have sent the rejection since the folder was read.
        folder, read = _read_folder(folder.name, context), folder
        if folder.state() != read.state():
            return True
        if not _is_there(body, folder, context) and not _is_more_of(problem, folder, context):
            # The event goes first: once the file exists, both have been sent.
            send(context.events, _rejection(problem, folder, context))
        return _write(body, folder, context)


def _rejection(
    problem: ProblemError, folder: _Folder, context: IngestContext
) -> "PutEventsRequestEntryTypeDef":
    options = _readable_options(folder, context)
    return rejection_of(
        problem.document(),
        {"upload": context.uploads.uri(folder.name)},
        context.settings.event_bus,
        folder.state(),
        metadata=readable_metadata(options.get("metadata", {})),
        consent=readable_consent(options.get("consent")),
    )


def _write(body: bytes, folder: _Folder, context: IngestContext) -> bool:
    """Write ``problem.json`` and return True, unless it is there."""
    if _is_there(body, folder, context):
        return False
    context.uploads.write_json(folder.name + PROBLEM, body)
    return True


def _is_there(body: bytes, folder: _Folder, context: IngestContext) -> bool:
    return context.uploads.holds(folder.name + PROBLEM, folder.files.get(PROBLEM), body)


def _is_more_of(problem: ProblemError, folder: _Folder, context: IngestContext) -> bool:
    """Return whether one file too many has only become several."""
    if problem.code != _TOO_MANY or PROBLEM not in folder.files:
        return False
    try:
        before = json.loads(context.uploads.read(folder.name + PROBLEM))
    except (FileGoneError, ValueError, RecursionError):
        return False
    return isinstance(before, dict) and before.get("code") == _TOO_MANY


def _readable_options(folder: _Folder, context: IngestContext) -> dict[str, Json]:
    try:
        return _read_options(folder, context)
    except (FileGoneError, ProblemError):
        return {}
