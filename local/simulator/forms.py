"""The provider's JSON: every published form of a create's reply, a feed and a callback.

Each function writes a `Report` in one form. As in the published examples, some numbers are strings
and some fields are null. The gateway's internal fields (`quota`, `user_id`, `channel_id`) are
included because clients must ignore them.
"""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, assert_never

from local.simulator.behaviour import CallbackBody, CreateForm, FeedShape, Nested
from local.simulator.media import NO_URLS
from local.simulator.report import Report, ReportedState

Form = dict[str, Any]

INTERNAL_FIELDS = {"user_id": 48213, "channel_id": 77, "quota": 200000}
FAILURE_CODE = "INTERNAL.BAD_OUTPUT.CODE01"

GATEWAY_STATUSES: dict[ReportedState, str] = {
    "queued": "QUEUED",
    "running": "IN_PROGRESS",
    "succeeded": "SUCCESS",
    "failed": "FAILURE",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "unknown": "AWAITING_REVIEW",
}
UPSTREAM_STATUSES: dict[ReportedState, str] = {
    "queued": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "canceled": "CANCELLED",
    "expired": "EXPIRED",
    "unknown": "AWAITING_REVIEW",
}
# (state, status): in the legacy form 2 is failed and 3 is succeeded.
LEGACY_STATUSES: dict[ReportedState, tuple[str, str]] = {
    "queued": ("created", "0"),
    "running": ("processing", "1"),
    "succeeded": ("succeeded", "3"),
    "failed": ("failed", "2"),
    "canceled": ("canceled", "2"),
    "expired": ("expired", "2"),
    "unknown": ("awaiting_review", "9"),
}
GUIDE_STATUSES: dict[ReportedState, str] = {
    "queued": "queued",
    "running": "processing",
    "succeeded": "completed",
    "failed": "failed",
    "canceled": "canceled",
    "expired": "expired",
    "unknown": "awaiting_review",
}


def create_accepted(form: CreateForm, task_id: str) -> Form:
    """Return a create's reply in one of the published forms."""
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
    """Return the feed's answer in one of its four shapes; `nested` applies to `wrapped` only."""
    match shape:
        case "wrapped":
            return {"code": "success", "message": "", "data": wrapped(nested, report)}
        case "flat":
            return gateway_task(report) | {"result_url": report.urls.video or ""} | INTERNAL_FIELDS
        case "legacy":
            data = legacy_object(report) | INTERNAL_FIELDS
            return {"code": 200, "msg": "成功", "data": data, "exec_time": 0}
        case "bare":
            return upstream_object(report) | {"id": report.task_id}
        case _:
            assert_never(shape)


def wrapped(nested: Nested, report: Report) -> Form:
    """Return the gateway's wrapper around the upstream object."""
    stale = report.nested_state != report.state
    inner = stale_report(report) if stale else report
    upstream = legacy_object(inner) if nested == "legacy" else upstream_object(inner)
    upstream["task_id" if nested == "legacy" else "id"] = report.nested_id
    # A stale nested object has no URL yet, so the wrapper must have it.
    outside = {"result_url": report.urls.video} if stale and report.urls.video else {}
    return (
        gateway_task(report)
        | outside
        | {"platform": "runway"}
        | INTERNAL_FIELDS
        | {"data": upstream}
    )


def stale_report(report: Report) -> Report:
    """Return the report as it was while the task was running."""
    state = report.nested_state
    return replace(report, state=state, progress=0.9, reason="", urls=NO_URLS, finished=0)


def gateway_task(report: Report) -> Form:
    """Return the fields that the wrapped and the flat shape share."""
    return {
        "task_id": report.task_id,
        "action": "IMAGE_TO_VIDEO",
        "status": GATEWAY_STATUSES[report.state],
        "fail_reason": report.reason,
        "submit_time": report.submitted,
        "start_time": report.started,
        "finish_time": report.finished,
        "progress": f"{int(report.progress * 100)}%",
    }


def upstream_object(report: Report) -> Form:
    """Return the upstream object; its times are in UTC+8."""
    east = timezone(timedelta(hours=8))
    form: Form = {
        "id": report.nested_id,
        "status": UPSTREAM_STATUSES[report.state],
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
    """Return the object of the older documentation, as in the feed."""
    state, status = LEGACY_STATUSES[report.state]
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
    """Return a callback's body in one of the two published forms."""
    match form:
        case "legacy":
            bare = legacy_object(report)
            for feed_only in ("state", "prompt", "prompt_en"):
                del bare[feed_only]
            return bare | INTERNAL_FIELDS
        case "guide":
            result = {"video_url": report.urls.video} if report.urls.video else None
            guide: Form = {
                "task_id": report.task_id,
                "status": GUIDE_STATUSES[report.state],
                "progress": int(report.progress * 100),
                "result": result,
            }
            return guide | ({"error": report.reason} if report.reason else {}) | INTERNAL_FIELDS
        case _:
            assert_never(form)


def gateway_error(message: str, code: str = "") -> Form:
    """Return the gateway's error form, which includes a request id."""
    text = f"{message} (request id: {request_id()})"
    return {"error": {"message": text, "type": "comet_api_error", "param": "", "code": code}}


def task_error(code: str, message: str) -> Form:
    """Return the flat error form of the task routes."""
    return {"code": code, "message": message, "data": None}


def request_id() -> str:
    """Return an id like those of the gateway."""
    return f"{secrets.randbelow(10**20):020d}{secrets.token_hex(4)}"
