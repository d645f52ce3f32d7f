"""`POST /runway/feed`: a task's state, or a fault."""

from dataclasses import replace
from datetime import datetime

from local.simulator.behaviour import FeedFault, NotExistForm
from local.simulator.clock import now
from local.simulator.forms import feed_form, gateway_error, task_error
from local.simulator.media import NO_URLS
from local.simulator.messages import Reply, Request, html_reply, json_of, json_reply
from local.simulator.outages import feed_fault
from local.simulator.report import Report, true_report
from local.simulator.simulation import Simulation, account_of
from local.simulator.tasks import ProviderTask, age, since_end

# Faults whose time counts from the end of the task: they have no effect before it.
FAULTS_AFTER_END = ("lagging", "lying", "stale_nested")


def feed(simulation: Simulation, request: Request) -> Reply:
    """Answer a feed request."""
    account = account_of(simulation, request)
    if account is None:
        return json_reply(401, gateway_error("invalid token"), "unauthorized")
    provider_task_id = task_id_in(request.body)
    if provider_task_id is None:
        form = task_error("invalid_request", "task_id is required")
        return json_reply(400, form, "invalid_request")
    moment = now()
    task = simulation.ledger.find_task(provider_task_id)
    if task is not None and task.account != account:
        task = None  # another account's tasks don't exist
    if task is not None:
        simulation.ledger.count_feed(task)
    fault = feed_fault(simulation.ledger.faults(), moment) or task_fault(task, moment)
    reply = outage(fault) or (
        not_exist("400") if task is None else state_reply(simulation, task, fault, moment)
    )
    return replace(reply, provider_task_id=provider_task_id if task else None)


def task_id_in(body: bytes) -> str | None:
    """Return the task id in a feed request, None if it has none."""
    try:
        document = json_of(body)
    except ValueError:
        return None
    task_id = document.get("task_id") if isinstance(document, dict) else None
    return task_id if isinstance(task_id, str) and task_id else None


def task_fault(task: ProviderTask | None, moment: datetime) -> FeedFault:
    """Return the task's own feed fault, while it lasts."""
    if task is None:
        return "none"
    behaviour = task.behaviour
    fault, lasting = behaviour.feed_fault, behaviour.feed_fault_seconds
    since = since_end(task, moment) if fault in FAULTS_AFTER_END else age(task, moment)
    return "none" if lasting and since >= lasting else fault


def outage(fault: FeedFault) -> Reply | None:
    """Return the reply of a fault without a task's state; None for other faults."""
    match fault:
        case "error_500":
            return json_reply(500, gateway_error("internal error", "do_request_failed"), fault)
        case "html":
            return html_reply(502, "502 Bad Gateway", fault)
        case "unauthorized":
            return json_reply(401, gateway_error("invalid token"), fault)
        case "throttled":
            form = gateway_error("too many requests, please try again later", "rate_limit")
            return json_reply(429, form, fault, headers=(("Retry-After", "2"),))
        case "timeout":
            return Reply(None, fault, ending="stall")
        case _:
            return None


def state_reply(
    simulation: Simulation, task: ProviderTask, fault: FeedFault, moment: datetime
) -> Reply:
    """Return the reply with a task's state."""
    behaviour = task.behaviour
    if fault == "never_known" or age(task, moment) < behaviour.not_exist_seconds:
        return not_exist(behaviour.not_exist_form)
    report = distorted(true_report(simulation, task, moment), fault)
    return json_reply(200, feed_form(behaviour.feed, behaviour.nested, report), report.state)


def distorted(report: Report, fault: FeedFault) -> Report:
    """Return the report that a faulty feed gives."""
    ended = report.finished > 0
    if fault == "unknown_status":
        return replace(report, state="unknown", nested_state="unknown", urls=NO_URLS)
    if fault == "lagging" and ended:
        behind = replace(report, state="running", nested_state="running", progress=0.99)
        return replace(behind, reason="", urls=NO_URLS, finished=0)
    if fault == "lying" and ended:
        return replace(report, state="succeeded", nested_state="succeeded", reason="", urls=NO_URLS)
    if fault == "stale_nested" and report.state == "succeeded":
        return replace(report, nested_state="running")
    return report


def not_exist(form: NotExistForm) -> Reply:
    """Return the `task_not_exist` reply in one of its known forms."""
    code = "task_not_exist"
    match form:
        case "400":
            return json_reply(400, task_error(code, code), code)
        case "200":
            body = {"code": 400, "msg": code, "data": None, "exec_time": 0}
            return json_reply(200, body, code)
        case "error_code":
            return json_reply(404, gateway_error("the task does not exist", code), code)
