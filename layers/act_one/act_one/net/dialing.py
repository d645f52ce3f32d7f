"""Connecting to the host of a URL: resolving, dialing and TLS, within one wall-clock bound."""

import socket
import ssl
from functools import cache
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import certifi

from act_one.net.urls import Url

if TYPE_CHECKING:
    from act_one.net.addresses import Policy

MAX_ADDRESSES: Final = 8
"""How many of a name's addresses are tried."""

type Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family, and what `socket.connect` takes in it."""


class DialError(OSError):
    """There is no connection; the message says why and quotes nothing that the peer sent."""


@cache
def public_authorities() -> ssl.SSLContext:
    """Build the TLS context that trusts the public authorities, once per process."""
    return ssl.create_default_context(cafile=certifi.where())


def connect(
    url: Url, ends_at: float, tls: ssl.SSLContext, policy: "Policy | None" = None
) -> socket.socket:
    """Connect to a URL's host, over TLS for https, before ``ends_at``, a time of ``monotonic``.

    A name is resolved once, and only the addresses that were checked are connected to. Raises
    ``DialError``, and ``UnsafeAddressError`` if the policy forbids one of the host's addresses.
    """
    found = _resolve(url, ends_at)
    if policy is not None:
        for _, address in found:
            policy.check_address(url.host, str(address[0]))
    connected = _dial(found, ends_at)
    return _secure(connected, url.host, tls, ends_at) if url.scheme == "https" else connected


def describe(error: Exception) -> str:
    """Say what failed without quoting the peer, which may echo what it was sent."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed ({error.reason})"
    return type(error).__name__


def set_deadline(connected: socket.socket, ends_at: float) -> None:
    """Let the next call on a socket end at ``ends_at``, at once if that is in the past."""
    connected.settimeout(max(0.001, ends_at - monotonic()))


def _resolve(url: Url, ends_at: float) -> list[Address]:
    """List a host's addresses, at least one.

    ``getaddrinfo`` can't be interrupted, so it runs in a thread, which may outlive the call.
    """
    if url.is_address:
        version = ip_address(url.host).version
        return [(socket.AF_INET if version == 4 else socket.AF_INET6, (url.host, url.port))]
    answers: SimpleQueue[list[Address]] = SimpleQueue()
    Thread(target=_look_up, args=(url, answers), daemon=True).start()
    try:
        found = answers.get(timeout=max(0.0, ends_at - monotonic()))
    except Empty:
        raise DialError(f"{url.host} was not resolved in time") from None
    if not found:
        raise DialError(f"{url.host} has no address")
    return found


def _look_up(url: Url, answers: "SimpleQueue[list[Address]]") -> None:
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        answers.put([])
    else:
        answers.put([(family, address) for family, *_, address in found])


def _dial(found: list[Address], ends_at: float) -> socket.socket:
    """Connect to the first address that answers; each gets an equal share of the time left."""
    failure: OSError | None = None
    tried = found[:MAX_ADDRESSES]
    for number, (family, address) in enumerate(tried):
        share = (ends_at - monotonic()) / (len(tried) - number)
        try:
            return _dial_one(family, address, max(0.001, share))
        except OSError as error:
            failure = error
    raise DialError(f"no connection: {type(failure).__name__}") from failure


def _dial_one(
    family: socket.AddressFamily, address: tuple[Any, ...], seconds: float
) -> socket.socket:
    connected = socket.socket(family, socket.SOCK_STREAM)  # fails where there is no IPv6
    try:
        connected.settimeout(seconds)
        connected.connect(address)
    except OSError:
        connected.close()
        raise
    return connected


def _secure(
    connected: socket.socket, host: str, tls: ssl.SSLContext, ends_at: float
) -> socket.socket:
    try:
        # An explicit handshake fails on a socket that was reset meanwhile; the implicit one is
        # skipped there, and what is sent would leave unencrypted.
        connected = tls.wrap_socket(connected, server_hostname=host, do_handshake_on_connect=False)
        set_deadline(connected, ends_at)
        connected.do_handshake()
    except OSError as error:
        connected.close()
        raise DialError(f"no TLS connection: {describe(error)}") from error
    return connected
