"""One local stack for all end-to-end tests: the real template, the real functions, IAM enforced."""

import os

import pytest

from local.stack import ROOT, LocalStack, running_stack, use_only_this_machine
from ops.clients import ClientRegister, register_of
from tests.e2e.caller import Bus, Caller
from tests.e2e.organization import complete, organization
from tools.media_files.files_server import files_server
from tools.media_files.sources import Sources
from tools.release import folder

PARAMETERS = {
    "CallbackGraceSeconds": "20",
    "MinPollSeconds": "1",
    "PollIntervalSeconds": "2",
    "PollMaxIntervalSeconds": "4",
    "TaskTimeoutSeconds": "60",
    "MaxMediaBytes": "8000000",
    "RequestsPerSecond": "1000",
    "RequestBurst": "1000",
    "CorsOrigin": "https://app.example.com",
}


@pytest.fixture(scope="session")
def stack():
    use_only_this_machine()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    with running_stack(PARAMETERS, ROOT / f".local/test{worker}") as running:
        yield running


@pytest.fixture(scope="session")
def guarded_stack():
    """Another stack: it requires consent, its callbacks come through a REST API, and it has what
    organizations ask for.

    It is deployed from the folder of a release, as one that was downloaded would be.
    """
    use_only_this_machine()
    template = folder.make(ROOT / ".local/release-guarded") / "template.yaml"
    guards = {"RequireConsent": "true", "CallbackIngress": "Api", "CallbackGraceSeconds": "120"}
    starting = running_stack(
        {**PARAMETERS, **guards},
        ROOT / ".local/test-guarded",
        prepare=organization,
        template=template,
    )
    with starting as running:
        complete(running)
        yield running


@pytest.fixture(scope="session")
def caller(stack: LocalStack):
    return Caller(stack)


@pytest.fixture(scope="session")
def register(stack: LocalStack):
    """The stack's clients, as its operator writes them."""
    return register_of(stack.stack_name, stack)


@pytest.fixture(scope="session")
def stranger(stack: LocalStack, register: ClientRegister):
    """Another client than ``caller``."""
    return Caller(stack, register.create("stranger", {}))


@pytest.fixture(scope="session")
def bus(stack: LocalStack):
    with Bus(stack) as listening:
        yield listening


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Media files by their names, made by ffmpeg when they are first asked for."""
    return Sources(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def files():
    """A server of a client's own files."""
    with files_server() as server:
        yield server
