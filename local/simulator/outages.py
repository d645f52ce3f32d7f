"""Outages of the whole provider: one route misbehaves for every task, for some time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast, get_args

from local.simulator.behaviour import MAX_SECONDS, CreateMode, FeedFault
from local.simulator.clock import timestamp

MODES: Mapping[str, tuple[str, ...]] = {
    "create": ("none", *get_args(CreateMode)),
    "feed": get_args(FeedFault),
}
# Modes that end an outage.
NO_FAULT = ("none", "accepted")


@dataclass(frozen=True, slots=True)
class Fault:
    """A route's fault and its end; None if it has no end."""

    mode: str
    until: datetime | None


type Faults = Mapping[str, Fault]
"""The outages by route."""


class FaultError(ValueError):
    """An unknown fault; the message lists the known ones."""


def with_faults(faults: Faults, document: object, moment: datetime) -> Faults:
    """Start or end outages: `{"feed": "error_500", "seconds": 20}`. Raises FaultError."""
    if not isinstance(document, dict):
        raise FaultError('send a JSON object such as {"feed": "error_500", "seconds": 20}')
    seconds = document.get("seconds")
    if seconds is not None and not (type(seconds) in (int, float) and 0 <= seconds <= MAX_SECONDS):
        raise FaultError(f"seconds must be 0 to {MAX_SECONDS}, or omitted for no end")
    modes = {name: mode for name, mode in document.items() if name != "seconds"}
    for route, mode in modes.items():
        if route not in MODES:
            raise FaultError(f"unknown field {route!r}: accepted are create, feed, seconds")
        if mode not in MODES[route]:
            raise FaultError(f"{route} is {mode!r}: accepted are {', '.join(MODES[route])}")
    until = None if seconds is None else moment + timedelta(seconds=seconds)
    return {**faults, **{route: Fault(mode, until) for route, mode in modes.items()}}


def create_fault(faults: Faults, moment: datetime) -> CreateMode | None:
    """Return the current fault of creates, None if there is none."""
    return cast("CreateMode | None", _mode(faults, "create", moment))


def feed_fault(faults: Faults, moment: datetime) -> FeedFault | None:
    """Return the current fault of the feed, None if there is none."""
    return cast("FeedFault | None", _mode(faults, "feed", moment))


def faults_document(faults: Faults, moment: datetime) -> dict[str, Any]:
    """Return the current outages by route."""
    return {
        route: {"mode": fault.mode, "until": fault.until and timestamp(fault.until)}
        for route, fault in faults.items()
        if _mode(faults, route, moment)
    }


def _mode(faults: Faults, route: str, moment: datetime) -> str | None:
    fault = faults.get(route)
    if fault is None or fault.mode in NO_FAULT:
        return None
    return fault.mode if fault.until is None or moment < fault.until else None
