"""The provider's own JSON: every published form of a reply, a feed and a callback.

A `Report` is what one of them is about to say; the functions say it in one form each. Numbers
are strings and fields are null where the published examples have them so, and the gateway's
internal fields (`quota`, `user_id`, `channel_id`) are in, because its clients must ignore them.
"""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, assert_never

from local.simulator.behaviour import CallbackBody, CreateForm, FeedShape, Nested
from local.simulator.media import NO_URLS
from local.simulator.report import Report, Said

Form = dict[str, Any]

INTERNAL = {"user_id": 48213, "channel_id": 77, "quota": 200000}
FAILURE_CODE = "INTERNAL.BAD_OUTPUT.CODE01"

GATEWAY_WORDS: dict[Said, str] = {
    "queued": "QUEUED",
    "running": "IN_PROGRESS",
    "succeeded": "SUCCESS",
    "failed": "FAILURE",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "unknown": "AWAITING_REVIEW",
}
UPSTREAM_WORDS: dict[Said, str] = {
    "queued": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "canceled": "CANCELLED",
    "expired": "EXPIRED",
    "unknown": "AWAITING_REVIEW",
}
# (state, status): in the legacy form 2 is failed and 3 is succeeded.
LEGACY_WORDS: dict[Said, tuple[str, str]] = {
    "queued": ("created", "0"),
    "running": ("processing", "1"),
    "succeeded": ("succeeded", "3"),
    "failed": ("failed", "2"),
    "canceled": ("canceled", "2"),
    "expired": ("expired", "2"),
    "unknown": ("awaiting_review", "9"),
}
GUIDE_WORDS: dict[Said, str] = {
    "queued": "queued",
    "running": "processing",
    "succeeded": "completed",
    "failed": "failed",
    "canceled": "canceled",
    "expired": "expired",
    "unknown": "awaiting_review",
}


def create_accepted(form: CreateForm, task_id: str) -> Form:
    """A create's reply in one of the published forms."""
    match form:
        case "1":
            return {"code": 200, "msg": "success", "data": {"task_id": task_id}, "exec_time": 0.08}
        case "2":
            return {"code": 200, "message": "", "msg": "success", "data": {"task_id": task_id}}
        case "3":
            data = {"task_id": task_id, "state": "", "status": "0", "video_url": None}
            return {"code": 200, "msg": "成功", "data": data}
        case "top_level":
            return {"code": "success", "message": "", "task_id": task_id}
        case _:
            assert_never(form)


def feed_form(shape: FeedShape, nested: Nested, report: Report) -> Form:
    """The feed's answer in one of its three shapes; `nested` matters for `wrapped` only."""
    match shape:
        case "wrapped":
            return {"code": "success", "message": "", "data": wrapped(nested, report)}
        case "flat":
            return gateway_task(report) | {"result_url": report.urls.video or ""} | INTERNAL
        case "legacy":
            data = legacy_object(report) | INTERNAL
            return {"code": 200, "msg": "成功", "data": data, "exec_time": 0}
        case _:
            assert_never(shape)


def wrapped(nested: Nested, report: Report) -> Form:
    """The gateway's wrapper around the upstream's own object."""
    stale = report.nested_state != report.state
    inner = stale_report(report) if stale else report
    upstream = legacy_object(inner) if nested == "legacy" else upstream_object(inner)
    upstream["task_id" if nested == "legacy" else "id"] = report.nested_id
    # The URL is in the nested object. A stale one has none yet, so it must stand outside.
    outside = {"result_url": report.urls.video} if stale and report.urls.video else {}
    return gateway_task(report) | outside | {"platform": "runway"} | INTERNAL | {"data": upstream}


def stale_report(report: Report) -> Report:
    """The report as it was while the task was still running."""
    state = report.nested_state
    return replace(report, state=state, progress=0.9, reason="", urls=NO_URLS, finished=0)


def gateway_task(report: Report) -> Form:
    """The fields that the wrapped and the flat shape share."""
    return {
        "task_id": report.task_id,
        "action": "IMAGE_TO_VIDEO",
        "status": GATEWAY_WORDS[report.state],
        "fail_reason": report.reason,
        "submit_time": report.submitted,
        "start_time": report.started,
        "finish_time": report.finished,
        "progress": f"{int(report.progress * 100)}%",
    }


def upstream_object(report: Report) -> Form:
    """The upstream's own object; its clock is eight hours east."""
    east = timezone(timedelta(hours=8))
    form: Form = {
        "id": report.nested_id,
        "status": UPSTREAM_WORDS[report.state],
        "createdAt": datetime.fromtimestamp(report.submitted, UTC).astimezone(east).isoformat(),
    }
    if report.state == "running":
        form["progress"] = round(report.progress, 2)
    if report.urls.video:
        form["output"] = [report.urls.video]
    if report.reason:
        form |= {"failure": report.reason, "failureCode": FAILURE_CODE}
    return form


def legacy_object(report: Report) -> Form:
    """The object of the older pages, as the feed shows it."""
    state, status = LEGACY_WORDS[report.state]
    return {
        "task_id": report.task_id,
        "state": state,
        "status": status,
        "prompt": "",
        "prompt_en": "",
        "video_url": report.urls.video,
        "poster": report.urls.poster,
        "last_frame": report.urls.last_frame,
        "msg": report.reason or None,
        "point": "320",
        "refund": "0" if report.state == "succeeded" or not report.reason else "320",
        "create_time": str(report.submitted),
        "update_time": str(report.finished or report.started or report.submitted),
    }


def callback_form(form: CallbackBody, report: Report) -> Form:
    """A callback's body in one of the two published forms."""
    match form:
        case "legacy":
            bare = legacy_object(report)
            for only_in_the_feed in ("state", "prompt", "prompt_en"):
                del bare[only_in_the_feed]
            return bare | INTERNAL
        case "guide":
            result = {"video_url": report.urls.video} if report.urls.video else None
            said: Form = {
                "task_id": report.task_id,
                "status": GUIDE_WORDS[report.state],
                "progress": int(report.progress * 100),
                "result": result,
            }
            return said | ({"error": report.reason} if report.reason else {}) | INTERNAL
        case _:
            assert_never(form)


def gateway_error(message: str, code: str = "") -> Form:
    """The error form of the gateway, with a request id as it adds one."""
    text = f"{message} (request id: {request_id()})"
    return {"error": {"message": text, "type": "comet_api_error", "param": "", "code": code}}


def task_error(code: str, message: str) -> Form:
    """The flat error form of task routes."""
    return {"code": code, "message": message, "data": None}


def request_id() -> str:
    """An id like the gateway's."""
    return f"{secrets.randbelow(10**20):020d}{secrets.token_hex(4)}"
