"""Finds the route of a request, answers it and records it."""

import time
from collections.abc import Callable

from local.simulator.clock import now, timestamp
from local.simulator.create import SITE_PATH, create, redirect_to_site
from local.simulator.feed import feed
from local.simulator.inspection import inspect
from local.simulator.ledger import AnsweredRequest
from local.simulator.media import INPUTS, input_reply, media_reply
from local.simulator.messages import Reply, Request, html_reply, json_reply
from local.simulator.simulation import Simulation

MAX_REQUEST_BYTES = 1_000_000  # bytes

type Answer = Callable[[Simulation, Request], Reply]


def answer(simulation: Simulation, request: Request | None, method: str, path: str) -> Reply:
    """Answer a request and record it; `request` is None if its body can't be read."""
    moment, begin = now(), time.monotonic()
    if request is None:
        route = "unknown"
        error = {"error": "send at most 1 MB, with a Content-Length"}
        reply = json_reply(413, error, "too_large")
    else:
        route, answer_of_route = route_of(request)
        reply = answer_of_route(simulation, request)
    if route != "inspection":
        # Before the reply is sent, so that a client with a reply finds the request recorded.
        simulation.ledger.add_request(
            AnsweredRequest(
                at=timestamp(moment),
                route=route,
                method=method,
                path=path if route != "unknown" else first_folder(path),
                status=reply.status,
                outcome=reply.outcome,
                provider_task_id=reply.provider_task_id,
                task_id=reply.task_id,
                runway_version=request.headers.get("x-runway-version") if request else None,
                ms=round((time.monotonic() - begin) * 1000),
            )
        )
    return reply


def first_folder(path: str) -> str:
    """Return what is recorded of an unknown path, the rest of which might be a token."""
    return "/" + path.split("/")[1]


def route_of(request: Request) -> tuple[str, Answer]:
    """Return a request's route and the function that answers it."""
    match request.method, request.path.split("/")[1:]:
        case "POST", ["runway", "pro", "act_one"]:
            return "create", create
        case "POST", ["runway", "feed"]:
            return "feed", feed
        case "GET" | "HEAD", ["media", _, _, *_]:
            return "media", media_reply
        case "GET" | "HEAD", ["inputs", name] if name in INPUTS:
            return "input", lambda _, request: input_reply(name, request)
        case _, ["_simulator", *_]:
            return "inspection", inspect
        case "GET" | "HEAD", _ if request.path == SITE_PATH:
            return "site", lambda _, __: html_reply(200, "A provider, simulated", "site")
        case _:
            return "unknown", lambda _, __: redirect_to_site("no_such_route")
