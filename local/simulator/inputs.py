"""Fetches a task's inputs without a key, as the provider does, and records the result for tests.

Only inputs on 127.0.0.1 are fetched, such as presigned URLs of the local stack's bucket.
"""

import hashlib
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

from local.simulator.simulation import Simulation
from local.simulator.tasks import ProviderTask

SECONDS: Final = 10.0


def fetch_inputs(simulation: Simulation, task: ProviderTask) -> None:
    """Fetch a task's inputs on 127.0.0.1, except the simulator's own, in the background."""
    for name, url in (("video", task.video), ("image", task.image)):
        if urlsplit(url).hostname == "127.0.0.1" and not url.startswith(f"{simulation.url}/"):
            task.inputs[name] = None
            Thread(target=_fetch, args=(task, name, url), daemon=True).start()


def _fetch(task: ProviderTask, name: str, url: str) -> None:
    # urllib's opener sets up TLS, in which OpenSSL crashes if the process ends meanwhile.
    target = urlsplit(url)
    connection = HTTPConnection(target.hostname or "", target.port, timeout=SECONDS)
    try:
        connection.request("GET", f"{target.path}?{target.query}")
        reply = connection.getresponse()
        content = reply.read()
    except (OSError, HTTPException) as error:
        task.inputs[name] = type(error).__name__
    else:
        found = reply.status == HTTPStatus.OK
        task.inputs[name] = hashlib.sha256(content).hexdigest() if found else f"HTTP {reply.status}"
    finally:
        connection.close()
