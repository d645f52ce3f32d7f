"""The receivers of `examples/receivers`: they take what we send and refuse everything else."""

import contextlib
import os
import socket
import subprocess
import time
from urllib.parse import urlsplit

import pytest
import requests

from act_one.keys import KeyRing, Keys
from act_one.net import downloads
from act_one.tasks.task import Stage, Webhook
from act_one.webhooks.delivery import DeliveryContext, deliver, sign
from act_one.webhooks.secrets import client_secrets
from tests.endpoints import COMMANDS, NODE, endpoint, receiver
from tests.unit.examples import task
from tests.unit.fakes import FakeSecrets
from tests.unit.webhooks.test_delivery import LOCAL, FakeTable, link, message

STACK_SECRET = "c2VjcmV0IHRoYXQgaXMgbm9ib2R5IGVsc2UncyBh"
CLIENT = task().client_id
SECRET = client_secrets(Keys(STACK_SECRET), CLIENT).current
OTHER = "b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhl"
LANGUAGES = [
    "Python",
    pytest.param("Node", marks=pytest.mark.skipif(NODE is None, reason="node is not installed")),
]


@pytest.fixture(scope="module", params=LANGUAGES)
def receiving(request):
    with receiver(request.param, SECRET) as (url, _):
        yield url


def delivered(url, version=1, secret=STACK_SECRET):
    """Deliver an event by the code that ships; answers the attempt."""
    row = task(
        Stage.SUCCEEDED,
        version=version,
        metadata={"name": "Zoë 🎭"},
        webhook=Webhook(url=url, events=("task.succeeded",)),
    )
    ring = KeyRing(FakeSecrets(secret), "webhook", time.time)
    using = DeliveryContext(FakeTable(row), ring, downloads.session(LOCAL), time.time, link)
    return deliver(message(row), using)


@pytest.fixture(scope="module")
def sent():
    """A real delivery, as it came."""
    with endpoint() as found:
        delivered(found.url)
    return found.received[0]


def signed(sent, at, secret=SECRET):
    """The same delivery, sent at another time."""
    webhook_id, body = sent.headers["webhook-id"], sent.body.decode()
    return sent.headers | {
        "webhook-timestamp": str(int(at)),
        "webhook-signature": sign(webhook_id, at, body, Keys(secret)),
    }


def status_of(url, headers, body):
    return requests.post(url, data=body, headers=headers, timeout=10).status_code


def test_a_receiver_takes_a_real_delivery_and_a_repeat_of_it(receiving, sent):
    assert delivered(receiving).status == 204
    assert status_of(receiving, sent.headers, sent.body) == 204
    assert status_of(receiving, sent.headers, sent.body) == 204


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b"succeeded", b"failed"),
        lambda body: body + b" ",
        lambda body: body[:-1],
        lambda _: b"",
    ],
)
def test_a_receiver_refuses_a_changed_body(receiving, sent, change):
    headers = {n: v for n, v in sent.headers.items() if n != "content-length"}

    assert change(sent.body) != sent.body
    assert status_of(receiving, headers, change(sent.body)) == 400


@pytest.mark.parametrize(
    ("late", "status"), [(-280, 204), (280, 204), (-320, 400), (-86_400, 400), (320, 400)]
)
def test_a_receiver_refuses_an_old_and_a_future_timestamp(receiving, sent, late, status):
    assert status_of(receiving, signed(sent, time.time() + late), sent.body) == status


def test_a_receiver_refuses_a_timestamp_that_was_not_signed(receiving, sent):
    later = str(int(sent.headers["webhook-timestamp"]) + 1)

    assert status_of(receiving, sent.headers | {"webhook-timestamp": later}, sent.body) == 400


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", "x", "v1,", "v1,x", "1e9", "v2,AAAA"])
def test_a_receiver_refuses_a_header_that_is_missing_or_odd(receiving, sent, name, value):
    headers = {n: v for n, v in sent.headers.items() if n != name}

    assert (
        status_of(receiving, headers | ({} if value is None else {name: value}), sent.body) == 400
    )


def test_a_receiver_refuses_what_another_secret_signed(receiving, sent):
    assert status_of(receiving, signed(sent, time.time(), OTHER), sent.body) == 400


def test_a_receiver_takes_either_of_two_signatures(receiving, sent):
    ours = sent.headers["webhook-signature"]
    others = signed(sent, int(sent.headers["webhook-timestamp"]), OTHER)["webhook-signature"]

    for signatures in (f"{others} {ours}", f"{ours} {others}", f"v2,AAAA {ours}"):
        headers = sent.headers | {"webhook-signature": signatures}
        assert status_of(receiving, headers, sent.body) == 204
    headers = sent.headers | {"webhook-signature": f"{others} {others}"}
    assert status_of(receiving, headers, sent.body) == 400


def test_a_receiver_reads_no_more_of_a_body_than_a_webhook_can_have(receiving):
    url = urlsplit(receiving)
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            while sent < 64_000_000:
                connection.sendall(b"x" * 65_536)
                sent += 65_536

        assert sent < 64_000_000


def test_a_receiver_answers_413_to_a_body_that_is_too_large(receiving):
    with contextlib.suppress(requests.ConnectionError):  # it may close while we are sending
        assert status_of(receiving, {}, b"x" * 70_000) == 413


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "secret",
    [None, "", "whsec_", "whsec_!", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=", "whsec_c2hvcnQ="],
)
def test_a_receiver_without_a_proper_secret_does_not_start(language, secret):
    environment = {n: v for n, v in os.environ.items() if n != "WEBHOOK_SECRET"}
    given = {} if secret is None else {"WEBHOOK_SECRET": secret}
    done = subprocess.run(
        [*COMMANDS[language], "0"],
        env=environment | given,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("WEBHOOK_SECRET must be whsec_ and base64")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_receiver_keeps_the_newest_version_whatever_the_order(language):
    with receiver(language, SECRET) as (url, stop):
        statuses = [delivered(url, version).status for version in (2, 1, 2, 4, 3)]

        assert statuses == [204] * 5
        assert [line.split()[-1] for line in stop()] == ["2", "4"]
