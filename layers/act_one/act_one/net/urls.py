"""The one parser of URLs. Pure: it resolves nothing and knows no policy.

It refuses every URL that two parsers could read differently, and whoever connects is given the
parts it found, so no second parser can disagree with it.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote, urljoin

MAX_URL_CHARACTERS: Final = 8_192
DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*)([^#]*))?")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_NOT_QUOTED: Final = "!$%&'()*+,/:;=?@[]~"


class UnsafeAddressError(Exception):
    """A URL that is malformed or not allowed; the message says why and holds no query string.

    ``code`` names the rule. Of the parser: ``invalid`` (no scheme, no host, unbalanced brackets,
    too long), ``characters`` (a backslash or a control character), ``scheme``, ``credentials``,
    ``host``, ``address`` (an unusual spelling of one) and ``port``. Of a policy: ``scheme``,
    ``port``, ``private`` (not on the public internet) and ``redirects`` (too many).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """The parts of an http or https URL, normalized; ``str`` puts them together again."""

    scheme: str
    host: str
    """A name in lower-case ASCII, or an address without brackets."""
    port: int
    path: str
    """Path and query, percent-encoded; never empty."""
    is_address: bool
    """Whether the host is an IP address."""

    @property
    def authority(self) -> str:
        """Host and port as in a ``Host`` header, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def parse_url(text: str) -> Url:
    """Parse an http or https URL. Raises ``UnsafeAddressError``."""
    if len(text) > MAX_URL_CHARACTERS:
        message = f"it is longer than {MAX_URL_CHARACTERS:,} characters"
        raise UnsafeAddressError("invalid", message)
    if _FORBIDDEN.search(text):
        raise UnsafeAddressError("characters", "it contains a backslash or a control character")
    found = _URL.match(text)
    if found is None:
        raise UnsafeAddressError("invalid", "its scheme is missing; start it with https://")
    scheme, authority, path = found[1].lower(), found[2], found[3]
    if scheme not in DEFAULT_PORTS:
        raise UnsafeAddressError("scheme", f"its scheme is {scheme[:32]}, not https")
    if authority is None:
        raise UnsafeAddressError("invalid", "it has no host")
    host, port = _split_authority(authority)
    number = DEFAULT_PORTS[scheme] if port is None else _port(port)
    if not host.isascii():
        message = "its host is not ASCII; write international names in their xn-- form"
        raise UnsafeAddressError("host", message)
    address = _address(host)
    try:
        path = quote(path if path.startswith("/") else f"/{path}", safe=_NOT_QUOTED)
    except UnicodeEncodeError:
        raise UnsafeAddressError("invalid", "its path is not valid Unicode") from None
    return Url(
        scheme=scheme,
        host=_name(host) if address is None else address,
        port=number,
        path=path,
        is_address=address is not None,
    )


def redirect_url(url: str, location: str) -> str:
    """Resolve a ``Location`` header against the URL that sent it; the result is not parsed yet.

    Raises ``UnsafeAddressError``.
    """
    if _FORBIDDEN.search(location):
        message = "it redirects to a URL with a backslash or a control character"
        raise UnsafeAddressError("characters", message)
    try:
        # http.client decodes headers as Latin-1; this percent-encodes the original bytes.
        location = quote(location.encode("latin-1"), safe=_NOT_QUOTED + "#")
        return urljoin(url, location)
    except ValueError:
        raise UnsafeAddressError("invalid", "it redirects to an invalid URL") from None


def _split_authority(authority: str) -> tuple[str, str | None]:
    """Split host and port; None: there is no port."""
    if ("[" in authority) != ("]" in authority):
        raise UnsafeAddressError("invalid", "its host has unbalanced brackets")
    _, at_sign, rest = authority.rpartition("@")
    end = rest.rfind("]") + 1
    name, colon, port = rest[end:].partition(":")
    host = rest[:end] + name
    if not host:
        raise UnsafeAddressError("invalid", "its host is missing")
    if at_sign:
        raise UnsafeAddressError("credentials", "it contains a user name")
    return host, port if colon else None


def _port(text: str) -> int:
    if not (_PORT.fullmatch(text) and 0 < int(text) < 65_536):
        raise UnsafeAddressError("port", "its port is not a number from 1 to 65,535")
    return int(text)


def _address(host: str) -> str | None:
    """Normalize an IP address; None: the host is not one.

    Resolvers read ``127.1``, ``0x7f.1``, ``017700000001`` and ``2130706433`` as addresses, but
    not all of them do. So a host that ends in a number must be a full dotted address.
    """
    if "[" in host or "]" in host:
        return _bracketed_address(host)
    if not _NUMBER.fullmatch(host.lower().removesuffix(".").rpartition(".")[2]):
        return None
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        message = "its host is an IP address in an unusual spelling"
        raise UnsafeAddressError("address", message) from None


def _bracketed_address(host: str) -> str:
    try:
        address = IPv6Address(host.removeprefix("[").removesuffix("]"))
    except AddressValueError:
        address = None
    if address is None or not (host.startswith("[") and host.endswith("]")):
        raise UnsafeAddressError("invalid", "its host is not an IPv6 address in brackets")
    if address.scope_id is not None:
        raise UnsafeAddressError("address", "its address has a zone")
    return str(address)


def _name(host: str) -> str:
    name = host.lower().removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise UnsafeAddressError("host", "its host is not a valid host name")
    return name
