"""Calls of the provider: routes, headers, and further tries with another key."""

import gzip
import json
import socket
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic

import pytest

from act_one.keys import RELOAD_SECONDS
from act_one.provider.client import CometApi
from act_one.provider.outcomes import (
    Ambiguous,
    Created,
    NoAnswer,
    NotKnown,
    ProviderState,
    Rejected,
    Report,
    Retryable,
)
from tests.unit.fakes import FakeClock, FakeSecrets, key_ring
from tests.unit.forms import FORMS, body_of
from tests.unit.hostile import Peer, client_tls, peer, server_tls

URLS = {
    "video": "https://media.example/a.mp4?sig=1",
    "image": "https://media.example/ä.png",
    "callback_url": "https://callback.example/callbacks/task_1/kid.mac",
}
KEY = "key"
ROTATED = json.dumps({"current": "new", "previous": "old"})


def answer(name):
    """Return a published form as the bytes of a reply."""
    headers = FORMS[name].get("headers", {})
    body = body_of(name)
    lines = [f"HTTP/1.1 {FORMS[name]['status']} X", f"Content-Length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


HANG_UP = b""
ACCEPTED = answer("create_accepted")
RUNNING = answer("feed_flat_running")
NOT_EXIST = answer("not_exist_400")
KEY_REFUSED = answer("error_401")


@dataclass
class Conversation:
    """A fake provider and the API client that calls it."""

    server: Peer
    secrets: FakeSecrets
    clock: FakeClock
    api: CometApi

    @property
    def keys(self):
        """The keys of the requests, in order."""
        heads = [request.partition(b"\r\n\r\n")[0].decode() for request in self.server.requests]
        return [head.partition("Authorization: Bearer ")[2].split()[0] for head in heads]

    def feed(self, seconds=5.0):
        return self.api.feed("provider-1", seconds=seconds)

    def create(self):
        return self.api.create(**URLS)


@contextmanager
def provider(*replies, secret=KEY, by_key=None, pause=0.0, version=""):
    """A provider that answers with ``replies`` in turn, or by the request's key."""
    left = list(replies)

    def treat(server, connection):
        server.read_request(connection)
        server.over.wait(pause)
        key = talk.keys[-1]
        connection.sendall(by_key[key] if by_key else left.pop(0))

    clock = FakeClock()
    ring = key_ring(secret, clock)
    with peer(treat) as server:
        base_url = f"http://127.0.0.1:{server.port}/"
        talk = Conversation(server, ring._client, clock, CometApi(base_url, version, ring, clock))  # noqa: SLF001 - our own fake
        yield talk


# ── Create ────────────────────────────────────────────────────────────────────────────────────


def test_a_create_posts_three_urls_as_json_with_the_key():
    with provider(ACCEPTED, version="2024-11-06") as talk:
        outcome = talk.create()

    head, _, body = talk.server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert outcome == Created(provider_task_id="196642a0-5f43-4a3c-9b0c-1f0f5a0f7d11")
    assert lines[0] == "POST /runway/pro/act_one HTTP/1.1"
    assert {
        "Authorization: Bearer key",
        "Content-Type: application/json",
        "X-Runway-Version: 2024-11-06",
    } <= set(lines)
    assert json.loads(body) == URLS


def test_without_a_version_no_version_header_is_sent():
    with provider(ACCEPTED) as talk:
        talk.create()

    assert b"x-runway-version" not in talk.server.requests[0].lower()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (ACCEPTED, Created),
        (HANG_UP, Ambiguous),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", Ambiguous),
        (answer("error_500"), Ambiguous),
        (answer("error_502_html"), Ambiguous),
        (answer("error_301_html"), Ambiguous),
        (answer("error_429"), Retryable),
        (answer("error_400"), Rejected),
        (answer("create_without_id"), Ambiguous),
    ],
)
def test_a_create_is_sent_once_whatever_its_outcome(content, kind):
    with provider(content) as talk:
        outcome = talk.create()

    assert type(outcome) is kind
    assert len(talk.server.requests) == talk.server.connections == 1


def test_a_create_that_cannot_be_sent_is_retryable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    outcome = CometApi(f"http://127.0.0.1:{port}", "", key_ring(), FakeClock()).create(**URLS)

    assert isinstance(outcome, Retryable)
    assert outcome.reason.code == "provider_unreachable"
    assert not outcome.key_refused


def test_a_create_whose_reply_is_lost_is_ambiguous():
    with provider(HANG_UP) as talk:
        outcome = talk.create()

    assert isinstance(outcome, Ambiguous)
    assert outcome.reason.code == "no_reply"


JSON = b'{"code":200,"data":{"task_id":"abc"}}'
OK_HEAD = b"HTTP/1.1 200 OK\r\n"
READABLE = {
    "closed before its declared length": OK_HEAD + b"Content-Length: 999\r\n\r\n" + JSON,
    "cut off in its JSON": OK_HEAD + b"Content-Length: 37\r\n\r\n" + JSON[:-2],
    "cut off after a chunk": OK_HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n25\r\n"
    + JSON
    + b"\r\n5\r\nab",
    "after 1xx": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    + OK_HEAD
    + b"Content-Length: 37\r\n\r\n"
    + JSON,
    "gzip": OK_HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(JSON),
    "deflate": OK_HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(JSON),
    "gzip cut off": OK_HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(JSON)[:-6],
    "megabytes": OK_HEAD + b"\r\n" + JSON[:-1] + b" " * 1_100_000 + b"}",
}


@pytest.mark.parametrize("content", READABLE.values(), ids=READABLE)
def test_a_readable_id_makes_a_create_accepted(content):
    with provider(content) as talk:
        assert talk.create() == Created(provider_task_id="abc")

        assert len(talk.server.requests) == 1


def test_the_providers_certificate_must_name_its_host():
    def treat(server, connection):
        server.read_request(connection)
        connection.sendall(ACCEPTED)

    trusting = client_tls()
    for name, outcome in (("localhost", Created), ("other.example", Retryable)):
        with peer(treat, server_tls(name)) as server:
            url = f"https://localhost:{server.port}"
            api = CometApi(url, "", key_ring(), FakeClock(), trusting)
            assert type(api.create(**URLS)) is outcome


def test_without_a_key_nothing_is_sent():
    for secret in (None, "", "  ", "{}", '{"current": ""}'):
        with provider(secret=secret) as talk:
            assert talk.create().key_refused
            assert talk.feed() == NoAnswer(reason="the provider key is not set", key_refused=True)

        assert talk.server.connections == 0


def test_a_key_invalid_in_a_header_is_not_sent():
    with provider(ACCEPTED, secret="ke…y") as talk:
        assert isinstance(talk.create(), Retryable)

    assert talk.server.requests == []


@pytest.mark.parametrize("refusal", ["error_401", "error_403_quota"])
def test_a_create_is_retried_with_a_replaced_key(refusal):
    with provider(by_key={"old": answer(refusal), "new": ACCEPTED}, secret="old") as talk:
        talk.api.key_ring.keys()
        talk.secrets.secret = "new"
        talk.clock.pass_by(RELOAD_SECONDS + 1)
        outcome = talk.create()

    assert isinstance(outcome, Created)
    assert talk.keys == ["old", "new"]


def test_a_create_is_not_retried_with_the_same_key():
    with provider(by_key={"key": KEY_REFUSED}) as talk:
        talk.api.key_ring.keys()
        talk.clock.pass_by(RELOAD_SECONDS + 1)
        outcome = talk.create()

    assert outcome.key_refused
    assert talk.keys == ["key"]
    assert talk.secrets.reads == 2


def test_a_create_is_retried_only_once():
    with provider(by_key={"old": KEY_REFUSED, "new": KEY_REFUSED}, secret="old") as talk:
        talk.api.key_ring.keys()
        talk.secrets.secret = ROTATED
        talk.clock.pass_by(RELOAD_SECONDS + 1)
        outcome = talk.create()

    assert outcome.key_refused
    assert talk.keys == ["old", "new"]


@pytest.mark.parametrize(("seconds", "tries"), [(3.7, 2), (3.8, 1), (20.0, 1)])
def test_a_create_is_retried_only_with_enough_time_left(seconds, tries):
    with provider(by_key={"old": KEY_REFUSED, "new": ACCEPTED}, secret="old") as talk:
        talk.api.key_ring.keys()
        talk.secrets.secret = "new"
        talk.clock.pass_by(RELOAD_SECONDS + 1)
        # Two reads of this clock leave 7.6 or 7.4 of 15 seconds; a create needs half of them.
        api = replace(talk.api, clock=Ticking(FakeClock(), seconds))
        outcome = api.create(**URLS)

    assert len(talk.keys) == tries
    assert isinstance(outcome, Created if tries == 2 else Retryable)


@pytest.mark.parametrize("secret", [None, "", "{}"])
def test_a_refused_key_that_was_removed_counts_as_refused(secret):
    with provider(by_key={"key": KEY_REFUSED}) as talk:
        talk.api.key_ring.keys()
        talk.secrets.secret = secret
        talk.clock.pass_by(RELOAD_SECONDS + 1)

        assert talk.create().key_refused
        assert talk.feed().key_refused


def test_a_task_is_never_created_with_the_previous_key():
    with provider(by_key={"old": ACCEPTED, "new": KEY_REFUSED}, secret=ROTATED) as talk:
        assert talk.create().key_refused

    assert talk.keys == ["new"]


# ── Feed ──────────────────────────────────────────────────────────────────────────────────────


def test_a_poll_posts_the_id_to_the_feed():
    with provider(RUNNING) as talk:
        report = talk.feed()

    head, _, body = talk.server.requests[0].partition(b"\r\n\r\n")
    assert report.state is ProviderState.RUNNING
    assert head.startswith(b"POST /runway/feed HTTP/1.1\r\n")
    assert b"Authorization: Bearer key" in head
    assert json.loads(body) == {"task_id": "provider-1"}


@pytest.mark.parametrize("first", [NOT_EXIST, KEY_REFUSED])
def test_the_previous_key_is_tried_if_the_current_one_finds_no_task(first):
    with provider(by_key={"new": first, "old": RUNNING}, secret=ROTATED) as talk:
        assert isinstance(talk.feed(), Report)

    assert talk.keys == ["new", "old"]


@pytest.mark.parametrize("earlier", [NOT_EXIST, KEY_REFUSED, HANG_UP, answer("error_500")])
def test_only_a_report_is_taken_from_the_previous_key(earlier):
    with provider(by_key={"new": NOT_EXIST, "old": earlier}, secret=ROTATED) as talk:
        assert talk.feed() == NotKnown()

    with provider(by_key={"new": KEY_REFUSED, "old": earlier}, secret=ROTATED) as talk:
        assert talk.feed() == NoAnswer(reason="HTTP 401", key_refused=True)


@pytest.mark.parametrize("content", [RUNNING, HANG_UP, answer("error_500"), answer("error_429")])
def test_the_previous_key_is_not_tried_otherwise(content):
    with provider(by_key={"new": content, "old": RUNNING}, secret=ROTATED) as talk:
        talk.feed()

    assert talk.keys == ["new"]


def test_a_key_refused_by_the_feed_is_reloaded():
    with provider(by_key={"old": KEY_REFUSED, "new": RUNNING}, secret="old") as talk:
        talk.api.key_ring.keys()
        talk.secrets.secret = "new"
        talk.clock.pass_by(RELOAD_SECONDS + 1)

        assert isinstance(talk.feed(), Report)

    assert talk.keys == ["old", "new"]


def test_a_poll_is_not_repeated_with_the_same_key():
    with provider(by_key={"key": KEY_REFUSED}) as talk:
        assert talk.feed() == NoAnswer(reason="HTTP 401", key_refused=True)

    assert talk.keys == ["key"]


def test_a_previous_key_found_on_reload_is_tried():
    with provider(by_key={"new": KEY_REFUSED, "old": RUNNING}, secret="new") as talk:
        talk.api.key_ring.keys()
        talk.secrets.secret = ROTATED
        talk.clock.pass_by(RELOAD_SECONDS + 1)

        assert isinstance(talk.feed(), Report)

    assert talk.keys == ["new", "old"]


@pytest.mark.parametrize(
    "content", [HANG_UP, answer("error_500"), answer("error_502_html"), answer("error_429")]
)
def test_an_error_of_the_feed_is_no_answer(content):
    with provider(content) as talk:
        assert isinstance(talk.feed(), NoAnswer)


def test_a_poll_ends_by_its_deadline():
    with provider(RUNNING, pause=5) as talk:
        began_at = monotonic()
        answer = talk.feed(seconds=0.3)

        assert monotonic() - began_at < 4  # the reply comes after five
        assert isinstance(answer, NoAnswer)


def test_a_second_try_has_only_the_time_left():
    with provider(by_key={"new": NOT_EXIST, "old": RUNNING}, secret=ROTATED) as talk:
        clock = talk.clock
        api = CometApi(talk.api.base_url, "", talk.api.key_ring, Ticking(clock, 2.0))

        assert api.feed("provider-1", seconds=1.0) == NotKnown()

    assert talk.keys == ["new"]


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_poll_without_time_left_is_not_sent(seconds):
    with provider(RUNNING) as talk:
        assert talk.feed(seconds=seconds) == NoAnswer(reason="no time left to ask")

    assert talk.server.connections == 0


class Ticking:
    """A clock that advances by some seconds at each read."""

    def __init__(self, clock, seconds):
        self.clock = clock
        self.seconds = seconds

    def __call__(self):
        self.clock.pass_by(self.seconds)
        return self.clock.now
