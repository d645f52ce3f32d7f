"""Calls the provider, and writes what it saw into the state, which is saved after every call."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import requests

from act_one.inputs.preflight import Limits, check_inputs
from act_one.inputs.request import TransferRequest
from act_one.net import downloads
from act_one.net.exchange import NoReplyError, NotSentError, post
from act_one.problems import ProblemError
from act_one.provider.client import CREATE_PATH, CREATE_SECONDS, FEED_PATH
from act_one.provider.outcomes import (
    Created,
    NotKnown,
    ProviderState,
    Rejected,
    Report,
    Retryable,
)
from act_one.provider.replies import (
    read_callback,
    read_create_reply,
    read_created,
    read_feed_reply,
)
from ops.probe.receiver.app import BLANK, IMAGE, MAX_INPUT_BYTES, VIDEO, Record, run_of
from ops.probe.shapes import shape_of
from ops.probe.state import Exchange, State, Step, save
from ops.stacks import CommandError

StepName = Literal["transfer", "bad-image"]
STEPS: Final[dict[StepName, tuple[str, int]]] = {"transfer": (IMAGE, 2), "bad-image": (BLANK, 0)}
"""The paid steps: the image of each, and how many of its callbacks are answered with a 500."""
SECONDS: Final = 20.0
LIMITS: Final = Limits(
    max_video_bytes=MAX_INPUT_BYTES,
    max_image_bytes=MAX_INPUT_BYTES,
    min_video_seconds=3,
    max_video_seconds=30,
)
NOT_SENT: Final = "not sent"
FIRST_BYTES: Final = "bytes=0-1023"
_ENDED: Final = (ProviderState.SUCCEEDED, ProviderState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Who is called, with what, and how long is waited (seconds)."""

    provider: str
    key: str
    runway_version: str
    receiver: str
    state: State
    file: Path
    say: Callable[[str], None]
    poll_seconds: float = 5.0
    task_seconds: float = 2_400.0
    callback_seconds: float = 900.0

    def save(self) -> None:
        """Save the state."""
        save(self.state, self.file)

    @property
    def run(self) -> str:
        """The id under which the receiver records."""
        return run_of(self.state.secret)


# ── Free ──────────────────────────────────────────────────────────────────────────────────────


def free(probe: Probe) -> None:
    """Ask the feed about a task that isn't there, with the key and with a wrong one."""
    task = {"task_id": str(uuid.uuid4())}
    for name, key in (("unknown-task", probe.key), ("wrong-key", "sk-" + "0" * 48)):
        probe.state.free[name] = call(probe, FEED_PATH, task, key)
        probe.save()


def check_receiver(probe: Probe) -> None:
    """Look at the receiver's inputs as act-one does before it pays.

    Raises ``CommandError`` if the receiver isn't there, or has no inputs that the provider takes.
    """
    try:
        reply = requests.get(f"{probe.receiver}/inputs", timeout=SECONDS)
        there = reply.json()["inputs"] if reply.ok else None
    except (requests.RequestException, ValueError, KeyError) as error:
        raise CommandError(f"The receiver doesn't answer: {type(error).__name__}.") from error
    if there is None or not {VIDEO, IMAGE, BLANK} <= {*there}:
        raise CommandError(
            f"The receiver has no {VIDEO} and {IMAGE}, of 4 MB at most: put yours into its folder "
            "of inputs, and deploy it again (docs/provider.md)."
        )
    place = f"{probe.receiver}/inputs/{'0' * 32}/check"  # recorded under an unused run
    policy = downloads.Policy(allow_http=True, allow_private=True)  # an address of one's own
    try:
        warnings = check_inputs(
            TransferRequest(video=f"{place}/{VIDEO}", image=f"{place}/{IMAGE}"),
            LIMITS,
            downloads.session(policy),
        )
    except ProblemError as problem:
        raise CommandError(f"The provider would not take these inputs. {problem.detail}") from None
    for warning in warnings:
        probe.say(f"Inputs: {warning.message}.")


# ── Paid ──────────────────────────────────────────────────────────────────────────────────────


def pay(probe: Probe, name: StepName) -> None:
    """Do a paid step, or go on with it: its create is sent once, whatever happens."""
    step = probe.state.steps.get(name)
    if step is None:
        step = _create(probe, name)
        if step is None:
            return
    elif step.outcome == "sending":
        probe.say(
            f"{name}: an earlier run ended while its create was sent. It may be billed and is not "
            "sent again; its callback may still tell its task."
        )
    if step.done:
        probe.say(f"{name}: done before, at {_clock(step.sent_at)}.")
        return
    if step.outcome in ("accepted", "sending", "ambiguous"):
        _follow(probe, name, step)
    step.done = True
    probe.save()


def _create(probe: Probe, name: StepName) -> Step | None:
    """Send a create. Returns None if it was certainly not billed and may be sent another time."""
    image, refusals = STEPS[name]
    step = Step(sent_at=time.time())
    probe.state.steps[name] = step
    probe.save()  # before it is sent: from here on, this step may be paid for
    body = {
        "video": f"{probe.receiver}/inputs/{probe.run}/{name}/{VIDEO}",
        "image": f"{probe.receiver}/inputs/{probe.run}/{name}/{image}",
        "callback_url": f"{probe.receiver}/callbacks/{probe.run}/{name}/{refusals}",
    }
    step.create = call(probe, CREATE_PATH, body, probe.key, seconds=CREATE_SECONDS)
    outcome = read_create_reply(step.create.reply(), now=time.time(), secrets=[probe.key])
    broken = bool(step.create.error)
    refused = isinstance(outcome, Retryable) and not broken
    if step.create.error == NOT_SENT or refused:
        del probe.state.steps[name]
        probe.save()
        why = outcome.reason.message if isinstance(outcome, Retryable) else "it wasn't reached"
        probe.say(f"{name}: the provider refused for now, and bills nothing: {why}.")
        return None
    created = read_created(step.create.reply())
    match outcome:
        case Created():
            step.outcome = "accepted"
        case Rejected() if not broken:
            step.outcome = "rejected"
        case _:
            step.outcome = "accepted" if created else "ambiguous"
    step.task_id = created.provider_task_id if created else ""
    probe.save()
    probe.say(f"{name}: the create is {step.outcome}.")
    return step


def _follow(probe: Probe, name: StepName, step: Step) -> None:
    """Ask the feed until the task ends, then wait for callbacks and their repetitions."""
    while step.ended_at is None and time.time() < step.sent_at + probe.task_seconds:
        collect(probe, name, step)
        step.task_id = step.task_id or _id_in(step.records)
        if step.task_id:
            look(probe, step)
        if step.ended_at is None:
            time.sleep(probe.poll_seconds)
    if step.ended_at is None:
        probe.say(
            f"{name}: no end within {probe.task_seconds:g} s; `make probe AGAIN=` asks later."
        )
        return
    probe.say(f"{name}: {step.state} after {step.ended_at - step.sent_at:.0f} s.")
    if step.result_url:
        fetch_result(probe, step)
    wanted = STEPS[name][1] + 1
    while time.time() < step.ended_at + probe.callback_seconds:
        collect(probe, name, step)
        if enough(step.records, wanted):
            break
        time.sleep(min(10.0, probe.poll_seconds))
    probe.say(f"{name}: callbacks: {sum(one.kind == 'callback' for one in step.records)}.")


def enough(records: list[Record], callbacks: int) -> bool:
    """Return whether so many callbacks have come that no other one need be waited for."""
    return sum(one.kind == "callback" for one in records) >= callbacks


def look(probe: Probe, step: Step) -> None:
    """Ask the feed about a step's task once. Free."""
    seen = call(probe, FEED_PATH, {"task_id": step.task_id}, probe.key)
    step.looked += 1
    answer = read_feed_reply(seen.reply())
    before = step.looks[-1] if step.looks else None
    if before is None or _differs(before, seen):
        step.looks.append(seen)
    if isinstance(answer, NotKnown):
        step.unknown_until = seen.at
    elif isinstance(answer, Report):
        step.known_at = step.known_at or seen.at
        step.state = answer.state.value
        if answer.media is not None:
            step.result_url = answer.media.video
        if answer.state in _ENDED and step.ended_at is None:
            step.ended_at = seen.at
    probe.save()


def _differs(before: Exchange, seen: Exchange) -> bool:
    """Return whether a reply of the feed shows something that the one before didn't."""
    old, new = (read_feed_reply(one.reply()) for one in (before, seen))
    states = [one.state if isinstance(one, Report) else type(one) for one in (old, new)]
    return (before.status, shape_of(before.body), states[0]) != (
        seen.status,
        shape_of(seen.body),
        states[1],
    )


def collect(probe: Probe, name: StepName, step: Step) -> None:
    """Read what the receiver recorded for a step."""
    try:
        reply = requests.get(f"{probe.receiver}/records/{probe.state.secret}", timeout=SECONDS)
        records = [Record(**one) for one in reply.json()["records"]]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return  # the next look reads them all again
    step.records = [one for one in records if one.name.partition("/")[0] == name]
    probe.save()


def fetch_result(probe: Probe, step: Step) -> None:
    """Ask for the first bytes of a result, whose URL may have expired."""
    at = time.time()
    try:
        with requests.get(
            step.result_url,
            headers={"Range": FIRST_BYTES},
            stream=True,
            allow_redirects=False,
            timeout=SECONDS,
        ) as reply:
            headers = {name.lower(): value for name, value in reply.headers.items()}
            step.results.append(Exchange(at=at, status=reply.status_code, headers=headers))
    except requests.RequestException as error:
        step.results.append(Exchange(at=at, error=type(error).__name__))
    probe.save()


def again(probe: Probe) -> None:
    """Look again, hours later: at results, at the feed and at callbacks. Free."""
    for name in STEPS:
        step = probe.state.steps.get(name)
        if step is None:
            continue
        if probe.receiver:
            collect(probe, name, step)
            step.task_id = step.task_id or _id_in(step.records)
        if step.result_url:
            fetch_result(probe, step)  # the old URL, before the feed gives a new one
        if step.task_id:
            old = step.result_url
            look(probe, step)
            step.result_url = old or step.result_url
            probe.save()


def call(
    probe: Probe, path: str, body: dict[str, Any], key: str, *, seconds: float = SECONDS
) -> Exchange:
    """POST to the provider once."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    if probe.runway_version:
        headers["X-Runway-Version"] = probe.runway_version
    at = time.time()
    try:
        reply = post(
            probe.provider.rstrip("/") + path, json.dumps(body).encode(), headers, seconds=seconds
        )
    except NotSentError:
        return Exchange(at=at, error=NOT_SENT)
    except NoReplyError as error:
        partial = error.partial
        text = partial.body.decode(errors="replace") if partial else ""
        return Exchange(at=at, status=partial.status if partial else 0, body=text, error=str(error))
    text = reply.body.decode(errors="replace")
    return Exchange(at=at, status=reply.status, headers=dict(reply.headers), body=text)


def _id_in(records: list[Record]) -> str:
    """Return the task's id in a callback, by which a create of unknown outcome may be found."""
    reports = (read_callback(one.body.encode()) for one in records if one.kind == "callback")
    ids = (report.provider_task_id for report in reports if report is not None)
    return next((one for one in ids if one), "")


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
