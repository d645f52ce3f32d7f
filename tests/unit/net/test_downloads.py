"""Downloads from untrusted URLs and hostile servers."""

import _socket
import functools
import gzip
import logging
import socket
import ssl
import threading
import tracemalloc
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from time import monotonic

import pytest
import requests

from act_one.net import dialing, downloads
from act_one.net.addresses import Policy
from act_one.net.downloads import MAX_REDIRECTS, PeerError
from act_one.net.urls import UnsafeAddressError
from tests.unit.content import OK, PNG, in_chunks, serves, status, until_closed, with_length
from tests.unit.hostile import CA, OTHER_CA, client_tls, deaf, peer, reset, server_tls

LOCAL = Policy(allow_http=True, allow_private=True)
PUBLIC = Policy(allow_http=True)
STRICT = Policy()
IMAGE = with_length(PNG)
LIMIT = 1_000_000
SECONDS = 0.6
"""The deadline in tests whose server never finishes."""
MARGIN = 8.0
"""How late a test may end on a busy machine."""

SERVER_TLS = server_tls("media.example")
TRUSTING = client_tls()


def session(policy=LOCAL):
    return downloads.session(policy, TRUSTING)


def request(method, url, policy=LOCAL, *, seconds=5.0, max_bytes=LIMIT, **more):
    return downloads.request(
        method, url, session(policy), seconds=seconds, max_bytes=max_bytes, **more
    )


def get(url, policy=LOCAL, **more):
    return request("GET", url, policy, **more)


def whole(url, policy=LOCAL, **more):
    """GET a URL and read all of its body."""
    with get(url, policy, **more) as download:
        return rest(download)


def rest(download, amount=65_536):
    return b"".join(iter(lambda: download.read(amount), b""))


def read_on(download):
    while download.read(65_536):
        pass


def url_of(server, path="/a.png?sig=SECRET"):
    return f"http://127.0.0.1:{server.port}{path}"


@contextmanager
def ends_within(seconds):
    began_at = monotonic()
    yield
    assert monotonic() - began_at < seconds


def says_no_secret(error):
    text = str(error)
    assert text
    assert "SECRET" not in text
    assert "?" not in text
    assert "\n" not in text
    assert len(text) < 200
    return text


def refused(url, policy, within=MARGIN, **more):
    """Return the message about a URL that the policy refuses."""
    with ends_within(within), pytest.raises(UnsafeAddressError) as caught:
        whole(url, policy, **more)
    return says_no_secret(caught.value)


def fails(url, policy=LOCAL, within=5.0 + MARGIN, seconds=5.0, **more):
    """Return the code and the message of the ``PeerError``."""
    with ends_within(within), pytest.raises(PeerError) as caught:
        whole(url, policy, seconds=seconds, **more)
    assert caught.value.__cause__ is None
    return caught.value.code, says_no_secret(caught.value)


def fails_at(treat, tls=None, **more):
    treatment = treat if callable(treat) else serves(treat)
    with peer(treatment, tls) as server:
        return fails(url_of(server), **more)


# ── A fake public internet ────────────────────────────────────────────────────────────────────

HERE = "93.184.215.14"
"""A public address that the fixture maps to a server on this machine."""


class Internet:
    def __init__(self):
        self.answers = {}
        self.places = {}
        self.lookups = []
        self.connects = []

    def at(self, host, *answers):
        """Resolve a name to the first answer, then to the next one, and so on."""
        self.answers[host] = list(answers)

    def put(self, server, port=443, host="media.example", address=HERE):
        """Map a server on this machine to a public address."""
        self.at(host, [address])
        self.places[address, port] = server.port

    def getaddrinfo(self, host, port, *_rest, **_more):
        self.lookups.append(host)
        left = self.answers.get(host)
        if left is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one.partition("%")[0], port, 0, 3))
            if "%" in one
            else (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (one, port),
            )
            for one in addresses
        ]

    def connect(self, connecting, address):
        self.connects.append(address[0])
        place = self.places.get(address[:2])
        if place is None:
            raise ConnectionRefusedError
        _socket.socket.connect(connecting, ("127.0.0.1", place))


@pytest.fixture
def internet(monkeypatch):
    made = Internet()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    here = threading.current_thread()

    def connect(connecting, address):
        # Threads left over from earlier tests use the real network.
        ours = threading.current_thread() is here
        (made.connect if ours else _socket.socket.connect)(connecting, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return made


PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - it is not bound
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::FFFF:A9FE:A9FE",
    "::ffff:8.8.8.8",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "FD00:EC2::254",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::808:808",
    "3fff::1",
    "ff02::1",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_with_a_private_address_is_refused(address, scheme, internet):
    internet.at("media.example", [address])

    message = refused(f"{scheme}://media.example/a.png?sig=SECRET", PUBLIC)

    assert message == "media.example is at an address that is not public"
    assert internet.connects == []


@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "between", "last"])
@pytest.mark.parametrize("address", PRIVATE)
def test_one_private_address_among_public_ones_is_refused(address, place, internet):
    addresses = ["8.8.8.8", "2606:4700::1111"]
    addresses.insert(place, address)
    internet.at("media.example", addresses)

    refused("https://media.example/a.png", STRICT)

    assert internet.connects == []


def test_a_private_address_after_many_public_ones_is_refused(internet):
    internet.at("media.example", [f"8.8.8.{number}" for number in range(250)] + ["10.0.0.1"])

    refused("https://media.example/a.png", STRICT)

    assert internet.connects == []


def test_the_checked_address_is_the_one_connected_to(internet):
    """A second lookup would give a private address."""
    with peer(serves(IMAGE), SERVER_TLS) as server:
        internet.put(server)
        internet.at("media.example", [HERE], ["127.0.0.1"])

        assert whole("https://media.example/a.png", STRICT) == PNG

    assert internet.lookups == ["media.example"]
    assert internet.connects == [HERE]


def test_a_name_is_checked_again_for_each_redirect(internet):
    with peer(redirects("/b.png"), SERVER_TLS) as server:
        internet.put(server)
        internet.at("media.example", [HERE], ["127.0.0.1"])

        refused("https://media.example/a.png", STRICT)

    assert internet.lookups == ["media.example"] * 2
    assert internet.connects == [HERE]
    assert len(server.requests) == 1


def test_addresses_are_tried_in_turn_until_one_answers(internet):
    with peer(serves(IMAGE), SERVER_TLS) as server:
        internet.put(server)
        internet.at("media.example", ["8.8.8.8", "2606:4700::1111", HERE])

        assert whole("https://media.example/a.png", STRICT) == PNG

    assert internet.connects == ["8.8.8.8", "2606:4700::1111", HERE]


def test_at_most_eight_addresses_are_tried(internet):
    internet.at("media.example", [f"8.8.8.{number}" for number in range(250)])

    code, message = fails("https://media.example/a.png", STRICT)

    assert (code, message) == ("unreachable", "no connection: ConnectionRefusedError")
    assert len(internet.connects) == dialing.MAX_ADDRESSES


def test_a_scoped_address_is_refused(internet):
    internet.at("media.example", ["fe80::1%eth0"])

    refused("https://media.example/a.png", STRICT)


def test_a_public_address_behind_nat64_is_connected_to(internet):
    with peer(serves(IMAGE), SERVER_TLS) as server:
        internet.put(server, address="64:ff9b::5db8:d70e")
        internet.connect = lambda connecting, _address: reconnect(connecting, server.port)

        assert whole("https://media.example/a.png", STRICT) == PNG


def reconnect(connecting, port):
    """Replace an IPv6 socket by an IPv4 one that is connected to a server on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        _socket.socket.connect(other, ("127.0.0.1", port))
        seconds = connecting.gettimeout()
        _socket.socket.__init__(connecting, fileno=socket.dup(other.fileno()))
        connecting.settimeout(seconds)


LITERALS = {
    "loopback": "127.0.0.1",
    "loopback elsewhere": "127.1.2.3",
    "this host": "0.0.0.0",  # noqa: S104
    "short": "127.1",
    "decimal": "2130706433",
    "hex": "0x7f000001",
    "hex parts": "0x7f.1",
    "octal parts": "0177.0.0.1",
    "a trailing dot": "127.0.0.1.",
    "v6 loopback": "[::1]",
    "v6 loopback in full": "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "v6 nothing": "[::]",
    "mapped": "[::ffff:127.0.0.1]",
    "mapped in hex": "[::FFFF:7F00:1]",
    "mapped in full": "[0:0:0:0:0:ffff:7f00:0001]",
    "compatible": "[::127.0.0.1]",
    "NAT64": "[64:ff9b::127.0.0.1]",
    "local NAT64": "[64:ff9b:1::7f00:1]",
    "6to4": "[2002:7f00:1::]",
    "Teredo": "[2001:0:7f00:1::80ff:fffe]",
    "a zone": "[fe80::1%25lo]",
    "link-local": "[fe80::1]",
    "unique local": "[fd00:ec2::254]",
    "metadata": "169.254.169.254",
    "metadata in decimal": "2852039166",
    "metadata in hex": "0xA9FEA9FE",
    "metadata mapped": "[::ffff:a9fe:a9fe]",
    "containers' metadata": "169.254.170.2",
    "Azure's": "168.63.129.16",
    "a user": "media.example@127.0.0.1",
    "an encoded dot": "127%2e0.0.1",
    "full-width": "\uff11\uff12\uff17.0.0.1",
    "full-width dots": "127\u30020\u30020\u30021",
    "circled": "\u2460\u2461\u2466.0.0.1",
}


@pytest.mark.parametrize("host", LITERALS.values(), ids=LITERALS.keys())
def test_an_address_in_the_url_is_refused_in_any_spelling(host):
    with peer(serves(IMAGE)) as server:
        refused(f"http://{host}:{server.port}/?SECRET", PUBLIC)

    assert server.connections == 0


def test_a_policy_may_allow_private_addresses():
    with peer(serves(IMAGE)) as server:
        assert whole(url_of(server)) == PNG
        assert whole(f"http://localhost:{server.port}/") == PNG


@pytest.mark.parametrize("answer", [[], None], ids=["nothing", "no such name"])
def test_a_name_without_an_address_is_unreachable(answer, internet):
    if answer is not None:
        internet.at("media.example", answer)

    assert fails("https://media.example/a") == ("unreachable", "media.example has no address")


@pytest.mark.parametrize("url", ["ftp://a.example/?SECRET", "file:///etc/passwd", "a", "", "//a/"])
def test_a_url_other_than_http_is_refused(url):
    refused(url, LOCAL)


def test_the_session_checks_every_request(internet):
    internet.at("media.example", ["10.0.0.1"])

    for url in ("https://media.example/", "https://127.0.0.1/", "http://media.example/"):
        with pytest.raises(UnsafeAddressError), session(STRICT) as http:
            http.get(url)
    assert internet.connects == []


# ── Over TLS ──────────────────────────────────────────────────────────────────────────────────

EXPIRED = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CA.issue_cert("media.example", not_after=datetime(2020, 1, 1, tzinfo=UTC)).configure_cert(EXPIRED)

CERTIFICATES = {
    "of another name": (server_tls("other.example"), "Hostname mismatch"),
    "of a parent": (server_tls("example"), "Hostname mismatch"),
    "of a wildcard too far": (server_tls("*.media.example"), "Hostname mismatch"),
    "of the address": (server_tls(HERE), "Hostname mismatch"),
    "expired": (EXPIRED, "certificate has expired"),
    "of an unknown authority": (server_tls("media.example", OTHER_CA), "unable to get local"),
}


@pytest.mark.parametrize(("tls", "reason"), CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_a_certificate_must_be_trusted_and_name_the_host(tls, reason, internet):
    with peer(serves(IMAGE), tls) as server:
        internet.put(server)
        code, message = fails("https://media.example/?SECRET", STRICT)

    assert code == "unreachable"
    assert message.startswith("no TLS connection: its certificate is refused: ")
    assert reason in message
    assert server.requests == []


def test_sni_and_host_header_carry_the_name(internet):
    names = []
    tls = server_tls("media.example")
    tls.sni_callback = lambda _connection, name, _context: names.append(name)
    with peer(serves(IMAGE), tls) as server:
        internet.put(server)
        assert whole("https://media.example/a.png", STRICT) == PNG

    assert names == ["media.example"]
    assert b"Host: media.example\r\n" in server.requests[0]


def test_without_a_context_only_public_authorities_are_trusted(internet):
    with peer(serves(IMAGE), SERVER_TLS) as server:
        internet.put(server)
        with pytest.raises(PeerError, match="certificate is refused"):
            downloads.get(
                "https://media.example/", downloads.session(STRICT), seconds=5.0, max_bytes=LIMIT
            )


def test_certificates_are_checked_even_with_verify_false(internet):
    with peer(serves(IMAGE), server_tls("other.example")) as server, session(STRICT) as http:
        internet.put(server)
        http.verify = False
        with pytest.raises(PeerError, match="certificate is refused"):
            http.get("https://media.example/", verify=False)


def silent(server, _connection):
    server.stall()


def dribbling_tls(server, connection):
    connection.recv(65_536)
    # A handshake record of 16 KB, byte by byte.
    server.dribble(connection, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(16_000), 0.02)


def alert(_found, connection):
    connection.recv(65_536)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")


TLS_PEERS = {
    "silent": silent,
    "dribbling": dribbling_tls,
    "in plain HTTP": lambda _, connection: connection.sendall(IMAGE),
    "an alert": alert,
    "garbage": lambda _, connection: connection.sendall(b"\xff" * 1_000),
    "hanging up": lambda _, connection: connection.recv(65_536),
    "resetting": lambda _, connection: reset(connection),
}


@pytest.mark.parametrize("treat", TLS_PEERS.values(), ids=TLS_PEERS.keys())
def test_a_failed_tls_handshake_makes_a_server_unreachable(treat, internet):
    with peer(treat) as server:
        internet.put(server)
        code, message = fails("https://media.example/?SECRET", STRICT, seconds=1.0)

    assert code == "unreachable"
    if treat in {silent, dribbling_tls}:
        assert message == "no TLS connection: TimeoutError"


def test_connecting_and_tls_share_one_deadline(internet):
    with peer(silent) as server:
        internet.put(server)
        connect = internet.connect

        def hesitate(*given):
            server.over.wait(1.0)
            connect(*given)

        internet.connect = hesitate
        fails("https://media.example/", STRICT, seconds=1.2, within=1.9)


# ── Redirects ─────────────────────────────────────────────────────────────────────────────────


def redirects(*locations, code=302, last=IMAGE):
    """A treatment: answer with one redirect after the other, then with ``last``."""
    left = list(locations)

    def treat(server, connection):
        server.read_request(connection)
        where = left.pop(0) if left else None
        headers = b"" if where is None else b"Location: " + where.encode("latin-1") + b"\r\n"
        connection.sendall(last if where is None else status(code, headers))

    return treat


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_redirect_is_followed(code, method):
    with peer(redirects("/b.png", code=code)) as server, request(method, url_of(server)) as answer:
        assert answer.status == 200
        assert rest(answer) == (PNG if method == "GET" else b"")

    assert server.requests[1].startswith(f"{method} /b.png HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("code", [300, 304, 305, 306])
def test_other_statuses_with_a_location_are_not_followed(code):
    with peer(redirects("/b.png", code=code)) as server, get(url_of(server)) as answer:
        assert answer.status == code

    assert server.connections == 1


def test_a_redirect_without_a_location_is_returned():
    with peer(serves(status(302))) as server, get(url_of(server)) as answer:
        assert answer.status == 302


def test_at_most_three_redirects_are_followed():
    with peer(redirects(*"123")) as server:
        assert whole(url_of(server)) == PNG
    assert len(server.requests) == MAX_REDIRECTS + 1

    with peer(redirects(*"1234")) as server:
        assert refused(url_of(server), LOCAL) == "it redirects more than 3 times"
    assert len(server.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("location", ["/a.png", "", "?sig=SECRET", "//127.0.0.1:{port}/a.png"])
def test_a_redirect_loop_ends(location):
    def loop(server, connection):
        server.read_request(connection)
        where = location.format(port=server.port).encode()
        connection.sendall(status(302, b"Location: %s\r\n" % where))

    with peer(loop) as server:
        refused(url_of(server), LOCAL)

    assert server.connections == MAX_REDIRECTS + 1


def test_all_redirects_share_one_deadline():
    def slow_loop(server, connection):
        server.read_request(connection)
        server.over.wait(SECONDS / 3)
        connection.sendall(status(302, b"Location: /b\r\n"))

    assert fails_at(slow_loop, seconds=SECONDS)[0] == "unreachable"


def test_a_redirect_is_returned_if_none_is_allowed():
    with peer(redirects("/b")) as server, get(url_of(server), redirects=0) as answer:
        assert (answer.status, answer.headers["location"]) == (302, "/b")

    assert len(server.requests) == 1


def test_a_post_is_not_redirected():
    with (
        peer(redirects("/b", code=307)) as server,
        request("POST", url_of(server), body=b"{}") as answer,
    ):
        assert answer.status == 307

    assert len(server.requests) == 1


HOSTILE_LOCATIONS = {
    "to http": "http://media.example/",
    "to http elsewhere": "http://other.example/",
    "to a file": "file:///etc/passwd",
    "to ftp": "ftp://media.example/",
    "to gopher": "gopher://127.0.0.1:6379/_INFO",
    "to data": "data:text/plain,a",
    "to a script": "javascript:alert(1)",
    "to a bracket": "https://[",
    "to a user": "https://media.example@127.0.0.1/",
    "to a user without a scheme": "//media.example@127.0.0.1/",
    "to a backslash": "https:\\\\127.0.0.1\\",
    "to slash and backslash": "/\\127.0.0.1/",
    "to a backslash before an at": "https://media.example\\@127.0.0.1/",
    "to a tab": "/\t/127.0.0.1/",
    "to loopback": "https://127.0.0.1/",
    "to loopback without a scheme": "//127.0.0.1/",
    "to loopback in upper case": "HTTPS://LOCALHOST/",
    "to its name": "https://localhost/",
    "to a private name": "https://intranet.example/",
    "to one that is half private": "https://half.example/",
    "to decimal": "https://2130706433/",
    "to hex": "//0x7f.1/",
    "to octal": "//0177.0.0.1/",
    "to short": "//127.1/",
    "to v6": "https://[::1]/",
    "to mapped": "https://[::ffff:169.254.169.254]/",
    "to NAT64": "https://[64:ff9b::a9fe:a9fe]/",
    "to link-local": "https://[fe80::1]/",
    "to a zone": "https://[fe80::1%25eth0]/",
    "to metadata": "https://169.254.169.254/latest/meta-data/",
    "to metadata over v6": "https://[fd00:ec2::254]/",
    "to credentials": "https://169.254.170.2/v2/credentials",
    "to SSH": "https://media.example:22/",
    "to Redis": "https://media.example:6379/",
    "to no port": "https://media.example:99999/",
    "to full-width digits": "https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
    "to ideographic dots": "//127\xe3\x80\x820\xe3\x80\x820\xe3\x80\x821/",
    "to other letters": "https://m\xc3\xbcnchen.example/",
    "to bytes": "https://\xff\xfe/",
    "to an encoded host": "https://%31%32%37.0.0.1/",
}


@pytest.mark.parametrize("location", HOSTILE_LOCATIONS.values(), ids=HOSTILE_LOCATIONS.keys())
def test_each_redirect_is_checked_like_the_first_url(location, internet):
    with peer(redirects(location), SERVER_TLS) as server:
        internet.put(server)
        internet.at("localhost", ["127.0.0.1"])
        internet.at("intranet.example", ["10.0.0.1"])
        internet.at("half.example", [HERE, "10.0.0.1"])

        refused("https://media.example/a.png?sig=SECRET", STRICT)

    assert internet.connects == [HERE]


@pytest.mark.parametrize("policy", [PUBLIC, STRICT], ids=["allowed", "not"])
def test_a_redirect_to_plain_http_needs_allow_http(policy, internet):
    with (
        peer(serves(IMAGE)) as plain,
        peer(redirects("http://plain.example/"), SERVER_TLS) as server,
    ):
        internet.put(plain, 80, "plain.example", "8.8.8.8")
        internet.put(server)
        if policy is PUBLIC:
            assert whole("https://media.example/a.png", policy) == PNG
        else:
            assert "not https" in refused("https://media.example/a.png", policy)

    assert plain.connections == (policy is PUBLIC)


def test_the_body_of_a_redirect_is_not_read():
    def treat(server, connection):
        server.read_request(connection)
        if len(server.requests) > 1:
            connection.sendall(IMAGE)
            return
        connection.sendall(OK.replace(b"200", b"302") + b"Location: /b.png\r\n\r\n")
        while not server.over.is_set():
            connection.sendall(bytes(65_536))

    with peer(treat) as server:
        assert whole(url_of(server)) == PNG


# ── Response heads ────────────────────────────────────────────────────────────────────────────


def dribbles(content, pause=0.02):
    """A treatment: answer byte by byte, over and over."""

    def treat(server, connection):
        server.read_request(connection)
        while not server.over.is_set():
            server.dribble(connection, content, pause)

    return treat


class TooMuchMemoryError(AssertionError):
    """A test held more memory than its bound."""


def in_little_memory(test):
    """Try up to three times: the memory of other tests' threads is counted too."""

    @functools.wraps(test)
    def tried(*given, **more):
        for _ in range(2):
            with suppress(TooMuchMemoryError):
                return test(*given, **more)
        return test(*given, **more)

    return tried


@contextmanager
def little_memory(most=600_000):
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak >= most:
        raise TooMuchMemoryError(peak)


def floods(begin, again):
    """A treatment: answer with an endless response, as fast as possible."""

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(begin)
        while not server.over.is_set():
            connection.sendall(again)

    return treat


def deaf_after_accepting(server, connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    server.stall()


SLOW_HEADS = {
    "no byte": silent,
    "a status line in dribbles": dribbles(b"HTTP/1.1 200 OK" * 100),
    "a header in dribbles": dribbles(b"a: " + b"b" * 1_000),
    "headers in dribbles": dribbles(OK + b"a: b\r\n" * 1_000),
    "interim answers in dribbles": dribbles(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an interim answer, then nothing": serves(
        b"HTTP/1.1 100 Continue\r\n\r\n", lambda f, _: f.stall()
    ),
    "half a head, then nothing": serves(OK + b"Content-Le", lambda server, _: server.stall()),
    "all but its last byte": serves(OK + b"A: b\r\n\r", lambda server, _: server.stall()),
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("treat", SLOW_HEADS.values(), ids=SLOW_HEADS.keys())
def test_a_slow_head_ends_by_the_deadline(treat, secure, internet):
    with peer(treat, SERVER_TLS if secure else None) as server:
        internet.put(server, 443 if secure else 80)
        url = f"{'https' if secure else 'http'}://media.example/?SECRET"
        assert fails(url, PUBLIC, seconds=SECONDS) == (
            "unreachable",
            "no response came in the time allowed",
        )


def test_a_silent_server_is_given_up_before_the_deadline(monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.2)

    code, message = fails_at(silent, seconds=5.0)

    assert (code, message) == ("unreachable", "no response came for 0.2 s")


def test_sending_to_a_server_that_reads_nothing_ends_by_the_deadline():
    with peer(deaf_after_accepting) as server:
        with ends_within(SECONDS + MARGIN), pytest.raises(PeerError) as caught:
            request("POST", url_of(server), body=bytes(20_000_000), seconds=SECONDS)

        assert caught.value.code == "unreachable"
        assert str(caught.value) == "no response came in the time allowed"


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_sending_to_a_server_that_reads_slowly_ends_by_the_deadline(secure, internet):
    def sips(server, connection):
        while not server.over.wait(0.05):
            connection.recv(65_536)

    with peer(sips, SERVER_TLS if secure else None) as server:
        internet.put(server, 443 if secure else 80)
        url = f"{'https' if secure else 'http'}://media.example/"
        with ends_within(SECONDS + MARGIN), pytest.raises(PeerError) as caught:
            request("POST", url, PUBLIC, body=bytes(20_000_000), seconds=SECONDS)

    assert caught.value.code == "unreachable"


ENDLESS_HEADS = {
    "a status line": (b"HTTP/1.1 200 ", b"a" * 4_096),
    "no status line": (b"", b"a" * 4_096),
    "a header": (OK + b"a: ", b"b" * 4_096),
    "a header's name": (OK, b"a" * 4_096),
    "a folded header": (OK + b"a: b\r\n", b" " + b"b" * 4_000 + b"\r\n"),
    "long headers": (OK, b"a: " + b"b" * 4_000 + b"\r\n"),
    "short headers": (OK, b"a: b\r\n"),
    "the same length": (OK, b"Content-Length: 5\r\n"),
    "cookies": (OK, b"Set-Cookie: a=" + b"b" * 4_000 + b"\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers with headers": (b"", b"HTTP/1.1 100 Continue\r\na: b\r\n\r\n"),
    "a long interim answer": (b"HTTP/1.1 100 Continue\r\n", b"a: " + b"b" * 4_000 + b"\r\n"),
    "nulls": (b"", bytes(4_096)),
    "empty lines": (b"", b"\r\n" * 100),
}


@pytest.mark.parametrize(("begin", "again"), ENDLESS_HEADS.values(), ids=ENDLESS_HEADS.keys())
@in_little_memory
def test_an_endless_head_is_refused_without_buffering_it(begin, again):
    with peer(floods(begin, again)) as server, little_memory():
        assert fails(url_of(server), seconds=10.0, within=MARGIN)[0] == "unreachable"


BAD_HEADS = {
    "nothing": b"",
    "one byte": b"H",
    "half a status line": b"HTTP/1.1 20",
    "a status line alone": OK,
    "half a header": OK + b"Content-Length: 1",
    "headers without their end": OK + b"Content-Length: 100\r\n",
    "an interim answer alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "mail": b"220 mail.example ESMTP\r\n\r\n",
    "its own request, echoed": b"GET /a.png?sig=SECRET HTTP/1.1\r\n\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
    "HTTP/2 in words": b"HTTP/2 200 OK\r\n\r\n",
    "no number": b"HTTP/1.1 OK\r\n\r\n",
    "a number too large": b"HTTP/1.1 20000 OK\r\n\r\n",
    "a negative number": b"HTTP/1.1 -200 OK\r\n\r\n",
    "a header without a colon": OK + b"SECRET\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": OK + b": b\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 5\r\n\r\nabcde",
    "a folded first line": OK + b" a: b\r\n\r\n",
    "a length of words": with_length(b"").replace(b"h: 0", b"h: SECRET"),
    "a length of nothing": with_length(b"").replace(b"h: 0", b"h: "),
    "a negative length": with_length(b"").replace(b"h: 0", b"h: -1"),
    "a signed length": with_length(PNG).replace(b"h: ", b"h: +"),
    "a length in hex": with_length(b"").replace(b"h: 0", b"h: 0x10"),
    "a length with underscores": with_length(b"").replace(b"h: 0", b"h: 1_0"),
    "a length with a fraction": with_length(b"").replace(b"h: 0", b"h: 1.0"),
    "a length in other digits": with_length(b"").replace(b"h: 0", b"h: \xb2"),
    "a length beyond all numbers": with_length(b"").replace(b"h: 0", b"h: " + b"9" * 5_000),
    "two lengths": with_length(PNG, headers=b"Content-Length: 5\r\n"),
    "two lengths in one": with_length(PNG).replace(b"h: ", b"h: 5, "),
    "an encoding of its way": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "another encoding of its way": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "an odd encoding of its way": OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks with a space": OK + b"Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("content", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_an_invalid_head_is_refused(content, caplog):
    with caplog.at_level(logging.DEBUG):
        code, message = fails_at(content)

    assert code == "unreachable"
    assert message.startswith("no response: ")
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", OK + b"Content-Length: 1"],
    ids=["before its head", "in its head"],
)
def test_a_server_that_resets_is_unreachable(content):
    treat = serves(content, then=lambda _, connection: reset(connection))

    assert fails_at(treat)[0] == "unreachable"


def test_a_port_without_a_server_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    code, message = fails(f"http://127.0.0.1:{port}/?SECRET")

    assert (code, message) == ("unreachable", "no connection: ConnectionRefusedError")


def test_connecting_to_a_full_backlog_ends_by_the_deadline():
    with deaf("127.0.0.1") as port:
        code, message = fails(f"http://127.0.0.1:{port}/?SECRET", seconds=SECONDS)

    assert (code, message) == ("unreachable", "no connection: TimeoutError")


def test_each_address_gets_a_share_of_the_time(internet):
    with peer(serves(IMAGE)) as server, deaf("127.0.0.1") as port:
        internet.put(server, 80, address="8.8.8.8")
        internet.places["8.8.4.4", 80] = port
        internet.at("media.example", ["8.8.4.4", "8.8.8.8"])

        assert whole("http://media.example/", PUBLIC, seconds=1.0) == PNG


def test_connecting_has_a_shorter_deadline_of_its_own(monkeypatch):
    monkeypatch.setattr(downloads, "MEDIA_CONNECT_SECONDS", 0.2)
    with deaf("127.0.0.1") as port:
        assert fails(f"http://127.0.0.1:{port}/", seconds=5.0)[0] == "unreachable"


def test_resolving_ends_by_the_deadline(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(10) and [])

    code, message = fails("https://media.example/?SECRET", STRICT, seconds=SECONDS)
    over.set()

    assert (code, message) == ("unreachable", "media.example was not resolved in time")


def test_without_time_left_a_server_is_unreachable(internet):
    internet.at("media.example", [HERE])

    assert fails("https://media.example/", STRICT, seconds=0.0)[0] == "unreachable"
    assert fails("https://media.example/", STRICT, seconds=-1.0)[0] == "unreachable"


# ── Bodies ────────────────────────────────────────────────────────────────────────────────────

FRAMINGS = {"with a length": with_length, "in chunks": in_chunks, "until closed": until_closed}
STARTS = {
    "with a length": lambda start: with_length(start, LIMIT),
    "in chunks": lambda start: in_chunks(start, end=b""),
    "until closed": until_closed,
}
"""Bodies that have not ended yet."""


@pytest.mark.parametrize("amount", [1, 7, 4_096, 1_000_000])
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize("way", ["read", "read1"])
def test_a_read_returns_at_most_the_requested_size(way, framing, amount):
    content = PNG[:2_000] if amount < 10 else PNG
    with peer(serves(framing(content))) as server, get(url_of(server)) as download:
        assert download.length == (len(content) if framing is with_length else None)
        read = getattr(download, way)
        pieces = list(iter(lambda: read(amount), b""))
        assert read(amount) == b""

    assert b"".join(pieces) == content
    assert max(len(piece) for piece in pieces) <= amount
    assert download.count == len(content)


@pytest.mark.parametrize("amount", [1, 7, 4_096, 10_001])
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_only_the_last_read_is_short(framing, amount):
    content = PNG[:500] if amount < 10 else PNG
    whole_answer = framing(content, size=33) if framing is in_chunks else framing(content)

    def in_pieces(server, connection):
        server.read_request(connection)
        for start in range(0, len(whole_answer), 300):
            connection.sendall(whole_answer[start : start + 300])
            server.over.wait(0.001)

    with peer(in_pieces) as server, get(url_of(server)) as download:
        pieces = list(iter(lambda: download.read(amount), b""))

    assert b"".join(pieces) == content
    assert {len(piece) for piece in pieces[:-1]} == {amount} - {len(content)}


@pytest.mark.parametrize("framing", STARTS.values(), ids=STARTS.keys())
def test_read1_does_not_wait_for_more(framing):
    treat = serves(framing(PNG), then=lambda server, _: server.stall())
    with peer(treat) as server, ends_within(MARGIN), get(url_of(server)) as download:
        assert PNG.startswith(download.read1(LIMIT))
        assert download.count > 0


def test_chunks_take_precedence_over_a_length():
    content = in_chunks(PNG).replace(OK, OK + b"Content-Length: 5\r\n")
    with peer(serves(content)) as server, get(url_of(server)) as download:
        assert download.length is None
        assert rest(download) == PNG


@pytest.mark.parametrize("amount", [1, 65_536])
def test_a_body_of_many_chunks_is_read(amount):
    content = PNG * 2
    with peer(serves(in_chunks(content, size=1))) as server, get(url_of(server)) as download:
        assert rest(download, amount) == content


def test_a_repeated_equal_length_is_accepted():
    content = with_length(PNG, headers=b"Content-Length: %d\r\n" % len(PNG))
    with peer(serves(content)) as server, get(url_of(server)) as download:
        assert download.length == len(PNG)
        assert rest(download) == PNG


def test_bytes_beyond_the_declared_length_are_not_read():
    with peer(serves(with_length(PNG + b"and more", len(PNG)))) as server:
        assert whole(url_of(server)) == PNG


@pytest.mark.parametrize("cut", [0, 1, 100, len(PNG) - 1])
def test_a_body_below_its_declared_length_is_an_error(cut):
    code, message = fails_at(with_length(PNG[:cut], len(PNG)))

    assert (code, message) == ("cut_off", f"only {cut:,} of {len(PNG):,} bytes came")


def test_a_truncated_body_raises_instead_of_ending():
    with peer(serves(with_length(PNG, LIMIT))) as server, get(url_of(server)) as download:
        assert download.read(100) == PNG[:100]
        with pytest.raises(PeerError, match="only"):
            download.read(LIMIT)


BAD_CHUNKS = {
    "no chunk": b"",
    "half a size": b"a",
    "a size alone": b"a\r\n",
    "half a chunk": b"a\r\nabc",
    "no end": b"3\r\nabc\r\n",
    "a chunk without its end": b"3\r\nabc",
    "no size": b"\r\nabc\r\n",
    "words for a size": b"zz\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a negative size after a chunk": b"3\r\nabc\r\n-1\r\n" + bytes(10_000),
    "a size beyond all numbers": b"f" * 5_000 + b"\r\nabc",
    "a size of gigabytes": b"fffffffff\r\nabc",
    "a fraction": b"1.5\r\nabc\r\n0\r\n\r\n",
    "a body without chunks": PNG,
    "an endless size": b"0" * 100_000,
    "an endless extension": b"3;" + b"a" * 200_000 + b"\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("content", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_invalid_chunks_are_an_error(content):
    code, message = fails_at(OK + b"Transfer-Encoding: chunked\r\n\r\n" + content)

    assert code == "cut_off"
    assert " after " in message


@pytest.mark.parametrize("framing", [lambda part: with_length(part, len(PNG)), in_chunks])
def test_a_reset_is_an_error(framing):
    content = framing(PNG[:5_000]).removesuffix(b"0\r\n\r\n")
    treat = serves(content, then=lambda _, connection: reset(connection))

    assert fails_at(treat) in {
        ("cut_off", f"{name} after {so_far} bytes")
        for name in ("ConnectionResetError", "IncompleteRead")
        for so_far in ("0", "5,000", f"5,000 of {len(PNG):,}")
    }


@pytest.mark.parametrize("framing", ["until closed", "in chunks"])
@in_little_memory
def test_an_endless_body_is_refused_without_buffering_it(framing):
    begin, again = until_closed(b""), bytes(65_536)
    if framing == "in chunks":
        begin, again = in_chunks(b"", end=b""), b"10000\r\n" + bytes(65_536) + b"\r\n"
    with (
        peer(floods(begin, again)) as server,
        little_memory(),
        ends_within(5.0),
        get(url_of(server), max_bytes=20_000_000) as download,
        pytest.raises(PeerError) as caught,
    ):
        read_on(download)

    assert caught.value.code == "too_large"
    assert str(caught.value) == "it has more than 20,000,000 bytes"
    assert download.count <= 20_000_000 + 65_536


@pytest.mark.parametrize("size", [b"-3", b"-0x3", b"-fffff"])
def test_a_chunk_of_negative_length_is_an_error(size):
    begin = in_chunks(b"", end=size + b"\r\n")
    with peer(floods(begin, bytes(4_096))) as server:
        code, message = fails(url_of(server), seconds=5.0)

    assert (code, message) == ("cut_off", "a chunk of negative length after 0 bytes")


ENDLESS_FRAMING = {
    "an extension": (b"1;", b"a" * 4_096),
    "trailers": (b"0\r\n", b"a: b\r\n"),
    "long trailers": (b"0\r\n", b"a: " + b"b" * 4_000 + b"\r\n"),
    "a trailer": (b"0\r\na: ", b"b" * 4_096),
}


@pytest.mark.parametrize(("begin", "again"), ENDLESS_FRAMING.values(), ids=ENDLESS_FRAMING.keys())
@in_little_memory
def test_endless_chunk_framing_is_refused_without_buffering_it(begin, again):
    with peer(floods(in_chunks(b"", end=begin), again)) as server, little_memory():
        assert fails(url_of(server), seconds=10.0, within=MARGIN)[0] == "cut_off"


def test_a_declared_length_above_the_limit_is_an_error():
    code, message = fails_at(with_length(PNG, LIMIT + 1))

    assert (code, message) == ("too_large", "it announces 1,000,001 bytes")


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_a_body_may_be_at_most_as_long_as_the_limit(framing):
    with peer(serves(framing(PNG))) as server:
        assert whole(url_of(server), max_bytes=len(PNG)) == PNG
    assert fails_at(framing(PNG), max_bytes=len(PNG) - 1)[0] == "too_large"


@pytest.mark.parametrize("framing", [in_chunks, until_closed])
def test_a_byte_above_the_limit_is_an_error_at_once(framing):
    content = framing(PNG).removesuffix(b"0\r\n\r\n")
    treat = serves(content, then=lambda server, _: server.stall())

    code, _ = fails_at(treat, max_bytes=len(PNG) - 1, seconds=5.0, within=MARGIN)

    assert code == "too_large"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "zstd", "x", "gzip, br", ""])
def test_an_encoded_body_is_refused(encoding):
    packed = gzip.compress(bytes(100_000))
    headers = b"Content-Encoding: %s\r\n" % encoding.encode()

    code, message = fails_at(with_length(packed, headers=headers))

    assert code == "encoded"
    assert repr(encoding.lower()) in message


@pytest.mark.parametrize("encoding", [b"identity", b"Identity", b" identity "])
def test_the_identity_encoding_is_accepted(encoding):
    content = with_length(PNG, headers=b"Content-Encoding: %s\r\n" % encoding)
    with peer(serves(content)) as server:
        assert whole(url_of(server)) == PNG


SLOW_BODIES = {
    "in its first bytes": (with_length(b"", LIMIT), b"x"),
    "with a length": (with_length(PNG, LIMIT), b"x"),
    "without one": (until_closed(PNG), b"x"),
    "in chunks": (in_chunks(PNG, end=b""), b"1\r\nx\r\n"),
    "in the size of a chunk": (in_chunks(PNG, end=b""), b"0"),
    "in its trailers": (in_chunks(PNG), b"a: b\r\n"),
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("begin", "again"), SLOW_BODIES.values(), ids=SLOW_BODIES.keys())
def test_a_slow_body_ends_by_the_deadline(begin, again, secure, internet):
    if again == b"a: b\r\n":
        begin = begin.removesuffix(b"\r\n")

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(begin)
        while not server.over.is_set():
            server.dribble(connection, again, 0.02)

    with peer(treat, SERVER_TLS if secure else None) as server:
        internet.put(server, 443 if secure else 80)
        url = f"{'https' if secure else 'http'}://media.example/?SECRET"
        code, message = fails(url, PUBLIC, seconds=SECONDS)

    assert code == "too_slow"
    assert message.startswith("time ran out after ")


@pytest.mark.parametrize("framing", STARTS.values(), ids=STARTS.keys())
def test_a_stalled_body_is_given_up_before_the_deadline(framing, monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.2)
    start = framing(PNG)
    treat = serves(start, then=lambda server, _: server.stall())

    code, message = fails_at(treat, seconds=5.0)

    came = f"{len(PNG):,} of {LIMIT:,} bytes" if b"-Length" in start else f"{len(PNG):,} bytes"
    assert (code, message) == ("cut_off", f"nothing came for 0.2 s after {came}")


def test_a_read_after_the_deadline_is_too_slow():
    with (
        peer(serves(with_length(bytes(500_000)))) as server,
        get(url_of(server), seconds=0.2) as download,
    ):
        assert download.read1(10)
        server.over.wait(0.3)
        with pytest.raises(PeerError) as caught:
            rest(download)

    assert caught.value.code == "too_slow"


def sends(bytes_per_second, pause=0.01):
    """A treatment: answer with an endless body at about that speed."""

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(until_closed(b""))
        while not server.over.wait(pause):
            connection.sendall(bytes(round(bytes_per_second * pause)))

    return treat


@pytest.fixture
def short_speed_window(monkeypatch):
    """Check the speed after 0.5 s instead of 30."""
    monkeypatch.setattr(downloads, "SPEED_SECONDS", 0.5)


@pytest.mark.usefixtures("short_speed_window")
def test_the_error_of_a_slow_body_gives_its_speed():
    code, message = fails_at(sends(30_000), seconds=5.0, within=0.5 + MARGIN)

    assert code == "too_slow"
    rate, _, rest_of_it = message.partition(" KB/s over 0.5")
    assert 10 < float(rate) < 32
    assert rest_of_it.endswith(" bytes")


@pytest.mark.usefixtures("short_speed_window")
@pytest.mark.parametrize(("begin", "again"), SLOW_BODIES.values(), ids=SLOW_BODIES.keys())
def test_the_speed_is_checked_during_a_read(begin, again):
    if again == b"a: b\r\n":
        begin = begin.removesuffix(b"\r\n")

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(begin)
        while not server.over.is_set():
            server.dribble(connection, again, 0.02)

    code, message = fails_at(treat, seconds=10.0, within=0.5 + MARGIN)

    assert code == "too_slow"
    assert " KB/s over " in message


@pytest.mark.usefixtures("short_speed_window")
def test_the_time_before_a_body_does_not_count_against_its_speed():
    def treat(server, connection):
        server.read_request(connection)
        server.over.wait(0.45)
        connection.sendall(with_length(b"", 40_000))
        for _ in range(20):
            server.over.wait(0.01)
            connection.sendall(bytes(2_000))

    with peer(treat) as server:
        assert whole(url_of(server)) == bytes(40_000)


@pytest.mark.usefixtures("short_speed_window")
def test_a_body_that_becomes_slow_is_given_up():
    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(until_closed(bytes(LIMIT // 2)))
        server.over.wait(0.1)
        while not server.over.wait(0.01):
            connection.sendall(bytes(300))

    code, message = fails_at(treat, seconds=5.0, within=0.8 + MARGIN)

    assert code == "too_slow"
    assert "KB/s" in message


@pytest.mark.usefixtures("short_speed_window")
def test_a_fast_endless_body_is_read_until_the_deadline():
    with (
        peer(sends(200_000)) as server,
        get(url_of(server), seconds=1.3) as download,
        pytest.raises(PeerError, match="time ran out"),
    ):
        read_on(download)

    assert download.count >= 65_536


@pytest.mark.usefixtures("short_speed_window")
def test_the_time_between_reads_does_not_count_against_the_speed():
    content = bytes(40_000)
    with peer(serves(with_length(content))) as server, get(url_of(server)) as download:
        came = 0
        while piece := download.read(4_000):
            came += len(piece)
            server.over.wait(0.1)

    assert came == len(content)


# ── Requests and connections ──────────────────────────────────────────────────────────────────


def test_a_request_has_only_the_necessary_headers():
    with peer(serves(IMAGE)) as server:
        whole(url_of(server, "/a b.png?sig=SECRET#part"))

    lines = server.requests[0].split(b"\r\n")
    assert lines == [
        b"GET /a%20b.png?sig=SECRET HTTP/1.1",
        b"Host: 127.0.0.1:%d" % server.port,
        b"User-Agent: act-one",
        b"Accept: */*",
        b"Accept-Encoding: identity",
        b"",
        b"",
    ]


def test_a_path_is_sent_unchanged():
    path = "/a/../b%2Fc%7E%41?X-Amz-Signature=%61+b%2B=&&#"
    with peer(serves(IMAGE)) as server:
        whole(url_of(server, path))

    assert server.requests[0].split()[1].decode() == path.removesuffix("#")


def test_a_range_is_requested_after_each_redirect():
    part = (
        OK.replace(b"200", b"206") + b"Content-Range: bytes 2-5/9\r\nContent-Length: 4\r\n\r\nabcd"
    )
    with (
        peer(redirects("/b", last=part)) as server,
        get(url_of(server), headers={"Range": "bytes=2-5"}) as download,
    ):
        assert (download.status, download.length) == (206, 4)
        assert download.headers["content-range"] == download.headers["Content-Range"]
        assert rest(download) == b"abcd"

    assert all(b"Range: bytes=2-5\r\n" in sent for sent in server.requests)


def test_a_head_response_has_no_body():
    head = with_length(b"", LIMIT * 5, headers=b"Content-Encoding: gzip\r\n")
    with peer(serves(head)) as server, request("HEAD", url_of(server)) as download:
        assert (download.status, download.length) == (200, LIMIT * 5)
        assert download.read(10) == b""

    assert server.requests[0].startswith(b"HEAD ")


@pytest.mark.parametrize("body", [b"", b'{"a": 1}', bytes(100_000)], ids=len)
def test_a_body_is_sent_whole_with_its_length(body):
    with peer(serves(with_length(b"ok"))) as server:
        headers = {"content-type": "application/json", "user-agent": "act-one/webhooks"}
        with request("POST", url_of(server), headers=headers, body=body) as download:
            assert rest(download) == b"ok"

    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    assert b"Content-Length: %d" % len(body) in head
    assert b"content-type: application/json" in head
    assert head.lower().count(b"user-agent") == 1


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb"])
def test_a_header_with_a_line_break_is_not_sent(value):
    with peer(serves(IMAGE)) as server, pytest.raises(ValueError, match="header value"):
        get(url_of(server), headers={"A": value})

    assert server.requests == []


def test_a_reply_may_be_read_in_part():
    with (
        peer(floods(until_closed(b""), bytes(4_096))) as server,
        ends_within(MARGIN),
        request("POST", url_of(server), body=b"{}", max_bytes=10_000) as download,
    ):
        assert 0 < len(download.read1(4_096)) <= 4_096


def test_an_early_error_response_is_returned():
    with peer(serves(status(413))) as server, request("POST", url_of(server), body=b"{}") as answer:
        assert answer.status == 413


def test_no_cookie_is_kept():
    cookie = b"Set-Cookie: session=1; Path=/\r\n"
    answers = [status(302, cookie + b"Location: /b\r\n"), with_length(PNG, headers=cookie), IMAGE]

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(answers.pop(0))

    with peer(treat) as server, session() as http:
        for _ in range(2):
            downloads.get(url_of(server), http, seconds=5.0, max_bytes=LIMIT).close()

    assert len(server.requests) == 3
    assert all(b"cookie" not in sent.lower() for sent in server.requests)


def test_proxy_and_netrc_settings_are_ignored(monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password SECRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with peer(serves(IMAGE)) as server:
        assert whole(url_of(server)) == PNG
        with session() as http:
            http.get(url_of(server), stream=True).close()

    assert len(server.requests) == 2
    assert all(b"authorization" not in sent.lower() for sent in server.requests)


def test_every_request_opens_a_new_connection():
    """A reused connection may be dead, and requests are not retried."""

    def treat(server, connection):
        for _ in range(2):
            server.read_request(connection)
            connection.sendall(IMAGE)

    with peer(treat) as server, session() as http:
        for _ in range(3):
            with downloads.get(url_of(server), http, seconds=5.0, max_bytes=LIMIT) as download:
                assert rest(download) == PNG

    assert server.connections == 3


def test_closing_a_download_closes_its_connection():
    hung_up = threading.Event()

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(with_length(b"a", LIMIT))
        if connection.recv(1) == b"":
            hung_up.set()

    with peer(treat) as server:
        with get(url_of(server)) as download:
            assert download.read1(10) == b"a"
        assert hung_up.wait(2)


def test_a_failed_request_closes_its_connection():
    hung_up = threading.Event()

    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(OK + b"nonsense\r\n\r\n")
        if connection.recv(1) == b"":
            hung_up.set()

    with peer(treat) as server:
        fails(url_of(server))
        assert hung_up.wait(2)


@pytest.mark.parametrize("code", [200, 206, 304, 403, 404, 500])
def test_any_other_status_is_returned(code):
    with peer(serves(status(code))) as server, get(url_of(server)) as answer:
        assert answer.status == code
        assert rest(answer) == b""


def test_headers_of_one_name_are_joined():
    content = with_length(PNG, headers=b"Link: a\r\nLINK: b\r\n")
    with peer(serves(content)) as server, get(url_of(server)) as download:
        assert download.headers["link"] == "a, b"


def test_the_session_is_a_requests_session():
    assert isinstance(session(), requests.Session)
