"""What every route works on."""

import hmac
from dataclasses import dataclass, field
from threading import Event

from local.simulator.behaviour import Behaviour
from local.simulator.faults import Faults
from local.simulator.ledger import Ledger
from local.simulator.wire import OpenSockets, Request


@dataclass(frozen=True, slots=True)
class Simulation:
    """One running simulator.

    - `url`: where it listens, without a trailing slash;
    - `api_keys`: one account each; a task is known only to the account that created it;
    - `deliver_to`: host and port that stand in for every `*.on.aws` host, None for no such;
    - `default`: the behaviour of tasks whose video is not the simulator's own;
    - `signing_key`: signs media URLs;
    - `closing`: set when everything has to end.
    """

    url: str
    api_keys: tuple[str, ...]
    deliver_to: tuple[str, int] | None
    default: Behaviour
    signing_key: bytes
    ledger: Ledger
    faults: Faults = field(default_factory=Faults)
    sockets: OpenSockets = field(default_factory=OpenSockets)
    closing: Event = field(default_factory=Event)


def account_of(simulation: Simulation, request: Request) -> int | None:
    """The account whose key the request bears, None without a known key."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    sent = key.strip().encode()
    for account, known in enumerate(simulation.api_keys):
        if hmac.compare_digest(sent, known.encode()):
            return account
    return None
