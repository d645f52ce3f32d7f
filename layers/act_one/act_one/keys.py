"""Keys kept in Secrets Manager, current and previous, read through a short-lived cache.

A secret is either the bare key or JSON ``{"current": "…", "previous": "…"}``; the second form
lets a key be replaced while what was begun with the old one still ends.
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
"""A key that seems wrong is read again at most this often."""


logger = Logger(child=True)


class KeyNotSetError(Exception):
    """The secret exists but nobody has put a key into it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The key in use and, while it is being replaced, the one before it."""

    current: str
    previous: str | None = None

    def both(self) -> tuple[str, ...]:
        """List the keys that may still be met, the current one first."""
        return (self.current,) if self.previous is None else (self.current, self.previous)


class KeyRing:
    """One secret, read when first needed and again when its copy is older than five minutes."""

    def __init__(self, client: "SecretsManagerClient", secret: str, clock: Clock) -> None:
        self._client = client
        self._secret = secret
        self._clock = clock
        self._keys: Keys | None = None
        self._read_at = float("-inf")

    def keys(self) -> Keys:
        """Return the keys. Raises ``KeyNotSetError`` when there are none."""
        if self._keys is None or self._clock() - self._read_at > CACHE_SECONDS:
            self._refresh()
        if self._keys is None:
            raise KeyNotSetError(self._secret)
        return self._keys

    def reload(self) -> Keys:
        """Return the keys, read anew unless that was done in the last 30 seconds."""
        if self._clock() - self._read_at > RELOAD_SECONDS:
            self._refresh()
        return self.keys()

    def _refresh(self) -> None:
        """Read the secret; while it can't be read, what was read before goes on being used."""
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
    """Read either form of a secret; the current key is empty when there is none."""
    text = secret.strip()
    if not text.startswith("{"):
        return Keys(text)
    found = json.loads(text)
    current, previous = (str(found.get(name) or "").strip() for name in ("current", "previous"))
    return Keys(current, previous or None)
