"""The secrets that sign webhooks: each client has its own, derived from the stack's secret.

So a client can verify its webhooks, but can't sign those of another.
"""

import base64
import hashlib
import hmac
import re
from typing import Final

from aws_lambda_powertools import Logger

from act_one.json_types import Json
from act_one.keys import KeyNotSetError, KeyRing, Keys
from act_one.problems import ProblemError
from act_one.tasks.task import Task

DEFAULT_ENDPOINT: Final = "@webhook-url"
"""The name that stands for the client in the secret of the parameter `WebhookUrl`."""
LEAST_BYTES: Final = 24
_BASE64: Final = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?")
_PREFIX: Final = "whsec_"

logger = Logger(child=True)


class WebhookSecretError(Exception):
    """The stack's secret for webhooks is not base64 or too short; the message says what to do."""


def client_secrets(stack: Keys, client: str) -> Keys:
    """Derive a client's secrets, ``whsec_`` and base64 of 32 bytes, from the stack's.

    Raises ``WebhookSecretError``.
    """
    previous = None if stack.previous is None else _derive(stack.previous, client)
    return Keys(_derive(stack.current, client), previous)


def show_secrets(key_ring: KeyRing, client: str) -> dict[str, Json]:
    """Write a client's secrets for that client: ``current``, and ``previous`` or null.

    Raises ``ProblemError`` 503 while the stack's secret can't be used.
    """
    try:
        keys = client_secrets(key_ring.keys(), client)
    except (KeyNotSetError, WebhookSecretError) as error:
        logger.exception("webhook secret unusable")
        raise ProblemError(
            503,
            "webhook-secret-not-set",
            "The stack's secret for webhooks is not set",
            "webhooks can't be signed until an operator sets it; docs/operations.md explains how",
            retryable=True,
        ) from error
    return {"current": keys.current, "previous": keys.previous}


def signer_of(task: Task, default_url: str) -> str:
    """Return whose secret signs a task's webhook: its client's, or the default endpoint's."""
    is_default = task.webhook is not None and task.webhook.url == default_url
    return DEFAULT_ENDPOINT if is_default else task.client_id


def _derive(secret: str, client: str) -> str:
    derived = hmac.digest(_bytes_of(secret), f"act-one webhooks {client}".encode(), hashlib.sha256)
    return _PREFIX + base64.b64encode(derived).decode()


def _bytes_of(secret: str) -> bytes:
    text = secret.removeprefix(_PREFIX)
    if _BASE64.fullmatch(text):
        key = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
        if len(key) >= LEAST_BYTES:
            return key
    raise WebhookSecretError(
        f"the secret that signs webhooks must be base64 of at least {LEAST_BYTES} bytes, with or "
        "without whsec_ before it; docs/operations.md explains how to create one"
    )
