"""The provider's replies, callbacks and errors, in every form that is known. Pure parsing.

Facts are from CometAPI's pages for ``/runway/pro/act_one`` and ``/runway/feed`` and from software
of the same family. Where sources disagree every form is accepted; ``docs/provider.md`` has them.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
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
_MAX_TEXT: Final = 500

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


def read_create_reply(reply: Reply, *, now: float) -> CreateOutcome:
    """Tell the four outcomes of a create apart. Total: any reply has one."""
    body = _json_object(reply.body)
    reason = _error_of(body, reply.status)
    text = reply.body[:65_536].decode("utf-8", "replace").lower()
    if 200 <= reply.status < 300:
        task_id = _created_id(body)
        if task_id:
            return Created(provider_task_id=task_id)
        if _names_an_error(body):
            return Rejected(reason=reason)
        return Ambiguous(reason=Notice(code="no_task_id", message="accepted without a task id"))
    if reply.status in {401, 403}:
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


def read_feed_reply(reply: Reply) -> FeedAnswer:
    """Read the feed's answer in any of its documented shapes. Total: any reply has an answer."""
    body = _json_object(reply.body)
    if _says_not_exist(body):
        return NotKnown()
    if reply.status in {401, 403}:
        return NoAnswer(reason=f"HTTP {reply.status}", key_refused=True)
    if not 200 <= reply.status < 300:
        return NoAnswer(reason=f"HTTP {reply.status}")
    report = read_report(body)
    return report if report is not None else NoAnswer(reason="the reply holds no task")


def read_callback(body: str) -> Report | None:
    """Read a callback's body, which is unsigned and has no fixed form; None: it says nothing."""
    return read_report(_json_object(body.encode("utf-8", "replace")))


def read_report(body: Mapping[str, Json]) -> Report | None:
    """Read a task object: wrapped, flat, legacy, or a callback's; None: there is none."""
    inner = body.get("data")
    outer = inner if isinstance(inner, dict) and not _text(body.get("task_id")) else body
    nested = _first_object(outer.get("data"), outer.get("result"))
    if not (_text(outer.get("task_id")) or _text(outer.get("id")) or _state_words(outer, nested)):
        return None
    state, word = _state_of(outer, nested)
    if state is ProviderState.FAILED and not _names_a_task(outer, nested):
        return None  # an error of a proxy's, say: what ends a paid task must name one
    succeeded = state is ProviderState.SUCCEEDED
    return Report(
        provider_task_id=_text(outer.get("task_id")) or _text(outer.get("id")) or None,
        state=state,
        progress=_progress(outer.get("progress", nested.get("progress"))),
        media=_media_of(outer, nested) if succeeded else None,
        failure=_failure_of(outer, nested, word) if state is ProviderState.FAILED else None,
        created_at=_created_at(outer, nested),
    )


def _names_a_task(*objects: Mapping[str, Json]) -> bool:
    return any(_text(found.get(name)) for found in objects for name in ("task_id", "id"))


def scrub(text: str) -> str:
    """Cut what an error text must not carry on: queries of URLs, bearer keys, sheer length."""
    text = re.sub(r"(?i)(https?://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", r"\1", text)
    text = re.sub(r"(?i)(bearer\s+|\bsk-)[\w.~+/=*-]+", r"\1…", text)
    return text[:_MAX_TEXT]


def _json_object(body: bytes) -> dict[str, Json]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Json) -> str:
    """Read a string or a number written as one; anything else is no text."""
    if isinstance(value, str):
        # Half of a surrogate pair (an emoji cut in two) can't be written to any row or event.
        return value.encode("utf-8", "replace").decode().strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(value) if isinstance(value, int) or math.isfinite(value) else ""


def _first_object(*values: Json) -> dict[str, Json]:
    return next((value for value in values if isinstance(value, dict)), {})


def _created_id(body: Mapping[str, Json]) -> str:
    made = _text(_first_object(body.get("data")).get("task_id")) or _text(body.get("task_id"))
    # Beside an error, a bare `id` is the request's, not a task's.
    return made or ("" if _names_an_error(body) else _text(body.get("id")))


def _names_an_error(body: Mapping[str, Json]) -> bool:
    code = _text(body.get("code")).lower()
    is_status = code.isascii() and code.isdigit() and 200 <= int(code[:4]) < 300
    return bool(body.get("error")) or not (is_status or code in _SUCCESS_CODES)


def _error_of(body: Mapping[str, Json], status: int) -> Notice:
    error = _first_object(body.get("error"))
    texts = (error.get("message"), body.get("error"), body.get("message"), body.get("msg"))
    message = next((found for found in map(_text, texts) if found), f"HTTP {status}")
    code = _text(error.get("code")) or _text(body.get("code"))
    said = f"{message} ({code})" if code and code not in message else message
    return Notice(code="provider_rejected", message=scrub(said))


def _says_not_exist(body: Mapping[str, Json]) -> bool:
    error = _first_object(body.get("error"))
    said = (*(body.get(name) for name in ("code", "message", "msg", "status")), error.get("code"))
    return any("task_not_exist" in _text(value).lower() for value in said)


def _state_words(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> list[str]:
    """List what is said of the state, best evidence first; numbers after words, nested last."""
    status = _text(outer.get("status"))
    numeric = status.isdigit()
    said = [
        "" if numeric else status,
        _text(outer.get("state")),
        status if numeric else "",
    ]
    own = [word.lower() for word in said if word]
    return own or [
        word.lower() for word in (_text(nested.get("status")), _text(nested.get("state"))) if word
    ]


def _state_of(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> tuple[ProviderState, str]:
    words = _state_words(outer, nested)
    for word in words:
        if word in _STATES:
            return _STATES[word], word
    return (ProviderState.UNKNOWN if words else ProviderState.QUEUED), ""


def _media_of(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> MediaUrls | None:
    video = next((url for url in map(_url, _video_candidates(outer, nested)) if url), None)
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
    output = nested.get("output")
    yield output[0] if isinstance(output, list) and output else output
    yield nested.get("video_url")
    yield nested.get("url")
    yield outer.get("url")
    # Old gateways of the family put a success's URL there.
    yield outer.get("fail_reason")


def _url(value: Json) -> str | None:
    if not isinstance(value, str):
        return None
    url = value.strip()
    if any(letter <= " " or letter == "\x7f" for letter in url):
        return None
    try:
        url.encode()
        parse_url(url)
    except UnicodeEncodeError:
        return None
    except UnsafeAddressError as error:
        # The copy refuses the other ones, and the task says why.
        return None if error.code in {"invalid", "scheme", "characters"} else url
    return url


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
    """Read ``"30%"``, ``0.3`` (a share) or ``30`` as 0 to 100."""
    text = _text(value)
    try:
        number = float(text.rstrip("%").strip())
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    is_share = "%" not in text and "." in text and number <= 1
    return round(max(0.0, min(100.0, number * 100 if is_share else number)))


def _created_at(outer: Mapping[str, Json], nested: Mapping[str, Json]) -> float | None:
    for value in (outer.get("submit_time"), outer.get("create_time"), nested.get("createdAt")):
        text = _text(value)
        try:
            moment = float(text)
        except ValueError:
            try:
                moment = _utc(datetime.fromisoformat(text))
            except (ValueError, OverflowError):
                continue
        if math.isfinite(moment) and moment > 0:
            return moment
    return None


def _utc(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
