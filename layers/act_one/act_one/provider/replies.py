"""Parses the provider's replies, callbacks and errors, in every form that is known. Pure.

The forms are from CometAPI's pages for ``/runway/pro/act_one`` and ``/runway/feed`` and from
software of the same family. Where sources disagree, every form is accepted; ``docs/provider.md``
lists them.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from act_one.clock import HOUR
from act_one.json_types import Json
from act_one.net.exchange import Reply, retry_after
from act_one.net.urls import UnsafeAddressError, parse_url
from act_one.provider.outcomes import (
    Ambiguous,
    Created,
    CreateOutcome,
    FeedAnswer,
    NoAnswer,
    NotKnown,
    ProviderState,
    Rejected,
    Report,
    Retryable,
)
from act_one.tasks.task import MediaUrls, Notice

_CERTAIN_REFUSAL: Final = ("saturated", "no available channel", "no channel", "model_not_found")
_SUCCESS_CODES: Final = frozenset({"", "0", "success", "ok"})
_BALANCE_USED_UP: Final = "insufficient_user_quota"
MAX_ID_BYTES: Final = 1_024
"""A longer id would be refused by the table's index, so it counts as none."""
_MAX_TEXT: Final = 500
_URL_WITH_QUERY: Final = re.compile(
    r"(?i)(https?://(?:(?!%3f|%23)[^\s?#\"'<>])*)(?:[?#]|%3f|%23)[^\s\"'<>]*"
)
_USER_OF_URL: Final = re.compile(r"(?i)(https?://)[^\s/?#@\"'<>]*@")
_CALLBACK_TOKEN: Final = re.compile(r"\b[0-9a-f]{8}(?:\.|%2e)[A-Za-z0-9_-]{20,}", re.IGNORECASE)
_KEY: Final = re.compile(r"(?i)(bearer\s+|authorization:\s*basic\s+|\bsk-|\bwhsec_)[\w.~+/=*-]+")
_MODERATED: Final = re.compile(r"(?<![A-Za-z])SAFETY\.[A-Z]")
_ID_IN_TEXT: Final = re.compile(rb'"task_id"\s*:\s*"([A-Za-z0-9_.:-]+)"')
"""An id in a reply that is not a JSON object, because it was cut off."""
_BARE_ID: Final = re.compile(r"(?=.*[0-9])[A-Za-z0-9_-]{8,128}")
"""What is taken for an id where only a string says that it is one."""
_MILLISECONDS_FROM: Final = 1e11
"""Larger times are milliseconds: as seconds they would be after the year 5000."""

_STATES: Final[Mapping[str, ProviderState]] = {
    word: state
    for state, words in {
        ProviderState.QUEUED: "not_start submitted queued pending throttled created 0",
        ProviderState.RUNNING: "in_progress running processing 1",
        ProviderState.SUCCEEDED: "success succeeded succeed completed finished 3",
        ProviderState.FAILED: "failure failed fail error 2 canceled cancelled expired timeout",
    }.items()
    for word in words.split()
}
_ENDED_BY_PROVIDER: Final[Mapping[str, str]] = {
    "canceled": "provider_canceled",
    "cancelled": "provider_canceled",
    "expired": "provider_expired",
    "timeout": "provider_expired",
}


def read_create_reply(reply: Reply, *, now: float, secrets: Iterable[str] = ()) -> CreateOutcome:
    """Return which of the four outcomes a create had. Total: every reply has one.

    ``secrets`` are those that the request held; they are removed from the reason.
    """
    body = _json_object(reply.body)
    reason = _error_of(body, reply.status, secrets)
    text = reply.body[:65_536].decode("utf-8", "replace").lower()
    if 200 <= reply.status < 300:
        if created := read_created(reply):
            return created
        if _names_an_error(body):
            if _BALANCE_USED_UP in reason.message:
                return Retryable(reason=reason, key_refused=True)
            return Rejected(reason=reason)
        return Ambiguous(reason=Notice(code="no_task_id", message="accepted without a task id"))
    if reply.status in {401, 402, 403} or _BALANCE_USED_UP in reason.message:
        return Retryable(reason=reason, key_refused=True)
    if reply.status == 429 or (
        reply.status == 503 and any(word in text for word in _CERTAIN_REFUSAL)
    ):
        seconds = retry_after(reply.headers.get("retry-after"), now, longest=HOUR)
        return Retryable(reason=reason, retry_after_seconds=seconds)
    if reply.status == 500 and "invalid_request" in text:
        return Rejected(reason=reason)
    if 400 <= reply.status < 500 and reply.status != 408:
        return Rejected(reason=reason)
    return Ambiguous(reason=reason)


def read_created(reply: Reply) -> Created | None:
    """Read the id of a create from a 2xx reply, whatever else is wrong with the reply."""
    if not 200 <= reply.status < 300:
        return None
    body = _json_object(reply.body)
    task_id = _created_id(body)
    if not body and (found := _ID_IN_TEXT.search(reply.body)):
        task_id = _id({"task_id": found[1].decode()}, "task_id")
    return Created(provider_task_id=task_id) if task_id else None


def read_feed_reply(reply: Reply) -> FeedAnswer:
    """Read the feed's answer in any of its documented forms. Total: never raises."""
    body = _json_object(reply.body)
    if _says_not_exist(body):
        return NotKnown()
    if reply.status in {401, 403}:
        return NoAnswer(reason=f"HTTP {reply.status}", key_refused=True)
    if not 200 <= reply.status < 300:
        return NoAnswer(reason=f"HTTP {reply.status}")
    report = read_report(body)
    return report if report is not None else NoAnswer(reason="the reply holds no task")


def read_callback(body: bytes) -> Report | None:
    """Read a callback's body, which is unsigned and has no fixed form; None without a task."""
    return read_report(_json_object(body))


def write_success(report: Report) -> str:
    """Write what a callback reported of a success, short, in a form that ``read_callback`` reads.

    So a row keeps it whatever else the callback's body held.
    """
    media = report.media
    success = {
        "task_id": report.provider_task_id,
        "status": "SUCCESS",
        "result_url": media and media.video,
        "poster": media and media.poster,
        "last_frame": media and media.last_frame,
        "submit_time": report.created_at,
    }
    return json.dumps({name: value for name, value in success.items() if value is not None})


def read_report(body: Mapping[str, Json]) -> Report | None:
    """Read a task object: wrapped, flat, legacy, or a callback's; None if there is none."""
    inner = body.get("data")
    is_task = _id(body, "task_id") or (_id(body, "id") and _text(body.get("status")))
    outer = inner if isinstance(inner, dict) and not is_task else body
    nested = _first_object(outer.get("data"), outer.get("result"))
    task_id = next(filter(None, (_id(found, *_ID_NAMES) for found in (outer, nested))), None)
    if task_id is None and not _state_words(outer, nested):
        return None
    state, word = _state_of(outer, nested)
    if state is ProviderState.FAILED and task_id is None:
        return None  # for example a proxy's error: only a report that names a task may end one
    succeeded = state is ProviderState.SUCCEEDED
    return Report(
        provider_task_id=task_id,
        state=state,
        progress=_progress(outer.get("progress", nested.get("progress"))),
        media=_media_of(outer, nested) if succeeded else None,
        failure=_failure_of(outer, nested, word) if state is ProviderState.FAILED else None,
        created_at=_created_at(outer, nested),
    )


_ID_NAMES: Final = ("task_id", "id")


def _id(found: Mapping[str, Json], *names: str) -> str:
    """Return the first id that stands under one of the names; empty if there is none."""
    ids = (_text(found.get(name)) for name in names)
    return next((one for one in ids if one and len(one.encode()) <= MAX_ID_BYTES), "")


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Remove what an error text must not carry on: secrets, queries of URLs, excess length.

    ``secrets`` are those that the provider was sent and might echo. Callback tokens and keys in
    their usual form are removed in any case.
    """
    if len(text) > 4 * _MAX_TEXT:  # before the patterns run: their time grows with the text
        words = text[: 4 * _MAX_TEXT].rsplit(maxsplit=1)
        text = words[0] if words else ""  # a part of a secret would not be known as one
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    text = _USER_OF_URL.sub(r"\1", _URL_WITH_QUERY.sub(r"\1", text))
    text = _CALLBACK_TOKEN.sub("…", text)
    return _KEY.sub(r"\1…", text)[:_MAX_TEXT]


def _json_object(body: bytes) -> dict[str, Json]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Json) -> str:
    """Return a string, or a number as a string; empty for anything else."""
    if isinstance(value, str):
        # A lone surrogate (half of an emoji) can't be written to any row or event.
        return value.encode("utf-8", "replace").decode().strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(value) if isinstance(value, int) or math.isfinite(value) else ""


def _first_object(*values: Json) -> dict[str, Json]:
    return next((value for value in values if isinstance(value, dict)), {})


def _created_id(body: Mapping[str, Json]) -> str:
    data = _first_object(body.get("data"))
    created = _id(data, "task_id") or _id(body, "task_id")
    if created or _names_an_error(body):
        return created  # beside an error, a bare `id` names the request, not a task
    siblings = _id(data, "taskId", "id") or _id(_first_object(data.get("data")), *_ID_NAMES)
    bare = _text(body.get("data"))
    return siblings or (bare if _BARE_ID.fullmatch(bare) else "") or _id(body, "id")


def _names_an_error(body: Mapping[str, Json]) -> bool:
    code = _text(body.get("code")).lower()
    is_status = code.isascii() and code.isdigit() and 200 <= int(code[:4]) < 300
    return bool(body.get("error")) or not (is_status or code in _SUCCESS_CODES)


def _error_of(body: Mapping[str, Json], status: int, secrets: Iterable[str]) -> Notice:
    error = _first_object(body.get("error"))
    texts = (error.get("message"), body.get("error"), body.get("message"), body.get("msg"))
    message = next((found for found in map(_text, texts) if found), f"HTTP {status}")
    code = _text(error.get("code")) or _text(body.get("code"))
    said = f"{message} ({code})" if code and code not in message else message
    return Notice(code="provider_rejected", message=scrub(said, secrets))


def _says_not_exist(body: Mapping[str, Json]) -> bool:
    error = _first_object(body.get("error"))
    said = (
        *(body.get(name) for name in ("code", "message", "msg", "status")),
        *(error.get(name) for name in ("code", "message")),
    )
    return any("task_not_exist" in _text(value).lower() for value in said)


def _state_words(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> list[str]:
    """List the words for the state, best evidence first: numbers after words, nested last."""
    status = _text(outer.get("status"))
    numeric = status.isdigit()
    words = (
        "" if numeric else status,
        _text(outer.get("state")),
        status if numeric else "",
        _text(nested.get("status")),
        _text(nested.get("state")),
    )
    return [word.lower() for word in words if word]


def _state_of(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> tuple[ProviderState, str]:
    words = _state_words(outer, nested)
    for word in words:
        if word in _STATES:
            return _STATES[word], word
    return (ProviderState.UNKNOWN if words else ProviderState.QUEUED), ""


def _media_of(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> MediaUrls | None:
    video = next(filter(None, map(_first_url, _video_candidates(outer, nested))), None)
    if video is None:
        return None
    return MediaUrls(
        video=video,
        poster=_url(outer.get("poster")) or _url(nested.get("poster")),
        last_frame=_url(outer.get("last_frame")) or _url(nested.get("last_frame")),
    )


def _video_candidates(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> Iterator[Json]:
    yield outer.get("result_url")
    yield outer.get("video_url")
    yield outer.get("output")
    yield nested.get("output")
    yield nested.get("video_url")
    yield nested.get("url")
    yield outer.get("url")
    # Old gateways of the family put the URL of a success here.
    yield outer.get("fail_reason")


def _first_url(value: Json) -> str | None:
    """Read a URL, an object with a ``url``, or a list whose first element is one of them."""
    if isinstance(value, list):
        value = value[0] if value else None
    return _url(value.get("url") if isinstance(value, dict) else value)


def _url(value: Json) -> str | None:
    """Read a URL as CDNs of this family write it: spaces are escaped, and ``//`` is https."""
    if not isinstance(value, str):
        return None
    url = value.strip().replace(" ", "%20")
    if url.startswith("//"):
        url = f"https:{url}"
    try:
        url.encode()
        parse_url(url)
    except UnicodeEncodeError:
        return None
    except UnsafeAddressError as error:
        # The copy refuses the other ones, and the task says why.
        return None if error.code in {"invalid", "scheme", "characters"} else url
    return url


def is_moderated(failure: Notice) -> bool:
    """Return whether the provider's moderation ended a task.

    Runway's failure codes for it have a part ``SAFETY``, such as ``SAFETY.INPUT.IMAGE``, and are in
    the message. It bills such tasks, and suspends accounts that have many: never repeat one.
    """
    return _MODERATED.search(failure.message) is not None


def _failure_of(outer: Mapping[str, Json], nested: Mapping[str, Json], word: str) -> Notice:
    texts = (
        outer.get("fail_reason"),
        outer.get("msg"),
        outer.get("failure"),
        nested.get("failure"),
        nested.get("msg"),
    )
    message = next((text for text in map(_text, texts) if text), "the provider gave no reason")
    code = _text(outer.get("failureCode")) or _text(nested.get("failureCode"))
    return Notice(
        code=_ENDED_BY_PROVIDER.get(word, "provider_failed"),
        message=scrub(f"{message} ({code})" if code else message),
    )


def _progress(value: Json) -> int | None:
    """Read ``"30%"``, ``0.3`` (a fraction) or ``30`` as 0 to 100."""
    text = _text(value)
    try:
        number = float(text.rstrip("%").strip())
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    is_fraction = "%" not in text and "." in text and number <= 1
    return round(max(0.0, min(100.0, number * 100 if is_fraction else number)))


def _created_at(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> float | None:
    times = ("submit_time", "create_time", "createdAt")
    for value in (*map(outer.get, times), nested.get("createdAt")):
        moment = _moment(_text(value))
        if moment is not None and math.isfinite(moment) and moment > 0:
            return moment
    return None


def _moment(text: str) -> float | None:
    """Read epoch seconds or milliseconds, or ISO 8601; a time without a zone proves nothing."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return number / 1_000 if number > _MILLISECONDS_FROM else number
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
