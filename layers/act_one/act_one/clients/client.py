"""A client: a name that owns tasks, with its limits. Pure: no I/O, no clock."""

import re
from dataclasses import dataclass
from typing import Final

from act_one.tasks.task import SHARED_CLIENTS

DEFAULT_CLIENT: Final = "default"
"""The client of the API keys that belong to no other."""
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
MAX_KEYS: Final = 2
"""How many API keys a client has at most: one, and the one that replaces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client's name and what it may do. Money is in micro-dollars; None is no limit."""

    name: str
    daily_budget: int | None = None
    """What its tasks of a UTC day may cost together."""
    max_open: int | None = None
    """How many of its tasks may be open at once."""
    consent_required: bool = False
    """Whether each of its requests must name the consent that it has."""
    may_read: frozenset[str] = frozenset()
    """Which of the shared clients' tasks it may read and cancel."""
    event_sources: tuple[str, ...] = ()
    """The sources of events that may request tasks in its name."""
    revoked: bool = False
    """Whether it may not use the API any more."""
    former_ids: frozenset[str] = frozenset()
    """What its tasks belonged to before clients had names: the hash of the API key in use."""

    @property
    def readable(self) -> frozenset[str]:
        """Whose tasks it may read: its own, and those of the shared clients that it may read."""
        return self.may_read | self.former_ids | {self.name}


DEFAULT: Final = Client(name=DEFAULT_CLIENT, may_read=SHARED_CLIENTS)
"""The client `default` until an operator changes it."""


def is_client_name(text: str) -> bool:
    """Return whether a client may have this name."""
    return _NAME.fullmatch(text) is not None and text not in SHARED_CLIENTS
