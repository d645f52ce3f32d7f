"""Callbacks: when they are sent, with which body, and to which address."""

import json
import re
import secrets
import ssl
import time
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from local.simulator.clock import now, timestamp
from local.simulator.forms import callback_form
from local.simulator.media import media_urls
from local.simulator.report import Report, true_report
from local.simulator.simulation import Simulation
from local.simulator.tasks import (
    CallbackAttempt,
    PendingCallback,
    ProviderTask,
    ends_after,
    running_after,
)

TIMEOUT = 10.0  # s, for connecting and for each read
HUGE_BYTES = 100_000
_REST_API = re.compile(r"(\w+)\.execute-api\.")


def callback_times(task: ProviderTask) -> tuple[float, ...]:
    """Return the seconds from the create to each callback."""
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


def start_callbacks(simulation: Simulation, task: ProviderTask) -> None:
    """Arrange for a task's callbacks. An early one is sent before this returns."""
    for number, after in enumerate(callback_times(task)):
        due = task.created_at + timedelta(seconds=after)
        pending = PendingCallback(task.provider_task_id, number, 1, due)
        if task.behaviour.callback == "early":
            deliver(simulation, pending)
        else:
            simulation.send_later(simulation, pending)


def deliver(simulation: Simulation, pending: PendingCallback) -> None:
    """Send a callback, with the state of its task now; arrange for a repetition if it fails."""
    task = simulation.ledger.find_task(pending.provider_task_id)
    if task is None:
        return
    body = pending.body
    if body is None:
        # The clocks differ slightly: a body made a moment too early would miss the change.
        body = callback_body(simulation, task, max(now(), pending.due))
    attempt = call_back(simulation, task, body, pending.attempt)
    if attempt.status is not None and 200 <= attempt.status < 300:
        return
    if pending.attempt <= task.behaviour.callback_retries:
        due = now() + timedelta(seconds=task.behaviour.callback_retry_seconds)
        repeated = replace(pending, attempt=pending.attempt + 1, due=due, body=body)
        simulation.send_later(simulation, repeated)


def callback_body(simulation: Simulation, task: ProviderTask, moment: datetime) -> bytes:
    """Return the body of a task's callback at that moment."""
    mode = task.behaviour.callback
    report = callback_report(simulation, task, moment)
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


def callback_report(simulation: Simulation, task: ProviderTask, moment: datetime) -> Report:
    """Return the task's true state, or a success if its callbacks lie."""
    report = true_report(simulation, task, moment)
    if task.behaviour.callback != "lying" or report.state == "succeeded":
        return report
    urls = media_urls(simulation, task, moment)
    return replace(report, state="succeeded", progress=1, reason="", urls=urls)


def foreign_id(simulation: Simulation, task: ProviderTask) -> str:
    """Return the id of another task; a new one if there is none."""
    others = [other.provider_task_id for other in simulation.ledger.all_tasks()]
    others = [other for other in others if other != task.provider_task_id]
    return others[-1] if others else str(uuid.uuid4())


def call_back(
    simulation: Simulation, task: ProviderTask, body: bytes, number: int, path_suffix: str = ""
) -> CallbackAttempt:
    """Send one callback now and record the result."""
    moment, begin = now(), time.monotonic()
    status, error = None, None
    try:
        status = post(simulation, task.callback_url, body, path_suffix)
    except (OSError, HTTPException, ValueError) as failure:  # ValueError: invalid host name
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
    """POST a body; returns the status. Redirects are not followed. Raises http.client's errors."""
    parts = urlsplit(url)
    target = parts.path + path_suffix + (f"?{parts.query}" if parts.query else "")
    if simulation.deliver_to is not None and (api := _REST_API.match(parts.netloc)):
        # The emulator doesn't know an API's host name, only its id in the path.
        target = f"/_aws/execute-api/{api[1]}{target}"
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
    """Return a new connection; to `deliver_to` for AWS hosts, which don't resolve locally."""
    if simulation.deliver_to is not None and (host.endswith(".on.aws") or _REST_API.match(host)):
        return HTTPConnection(*simulation.deliver_to, timeout=TIMEOUT)
    if scheme == "https":
        context = ssl.create_default_context()
        return HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    return HTTPConnection(host, port, timeout=TIMEOUT)


def override_body(simulation: Simulation, task: ProviderTask, override: object) -> bytes:
    """Return the body of a manual callback: text unchanged, any other value as JSON.

    None stands for the task's own body at this moment.
    """
    if override is None:
        return callback_body(simulation, task, now())
    if isinstance(override, str):
        return override.encode(errors="replace")
    return json.dumps(override).encode()


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of an http URL. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"deliver_to is {url!r}; it must be http://host:port")
    return parts.hostname, parts.port or 80
