"""Which URLs are followed, and which addresses are public. Pure: nothing is resolved here.

A URL is taken apart once, by rules under which nothing in it can be read two ways, and whoever
connects is given the parts. So there is no second parser to disagree with.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import quote, urljoin

MAX_FETCH_URL_CHARACTERS: Final = 8_192


class UnsafeAddressError(Exception):
    """A URL that we won't follow; the message says why and holds no query string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is allowed beyond https to public addresses and ordinary ports."""

    allow_http: bool = False
    allow_private: bool = False
    """Any address and any port: for the local stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a URL leads, in one spelling."""

    scheme: str
    host: str
    """A name in lower-case ASCII, or an address without brackets."""
    port: int
    path: str
    """Path and query, percent-encoded, as they are sent."""

    @property
    def authority(self) -> str:
        """Host and port as in a ``Host`` header: the scheme's own port is not named."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _OWN_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


# ── URLs ──────────────────────────────────────────────────────────────────────────────────────

_OWN_PORT: Final = {"https": 443, "http": 80}
_SERVICE_PORTS: Final = frozenset(
    {
        *(1433, 1521, 3306, 5432, 5984, 6379, 9042, 9200, 9300, 11211, 27017),  # databases
        *(1719, 1720, 1723, 1883, 3389, 4369, 5060, 5061, 5672, 5900, 6000, 8883, 9092),
        *(2049, 2375, 2376, 2379, 2380, 3128, 3659, 4045, 4190, 6443, 6566, 10250, 10255),
        *(6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),  # chat
    }
)
"""Unprivileged ports at which something other than a web server listens by custom."""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*(?=:)", re.ASCII | re.IGNORECASE)
_REST: Final = re.compile(r"://(?P<authority>[^/?#]*)(?P<path>[^#]*)")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_NEVER: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_SENT_AS_IT_IS: Final = "!$%&'()*+,/:;=?@[]~"


def target(url: str, policy: Policy) -> Target:
    """Take a URL apart.

    Raises ``UnsafeAddressError`` for what can be read two ways, for another scheme than https (or
    http, if that is allowed), for a user name in it, and for ports of other services than the web.
    """
    if len(url) > MAX_FETCH_URL_CHARACTERS:
        raise UnsafeAddressError(f"it is longer than {MAX_FETCH_URL_CHARACTERS:,} characters")
    if _NEVER.search(url):
        raise UnsafeAddressError("it has a backslash or a control character in it")
    scheme = _scheme(url, policy)
    found = _REST.match(url, len(scheme))
    if found is None:
        raise UnsafeAddressError("it is no URL with a host")
    host, port = _host_and_port(found["authority"], scheme)
    if not policy.allow_private:
        _check_port(port, scheme)
    path = found["path"]
    try:
        path = quote(path if path.startswith("/") else f"/{path}", safe=_SENT_AS_IT_IS)
    except UnicodeEncodeError:
        raise UnsafeAddressError("its path is no text") from None
    return Target(scheme=scheme, host=host, port=port, path=path)


def redirected(url: str, location: str) -> str:
    """Say what URL a ``Location`` header leads to, which is still to be taken apart."""
    if _NEVER.search(location):
        raise UnsafeAddressError("it redirects to a URL with a backslash or a control character")
    try:
        # Headers are read as Latin-1; what isn't ASCII in them is sent back byte for byte.
        location = quote(location.encode("latin-1"), safe=_SENT_AS_IT_IS + "#")
        return urljoin(url, location)
    except ValueError:
        raise UnsafeAddressError("it redirects to what is no URL") from None


def _scheme(url: str, policy: Policy) -> str:
    found = _SCHEME.match(url)
    scheme = found[0].lower() if found else ""
    if scheme != "https" and not (scheme == "http" and policy.allow_http):
        raise UnsafeAddressError(
            f"its scheme is {scheme[:32] or 'missing'}, and only https is fetched"
        )
    return scheme


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if not authority.isascii():
        raise UnsafeAddressError("its host is not in ASCII: names of other letters start with xn--")
    if "@" in authority:
        raise UnsafeAddressError("it has a user name in it")
    end = authority.rfind("]") + 1
    host, colon, port = authority[end:].partition(":")
    if colon and not (_PORT.fullmatch(port) and 0 < int(port) < 65_536):
        raise UnsafeAddressError("its port is no port")
    return _host(authority[:end] + host), int(port) if colon else _OWN_PORT[scheme]


def _host(text: str) -> str:
    """Spell a host in its one way.

    Servers read ``127.1``, ``0x7f.1``, ``017700000001`` and ``2130706433`` as addresses, some do
    and some don't. Whatever ends in a number must be an address in full.
    """
    if text.startswith("[") and text.endswith("]"):
        try:
            address = IPv6Address(text[1:-1])
        except AddressValueError:
            raise UnsafeAddressError("its host is no address in brackets") from None
        if address.scope_id is not None:
            raise UnsafeAddressError("its address has a zone")
        return str(address)
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(text))
        except AddressValueError:
            raise UnsafeAddressError("its host is an address in an odd spelling") from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UnsafeAddressError("its host is no host name")
    return name


def _check_port(port: int, scheme: str) -> None:
    if port != _OWN_PORT[scheme] and (port < 1_024 or port in _SERVICE_PORTS):
        raise UnsafeAddressError(f"its port {port} is not one of the web")


# ── Addresses ─────────────────────────────────────────────────────────────────────────────────

_SPECIAL_V4: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata, though it lies among the public ones
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_PUBLIC_V6: Final = ip_network("2000::/3")
_SPECIAL_V6: Final = tuple(
    ip_network(network)
    for network in (
        "2001::/23",  # Teredo, benchmarking, ORCHID and more
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_NAT64: Final = ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Tell whether an address belongs to the public internet.

    It doesn't if it is in one of IANA's special-purpose registries, those it calls globally
    reachable included, and in IPv6 if it is outside of what is given to networks at all. One
    exception: behind NAT64 every IPv4 host has an address in ``64:ff9b::/96``; the IPv4 address in
    it decides.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address not in _NAT64:
            special = any(address in network for network in _SPECIAL_V6)
            return address in _PUBLIC_V6 and not special
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    return not any(address in network for network in _SPECIAL_V4)
