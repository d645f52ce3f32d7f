"""Our tasks in the provider's JSON, for clients that were written for the provider. Pure.

The forms are those that ``replies`` reads, from CometAPI's pages for ``/runway/pro/act_one`` and
``/runway/feed``. CometAPI publishes two forms of the feed, whose words differ:

    legacy     {"code": 200, "msg", "data": {"status": "3", "video_url", …}, "exec_time"}
    wrapped    {"code": "success", "message", "data": {"status": "SUCCESS", …, "data": {…}}}

A task that has ended without a result is failed in both: the provider's clients wait for one of two
ends, so canceled and expired tasks are failures, with the reason in ``msg`` or ``fail_reason``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from act_one.clock import rfc3339
from act_one.json_types import Json
from act_one.problems import ProblemError
from act_one.tasks.links import Links
from act_one.tasks.task import Billing, Notice, Stage, Task

TASK_NOT_EXIST: Final = "task_not_exist"
_OUR_NOT_FOUND: Final = "task-not-found"


class FeedForm(StrEnum):
    """Which of its forms a reply of the feed has."""

    LEGACY = "legacy"
    WRAPPED = "wrapped"


@dataclass(frozen=True, slots=True)
class _Words:
    """What the provider calls a state: in the legacy form, its number, the gateway, Runway."""

    state: str
    number: str
    gateway: str
    runway: str


_QUEUED: Final = _Words("created", "0", "QUEUED", "PENDING")
_RUNNING: Final = _Words("processing", "1", "IN_PROGRESS", "RUNNING")
_FAILED: Final = _Words("failed", "2", "FAILURE", "FAILED")
_SUCCEEDED: Final = _Words("succeeded", "3", "SUCCESS", "SUCCEEDED")
"""In the legacy numbers 2 is failed and 3 is succeeded."""

_WORDS: Final[Mapping[Stage, _Words]] = {
    Stage.ACCEPTED: _QUEUED,
    Stage.SUBMITTING: _QUEUED,
    Stage.UNCONFIRMED: _RUNNING,
    Stage.SUBMITTED: _RUNNING,
    Stage.RUNNING: _RUNNING,
    Stage.STORING: _RUNNING,
    Stage.SUCCEEDED: _SUCCEEDED,
    Stage.FAILED: _FAILED,
    Stage.CANCELED: _FAILED,
    Stage.EXPIRED: _FAILED,
}


_CANCELED: Final = Notice(code="canceled", message="the task was canceled before it was sent")
_RESULT_EXPIRED: Final = Notice(
    code="result_expired", message="the stored result has expired in the bucket"
)


def failure(problem: ProblemError) -> dict[str, Json]:
    """Write a problem as the provider writes errors; ``msg`` names the field and what to do."""
    detail = problem.detail
    if problem.field is not None and problem.field not in detail:
        detail = f"{problem.field}: {detail}"
    if problem.code == _OUR_NOT_FOUND:
        said = f"{TASK_NOT_EXIST}: {detail}"
        return {"code": TASK_NOT_EXIST, "message": TASK_NOT_EXIST, "msg": said, "data": None}
    said = f"{detail} ({problem.code})"
    return {"code": problem.status, "message": said, "msg": said, "data": None}


def failure_status(problem: ProblemError) -> int:
    """Return the HTTP status of a problem: the feed says 400 for a task that does not exist."""
    return 400 if problem.code == _OUR_NOT_FOUND else problem.status


def created(task: Task) -> dict[str, Json]:
    """Write the reply to a create."""
    return _success({"task_id": task.task_id})


def feed(task: Task, links: Links, form: FeedForm) -> dict[str, Json]:
    """Write the feed's reply about a task."""
    match form:
        case FeedForm.LEGACY:
            return _success(_legacy(task, links))
        case FeedForm.WRAPPED:
            return {"code": "success", "message": "", "data": _wrapped(task, links)}


def _success(data: dict[str, Json]) -> dict[str, Json]:
    return {"code": 200, "msg": "success", "data": data}


def callback(task: Task, links: Links) -> dict[str, Json]:
    """Write a callback's body: the legacy object without its envelope, state and prompts."""
    only_in_feed = {"state", "prompt", "prompt_en"}
    shown = _legacy(task, links)
    return {name: value for name, value in shown.items() if name not in only_in_feed}


def _legacy(task: Task, links: Links) -> dict[str, Json]:
    words = _WORDS[task.stage]
    reason = _reason(task, links)
    return {
        "task_id": task.task_id,
        "state": words.state,
        "status": words.number,
        "prompt": "",
        "prompt_en": "",
        "video_url": links.video,
        "poster": links.poster,
        "last_frame": links.last_frame,
        "msg": None if reason is None else f"{reason.message} ({reason.code})",
        # Whether the provider was paid: what it charged in points is not known here.
        "point": "0" if task.billing is Billing.NONE else "1",
        "refund": "0",
        "create_time": str(int(task.created_at)),
        "update_time": str(int(task.updated_at)),
    }


def _wrapped(task: Task, links: Links) -> dict[str, Json]:
    words = _WORDS[task.stage]
    reason = _reason(task, links)
    upstream: dict[str, Json] = {
        "id": task.task_id,
        "status": words.runway,
        "createdAt": rfc3339(task.created_at),
        "video_url": links.video,
        "poster": links.poster,
        "last_frame": links.last_frame,
    }
    if links.video is not None:
        upstream["output"] = [links.video]
    if reason is not None:
        upstream |= {"failure": reason.message, "failureCode": reason.code}
    return {
        "task_id": task.task_id,
        "action": "IMAGE_TO_VIDEO",
        "status": words.gateway,
        "fail_reason": "" if reason is None else reason.message,
        "result_url": links.video or "",
        "submit_time": int(task.created_at),
        "start_time": 0 if words is _QUEUED else int(task.began_at),
        "finish_time": int(task.updated_at) if task.done else 0,
        # The gateway says 100 % on failures too.
        "progress": "100%" if task.done else f"{task.progress}%",
        "data": upstream,
    }


def _reason(task: Task, links: Links) -> Notice | None:
    """Return why there is no result; None for a task that has one or may get one."""
    if task.stage is Stage.SUCCEEDED:
        return None if links.video else _RESULT_EXPIRED
    return (task.error or _CANCELED) if _WORDS[task.stage] is _FAILED else None
