from threading import Thread

import pytest

from local.simulator import Provider
from tests.simulator.caller import (
    KEY,
    OTHER_KEY,
    CallbackHandler,
    Callbacks,
    CallbackServer,
    Caller,
)


@pytest.fixture(scope="module")
def callbacks():
    with CallbackServer(("127.0.0.1", 0), CallbackHandler) as server:
        server.callbacks = Callbacks(server)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.callbacks
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def provider(callbacks):
    with Provider(KEY, deliver_to=callbacks.url, other_api_keys=[OTHER_KEY]) as provider:
        yield provider


@pytest.fixture
def caller(provider, callbacks):
    return Caller(provider, callbacks)
