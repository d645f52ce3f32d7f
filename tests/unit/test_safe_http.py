"""The only way out to an address that somebody else chose."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from act_one import safe_http
from act_one.safe_http import MAX_REDIRECTS, Policy, UnsafeAddressError
from tests.unit.content import PNG, serves, status, with_length
from tests.unit.hostile import CA, peer, server_tls

LOCAL = Policy(allow_http=True, allow_private=True)
PUBLIC = Policy(allow_http=True)
IMAGE = with_length(PNG)


def get(url, policy=LOCAL, http=None):
    return safe_http.get(url, policy, http or safe_http.session(policy))


def url_of(found, path="/a.png?sig=SECRET"):
    return f"http://127.0.0.1:{found.port}{path}"


def refused(url, policy):
    with pytest.raises(UnsafeAddressError) as caught:
        get(url, policy)
    assert "SECRET" not in str(caught.value)
    assert "?" not in str(caught.value)
    return str(caught.value)


def is_unreachable(url, policy=LOCAL):
    with pytest.raises(requests.RequestException):
        get(url, policy)


# ── Addresses ─────────────────────────────────────────────────────────────────────────────────

PRIVATE = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",  # noqa: S104 - nobody binds it
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "2001:db8::1",
    "2002:7f00:1::",
    "64:ff9b:1::7f00:1",
]


@pytest.fixture
def resolving(monkeypatch):
    """Let names be at addresses of the test's choice; nothing is ever connected to."""

    def resolve(addresses):
        def getaddrinfo(host, port, *_, **__):
            assert host == "media.example", "only the name itself is looked up"
            families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses]
            return [
                (family, socket.SOCK_STREAM, 6, "", (address, port))
                for family, address in zip(families, addresses, strict=True)
            ]

        def connect(address, *_, **__):
            tried.append(address[0])
            raise ConnectionRefusedError

        tried = []
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket, "create_connection", connect)
        return tried

    return resolve


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_at_an_address_that_is_not_public_is_refused(address, scheme, resolving):
    tried = resolving([address])

    message = refused(f"{scheme}://media.example/a.png?sig=SECRET", PUBLIC)

    assert message == "media.example is at an address that is not public"
    assert tried == []


@pytest.mark.parametrize("address", PRIVATE)
def test_one_address_that_is_not_public_among_others_is_enough(address, resolving):
    tried = resolving(["8.8.8.8", address, "2606:4700::1111"])

    refused("https://media.example/a.png", PUBLIC)

    assert tried == []


def test_the_addresses_that_were_checked_are_those_that_are_connected_to(resolving):
    tried = resolving(["8.8.8.8", "2606:4700::1111"])

    is_unreachable("https://media.example/a.png", PUBLIC)

    assert tried == ["8.8.8.8", "2606:4700::1111"]


def test_a_scoped_address_is_refused(resolving):
    resolving(["fe80::1%eth0"])

    refused("https://media.example/a.png", PUBLIC)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_an_address_in_the_url_is_checked_in_any_spelling(host):
    def treat(found, connection):
        found.read_request(connection)

    with peer(treat) as found, pytest.raises((UnsafeAddressError, requests.RequestException)):
        get(f"http://{host}:{found.port}/", PUBLIC)

    assert found.connections == 0


def test_a_local_stack_may_allow_private_addresses():
    with peer(serves(IMAGE)) as found:
        assert get(url_of(found)).content == PNG


# ── Schemes ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", ["http://media.example/a?sig=SECRET", "HTTP://media.example/"])
def test_plain_http_is_refused_unless_it_is_allowed(url):
    assert "only https" in refused(url, Policy(allow_private=True))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/?SECRET",
        "file:///etc/passwd",
        "data:,SECRET",
        "a.example/?SECRET",
        "//a/",
        "",
    ],
)
def test_no_other_scheme_is_ever_fetched(url):
    refused(url, LOCAL)


def test_what_is_no_url_is_refused():
    refused("http://[::1?SECRET", LOCAL)


@pytest.mark.parametrize("host", ["a..example", "a" * 64 + ".example", "no-such-host.invalid"])
def test_a_name_that_there_cannot_be_is_an_error_of_the_request(host):
    is_unreachable(f"http://{host}/a.png")


# ── Over TLS ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "trusted", "works"),
    [("localhost", True, True), ("other.example", True, False), ("localhost", False, False)],
)
def test_over_tls_the_server_must_be_who_its_name_says(name, trusted, works, tmp_path):
    session = safe_http.session(Policy(allow_private=True))
    if trusted:
        CA.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        session.verify = str(tmp_path / "authority.pem")
    with peer(serves(IMAGE), server_tls(name)) as found:
        url = f"https://localhost:{found.port}/a.png"
        if works:
            assert get(url, Policy(allow_private=True), session).content == PNG
        else:
            with pytest.raises(requests.exceptions.SSLError):
                get(url, Policy(allow_private=True), session)


# ── Redirects ─────────────────────────────────────────────────────────────────────────────────


def redirects(*locations, code=302, last=IMAGE):
    """A treatment: answer with one redirect after the other, and then with something else."""
    left = list(locations)

    def treat(found, connection):
        found.read_request(connection)
        where = left.pop(0) if left else None
        headers = b"" if where is None else b"Location: " + where.encode("latin-1") + b"\r\n"
        connection.sendall(last if where is None else status(code, headers))

    return treat


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(code):
    with peer(redirects("/b.png", code=code)) as found:
        assert get(url_of(found)).content == PNG

    assert found.requests[1].startswith(b"GET /b.png HTTP/1.1\r\n")


def test_three_redirects_are_followed_and_no_more():
    with peer(redirects(*"123")) as found:
        assert get(url_of(found)).content == PNG
    assert len(found.requests) == MAX_REDIRECTS + 1

    with peer(redirects(*"1234")) as found:
        refused(url_of(found), LOCAL)
    assert len(found.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "location",
    [
        "ftp://media.example/?SECRET",
        "file:///etc/passwd",
        "http://[",
        "http://[::1?SECRET",
        "//[x",
    ],
)
def test_a_redirect_to_what_may_not_be_fetched_is_refused(location):
    with peer(redirects(location)) as found:
        refused(url_of(found), LOCAL)


@pytest.mark.parametrize(
    "location", ["http://a..example/", "http://media.example:99999/", "http://%zz/", "\xff\xfe"]
)
def test_a_redirect_to_nowhere_is_an_error(location):
    with peer(redirects(location, last=status(404))) as found:
        try:
            assert get(url_of(found)).status_code == 404
        except requests.RequestException:
            assert len(found.requests) == 1


def test_each_redirect_is_checked_like_the_first_url():
    with peer(serves(IMAGE)) as inside, peer(redirects(url_of(inside))) as outside:
        reached = []
        policy = Policy(allow_http=False, allow_private=True)
        session = safe_http.session(policy)
        session.mount("https://", Through(outside, reached))

        with pytest.raises(UnsafeAddressError, match="only https"):
            get("https://media.example/a.png", policy, session)

    assert reached == ["https://media.example/a.png"]
    assert inside.connections == 0


def test_a_redirect_to_a_private_address_is_refused():
    with peer(serves(IMAGE)) as inside, peer(redirects(url_of(inside))) as outside:
        session = safe_http.session(PUBLIC)
        session.mount("http://media.example", Through(outside, []))

        with pytest.raises(UnsafeAddressError, match="not public"):
            get("http://media.example/a.png", PUBLIC, session)

    assert inside.connections == 0


class Through(requests.adapters.HTTPAdapter):
    """Reach a server of this machine as if it had a public address."""

    def __init__(self, found, reached):
        super().__init__()
        self.found = found
        self.reached = reached

    def send(self, request, **more):
        self.reached.append(request.url)
        request.url = url_of(self.found)
        return super().send(request, **more)


def test_the_body_of_a_redirect_is_not_read():
    endless = b"HTTP/1.1 302 Found\r\nLocation: /b.png\r\n\r\n"

    def treat(found, connection):
        found.read_request(connection)
        if len(found.requests) > 1:
            connection.sendall(IMAGE)
            return
        connection.sendall(endless)
        while not found.over.is_set():
            connection.sendall(bytes(65_536))

    with peer(treat) as found, ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(lambda: get(url_of(found)).content)
        assert fetching.result(timeout=5) == PNG


# ── What is sent, and kept ────────────────────────────────────────────────────────────────────


def test_no_cookie_is_kept():
    cookie = b"Set-Cookie: session=1; Path=/\r\n"
    session = safe_http.session(LOCAL)
    answers = [status(302, cookie + b"Location: /b\r\n"), with_length(PNG, headers=cookie), IMAGE]

    def treat(found, connection):
        found.read_request(connection)
        connection.sendall(answers.pop(0))

    with peer(treat) as found:
        get(url_of(found), http=session).close()
        get(url_of(found), http=session).close()

    assert len(found.requests) == 3
    assert all(b"cookie" not in request.lower() for request in found.requests)


def test_the_environment_of_the_process_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password SECRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with peer(serves(IMAGE)) as found:
        assert get(url_of(found)).content == PNG

    assert b"authorization" not in found.requests[0].lower()


def test_files_are_asked_for_uncompressed_and_under_our_name():
    with peer(serves(IMAGE)) as found:
        get(url_of(found)).close()

    lines = found.requests[0].split(b"\r\n")
    assert b"Accept-Encoding: identity" in lines
    assert b"User-Agent: act-one" in lines


def test_every_get_has_a_connection_of_its_own():
    """One that was kept may have died meanwhile, and no GET is tried twice."""

    def treat(found, connection):
        for _ in range(2):
            found.read_request(connection)
            connection.sendall(IMAGE)

    with peer(treat) as found, safe_http.session(LOCAL) as session:
        for _ in range(3):
            assert get(url_of(found), http=session).content == PNG

    assert found.connections == 3


@pytest.mark.parametrize("code", [200, 206, 304, 403, 404, 500])
def test_any_other_answer_is_the_callers_to_judge(code):
    with peer(serves(status(code))) as found:
        assert get(url_of(found)).status_code == code
