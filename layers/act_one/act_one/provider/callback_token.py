"""The unguessable part of a callback URL: ``{base}callbacks/{task_id}/{kid}.{mac}``.

The provider doesn't sign its callbacks (CometAPI's guide calls them pass-through events), so the
URL itself is the credential. The key id in it allows two secrets while one is being replaced.
"""

import base64
import hashlib
import hmac
from typing import Final

from act_one.keys import KeyRing, Keys

_TOKEN_CHARACTERS: Final = 64


class UnknownTokenError(Exception):
    """A callback URL that this stack did not make, or made with a key that is gone."""


def key_id(key: str) -> str:
    """Return an id of a key that doesn't reveal it: 8 hex digits of a SHA-256."""
    return hashlib.sha256(f"callback-key-id:{key}".encode()).hexdigest()[:8]


def callback_url(base_url: str, task_id: str, keys: Keys) -> str:
    """Return the URL that the provider calls when the task ends."""
    return f"{base_url.rstrip('/')}/callbacks/{task_id}/{_token(task_id, keys.current)}"


def verify(path: str, key_ring: KeyRing) -> str:
    """Return the id of the task that a callback's path is for.

    For an unknown key id the secret is read again (rarely): it may have been replaced. Raises
    ``UnknownTokenError`` unless the token was made for this very task.
    """
    match path.strip("/").split("/"):
        # CallbackBaseUrl may have a path, which comes before ours.
        case [*_, "callbacks", task_id, token] if (
            path.isascii() and len(token) <= _TOKEN_CHARACTERS
        ):
            named = token.partition(".")[0]
            keys = key_ring.keys()
            if named not in map(key_id, keys.both()):
                keys = key_ring.reload()
            for key in keys.both():
                if hmac.compare_digest(token.encode(), _token(task_id, key).encode()):
                    return task_id
    raise UnknownTokenError


def _token(task_id: str, key: str) -> str:
    mac = hmac.digest(key.encode(), f"callback:{task_id}".encode(), "sha256")
    return f"{key_id(key)}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
