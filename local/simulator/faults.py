"""Outages of the whole provider: for a while a route misbehaves for every task."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast, get_args

from local.simulator.behaviour import LONGEST_SECONDS, CreateMode, FeedFault
from local.simulator.ledger import timestamp

FaultyRoute = Literal["create", "feed"]

MODES: Mapping[str, tuple[str, ...]] = {
    "create": ("none", *get_args(CreateMode)),
    "feed": get_args(FeedFault),
}
# The words that end an outage.
WELL = ("none", "accepted")


@dataclass(frozen=True, slots=True)
class Fault:
    """How a route misbehaves, and until when; None is until it is told otherwise."""

    mode: str
    until: datetime | None


class FaultError(ValueError):
    """A fault that doesn't exist; the message says what does."""


class Faults:
    """The outages in force."""

    def __init__(self) -> None:
        self._by_route: dict[str, Fault] = {}

    def set(self, document: object, moment: datetime) -> None:
        """Begins or ends outages: `{"feed": "error_500", "seconds": 20}`. Raises FaultError."""
        if not isinstance(document, dict):
            raise FaultError('send a JSON object such as {"feed": "error_500", "seconds": 20}')
        seconds = document.get("seconds")
        if seconds is not None and not (
            type(seconds) in (int, float) and 0 <= seconds <= LONGEST_SECONDS
        ):
            raise FaultError(f"seconds must be 0 to {LONGEST_SECONDS}, or left out for no end")
        modes = {name: mode for name, mode in document.items() if name != "seconds"}
        for route, mode in modes.items():
            if route not in MODES:
                raise FaultError(f"unknown field {route!r}: accepted are create, feed, seconds")
            if mode not in MODES[route]:
                raise FaultError(f"{route} is {mode!r}: accepted are {', '.join(MODES[route])}")
        until = None if seconds is None else moment + timedelta(seconds=seconds)
        for route, mode in modes.items():
            self._by_route[route] = Fault(mode, until)

    def create(self, moment: datetime) -> CreateMode | None:
        """How creates misbehave now, None if they don't."""
        return cast("CreateMode | None", self._mode("create", moment))

    def feed(self, moment: datetime) -> FeedFault | None:
        """How the feed misbehaves now, None if it doesn't."""
        return cast("FeedFault | None", self._mode("feed", moment))

    def shown(self, moment: datetime) -> dict[str, Any]:
        """The outages in force now, by route."""
        return {
            route: {"mode": fault.mode, "until": fault.until and timestamp(fault.until)}
            for route, fault in self._by_route.items()
            if self._mode(route, moment)
        }

    def _mode(self, route: str, moment: datetime) -> str | None:
        fault = self._by_route.get(route)
        if fault is None or fault.mode in WELL:
            return None
        return fault.mode if fault.until is None or moment < fault.until else None
