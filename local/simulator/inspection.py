"""`/_simulator/…`: inspect what happened, start outages and send callbacks."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from local.simulator.behaviour import non_defaults
from local.simulator.callbacks import call_back, override_body
from local.simulator.clock import now, timestamp
from local.simulator.ledger import bill, task_id_of, without_signature
from local.simulator.limits import refused_value
from local.simulator.media import media_document
from local.simulator.messages import Reply, Request, json_of, json_reply
from local.simulator.outages import FaultError, faults_document, with_faults
from local.simulator.simulation import Simulation, account_of
from local.simulator.tasks import ProviderTask, state_at

ROUTES = (
    "GET /_simulator/bill, GET /_simulator/requests, GET /_simulator/tasks, "
    "GET /_simulator/tasks/{provider_task_id}, GET and POST /_simulator/faults, "
    "POST /_simulator/tasks/{provider_task_id}/callback"
)


def inspect(simulation: Simulation, request: Request) -> Reply:
    """Answer a request to an inspection route."""
    if simulation.limits.inspection_needs_key and account_of(simulation, request) is None:
        return problem(401, "send the simulator's key: Authorization: Bearer …")
    parts = request.path.removeprefix("/_simulator").strip("/").split("/")
    match request.method, parts:
        case "GET", ["bill"]:
            return document_reply(bill(simulation.ledger))
        case "GET", ["requests"]:
            requests = simulation.ledger.requests()
            return document_reply(requests) if requests is not None else in_the_log()
        case "GET", ["tasks"]:
            return document_reply(task_documents(simulation))
        case "GET", ["faults"]:
            return document_reply(faults_document(simulation.ledger.faults(), now()))
        case "POST", ["faults"]:
            return set_faults(simulation, request)
        case "GET", ["tasks", provider_task_id]:
            return with_task(
                simulation,
                provider_task_id,
                lambda task: document_reply(task_document(task, now())),
            )
        case "POST", ["tasks", provider_task_id, "callback"]:
            return with_task(
                simulation, provider_task_id, lambda task: send_now(simulation, task, request)
            )
        case _:
            return problem(404, f"no such inspection route; the routes are {ROUTES}")


def document_reply(document: object) -> Reply:
    """Return a reply with a JSON document."""
    return json_reply(200, document, "shown")


def problem(status: int, message: str) -> Reply:
    """Return an error of an inspection route."""
    return json_reply(status, {"error": message}, "problem")


def with_task(
    simulation: Simulation, provider_task_id: str, reply: Callable[[ProviderTask], Reply]
) -> Reply:
    """Return the reply for a task, or 404 if there is none."""
    task = simulation.ledger.find_task(provider_task_id)
    if task is None:
        return problem(404, "no such task; GET /_simulator/tasks lists all")
    return reply(task)


def task_documents(simulation: Simulation) -> list[dict[str, Any]]:
    """Return all tasks, oldest first."""
    moment = now()
    return [task_document(task, moment) for task in simulation.ledger.all_tasks()]


def task_document(task: ProviderTask, moment: datetime) -> dict[str, Any]:
    """Return a task as plain data, without its callback URL, which contains a token."""
    return {
        "provider_task_id": task.provider_task_id,
        "upstream_id": task.upstream_id,
        "task_id": task_id_of(task),
        "account": task.account,
        "state": state_at(task, moment),
        "created_at": timestamp(task.created_at),
        "video": without_signature(task.video),
        "image": without_signature(task.image),
        "behaviour": asdict(task.behaviour),
        "chosen": non_defaults(task.behaviour),
        "callbacks": [asdict(attempt) for attempt in list(task.callbacks)],
        "feeds": task.feeds,
        "downloads": task.downloads,
        "refused_downloads": task.refused_downloads,
        "inputs": dict(task.inputs),
        "media": media_document(task),
    }


def in_the_log() -> Reply:
    """Return the reply of a simulator that keeps no requests."""
    return problem(404, "the requests are lines of this function's log group, SimulatorLogs")


def set_faults(simulation: Simulation, request: Request) -> Reply:
    """Start or end an outage of the whole provider."""
    moment = now()
    try:
        document = json_of(request.body)
        faults = with_faults(simulation.ledger.faults(), document, moment)
    except FaultError as error:
        return problem(400, str(error))
    except ValueError:
        return problem(400, 'send a JSON object such as {"feed": "error_500", "seconds": 20}')
    for route, fault in faults.items():
        parameter = "feed_fault" if route == "feed" else route
        if refusal := refused_value(simulation.limits, parameter, fault.mode):
            return problem(400, refusal)
    simulation.ledger.set_faults(faults)
    return document_reply(faults_document(faults, moment))


def send_now(simulation: Simulation, task: ProviderTask, request: Request) -> Reply:
    """Send one more callback; returns its result."""
    try:
        wanted = json_of(request.body or b"{}")
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict) or not set(wanted) <= {"body", "path_suffix"}:
        return problem(400, "send nothing, or a JSON object with body and path_suffix")
    suffix = wanted.get("path_suffix", "")
    if not isinstance(suffix, str) or not suffix.isascii() or not suffix.isprintable():
        return problem(400, "path_suffix must be printable ASCII text")
    body = override_body(simulation, task, wanted.get("body"))
    return document_reply(asdict(call_back(simulation, task, body, 1, suffix.replace(" ", "%20"))))
