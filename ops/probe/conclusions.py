"""Answers the open questions from what was seen. Pure: a state in, sentences out.

Every answer says how far it reaches; a question that nothing was seen about is not settled.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final
from urllib.parse import parse_qs, urlsplit

from act_one.clock import HOUR
from act_one.provider.outcomes import Ambiguous, Created, NoAnswer, NotKnown
from act_one.provider.replies import (
    is_moderated,
    read_callback,
    read_create_reply,
    read_feed_reply,
    read_report,
)
from ops.probe import redact
from ops.probe.receiver.app import Record
from ops.probe.shapes import nested_in, object_in, shape_of
from ops.probe.state import Exchange, State, Step

NOT_SETTLED: Final = "not settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The answer to one question; `seen` are its redacted examples."""

    name: str
    question: str
    answer: str
    seen: object = field(default=None)


def conclusions(state: State) -> list[Conclusion]:
    """Answer every question."""
    transfer, failing = state.steps.get("transfer"), state.steps.get("bad-image")
    return [
        _drift(state),
        _key(state),
        _create_form(transfer or failing),
        _feed_shape(state),
        _not_exist(state),
        _duration(transfer),
        _callback(state, transfer),
        _repeats(transfer),
        _inputs(transfer),
        _result(transfer),
        _failure(failing),
        _refund(state),
        _understood(state),
    ]


def _drift(state: State) -> Conclusion:
    found = state.drift
    answer = NOT_SETTLED if found is None else "as assumed" if not found else " ".join(found)
    return Conclusion(
        name="offer", question="Is the route offered, at the price assumed?", answer=answer
    )


def _key(state: State) -> Conclusion:
    unknown, wrong = state.free.get("unknown-task"), state.free.get("wrong-key")
    answer = NOT_SETTLED
    if unknown is not None:
        read = read_feed_reply(unknown.reply())
        if isinstance(read, NotKnown):
            answer = f"accepted; an unknown task is HTTP {unknown.status}"
        elif isinstance(read, NoAnswer) and read.key_refused:
            answer = f"refused with HTTP {unknown.status}: check the key"
        else:
            answer = f"unclear: an unknown task is {_status(unknown)}"
    if wrong is not None and unknown is not None:
        answer += f"; a wrong key is {_status(wrong)}"
    seen = {name: _example(one) for name, one in state.free.items()}
    return Conclusion(name="key", question="Is the key accepted?", answer=answer, seen=seen)


def _create_form(step: Step | None) -> Conclusion:
    answer, seen = NOT_SETTLED, None
    if step is not None:
        created = step.create
        if created is None:
            answer = "unknown: the probe ended while it was sent"
        else:
            answer, seen = f"{step.outcome}, {_status(created)}", _example(created)
    return Conclusion(
        name="create", question="What does a create answer?", answer=answer, seen=seen
    )


def _feed_shape(state: State) -> Conclusion:
    known = [look for step in state.steps.values() for look in step.looks if _is_known(look)]
    shapes = sorted({shape_of(look.body) for look in known})
    nested = sorted({one for look in known if (one := nested_in(look.body)) is not None})
    answer = " and ".join(shapes) or NOT_SETTLED
    if nested:
        answer += f", with {' and '.join(nested)} inside"
    return Conclusion(
        name="feed",
        question="Which form does the feed have: wrapped, flat, legacy or bare?",
        answer=answer,
        seen=[_example(look) for look in known],
    )


def _is_known(look: Exchange) -> bool:
    answer = read_feed_reply(look.reply())
    return not isinstance(answer, NotKnown | NoAnswer)


def _not_exist(state: State) -> Conclusion:
    answer, seen = NOT_SETTLED, None
    for step in state.steps.values():
        if not step.looks or step.known_at is None:
            continue
        known = step.known_at - step.sent_at
        if step.unknown_until is None:
            answer = f"not seen: the first look, {known:.0f} s after the create, knew the task"
        else:
            unknown = step.unknown_until - step.sent_at
            first = next(
                one for one in step.looks if isinstance(read_feed_reply(one.reply()), NotKnown)
            )
            answer = (
                f"seen until {unknown:.0f} s, known from {known:.0f} s after the create, "
                f"as HTTP {first.status}"
            )
            seen = _example(first)
        break
    return Conclusion(
        name="task-not-exist",
        question="How long is a new task task_not_exist?",
        answer=answer,
        seen=seen,
    )


def _duration(step: Step | None) -> Conclusion:
    answer = NOT_SETTLED
    if step is not None and step.ended_at is not None:
        answer = f"{step.state} {step.ended_at - step.sent_at:.0f} s after the create"
    elif step is not None and step.known_at is not None:
        answer = f"{step.state} at the last look: no end was seen"
    return Conclusion(name="duration", question="How long does a transfer take?", answer=answer)


def _callback(state: State, step: Step | None) -> Conclusion:
    found = _callbacks(step)
    answer, seen = NOT_SETTLED, None
    if step is not None and step.ended_at is not None and not found:
        answer = "none came"
    elif step is not None and found:
        first = found[0]
        shape = shape_of(first.body)
        answer = (
            f"a {shape} body, its id is {_whose_id(state, step, first)}, "
            f"{first.at - step.sent_at:.0f} s after the create, from an IPv{first.family} address"
        )
        seen = {
            "headers": redact.headers(first.headers),
            "body": redact.body(first.body),
            "shapes": sorted({shape_of(one.body) for one in found}),
        }
    return Conclusion(
        name="callback",
        question="What is a callback: headers, body, whose id?",
        answer=answer,
        seen=seen,
    )


def _whose_id(state: State, step: Step, record: Record) -> str:
    document = object_in(record.body)
    report = read_report(document) if document is not None else None
    found = report.provider_task_id if report is not None else None
    if not found:
        return "missing"
    if found == step.task_id:
        return "the one of the create"
    others = {one.task_id for one in state.steps.values()} - {step.task_id, ""}
    if found in others:
        return "another task's"
    nested = any(f'"{found}"' in look.body for look in step.looks)
    return "the upstream's, which the feed shows too" if nested else "unknown to the feed"


def _repeats(step: Step | None) -> Conclusion:
    answer = NOT_SETTLED
    found = _callbacks(step)
    refused = [one for one in found if one.status == 500]
    if refused:
        after = [f"{later.at - one.at:.0f}" for one, later in pairwise(found)]
        if len(found) == 1:
            answer = "no repetition was seen after a 500"
        elif found[-1].status == 200:
            answer = f"yes: {len(found)} calls, {', '.join(after)} s apart, until a 200"
        else:
            answer = f"yes, but it gave up: {len(found)} calls, {', '.join(after)} s apart"
        if len({shape_of(one.body) for one in found}) > 1 or _states(found) > 1:
            answer += "; the bodies differ, so some may be calls for other changes of state"
    return Conclusion(name="repeats", question="Is a callback repeated after a 500?", answer=answer)


def _states(found: list[Record]) -> int:
    reports = [read_callback(one.body.encode()) for one in found]
    return len({report.state for report in reports if report is not None})


def _callbacks(step: Step | None) -> list[Record]:
    return [] if step is None else [one for one in step.records if one.kind == "callback"]


def _inputs(step: Step | None) -> Conclusion:
    answer, seen = NOT_SETTLED, None
    if step is not None:
        found = [one for one in step.records if one.kind == "input"]
        parts = []
        for name in sorted({one.name for one in found}):
            mine = [one for one in found if one.name == name]
            parts.append(
                f"{name.rpartition('/')[2]}: {', '.join(map(_fetch, mine[:4]))}" + _more(mine)
            )
        if parts:
            agents = sorted({redact.text(one.headers.get("user-agent", "none")) for one in found})
            families = sorted({f"IPv{one.family}" for one in found if one.family})
            answer = "; ".join(parts)
            answer += f"; user agent {', '.join(agents)}; {' and '.join(families)}"
            seen = [redact.headers(one.headers) for one in found[:4]]
        elif step.ended_at is not None:
            answer = "no request came for them"
    return Conclusion(
        name="inputs",
        question="How are inputs fetched: HEAD, GET or ranges, by whom?",
        answer=answer,
        seen=seen,
    )


def _fetch(one: Record) -> str:
    asked = one.headers.get("range")
    return f"{one.method} {redact.text(asked)}" if asked else one.method


def _more(found: list[Record]) -> str:
    return f" and {len(found) - 4} more" if len(found) > 4 else ""


def _result(step: Step | None) -> Conclusion:
    answer, seen = NOT_SETTLED, None
    if step is not None and step.result_url and step.ended_at is not None:
        place = redact.url(step.result_url)
        answer = f"{place['scheme']} from {place['host']}"
        expires = _expiry(step.result_url)
        if expires is not None:
            answer += f", its URL says that it expires {(expires - step.ended_at) / HOUR:.1f} h"
            answer += " after the end"
        works = [one.at for one in step.results if one.status in (200, 206)]
        fails = [one.at for one in step.results if one.status not in (0, 200, 206)]
        if works:
            answer += f"; it worked after {(max(works) - step.ended_at) / HOUR:.1f} h"
        if fails:
            answer += f"; it failed after {(min(fails) - step.ended_at) / HOUR:.1f} h"
        if not fails:
            answer += "; look again later with AGAIN="
        seen = {"url": place, "replies": [_example(one) for one in step.results]}
    return Conclusion(
        name="result", question="Where is a result, and for how long?", answer=answer, seen=seen
    )


def _expiry(url: str) -> float | None:
    """Read when a signed URL says that it expires, in Unix seconds."""
    query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    for name in ("expires", "x-expires", "exp", "e"):
        value = query.get(name, "")
        if value.isascii() and value.isdecimal() and len(value) == 10:
            return float(value)
    return None


def _failure(step: Step | None) -> Conclusion:
    answer, seen = NOT_SETTLED, None
    if step is not None:
        ends = [one for one in step.looks if _is_known(one)]
        callbacks = _callbacks(step)
        told = f"; callbacks: {len(callbacks)}" if step.ended_at else ""
        if step.outcome == "rejected" and step.create is not None:
            answer = f"the create is refused, {_status(step.create)}, so nothing is billed"
            seen = _example(step.create)
        elif step.state == "failed":
            report = read_feed_reply(ends[-1].reply())
            failure = getattr(report, "failure", None)
            moderated = failure is not None and is_moderated(failure)
            answer = f"the task fails, in the form {shape_of(ends[-1].body)}{told}"
            answer += "; by moderation: don't repeat it" if moderated else ""
            seen = _example(ends[-1])
        elif step.state == "succeeded":
            answer = f"there is none: an image without a face succeeded{told}"
    return Conclusion(
        name="failure",
        question="What does a failure look like (an image without a face)?",
        answer=answer,
        seen=seen,
    )


def _refund(state: State) -> Conclusion:
    failing = state.steps.get("bad-image")
    answer = NOT_SETTLED
    if failing is not None and failing.state == "failed":
        bodies = [failing.looks[-1].body, *(one.body for one in _callbacks(failing))]
        amounts = [*filter(None, (_refund_in(body) for body in bodies))]
        if amounts:
            answer = f"the reply says {amounts[0]}; compare with the account's log"
        else:
            answer = "no reply says so: look in the account's log (console, usage) for the task's "
            answer += "time: a charge, and perhaps a second entry that gives it back"
    elif failing is not None:
        answer = "there was no failed task; look at the account's log for what was charged"
    return Conclusion(name="refund", question="Is a failed task refunded?", answer=answer)


def _refund_in(body: str) -> str | None:
    for found in _objects(object_in(body)):
        if "refund" in found or "point" in found:
            point, refund = (str(found.get(name, "?")) for name in ("point", "refund"))
            if all(len(one) < 8 and one.isdecimal() for one in (point, refund)):
                return f"{refund} of {point} points are refunded"
    return None


def _objects(found: object) -> Iterator[Mapping[str, object]]:
    if isinstance(found, dict):
        yield found
        for value in found.values():
            yield from _objects(value)


def _understood(state: State) -> Conclusion:
    """Name what our own client can't read: the reason for a bug report to us."""
    unread = []
    for name, step in state.steps.items():
        if step.create is not None and step.outcome == "ambiguous":
            outcome = read_create_reply(step.create.reply(), now=step.create.at)
            if isinstance(outcome, Ambiguous | Created):
                unread.append(f"the create of {name}, {_status(step.create)}")
        unread += [
            f"a reply of the feed, {_status(look)}, {shape_of(look.body)}"
            for look in step.looks
            if isinstance(read_feed_reply(look.reply()), NoAnswer)
        ]
        if step.state == "unknown":
            unread.append("a state of the feed, whose word is new")
        unread += [
            f"the body of a callback, {shape_of(one.body)}"
            for one in _callbacks(step)
            if read_callback(one.body.encode()) is None
        ]
    answer = NOT_SETTLED
    if state.steps:
        answer = "yes" if not unread else f"not all: {'; '.join(dict.fromkeys(unread))}"
    return Conclusion(
        name="understood", question="Does this backend read all of that?", answer=answer
    )


def _example(seen: Exchange) -> dict[str, object]:
    example: dict[str, object] = {"status": seen.status, "headers": redact.headers(seen.headers)}
    if seen.body:
        example["body"] = redact.body(seen.body)
    return example | ({"error": redact.text(seen.error)} if seen.error else {})


def _status(seen: Exchange) -> str:
    return f"HTTP {seen.status}" if seen.status else f"no reply ({redact.text(seen.error)})"
