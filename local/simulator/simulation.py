"""The state that all routes share, and what differs between a process and a function."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from local.simulator.behaviour import Behaviour
from local.simulator.ledger import Ledger
from local.simulator.limits import NO_LIMITS, Limits
from local.simulator.messages import Request
from local.simulator.sockets import OpenSockets
from local.simulator.tasks import PendingCallback, ProviderTask

type SendLater = Callable[[Simulation, PendingCallback], None]
"""Arranges that `callbacks.deliver` is called with a callback when it is due."""
type FetchInputs = Callable[[Simulation, ProviderTask], None]
"""Fetches the inputs of a new task, in the background."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """One running simulator.

    - `url`: the base URL, without a trailing slash;
    - `api_keys`: one per account; a task is visible only to the account that created it;
    - `deliver_to`: host and port that receive callbacks to the stack's own hosts, or None;
    - `default`: the behaviour of tasks whose video is not the simulator's own;
    - `signing_key`: signs media URLs;
    - `limits`: what it can't or mustn't do;
    - `closing`: set when the simulator stops.
    """

    url: str
    api_keys: tuple[str, ...]
    deliver_to: tuple[str, int] | None
    default: Behaviour
    signing_key: bytes
    ledger: Ledger
    send_later: SendLater
    fetch_inputs: FetchInputs
    limits: Limits = NO_LIMITS
    sockets: OpenSockets = field(default_factory=OpenSockets)
    closing: Event = field(default_factory=Event)


def account_of(simulation: Simulation, request: Request) -> int | None:
    """Return the account whose key the request has, None without a known key."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    sent = key.strip().encode()
    for account, known in enumerate(simulation.api_keys):
        if hmac.compare_digest(sent, known.encode()):
            return account
    return None
