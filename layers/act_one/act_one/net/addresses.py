"""Which URLs and addresses a policy allows. Pure: it resolves nothing."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from act_one.net.urls import DEFAULT_PORTS, UnsafeAddressError, Url

_SERVICE_PORTS: Final = frozenset(
    {
        *(1433, 1521, 3306, 5432, 5984, 6379, 9042, 9200, 9300, 11211, 27017),  # databases
        *(1719, 1720, 1723, 1883, 3389, 4369, 5060, 5061, 5672, 5900, 6000, 8883, 9092),
        *(2049, 2375, 2376, 2379, 2380, 3128, 3659, 4045, 4190, 6443, 6566, 10250, 10255),
        *(6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),  # chat
    }
)
"""Unprivileged ports that other services than web servers use by convention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is allowed besides https to public addresses and the ports of web servers."""

    allow_http: bool = False
    allow_private: bool = False
    """Allow every address and port: for the local stack."""

    def check_url(self, url: Url) -> None:
        """Raise ``UnsafeAddressError`` if a URL's scheme or port is not allowed."""
        if url.scheme != "https" and not self.allow_http:
            raise UnsafeAddressError("scheme", f"its scheme is {url.scheme}, not https")
        own_port = url.port == DEFAULT_PORTS[url.scheme]
        other_service = url.port < 1_024 or url.port in _SERVICE_PORTS
        if other_service and not own_port and not self.allow_private:
            raise UnsafeAddressError("port", f"its port {url.port} is not a web server's")

    def check_address(self, host: str, address: str) -> None:
        """Raise ``UnsafeAddressError`` if an address of a host is not allowed."""
        if not self.allow_private and not is_public(address):
            message = f"{host} is at an address that is not public"
            raise UnsafeAddressError("private", message)


_SPECIAL_V4: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata, in a public range
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

    Addresses in IANA's special-purpose registries don't, even those that IANA calls globally
    reachable, nor do IPv6 addresses outside of ``2000::/3``. One exception: NAT64 maps every IPv4
    host into ``64:ff9b::/96``; there the IPv4 address decides.
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
