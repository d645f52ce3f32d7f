"""Current and previous keys in Secrets Manager, cached for a few minutes.

A secret is either the bare key or JSON ``{"current": "…", "previous": "…"}``; the second form lets
a key be rotated while the previous one is still in use.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CACHE_SECONDS: Final = 300.0
RELOAD_SECONDS: Final = 30.0
"""The shortest time between two reads when a key appears to be wrong."""


logger = Logger(child=True)


class KeyNotSetError(Exception):
    """The secret doesn't exist or holds no key."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The current key and, during a rotation, the previous one."""

    current: str
    previous: str | None = None

    def both(self) -> tuple[str, ...]:
        """Return the keys that are valid, the current one first."""
        return (self.current,) if self.previous is None else (self.current, self.previous)


class KeyRing:
    """One secret, read at first use and again after five minutes."""

    def __init__(self, client: "SecretsManagerClient", secret: str, clock: Clock) -> None:
        self._client = client
        self._secret = secret
        self._clock = clock
        self._keys: Keys | None = None
        self._read_at = float("-inf")

    def keys(self) -> Keys:
        """Return the keys. Raises ``KeyNotSetError`` when the secret holds none."""
        if self._keys is None or self._clock() - self._read_at > CACHE_SECONDS:
            self._refresh()
        if self._keys is None:
            raise KeyNotSetError(self._secret)
        return self._keys

    def reload(self) -> Keys:
        """Return the keys, read again unless they were read in the last 30 seconds."""
        if self._clock() - self._read_at > RELOAD_SECONDS:
            self._refresh()
        return self.keys()

    def _refresh(self) -> None:
        """Read the secret; keep the cached keys if that fails."""
        try:
            self._keys = self._read()
        except (BotoCoreError, ClientError):
            if self._keys is None:
                raise
            logger.exception("secret not readable")
        self._read_at = self._clock()

    def _read(self) -> Keys:
        try:
            answer = self._client.get_secret_value(SecretId=self._secret)
        except self._client.exceptions.ResourceNotFoundException as error:
            raise KeyNotSetError(self._secret) from error
        try:
            keys = parse_keys(answer["SecretString"])
        except ValueError as error:
            raise KeyNotSetError(f"{self._secret} is malformed") from error
        if not keys.current:
            raise KeyNotSetError(self._secret)
        return keys


def parse_keys(secret: str) -> Keys:
    """Parse either form of a secret; the current key is empty if it is missing."""
    text = secret.strip()
    if not text.startswith("{"):
        return Keys(text)
    found = json.loads(text)
    current, previous = (str(found.get(name) or "").strip() for name in ("current", "previous"))
    return Keys(current, previous or None)
