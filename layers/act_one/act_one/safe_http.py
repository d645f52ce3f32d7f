"""The only way out to an address that somebody else chose.

Resolves the name, refuses unless every address is public, and connects to the address that was
checked, with TLS still verified for the name; each redirect is checked the same way.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 15.0
"""How long a peer may send nothing."""
MAX_REDIRECTS: Final = 3


class UnsafeAddressError(Exception):
    """A URL that we won't follow; the message says why and holds no query string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is allowed beyond https to public addresses."""

    allow_http: bool = False
    allow_private: bool = False


def session(policy: Policy) -> requests.Session:
    """Build a session that reaches only what the policy allows; no proxies, no cookies kept."""
    made = _Session()
    made.trust_env = False
    made.headers["Accept-Encoding"] = "identity"
    made.headers["User-Agent"] = "act-one"
    made.mount("https://", _CheckedAdapter(allow_private=policy.allow_private))
    made.mount("http://", _CheckedAdapter(allow_private=policy.allow_private))
    return made


def get(url: str, policy: Policy, http: requests.Session) -> requests.Response:
    """GET a URL, its body still to be read; at most three redirects, each one checked.

    Raises ``UnsafeAddressError``, or ``requests.RequestException`` for what the peer does.
    """
    for _ in range(MAX_REDIRECTS + 1):
        _check_scheme(url, policy)
        # A connection kept from an earlier GET may be dead by now, and no GET is tried twice.
        http.close()
        try:
            response = http.get(
                url, stream=True, allow_redirects=False, timeout=(CONNECT_SECONDS, READ_SECONDS)
            )
        except requests.ConnectionError as error:
            _raise_unsafe(error)
            raise
        http.cookies.clear()
        if not response.is_redirect:
            return response
        response.close()
        url = _target(url, response.headers["location"])
    message = f"it redirects more than {MAX_REDIRECTS} times"
    raise UnsafeAddressError(message)


def _target(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        message = "it redirects to what is no URL"
        raise UnsafeAddressError(message) from None


def _check_scheme(url: str, policy: Policy) -> None:
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError:
        message = "it is no URL"
        raise UnsafeAddressError(message) from None
    if scheme != "https" and not (scheme == "http" and policy.allow_http):
        message = f"its scheme is {scheme or 'missing'}, and only https is fetched"
        raise UnsafeAddressError(message)


def _raise_unsafe(error: BaseException | None) -> None:
    """Find our own refusal in the chain that urllib3 and requests wrapped around it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, UnsafeAddressError):
            raise seen from None
        inner = [argument for argument in seen.args if isinstance(argument, BaseException)]
        reason = getattr(seen, "reason", None)
        seen = reason if isinstance(reason, BaseException) else next(iter(inner), seen.__cause__)


def _checked_connection(
    host: str, port: int, seconds: float, *, allow_private: bool
) -> socket.socket:
    """Connect to a host, unless one of its addresses is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        message = "no host has a name like that"
        raise OSError(message) from error
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private:
        for address in addresses:
            if not ipaddress.ip_address(address.split("%")[0]).is_global:
                message = f"{host} is at an address that is not public"
                raise UnsafeAddressError(message)
    for number, address in enumerate(addresses):
        try:
            return socket.create_connection((address, port), timeout=seconds)
        except OSError:
            if number == len(addresses) - 1:
                raise
    message = f"{host} has no address"
    raise OSError(message)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        # Where one is named, requests reads the redirect's whole body first, however large.
        return None


class _CheckedHTTPConnection(HTTPConnection):
    allow_private = False

    def _new_conn(self) -> socket.socket:
        return _checked_connection(
            self._dns_host, self.port, CONNECT_SECONDS, allow_private=self.allow_private
        )


class _CheckedHTTPSConnection(HTTPSConnection):
    allow_private = False

    def _new_conn(self) -> socket.socket:
        return _checked_connection(
            self._dns_host, self.port, CONNECT_SECONDS, allow_private=self.allow_private
        )


class _CheckedAdapter(HTTPAdapter):
    def __init__(self, *, allow_private: bool) -> None:
        super().__init__(max_retries=0)
        allowed = {"allow_private": allow_private}
        plain = type("Plain", (_CheckedHTTPConnection,), allowed)
        secure = type("Secure", (_CheckedHTTPSConnection,), allowed)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
