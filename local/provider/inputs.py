"""The provider fetches a task's inputs itself, without any key: what came of that, for tests.

Only inputs on this machine are fetched, such as presigned URLs of the local stack's bucket: the
simulator calls nobody out there.
"""

import hashlib
import urllib.error
import urllib.request
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

from local.provider.tasks import ProviderTask

SECONDS: Final = 10.0


def fetch_inputs(task: ProviderTask, own_url: str) -> None:
    """Fetch those inputs of a task that are on this machine and not our own, in the background."""
    for name, url in (("video", task.video), ("image", task.image)):
        if urlsplit(url).hostname == "127.0.0.1" and not url.startswith(f"{own_url}/"):
            task.inputs[name] = None
            Thread(target=_fetch, args=(task, name, url), daemon=True).start()


def _fetch(task: ProviderTask, name: str, url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as reply:  # noqa: S310 - http on 127.0.0.1
            task.inputs[name] = hashlib.sha256(reply.read()).hexdigest()
    except urllib.error.HTTPError as error:
        task.inputs[name] = f"HTTP {error.code}"
    except OSError as error:
        task.inputs[name] = type(error).__name__
