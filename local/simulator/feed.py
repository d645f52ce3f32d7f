"""`POST /runway/feed`: what the provider says of a task, true or not."""

from dataclasses import replace
from datetime import datetime

from local.simulator.behaviour import FeedFault, NotExistForm
from local.simulator.clock import now
from local.simulator.forms import feed_form, gateway_error, task_error
from local.simulator.media import NO_URLS
from local.simulator.report import Report, truth
from local.simulator.simulation import Simulation, account_of
from local.simulator.tasks import ProviderTask, age, since_end
from local.simulator.wire import Reply, Request, html_reply, json_of, json_reply

# Faults that count from the end of the task: before it they would change nothing.
AFTER_THE_END = ("lagging", "lying", "stale_nested")


def feed(simulation: Simulation, request: Request) -> Reply:
    """Answers one look at a task."""
    account = account_of(simulation, request)
    if account is None:
        return json_reply(401, gateway_error("invalid token"), "unauthorized")
    provider_task_id = asked_id(request.body)
    if provider_task_id is None:
        form = task_error("invalid_request", "task_id is required")
        return json_reply(400, form, "invalid_request")
    moment = now()
    task = simulation.ledger.find_task(provider_task_id)
    if task is not None and task.account != account:
        task = None  # another account's tasks don't exist
    if task is not None:
        simulation.ledger.count_feed(task)
    fault = simulation.faults.feed(moment) or task_fault(task, moment)
    reply = outage(fault) or (
        not_exist("400") if task is None else look(simulation, task, fault, moment)
    )
    return replace(reply, provider_task_id=provider_task_id if task else None)


def asked_id(body: bytes) -> str | None:
    """The task id of a feed request, None if it has none."""
    try:
        document = json_of(body)
    except ValueError:
        return None
    task_id = document.get("task_id") if isinstance(document, dict) else None
    return task_id if isinstance(task_id, str) and task_id else None


def task_fault(task: ProviderTask | None, moment: datetime) -> FeedFault:
    """The task's own feed fault, while it lasts."""
    if task is None:
        return "none"
    behaviour = task.behaviour
    fault, lasting = behaviour.feed_fault, behaviour.feed_fault_seconds
    since = since_end(task, moment) if fault in AFTER_THE_END else age(task, moment)
    return "none" if lasting and since >= lasting else fault


def outage(fault: FeedFault) -> Reply | None:
    """The reply to a look that gets no answer; None if the feed answers."""
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


def look(simulation: Simulation, task: ProviderTask, fault: FeedFault, moment: datetime) -> Reply:
    """The feed's answer for a task that the account has."""
    behaviour = task.behaviour
    if fault == "never_known" or age(task, moment) < behaviour.not_exist_seconds:
        return not_exist(behaviour.not_exist_form)
    report = distorted(truth(simulation, task, moment), fault)
    return json_reply(200, feed_form(behaviour.feed, behaviour.nested, report), report.state)


def distorted(report: Report, fault: FeedFault) -> Report:
    """The report as a faulty feed gives it."""
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
    """`task_not_exist` in one of the forms in which it is seen."""
    word = "task_not_exist"
    match form:
        case "400":
            return json_reply(400, task_error(word, word), word)
        case "200":
            body = {"code": 400, "msg": word, "data": None, "exec_time": 0}
            return json_reply(200, body, word)
        case "error_code":
            return json_reply(404, gateway_error("the task does not exist", word), word)
