"""Fetches a task's inputs without a key, as the provider does, and records the result for tests.

Only inputs on 127.0.0.1 are fetched, such as presigned URLs of the local stack's bucket.
"""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

from local.simulator.behaviour import Fetch
from local.simulator.simulation import Simulation
from local.simulator.tasks import ProviderTask

SECONDS: Final = 10.0
AGENT: Final = "Go-http-client/1.1"
FIRST_PART: Final = 1_000  # bytes


def fetch_inputs(simulation: Simulation, task: ProviderTask) -> None:
    """Fetch a task's inputs on 127.0.0.1, except the simulator's own, in the background."""
    if task.behaviour.fetch == "none":
        return
    for name, url in (("video", task.video), ("image", task.image)):
        if urlsplit(url).hostname == "127.0.0.1" and not url.startswith(f"{simulation.url}/"):
            task.inputs[name] = None
            Thread(target=_fetch, args=(task, name, url), daemon=True).start()


def _fetch(task: ProviderTask, name: str, url: str) -> None:
    # urllib's opener sets up TLS, in which OpenSSL crashes if the process ends meanwhile.
    target = urlsplit(url)
    connection = HTTPConnection(target.hostname or "", target.port, timeout=SECONDS)
    path = f"{target.path}?{target.query}"
    try:
        content = b""
        for method, headers in _requests(task.behaviour.fetch):
            reply = _ask(connection, method, path, headers)
            content += reply.read()
            if reply.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                task.inputs[name] = f"HTTP {reply.status}"
                return
            if reply.status == HTTPStatus.OK and method == "GET":
                break  # all of it, whatever was asked for
    except (OSError, HTTPException) as error:
        task.inputs[name] = type(error).__name__
    else:
        task.inputs[name] = hashlib.sha256(content).hexdigest()
    finally:
        connection.close()


def _requests(fetch: Fetch) -> tuple[tuple[str, Mapping[str, str]], ...]:
    match fetch:
        case "head_get":
            return (("HEAD", {}), ("GET", {}))
        case "ranges":
            first = {"Range": f"bytes=0-{FIRST_PART - 1}"}
            return (("GET", first), ("GET", {"Range": f"bytes={FIRST_PART}-"}))
        case _:
            return (("GET", {}),)


def _ask(
    connection: HTTPConnection, method: str, path: str, headers: Mapping[str, str]
) -> HTTPResponse:
    connection.request(method, path, headers={"User-Agent": AGENT, **headers})
    return connection.getresponse()
