"""A retry: a new task, on its client's word, for one that has no result.

A task has one retry at most. Its id follows from the task's, so that its row is the record: the
task's ``retried_by`` is written after it, and again by the next call if that failed.
"""

from typing import Final, NoReturn

from act_one.clients.client import Client
from act_one.clock import SecondsLeft, rfc3339
from act_one.inputs.request import InputsCheck, TransferRequest
from act_one.inputs.retry import RetryOptions
from act_one.keys import Keys
from act_one.lifecycle.advance import MEDIA_UNAVAILABLE
from act_one.lifecycle.services import Services
from act_one.lifecycle.submission import submit
from act_one.problems import ProblemError
from act_one.provider.replies import is_moderated
from act_one.tasks.identifiers import derive_retry_id
from act_one.tasks.moves import LATE_SECONDS
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import SHARED_CLIENTS, Notice, Stage, Task

_LINK_TRIES: Final = 3
_COPY_REQUESTED: Final = Notice(
    code="copy_requested",
    message="the provider is asked for the result once more, and it is copied; nothing is billed",
)


def retry(
    parent: Task,
    options: RetryOptions,
    client: Client,
    keys: Keys,
    services: Services,
    seconds_left: SecondsLeft,
    check_inputs: InputsCheck,
) -> tuple[Task, bool]:
    """Repeat a task that ended without a result; return the new task and whether it existed.

    A task whose result could not be fetched is returned itself: its copy is tried again, unless
    the caller accepts to pay twice. Raises ``ProblemError``: 409 for a task that can't be repeated
    or may be paid for twice, and whatever ``submit`` raises.
    """
    child = services.table.read(derive_retry_id(parent.task_id))
    if child is not None:
        _link(parent, child, services)
        return child, True
    _check_retryable(parent)
    if _media_unavailable(parent) and not options.may_be_billed_twice:
        return _copy_again(parent, services), False
    if not options.may_be_billed_twice:
        _check_billed_once(parent, services.clock())
    request = _request_of(parent, preflight=options.preflight)
    services.uploads.check_pinned(request)
    owner = _owner(parent, client, services)
    child, existed = submit(request, owner, keys, services, seconds_left, check_inputs)
    _link(parent, child, services)
    return child, existed


def _check_retryable(task: Task) -> None:
    if task.stage is Stage.SUCCEEDED:
        _not_retryable("it has succeeded; submit a new request for another result")
    if not task.done and task.stage is not Stage.UNCONFIRMED:
        _not_retryable(f"it is {task.stage}; wait for its end")
    if task.retried_by is not None:
        _not_retryable(f"it was retried as {task.retried_by}, which is gone; submit a new request")
    if task.error is not None and is_moderated(task.error):
        _not_retryable("the provider's moderation refused its content; submit other inputs")
    if task.origin is not None and task.origin.startswith("s3://"):
        _not_retryable("it was made from a folder; put both files into the folder again")


def _not_retryable(why: str) -> NoReturn:
    raise ProblemError(409, "not-retryable", "The task can't be retried", why)


def _check_billed_once(task: Task, now: float) -> None:
    """Refuse a task whose own result may still come, and be paid for, beside the new one."""
    late_until = task.began_at + LATE_SECONDS
    match task.stage:
        case Stage.UNCONFIRMED:
            why = "the provider may have the task, and bill it"
        case Stage.EXPIRED if now < late_until:
            why = f"a late result may come until {rfc3339(late_until)}"
        case _:
            return
    raise ProblemError(
        409,
        "retry-may-bill-twice",
        "A retry may be paid for twice",
        f'{why}; wait, or send {{"may_be_billed_twice": true}}',
        field="may_be_billed_twice",
    )


def _media_unavailable(task: Task) -> bool:
    return (
        task.stage is Stage.FAILED
        and task.error is not None
        and task.error.code == MEDIA_UNAVAILABLE.code
    )


def _copy_again(task: Task, services: Services) -> Task:
    """Make a task due, so that the fallback asks for its result and has it copied."""
    try:
        warnings = task.with_warning(_COPY_REQUESTED)
        return services.table.record(task, due_at=services.clock(), warnings=warnings)
    except MovedOnError as error:
        return error.current or task


def _request_of(parent: Task, *, preflight: bool) -> TransferRequest:
    """Ask for the same as a task, with the same versions of its files."""
    files = {"video": parent.video_file, "image": parent.image_file}
    return TransferRequest(
        video=parent.video,
        image=parent.image,
        video_file=parent.video_file,
        image_file=parent.image_file,
        etags={name: file.etag for name, file in files.items() if file and file.etag},
        metadata=parent.metadata,
        consent=parent.consent,
        webhook=parent.webhook,
        origin=parent.origin,
        preflight=preflight,
        retry_of=parent.task_id,
    )


def _owner(parent: Task, caller: Client, services: Services) -> Client:
    """Return whose the new task is: the caller's, or the shared client's that has the parent.

    So a shared task has one retry, whichever of its readers asks.
    """
    if parent.client_id not in SHARED_CLIENTS:
        return caller
    owner = services.clients.named(parent.client_id)
    if owner is None or owner.revoked:
        _not_retryable(f"the client {parent.client_id} may request no tasks any more")
    return owner


def _link(parent: Task, child: Task, services: Services) -> None:
    """Write the child's id into its parent, whatever that is by now."""
    current: Task | None = parent
    for _ in range(_LINK_TRIES):
        if current is None or current.retried_by == child.task_id:
            return
        try:
            services.table.record(current, retried_by=child.task_id)
        except MovedOnError as error:
            current = error.current
        else:
            return
