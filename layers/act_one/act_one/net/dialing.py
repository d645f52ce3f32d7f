"""Connecting to the host of a URL: resolving, dialing and TLS, within one wall-clock bound."""

import errno
import socket
import ssl
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import certifi

from act_one.net.urls import Url

if TYPE_CHECKING:
    from act_one.net.addresses import Policy

MAX_ADDRESSES: Final = 8
"""How many of a name's addresses are tried."""
_HAS_NONE: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""The name doesn't exist, or has no address. Other codes mean that no server knew."""
_NO_WAY_FROM_HERE: Final = frozenset({errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
"""Errors of a machine without IPv6."""

type Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family, and what `socket.connect` takes in it."""


class DialError(OSError):
    """There is no connection; the message says why and quotes nothing that the peer sent.

    ``certain``: it isn't a passing fault or one of this network: the name has no address, or the
    host refuses connections.
    """

    def __init__(self, message: str, *, certain: bool = False) -> None:
        super().__init__(message)
        self.certain = certain


@cache
def public_authorities() -> ssl.SSLContext:
    """Build the TLS context that trusts the public authorities, once per process.

    They are certifi's. The layer has them as a folder too (``layers/dependencies/authorities.py``),
    of which a connection reads the one it needs; to read all of them is a fifth of a cold start.
    """
    folder = Path(certifi.where()).with_name("authorities")
    if folder.is_dir():
        return ssl.create_default_context(capath=str(folder))
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
        family = socket.AF_INET6 if ":" in url.host else socket.AF_INET
        return [(family, (url.host, url.port))]
    lookup = _Lookup(url)
    looking_up = Thread(target=lookup.run, daemon=True)
    looking_up.start()
    looking_up.join(max(0.0, ends_at - monotonic()))
    if looking_up.is_alive():
        raise DialError(f"{url.host} was not resolved in time")
    if lookup.found:
        return lookup.found
    if lookup.has_none:
        raise DialError(f"{url.host} has no address", certain=True)
    raise DialError(f"{url.host} can't be resolved now")


@dataclass(slots=True)
class _Lookup:
    """A lookup of a host's addresses, and its result."""

    url: Url
    found: list[Address] = field(default_factory=list)
    has_none: bool = False
    """Whether the name certainly has no address, rather than that no server answered."""

    def run(self) -> None:
        try:
            answers = socket.getaddrinfo(self.url.host, self.url.port, type=socket.SOCK_STREAM)
        except UnicodeError:
            self.has_none = True
        except socket.gaierror as error:
            self.has_none = error.errno in _HAS_NONE
        except OSError:
            return
        else:
            self.found = [(family, address) for family, *_, address in answers]
            self.has_none = not answers


def _dial(found: list[Address], ends_at: float) -> socket.socket:
    """Connect to the first address that answers; each gets an equal share of the time left."""
    failures: list[OSError] = []
    tried = found[:MAX_ADDRESSES]
    for number, (family, address) in enumerate(tried):
        share = (ends_at - monotonic()) / (len(tried) - number)
        try:
            return _dial_one(family, address, max(0.001, share))
        except OSError as error:
            failures.append(error)
    refused = [error for error in failures if isinstance(error, ConnectionRefusedError)]
    elsewhere = [error for error in failures if error.errno in _NO_WAY_FROM_HERE]
    certain = bool(refused) and len(refused) + len(elsewhere) == len(found)
    failure = (refused or failures)[-1]
    raise DialError(f"no connection: {type(failure).__name__}", certain=certain) from failure


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
