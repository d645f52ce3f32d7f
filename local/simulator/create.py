"""`POST /runway/pro/act_one`: accept and bill a task, refuse it, or give an ambiguous reply."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from local.simulator.behaviour import Behaviour, BehaviourError, CreateMode, behaviour_of
from local.simulator.callbacks import start_callbacks
from local.simulator.clock import now
from local.simulator.content import Content, length
from local.simulator.forms import create_accepted, gateway_error
from local.simulator.limits import Limits, refused_behaviour, refused_callback
from local.simulator.messages import Headers, Reply, Request, html_reply, json_of, json_reply
from local.simulator.outages import create_fault
from local.simulator.simulation import Simulation, account_of
from local.simulator.tasks import ProviderTask, callback_key

# Requests to unknown paths are redirected to this page.
SITE_PATH = "/docs"
SLOW_SECONDS = 5.0
# Modes that create a task, and modes that create one only with `create_task=made`.
CREATING_MODES = ("accepted", "slow", "dribble", "cut_after", "cut_mid_reply", "garbage", "no_id")
AMBIGUOUS_MODES = ("error_500", "bad_gateway", "timeout_504", "timeout_524")


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """The body of a create."""

    video: str
    image: str
    callback_url: str


class CreateRequestError(ValueError):
    """An invalid body of a create; the message says what is wrong."""


def create(simulation: Simulation, request: Request) -> Reply:
    """Answer a create."""
    simulation.ledger.count_create()
    account = account_of(simulation, request)
    if account is None:
        return json_reply(401, gateway_error("invalid token"), "unauthorized")
    try:
        wanted = parse_create(request.body)
        behaviour = behaviour_of(wanted.video, simulation.default)
        check_limits(simulation.limits, wanted, behaviour)
    except (CreateRequestError, BehaviourError) as refusal:
        form = gateway_error(str(refusal), "invalid_request")
        return json_reply(400, form, "invalid_request")
    reply = answer_create(simulation, account, wanted, behaviour)
    return replace(reply, task_id=callback_key(wanted.callback_url))


def check_limits(limits: Limits, wanted: CreateRequest, behaviour: Behaviour) -> None:
    """Raise CreateRequestError for what this simulator can't or mustn't do."""
    refusal = refused_callback(limits, wanted.callback_url) or refused_behaviour(limits, behaviour)
    if refusal:
        raise CreateRequestError(refusal)


def parse_create(body: bytes) -> CreateRequest:
    """Parse the body of a create. Raises CreateRequestError."""
    try:
        document = json_of(body)
    except ValueError:
        raise CreateRequestError("the request body is not valid JSON") from None
    if not isinstance(document, dict):
        raise CreateRequestError("the request body must be a JSON object")
    urls = {}
    for field in ("video", "image", "callback_url"):
        text = document.get(field)
        if not isinstance(text, str) or not text:
            raise CreateRequestError(f"field {field} is required")
        if not is_http_url(text):
            raise CreateRequestError(f"field {field} must be an http or https URL")
        urls[field] = text
    return CreateRequest(**urls)


def is_http_url(text: str) -> bool:
    """Return whether it is an http or https URL."""
    try:
        parts = urlsplit(text)
        if not (text.isascii() and text.isprintable()) or " " in text:
            return False
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def answer_create(
    simulation: Simulation, account: int, wanted: CreateRequest, behaviour: Behaviour
) -> Reply:
    """Answer a valid create in the mode that an outage or its behaviour asks for."""
    earlier = simulation.ledger.count_video(wanted.video)
    mode = create_fault(simulation.ledger.faults(), now())
    if mode is None:
        if behaviour.create_times and earlier >= behaviour.create_times:
            behaviour = replace(behaviour, create="accepted", create_seconds=None)
        mode = behaviour.create
    if mode == "slow":
        simulation.closing.wait(create_seconds(behaviour))
    creates_task = mode in CREATING_MODES or (
        mode in AMBIGUOUS_MODES and behaviour.create_task == "made"
    )
    provider_task_id = None
    if creates_task:
        task = make_task(account, wanted, behaviour)
        provider_task_id = task.provider_task_id
        simulation.ledger.add_task(task)
        simulation.fetch_inputs(simulation, task)
        start_callbacks(simulation, task)
    if behaviour.create_seconds and mode not in ("slow", "dribble"):
        simulation.closing.wait(behaviour.create_seconds)
    reply = reply_in_mode(mode, behaviour, provider_task_id or "")
    return replace(reply, outcome=mode, provider_task_id=provider_task_id)


def make_task(account: int, wanted: CreateRequest, behaviour: Behaviour) -> ProviderTask:
    """Return a new task, created now."""
    return ProviderTask(
        provider_task_id=str(uuid.uuid4()),
        upstream_id=str(uuid.uuid4()),
        account=account,
        video=wanted.video,
        image=wanted.image,
        callback_url=wanted.callback_url,
        behaviour=behaviour,
        created_at=now(),
    )


def reply_in_mode(mode: CreateMode, behaviour: Behaviour, provider_task_id: str) -> Reply:
    """Return the reply of a mode."""
    if mode in REFUSALS:
        reply = REFUSALS[mode]()
        is_temporary = mode in ("throttled", "saturated")
        return replace(reply, headers=retry_after(behaviour)) if is_temporary else reply
    form = create_accepted(behaviour.create_form, provider_task_id)
    accepted = json_reply(200, form, mode)
    half = length(accepted.content) // 2
    match mode:
        case "dribble":
            return replace(accepted, spread_seconds=create_seconds(behaviour))
        case "cut_before" | "cut_after":
            return Reply(None, mode, ending="hang_up")
        case "cut_mid_reply":
            return replace(accepted, cut_after=half, ending="hang_up")
        case "garbage":
            return replace(accepted, content=Content(accepted.content.data[:half]))
        case "no_id":
            without_id = {"code": 200, "msg": "success", "data": {"task_id": ""}, "exec_time": 0.08}
            return json_reply(200, without_id, mode)
        case "redirect":
            return redirect_to_site(mode)
        case _:
            return accepted


def error(status: int, message: str, code: str = "") -> Reply:
    """Return a reply in the gateway's error form."""
    return json_reply(status, gateway_error(message, code), "error")


# Functions, because each reply has its own request id.
REFUSALS: Mapping[CreateMode, Callable[[], Reply]] = {
    "rejected": lambda: error(400, "the video must be 16:9", "invalid_request"),
    "rejected_in_200": lambda: json_reply(
        200, {"code": 400, "msg": "the video must be 16:9", "data": None, "exec_time": 0.01}, ""
    ),
    "invalid_request_500": lambda: error(500, "invalid image", "invalid_request"),
    "throttled": lambda: error(429, "too many requests, please try again later", "rate_limit"),
    "saturated": lambda: error(
        503, "no available channel for model act_one under the current group", "model_not_found"
    ),
    "unauthorized": lambda: error(401, "invalid token"),
    "no_quota": lambda: error(403, "user quota is not enough", "insufficient_user_quota"),
    "error_500": lambda: error(500, "internal error", "do_request_failed"),
    "bad_gateway": lambda: html_reply(502, "502 Bad Gateway", ""),
    "timeout_504": lambda: html_reply(504, "504 Gateway Time-out", ""),
    "timeout_524": lambda: html_reply(524, "524: A timeout occurred", ""),
}


def create_seconds(behaviour: Behaviour) -> float:
    """Return the duration of a slow or dribbled reply."""
    chosen = behaviour.create_seconds
    return SLOW_SECONDS if chosen is None else chosen


def retry_after(behaviour: Behaviour) -> Headers:
    """Return the Retry-After header if the behaviour has one."""
    if behaviour.retry_after is None:
        return ()
    return (("Retry-After", str(behaviour.retry_after)),)


def redirect_to_site(outcome: str) -> Reply:
    """Return the gateway's reply for unknown routes."""
    return html_reply(301, "301 Moved Permanently", outcome, headers=(("Location", SITE_PATH),))
