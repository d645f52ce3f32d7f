"""Fakes of what can't be real in a unit test."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import EndpointConnectionError
from botocore.session import Session

from act_one.clients.client import DEFAULT, DEFAULT_CLIENT, Client
from act_one.keys import KeyRing, Keys
from act_one.lifecycle.services import Services
from act_one.lifecycle.submission import submit
from act_one.provider.outcomes import Created, CreateOutcome, FeedAnswer, NotKnown
from act_one.settings import Settings
from act_one.tasks.task import SHARED_CLIENTS

BEGINNING = 1_800_000_000.0
PROVIDER_KEY = "provider-key"
CALLBACK_KEYS = Keys("callback-key")


def plenty():
    """Return the seconds left at the start of a call."""
    return 28.0


def no_warnings(_request):
    """Return no warnings about a request's inputs."""
    return ()


def never(*_arguments):
    """Stand for what a test must not reach."""
    raise AssertionError


def not_paused():
    """Say that tasks may be sent."""
    return False


class FakeClock:
    """A clock that only tests move."""

    def __init__(self, now=BEGINNING):
        self.now = now

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += seconds


class FakeSecrets:
    """Secrets Manager with one secret, which has no value if it is None."""

    class exceptions:  # noqa: N801 - where boto3's clients have theirs
        class ResourceNotFoundException(Exception):  # noqa: N818 - boto3's name
            pass

    def __init__(self, secret):
        self.secret = secret
        self.reads = 0
        self.outage = False

    def get_secret_value(self, SecretId):  # noqa: ARG002, N803 - boto3's name
        self.reads += 1
        if self.outage:
            raise EndpointConnectionError(endpoint_url="https://secrets.example")
        if self.secret is None:
            raise self.exceptions.ResourceNotFoundException
        return {"SecretString": self.secret}


def key_ring(secret=PROVIDER_KEY, clock=None):
    return KeyRing(FakeSecrets(secret), "provider", clock or FakeClock())


@dataclass
class FakeProvider:
    """A provider that gives prepared answers and records its calls."""

    outcome: CreateOutcome = Created(provider_task_id="provider-1")  # noqa: RUF009 - it is frozen
    answers: dict[str, FeedAnswer] = field(default_factory=dict)
    key_ring: KeyRing = field(default_factory=key_ring)
    during_create: Callable[[], object] | None = None
    during_feed: Callable[[], object] | None = None
    creates: list[dict[str, str]] = field(default_factory=list)
    polls: list[str] = field(default_factory=list)

    def create(self, *, video, image, callback_url):
        self.creates.append({"video": video, "image": image, "callback_url": callback_url})
        if self.during_create:
            self.during_create()
        return self.outcome

    def feed(self, provider_task_id, *, seconds):
        assert seconds > 0
        self.polls.append(provider_task_id)
        if self.during_feed:
            self.during_feed()
        return self.answers.get(provider_task_id, NotKnown())


class FakeClients:
    """The clients table: those that a test adds, the default and the shared ones."""

    def __init__(self, *clients, paused=False):
        built_in = (DEFAULT, *(Client(name=name) for name in SHARED_CLIENTS))
        self.clients = {client.name: client for client in (*built_in, *clients)}
        self.paused = paused

    def of_key(self, _api_key):
        return self.clients[DEFAULT_CLIENT]

    def named(self, name):
        return self.clients.get(name)

    def is_paused(self):
        return self.paused


def settings(**chosen):
    """The template's defaults, but with HTTP and private media allowed for 127.0.0.1."""
    defaults = {
        "tasks_table": "tasks",
        "results_bucket": "results",
        "event_bus": "bus",
        "provider_secret": "stack/provider",
        "callback_secret": "stack/callback",
        "provider_base_url": "https://provider.example",
        "callback_base_url": "https://callback.example/",
        "callback_grace_seconds": 900.0,
        "poll_interval_seconds": 15.0,
        "poll_max_interval_seconds": 120.0,
        "min_poll_seconds": 5.0,
        "task_timeout_seconds": 3600.0,
        "copy_timeout_seconds": 300.0,
        "max_media_bytes": 536_870_912,
        "max_video_bytes": 33_554_432,
        "max_image_bytes": 16_777_216,
        "min_video_seconds": 3.0,
        "max_video_seconds": 30.0,
        "allow_http_media": True,
        "unsafe_allow_private_media": True,
        "result_retention_days": 0,
    }
    return Settings(**defaults | chosen)


def make_services(table=None, provider=None, clock=None, clients=None, **chosen):
    return Services(
        table,
        provider or FakeProvider(),
        settings(**chosen),
        clock or FakeClock(),
        clients or FakeClients(),
    )


def submitted(
    services, request, client="client-1", *, seconds_left=plenty, check_inputs=no_warnings
):
    """Submit a request of a client, by default with time left and inputs without warnings."""
    if isinstance(client, str):
        client = Client(name=client)
    return submit(request, client, CALLBACK_KEYS, services, seconds_left, check_inputs)


def use_new_session(patch):
    """Give the clients that are made from now on a session of their own.

    A session keeps the keys that it found first.
    """
    patch.setattr("act_one.aws.aws_session", functools.cache(Session))
