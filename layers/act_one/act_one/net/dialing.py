"""Resolving a name and connecting to it, within a bound of wall clock."""

import socket
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Final

MAX_ADDRESSES: Final = 8
"""So many of a name's addresses are tried."""

type Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family, and what `connect` takes in it."""


class DialError(OSError):
    """There is no connection; the message says why, in words of ours."""


def resolve(host: str, port: int, ends_at: float) -> list[Address]:
    """List a host's addresses, at least one, by a moment of ``monotonic``. Raises ``DialError``.

    Resolving can't be interrupted, so a thread does it and may be left behind.
    """
    try:
        version = ip_address(host).version
    except ValueError:
        answers: SimpleQueue[list[Address]] = SimpleQueue()
        Thread(target=_resolve, args=(host, port, answers), daemon=True).start()
        try:
            found = answers.get(timeout=max(0.0, ends_at - monotonic()))
        except Empty:
            raise DialError(f"{host} was not resolved in time") from None
        if not found:
            raise DialError(f"{host} has no address") from None
        return found
    return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]


def _resolve(host: str, port: int, answers: "SimpleQueue[list[Address]]") -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        answers.put([])
    else:
        answers.put([(family, address) for family, *_, address in found])


def dial(found: list[Address], ends_at: float) -> socket.socket:
    """Connect to the first address that answers, each having an equal share of the time.

    Raises ``DialError``.
    """
    failure: OSError | None = None
    tried = found[:MAX_ADDRESSES]
    for number, (family, address) in enumerate(tried):
        share = (ends_at - monotonic()) / (len(tried) - number)
        connected = socket.socket(family, socket.SOCK_STREAM)
        connected.settimeout(max(0.001, share))
        try:
            connected.connect(address)
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise DialError(f"no connection: {type(failure).__name__}") from failure
