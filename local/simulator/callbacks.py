"""Calling back: when, with what body, and how a callback finds a host that doesn't resolve."""

import json
import secrets
import ssl
import time
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Thread
from urllib.parse import urlsplit

from local.simulator.clock import now
from local.simulator.forms import callback_form
from local.simulator.ledger import timestamp
from local.simulator.media import media_urls
from local.simulator.report import Report, truth
from local.simulator.simulation import Simulation
from local.simulator.tasks import (
    CallbackAttempt,
    ProviderTask,
    age,
    ends_after,
    running_after,
)

TIMEOUT = 10.0  # s, for connecting and for each wait for bytes
HUGE_BYTES = 100_000


def callback_times(task: ProviderTask) -> tuple[float, ...]:
    """Seconds from the create until each callback is sent."""
    behaviour = task.behaviour
    end = ends_after(behaviour)
    begin = running_after(behaviour)
    ends = () if end is None else (end,)
    begins = () if end is not None and begin >= end else (begin,)
    match behaviour.callback:
        case "lost":
            return ()
        case "late":
            return tuple(moment + behaviour.late_seconds for moment in ends)
        case "twice":
            return tuple(moment + pause for moment in ends for pause in (0, 0.5))
        case "twice_at_once":
            return ends * 2
        case "every_change" | "lying":
            return begins + ends
        case _:
            return ends


def announce(simulation: Simulation, task: ProviderTask) -> None:
    """Sends the task's callbacks, each when it is time. An early one is sent before returning."""
    for after in callback_times(task):
        if task.behaviour.callback == "early":
            deliver(simulation, task, now())
            continue
        Thread(
            target=deliver_later,
            args=(simulation, task, after),
            name=f"callback-{task.provider_task_id}",
            daemon=True,
        ).start()


def deliver_later(simulation: Simulation, task: ProviderTask, after: float) -> None:
    """Waits until the task is so many seconds old, then delivers."""
    if simulation.closing.wait(max(0, after - age(task, now()))):
        return
    # Two clocks never quite agree: a body made a moment too early would miss the change.
    deliver(simulation, task, max(now(), task.created_at + timedelta(seconds=after)))


def deliver(simulation: Simulation, task: ProviderTask, moment: datetime) -> None:
    """What is true at that moment, tried again as often as `callback_retries` says."""
    behaviour = task.behaviour
    body = callback_body(simulation, task, moment)
    for number in range(1, behaviour.callback_retries + 2):
        attempt = call_back(simulation, task, body, number)
        if attempt.status is not None and 200 <= attempt.status < 300:
            return
        if number <= behaviour.callback_retries and simulation.closing.wait(
            behaviour.callback_retry_seconds
        ):
            return


def callback_body(simulation: Simulation, task: ProviderTask, moment: datetime) -> bytes:
    """What a callback of this task says at that moment."""
    mode = task.behaviour.callback
    report = announced(simulation, task, moment)
    match mode:
        case "malformed":
            return b"task_id=" + task.provider_task_id.encode() + b"&status=3&video_url="
        case "empty":
            return b""
        case "foreign":
            report = replace(report, task_id=foreign_id(simulation, task))
        case "upstream_id":
            report = replace(report, task_id=task.upstream_id)
        case _:
            pass
    form = callback_form(task.behaviour.callback_body, report)
    if mode == "huge":
        form["prompt"] = secrets.token_hex(HUGE_BYTES // 2)
    return json.dumps(form).encode()


def announced(simulation: Simulation, task: ProviderTask, moment: datetime) -> Report:
    """The truth about the task, or a success if its callbacks lie."""
    report = truth(simulation, task, moment)
    if task.behaviour.callback != "lying" or report.state == "succeeded":
        return report
    urls = media_urls(simulation, task, moment)
    return replace(report, state="succeeded", progress=1, reason="", urls=urls)


def foreign_id(simulation: Simulation, task: ProviderTask) -> str:
    """The id of another task, made up if there is none."""
    others = [other for other in simulation.ledger.all_tasks() if other is not task]
    return others[-1].provider_task_id if others else str(uuid.uuid4())


def call_back(
    simulation: Simulation, task: ProviderTask, body: bytes, number: int, path_suffix: str = ""
) -> CallbackAttempt:
    """Sends one callback now and records what came of it."""
    moment, begin = now(), time.monotonic()
    status, error = None, None
    try:
        status = post(simulation, task.callback_url, body, path_suffix)
    except (OSError, HTTPException, ValueError) as failure:  # ValueError: no such host name
        error = type(failure).__name__
    attempt = CallbackAttempt(
        at=timestamp(moment),
        attempt=number,
        status=status,
        error=error,
        ms=round((time.monotonic() - begin) * 1000),
        body_bytes=len(body),
    )
    simulation.ledger.add_callback(task, attempt)
    return attempt


def post(simulation: Simulation, url: str, body: bytes, path_suffix: str) -> int:
    """POSTs a body and tells the status. No redirect is followed. Raises what http.client does."""
    parts = urlsplit(url)
    target = parts.path + path_suffix + (f"?{parts.query}" if parts.query else "")
    connection = connection_to(simulation, parts.scheme, parts.hostname or "", parts.port)
    try:
        connection.connect()
        simulation.sockets.add(connection.sock)
        connection.putrequest("POST", target or "/", skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", parts.netloc.rpartition("@")[2])
        connection.putheader("User-Agent", "Go-http-client/2.0")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        if connection.sock is not None:
            simulation.sockets.discard(connection.sock)
        connection.close()


def connection_to(
    simulation: Simulation, scheme: str, host: str, port: int | None
) -> HTTPConnection:
    """An unopened connection. Function URL hosts exist only in AWS: `deliver_to` stands in."""
    if simulation.deliver_to is not None and host.endswith(".on.aws"):
        return HTTPConnection(*simulation.deliver_to, timeout=TIMEOUT)
    if scheme == "https":
        context = ssl.create_default_context()
        return HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    return HTTPConnection(host, port, timeout=TIMEOUT)


def override_body(simulation: Simulation, task: ProviderTask, override: object) -> bytes:
    """The body of a callback sent by hand: text as it is, any other JSON value as JSON.

    None means the task's own body as of now.
    """
    if override is None:
        return callback_body(simulation, task, now())
    if isinstance(override, str):
        return override.encode(errors="replace")
    return json.dumps(override).encode()
