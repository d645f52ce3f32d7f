"""`POST /runway/pro/act_one`: accept and bill, refuse, or leave the caller in the dark."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from local.simulator.behaviour import Behaviour, BehaviourError, CreateMode, behaviour_of
from local.simulator.callbacks import announce
from local.simulator.clock import now
from local.simulator.content import Content, length
from local.simulator.forms import create_accepted, gateway_error
from local.simulator.inputs import fetch_inputs
from local.simulator.simulation import Simulation, account_of
from local.simulator.tasks import ProviderTask, callback_key
from local.simulator.wire import Headers, Reply, Request, html_reply, json_of, json_reply

# The site that a request to a wrong path is sent to.
SITE_PATH = "/docs"
SLOW_SECONDS = 5.0
# Modes that make a task, and modes that make one only with `create_task=made`.
MAKING = ("accepted", "slow", "dribble", "cut_after", "cut_mid_reply", "garbage", "no_id")
AMBIGUOUS = ("error_500", "bad_gateway", "timeout_504", "timeout_524")


@dataclass(frozen=True, slots=True)
class Order:
    """The body of a create."""

    video: str
    image: str
    callback_url: str


class OrderError(ValueError):
    """A create that names no task."""


def create(simulation: Simulation, request: Request) -> Reply:
    """Answers one create."""
    simulation.ledger.count_create()
    account = account_of(simulation, request)
    if account is None:
        return json_reply(401, gateway_error("invalid token"), "unauthorized")
    try:
        order = parse_order(request.body)
        behaviour = behaviour_of(order.video, simulation.default)
    except (OrderError, BehaviourError) as refusal:
        form = gateway_error(str(refusal), "invalid_request")
        return json_reply(400, form, "invalid_request")
    reply = misbehave(simulation, account, order, behaviour)
    return replace(reply, task_id=callback_key(order.callback_url))


def parse_order(body: bytes) -> Order:
    """The three URLs of a create. Raises OrderError, which names what is missing."""
    try:
        document = json_of(body)
    except ValueError:
        raise OrderError("the request body is not valid JSON") from None
    if not isinstance(document, dict):
        raise OrderError("the request body must be a JSON object")
    urls = {}
    for field in ("video", "image", "callback_url"):
        text = document.get(field)
        if not isinstance(text, str) or not text:
            raise OrderError(f"field {field} is required")
        if not is_http_url(text):
            raise OrderError(f"field {field} must be an http or https URL")
        urls[field] = text
    return Order(**urls)


def is_http_url(text: str) -> bool:
    """Whether the provider could call it."""
    try:
        parts = urlsplit(text)
        if not (text.isascii() and text.isprintable()) or " " in text:
            return False
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def misbehave(simulation: Simulation, account: int, order: Order, behaviour: Behaviour) -> Reply:
    """Answers a valid create in the mode that its behaviour or an outage asks for."""
    earlier = simulation.ledger.count_video(order.video)
    mode = simulation.faults.create(now())
    if mode is None:
        if behaviour.create_times and earlier >= behaviour.create_times:
            behaviour = replace(behaviour, create="accepted", create_seconds=None)
        mode = behaviour.create
    if mode == "slow":
        simulation.closing.wait(create_seconds(behaviour))
    made = mode in MAKING or (mode in AMBIGUOUS and behaviour.create_task == "made")
    provider_task_id = None
    if made:
        task = make_task(account, order, behaviour)
        provider_task_id = task.provider_task_id
        simulation.ledger.add_task(task)
        fetch_inputs(task, simulation.url)
        announce(simulation, task)
    if behaviour.create_seconds and mode not in ("slow", "dribble"):
        simulation.closing.wait(behaviour.create_seconds)
    reply = answer(mode, behaviour, provider_task_id or "")
    return replace(reply, outcome=mode, provider_task_id=provider_task_id)


def make_task(account: int, order: Order, behaviour: Behaviour) -> ProviderTask:
    """A new task, as of now."""
    return ProviderTask(
        provider_task_id=str(uuid.uuid4()),
        upstream_id=str(uuid.uuid4()),
        account=account,
        video=order.video,
        image=order.image,
        callback_url=order.callback_url,
        behaviour=behaviour,
        created_at=now(),
    )


def answer(mode: CreateMode, behaviour: Behaviour, provider_task_id: str) -> Reply:
    """The reply of each mode."""
    if mode in REFUSALS:
        reply = REFUSALS[mode]()
        may_try_later = mode in ("throttled", "saturated")
        return replace(reply, headers=retry_after(behaviour)) if may_try_later else reply
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
            nothing = {"code": 200, "msg": "success", "data": {"task_id": ""}, "exec_time": 0.08}
            return json_reply(200, nothing, mode)
        case "redirect":
            return to_the_site(mode)
        case _:
            return accepted


def error(status: int, message: str, code: str = "") -> Reply:
    """A reply in the gateway's error form."""
    return json_reply(status, gateway_error(message, code), "error")


# Made anew for each reply: every one has a request id of its own.
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
    """How long a slow or dribbled reply takes."""
    chosen = behaviour.create_seconds
    return SLOW_SECONDS if chosen is None else chosen


def retry_after(behaviour: Behaviour) -> Headers:
    """The header that says when to try again, if the behaviour has it."""
    if behaviour.retry_after is None:
        return ()
    return (("Retry-After", str(behaviour.retry_after)),)


def to_the_site(outcome: str) -> Reply:
    """What the gateway answers where it has no route."""
    return html_reply(301, "301 Moved Permanently", outcome, headers=(("Location", SITE_PATH),))
