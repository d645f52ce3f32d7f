"""One exchange with a hostile server: whether the request was sent, and when it ends."""

import socket
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from time import monotonic

import pytest

from act_one.net import exchange
from act_one.net.exchange import (
    MAX_REPLY_BYTES,
    MAX_REPLY_OVERHEAD_BYTES,
    NoReplyError,
    NotSentError,
    post,
)
from act_one.provider.outcomes import Ambiguous
from act_one.provider.replies import read_create_reply
from tests.unit.hostile import OK, OTHER_CA, client_tls, deaf, peer, reset, server_tls

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="needs 127.0.0.2 and Linux's handling of a full backlog"
)

BOUND = 1.0
SLACK = 8.0  # for busy cores; without a time limit it takes longer
TLS = server_tls()
CLIENT = client_tls()
LARGE = bytes(30_000_000)
BODY = b'{"video": "https://media.example/a.mp4"}'


def send(url, *, seconds=BOUND, headers=None, tls=CLIENT):
    return post(url, BODY, headers or {"Authorization": "Bearer key"}, seconds=seconds, tls=tls)


def secure(server):
    return f"https://localhost:{server.port}/runway/pro/act_one"


def url_of(server, tls):
    return secure(server) if tls else secure(server).replace("https", "http")


@pytest.fixture
def bounded():
    began_at = monotonic()
    yield
    assert monotonic() - began_at < BOUND + SLACK


# ── Before the request ────────────────────────────────────────────────────────────────────────


def closes(_found, _connection):
    pass


def resets(_found, connection):
    reset(connection)


def closes_after_hello(_found, connection):
    connection.recv(65_536)


def resets_after_hello(_found, connection):
    connection.recv(65_536)
    reset(connection)


def closes_in_its_own_hello(_found, connection):
    connection.recv(65_536)
    connection.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")


def speaks_http(_found, connection):
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def refuses_the_hello(_found, connection):
    connection.recv(65_536)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")


def stalls(server, _connection):
    server.stall()


def dribbles_its_hello(server, connection):
    connection.recv(65_536)
    server.dribble(connection, b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb" + bytes(60), 0.1)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    "treat",
    [
        closes,
        resets,
        closes_after_hello,
        resets_after_hello,
        closes_in_its_own_hello,
        speaks_http,
        refuses_the_hello,
    ],
)
def test_a_failure_during_the_handshake_means_not_sent(treat):
    with peer(treat) as server, pytest.raises(NotSentError):
        send(secure(server))

    assert server.connections == 1


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    "tls",
    [server_tls(name="other.example"), server_tls(ca=OTHER_CA)],
    ids=["of another name", "of another authority"],
)
def test_an_untrusted_certificate_means_not_sent(tls):
    def treat(server, connection):
        server.read_request(connection)

    with peer(treat, tls) as server, pytest.raises(NotSentError):
        send(secure(server))

    assert server.requests == []


def test_a_certificate_must_name_the_requested_host():
    with peer(stalls, TLS) as server, pytest.raises(NotSentError):
        send(secure(server).replace("localhost", "127.0.0.1"))


def test_without_a_context_only_public_authorities_are_trusted():
    with peer(stalls, TLS) as server, pytest.raises(NotSentError):
        send(secure(server), tls=None)


@pytest.mark.usefixtures("bounded")
def test_a_port_without_a_server_means_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NotSentError):
        send(f"https://localhost:{port}/")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..example", "a" * 64 + ".example"])
def test_a_name_that_does_not_resolve_means_not_sent(host):
    with pytest.raises(NotSentError):
        send(f"https://{host}/")


@pytest.mark.parametrize("url", ["https:///runway", "runway", ""])
def test_a_url_without_a_host_means_not_sent(url):
    with pytest.raises(NotSentError):
        send(url)


@linux_only
@pytest.mark.usefixtures("bounded")
def test_a_connect_that_is_never_answered_means_not_sent():
    with deaf("127.0.0.1") as port, pytest.raises(NotSentError):
        send(f"https://127.0.0.1:{port}/")


@linux_only
@pytest.mark.usefixtures("bounded")
def test_connecting_has_its_own_time_limit(monkeypatch):
    monkeypatch.setattr(exchange, "PROVIDER_CONNECT_SECONDS", 0.3)

    with deaf("127.0.0.1") as port, pytest.raises(NotSentError):
        send(f"https://127.0.0.1:{port}/", seconds=30)


@pytest.mark.usefixtures("bounded")
def test_a_name_that_is_not_resolved_in_time_means_not_sent(monkeypatch):
    over = Event()
    monkeypatch.setattr(exchange, "PROVIDER_CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(10) and [])

    began_at = monotonic()
    with pytest.raises(NotSentError):
        exchange.post("https://provider.example/", b"{}", {}, seconds=15)

    assert monotonic() - began_at < SLACK
    over.set()


@pytest.fixture
def resolving(monkeypatch):
    """Resolve a name to addresses that a test chooses."""
    resolve = socket.getaddrinfo

    def choose(name, addresses):
        def getaddrinfo(host, *rest, **more):
            hosts = addresses if host == name else [host]
            return [entry for host in hosts for entry in resolve(host, *rest, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return choose


@linux_only
@pytest.mark.usefixtures("bounded")
def test_all_addresses_of_a_host_share_the_time_limit(resolving):
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
    resolving("localhost", addresses)

    with deaf(*addresses) as port, pytest.raises(NotSentError):
        send(f"https://localhost:{port}/")


@linux_only
@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("dead", ["refuses", "never answers"])
def test_after_a_dead_address_the_next_one_is_tried(dead, resolving):
    resolving("localhost", ["127.0.0.9", "127.0.0.1"])

    with peer(after_request(OK), TLS) as server, ExitStack() as ending:
        if dead == "never answers":
            ending.enter_context(deaf("127.0.0.9", port=server.port))
        assert send(secure(server)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer one\ntwo"},
        {"Authorization": "Bearer one\r\nX-Other: two"},
        {"Authorization": "Bearer one…"},
        {"Authorization": "Bearer \ud800"},
        {"X-Runway-Version\n": "2024-11-06"},
        {"": "empty"},
    ],
    ids=ascii,
)
def test_an_invalid_header_is_not_sent(headers):
    def treat(server, connection):
        server.requests.append(connection.recv(65_536))

    with peer(treat, TLS) as server, pytest.raises(NotSentError):
        send(secure(server), headers=headers)

    assert server.requests in ([], [b""])


# ── After the request ─────────────────────────────────────────────────────────────────────────


def after_request(*content, then=None):
    """A treatment: read the request, send some bytes, do something, close."""

    def treat(server, connection):
        server.read_request(connection)
        for piece in content:
            connection.sendall(piece)
        if then is not None:
            then(server, connection)

    return treat


def stalls_on(server, _connection):
    server.stall()


def dribbles(content, pause):
    return lambda server, connection: server.dribble(connection, content, pause)


def endlessly(content, pause=0.0):
    def send_on(server, connection):
        while not server.over.wait(pause):
            connection.sendall(content)

    return send_on


HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Length: 100\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = HEAD + b"\r\n"
LOST = {
    "closes": after_request(),
    "resets": after_request(then=lambda _, connection: reset(connection)),
    "closes in the status line": after_request(b"HTTP/1.1 2"),
    "resets in the headers": after_request(HEAD, then=lambda _, connection: reset(connection)),
    "closes in a body with a length": after_request(LENGTH + b'{"data": {"task_id"'),
    "resets in a body with a length": after_request(
        LENGTH + b'{"data"', then=lambda _, connection: reset(connection)
    ),
    "closes before a body with a length": after_request(LENGTH),
    "closes in a chunk": after_request(CHUNKED + b'20\r\n{"data": {"task_id"'),
    "closes between chunks": after_request(CHUNKED + b"2\r\n{}\r\n"),
    "closes in a chunk's size": after_request(CHUNKED + b"2"),
    "sends no chunk's size": after_request(CHUNKED + b"x\r\n{}"),
    "sends no HTTP": after_request(b"\x00\x01\x02\r\n\r\n"),
    "sends an invalid status": after_request(b"HTTP/1.1 abc OK\r\n\r\n"),
    "sends a line without an end": after_request(HEAD + b"X: " + b"x" * 70_000),
    "sends headers without an end": after_request(HEAD, then=endlessly(b"X: x\r\n")),
    "sends a body without an end": after_request(UNTIL_CLOSED, then=endlessly(b"x" * 65_536)),
    "declares too much": after_request(
        HEAD + b"Content-Length: 99999999999\r\n\r\n", then=endlessly(b"x" * 65_536)
    ),
}


WAITING = {
    "stalls": after_request(then=stalls_on),
    "stalls in the headers": after_request(HEAD, then=stalls_on),
    "stalls in a body with a length": after_request(LENGTH + b"{", then=stalls_on),
    "stalls in a chunk": after_request(CHUNKED + b"20\r\n{", then=stalls_on),
    "stalls in a body without a length": after_request(UNTIL_CLOSED + b"{}", then=stalls_on),
    "dribbles its headers": after_request(then=dribbles(OK, 0.3)),
    "dribbles its body": after_request(
        HEAD + b"Content-Length: 9\r\n\r\n", then=dribbles(b'{"id": 1}', 0.3)
    ),
    "dribbles chunks": after_request(CHUNKED, then=dribbles(b"1\r\n{\r\n" * 9, 0.1)),
    "sends chunks without an end": after_request(
        CHUNKED, then=endlessly(b"1\r\nx\r\n" * 100, 0.01)
    ),
    "continues without an end": after_request(
        then=endlessly(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01)
    ),
    "dribbles a body without a length": after_request(
        UNTIL_CLOSED, then=dribbles(b"{" * 200, 0.02)
    ),
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("tls", [TLS, None], ids=["TLS", "plain"])
@pytest.mark.parametrize("treat", LOST.values(), ids=LOST.keys())
def test_a_failure_after_the_request_was_sent_means_no_reply(treat, tls):
    with peer(treat, tls) as server, pytest.raises(NoReplyError):
        send(url_of(server, tls))

    assert server.connections == 1
    assert len(server.requests) == 1


# Each takes the whole time limit: (what the server does, its TLS, the expected error).
SLOW = {
    "stalls in the handshake": (stalls, None, NotSentError),
    "dribbles its hello": (dribbles_its_hello, None, NotSentError),
    "never reads": (stalls, TLS, NoReplyError),
    **{f"{name} over TLS": (treat, TLS, NoReplyError) for name, treat in WAITING.items()},
    **{f"{name} plainly": (treat, None, NoReplyError) for name, treat in WAITING.items()},
}


def exchange_with(name):
    treat, tls, error = SLOW[name]
    with peer(treat, tls) as server:
        url = secure(server) if error is NotSentError else url_of(server, tls)
        began_at = monotonic()
        with pytest.raises(error):
            post(url, LARGE if name == "never reads" else BODY, {}, seconds=BOUND, tls=CLIENT)
        return monotonic() - began_at, server.connections, len(server.requests)


@pytest.fixture(scope="module")
def slow_exchanges():
    """Run the exchanges with all slow servers at the same time."""
    with ThreadPoolExecutor(len(SLOW)) as pool:
        return {name: pool.submit(exchange_with, name) for name in SLOW}


@pytest.mark.parametrize("name", SLOW.keys())
def test_a_slow_server_is_given_up_at_the_time_limit(name, slow_exchanges):
    seconds, connections, requests = slow_exchanges[name].result()

    assert BOUND - 0.1 < seconds < BOUND + SLACK
    assert connections == 1
    assert requests == (1 if SLOW[name][0] in WAITING.values() else 0)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("cut", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_success_cut_off_in_its_headers_is_ambiguous(cut):
    with peer(after_request(cut), TLS) as server:
        reply = send(secure(server))

    assert isinstance(read_create_reply(reply, now=0), Ambiguous)


@pytest.mark.usefixtures("bounded")
def test_a_close_right_after_the_handshake_means_no_reply():
    with peer(closes, TLS) as server, pytest.raises(NoReplyError):
        send(secure(server))


@pytest.mark.usefixtures("bounded")
def test_a_tls_failure_after_the_handshake_means_no_reply():
    def treat(server, connection):
        server.read_request(connection)
        # A record that is not encrypted with this connection's key.
        socket.socket.send(connection, b"\x17\x03\x03\x00\x20" + bytes(32))

    with peer(treat, TLS) as server, pytest.raises(NoReplyError):
        send(secure(server))

    assert len(server.requests) == 1


# ── Replies ───────────────────────────────────────────────────────────────────────────────────

WHOLE = {
    "with a length": HEAD + b'Content-Length: 9\r\n\r\n{"id": 1}',
    "in chunks": CHUNKED + b'4\r\n{"id\r\n5\r\n": 1}\r\n0\r\n\r\n',
    "until closed": UNTIL_CLOSED + b'{"id": 1}',
    "after a continue": b"HTTP/1.1 100 Continue\r\n\r\n" + UNTIL_CLOSED + b'{"id": 1}',
    "of old": b"HTTP/1.0 200 OK\r\n\r\n" + b'{"id": 1}',
}


@pytest.mark.parametrize("tls", [TLS, None], ids=["TLS", "plain"])
@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
def test_a_reply_is_read_in_each_framing(content, tls):
    with peer(after_request(content), tls) as server:
        reply = send(url_of(server, tls))

    assert (reply.status, reply.body) == (200, b'{"id": 1}')


def test_the_request_is_sent_whole_and_once():
    with peer(after_request(OK), TLS) as server:
        send(f"{secure(server)}?a=b")

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert len(server.requests) == server.connections == 1
    assert body == BODY
    assert lines[0] == b"POST /runway/pro/act_one?a=b HTTP/1.1"
    assert sorted(lines[1:]) == [
        b"Accept-Encoding: identity",
        b"Authorization: Bearer key",
        b"Content-Length: %d" % len(BODY),
        b"Host: localhost:%d" % server.port,
    ]


def test_each_request_opens_a_new_connection():
    with peer(after_request(OK), TLS) as server:
        send(secure(server))
        send(secure(server))

    assert server.connections == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_reply_and_not_followed(status):
    content = b"HTTP/1.1 %d Moved\r\nLocation: /docs\r\nContent-Length: 0\r\n\r\n" % status
    with peer(after_request(content), TLS) as server:
        reply = send(secure(server))

    assert (reply.status, reply.headers["location"]) == (status, "/docs")
    assert server.connections == 1


@pytest.mark.parametrize("status", [204, 400, 401, 429, 500, 503, 524, 999])
def test_an_error_is_a_reply(status):
    content = b"HTTP/1.1 %d X\r\nRETRY-After: 7\r\nContent-Length: 0\r\n\r\n" % status
    with peer(after_request(content), TLS) as server:
        reply = send(secure(server))

    assert (reply.status, reply.headers["retry-after"], reply.body) == (status, "7", b"")


@pytest.mark.parametrize(
    ("size", "error"), [(MAX_REPLY_BYTES, None), (MAX_REPLY_BYTES + 1, NoReplyError)]
)
@pytest.mark.parametrize("framing", [b"Content-Length: %d", b"X-Until: closed %d"])
def test_a_reply_may_have_at_most_a_megabyte(size, error, framing):
    content = HEAD + framing % size + b"\r\n\r\n" + b"x" * size
    with peer(after_request(content)) as server:
        url = f"http://localhost:{server.port}/"
        if error is None:
            assert len(send(url).body) == size
        else:
            with pytest.raises(error):
                send(url)


def test_a_slow_reply_within_the_time_limit_is_read():
    with peer(after_request(then=dribbles(OK, 0.005)), TLS) as server:
        assert send(secure(server)).status == 200


# ── Memory ────────────────────────────────────────────────────────────────────────────────────

SMALL_OVERHEAD_BYTES = 1_048_576
"""Reached sooner than the real limit."""
MOST_HELD_BYTES = 3 * MAX_REPLY_OVERHEAD_BYTES
"""Far less than an endless reply brings in the time that it is read for."""

ENDLESS = {
    "a negative chunk": (CHUNKED + b"-1\r\n", b"x" * 65_536),
    "a huge chunk": (CHUNKED + b"ffffffffffff\r\n", b"x" * 65_536),
    "a chunk extension": (CHUNKED + b"1;", b"x" * 65_536),
    "trailers": (CHUNKED + b"0\r\n", b"X: x\r\n" * 1_000),
    "headers": (HEAD, b"X: x\r\n" * 1_000),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "a body": (UNTIL_CLOSED, b"x" * 65_536),
}


@pytest.mark.parametrize(("begin", "again"), ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_reply_is_given_up_soon_without_buffering_it(begin, again, monkeypatch):
    monkeypatch.setattr(exchange, "MAX_REPLY_OVERHEAD_BYTES", SMALL_OVERHEAD_BYTES)
    peaks = []
    for _ in range(3):  # other threads are counted too, so one attempt within the bound is proof
        with peer(after_request(begin, then=endlessly(again))) as found:
            tracemalloc.start()
            try:
                with pytest.raises(NoReplyError) as caught:
                    send(url_of(found, None), seconds=20.0)
                assert str(caught.value) != "DeadlineError"
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
        if peaks[-1] < MOST_HELD_BYTES:
            break

    assert min(peaks) < MOST_HELD_BYTES


ODD_HEADS = {
    "a header without a colon": HEAD + b"nonsense\r\n",
    "a folded first header": HEAD + b" X: x\r\n",
    "two lengths": HEAD + b"Content-Length: 9\r\nContent-Length: 12\r\n",
    "an invalid length": HEAD + b"Content-Length: nine\r\n",
    "a negative length": HEAD + b"Content-Length: -9\r\n",
    "a length of 5,000 digits": HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n",
    "an unknown transfer encoding": HEAD + b"Transfer-Encoding: identity\r\n",
    "a content encoding": HEAD + b"Content-Encoding: br\r\n",
    "200 KB of headers": HEAD + (b"X: " + b"x" * 4_000 + b"\r\n") * 50,
    "many interim responses": b"HTTP/1.1 100 Continue\r\nX: x\r\n\r\n" * 5_000 + HEAD,
}


@pytest.mark.parametrize("head", ODD_HEADS.values(), ids=ODD_HEADS.keys())
def test_a_reply_with_an_odd_head_is_read(head):
    with peer(after_request(head + b'\r\n{"id": 1}')) as server:
        reply = send(url_of(server, None))

    assert (reply.status, reply.body) == (200, b'{"id": 1}')


def test_a_reply_in_small_chunks_with_extensions_and_trailers_is_read():
    body = b'{"id": "' + b"x" * 20_000 + b'"}'
    chunks = b"".join(b"1;a=%s\r\n%c\r\n" % (b"b" * 50, one) for one in body)
    content = CHUNKED + chunks + b"0\r\n" + b"X: x\r\n" * 20_000 + b"\r\n"
    with peer(after_request(content)) as server:
        assert send(url_of(server, None), seconds=10.0).body == body
