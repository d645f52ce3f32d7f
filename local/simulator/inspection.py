"""`/_simulator/…`: what happened, and doing something by hand. No key is asked for."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from local.simulator.behaviour import choices
from local.simulator.callbacks import call_back, override_body
from local.simulator.clock import now
from local.simulator.faults import FaultError
from local.simulator.ledger import shown_url, task_id_of, timestamp
from local.simulator.media import media_shown
from local.simulator.simulation import Simulation
from local.simulator.tasks import ProviderTask, state_at
from local.simulator.wire import Reply, Request, json_of, json_reply

ROUTES = (
    "GET /_simulator/bill, GET /_simulator/requests, GET /_simulator/tasks, "
    "GET /_simulator/tasks/{provider_task_id}, GET and POST /_simulator/faults, "
    "POST /_simulator/tasks/{provider_task_id}/callback"
)


def inspect(simulation: Simulation, request: Request) -> Reply:
    """Answers a request to an inspection route."""
    parts = request.path.removeprefix("/_simulator").strip("/").split("/")
    match request.method, parts:
        case "GET", ["bill"]:
            return shown(simulation.ledger.bill())
        case "GET", ["requests"]:
            return shown(simulation.ledger.requests())
        case "GET", ["tasks"]:
            return shown(shown_tasks(simulation))
        case "GET", ["faults"]:
            return shown(simulation.faults.shown(now()))
        case "POST", ["faults"]:
            return set_faults(simulation, request)
        case "GET", ["tasks", provider_task_id]:
            return with_task(
                simulation, provider_task_id, lambda task: shown(shown_task(task, now()))
            )
        case "POST", ["tasks", provider_task_id, "callback"]:
            return with_task(
                simulation, provider_task_id, lambda task: send_now(simulation, task, request)
            )
        case _:
            return problem(404, f"no such inspection route: there are {ROUTES}")


def shown(document: object) -> Reply:
    """A reply with plain data."""
    return json_reply(200, document, "shown")


def problem(status: int, message: str) -> Reply:
    """An error of an inspection route, for people."""
    return json_reply(status, {"error": message}, "problem")


def with_task(
    simulation: Simulation, provider_task_id: str, reply: Callable[[ProviderTask], Reply]
) -> Reply:
    """The reply about a task, or that there is none."""
    task = simulation.ledger.find_task(provider_task_id)
    if task is None:
        return problem(404, "no such task: GET /_simulator/tasks lists them")
    return reply(task)


def shown_tasks(simulation: Simulation) -> list[dict[str, Any]]:
    """Every task, the oldest first."""
    moment = now()
    return [shown_task(task, moment) for task in simulation.ledger.all_tasks()]


def shown_task(task: ProviderTask, moment: datetime) -> dict[str, Any]:
    """A task as plain data. The callback URL is left out: it bears a token."""
    return {
        "provider_task_id": task.provider_task_id,
        "upstream_id": task.upstream_id,
        "task_id": task_id_of(task),
        "account": task.account,
        "state": state_at(task, moment),
        "created_at": timestamp(task.created_at),
        "video": shown_url(task.video),
        "image": shown_url(task.image),
        "behaviour": asdict(task.behaviour),
        "chosen": choices(task.behaviour),
        "callbacks": [asdict(attempt) for attempt in list(task.callbacks)],
        "feeds": task.feeds,
        "downloads": task.downloads,
        "refused_downloads": task.refused_downloads,
        "inputs": dict(task.inputs),
        "media": media_shown(task),
    }


def set_faults(simulation: Simulation, request: Request) -> Reply:
    """Begins or ends an outage of the whole provider."""
    moment = now()
    try:
        simulation.faults.set(json_of(request.body), moment)
    except FaultError as error:
        return problem(400, str(error))
    except ValueError:
        return problem(400, 'send a JSON object such as {"feed": "error_500", "seconds": 20}')
    return shown(simulation.faults.shown(moment))


def send_now(simulation: Simulation, task: ProviderTask, request: Request) -> Reply:
    """Sends one more callback and tells what came of it."""
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
    return shown(asdict(call_back(simulation, task, body, 1, suffix.replace(" ", "%20"))))
