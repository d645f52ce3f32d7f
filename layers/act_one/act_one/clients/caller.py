"""Who calls the HTTP API."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from act_one.clients.client import Client
from act_one.clients.directory import ClientDirectory
from act_one.http_events import header, key_hash_of
from act_one.problems import ProblemError


def caller_of(event: Mapping[str, Any], directory: ClientDirectory) -> Client:
    """Return the client whose API key a request has. Raises ``ProblemError`` 403 if revoked."""
    client = directory.of_key(header(event, "x-api-key") or "")
    if client.revoked:
        raise ProblemError(
            403,
            "client-revoked",
            "The client was revoked",
            "this API key's client may not use the API any more; ask the stack's operator",
        )
    return replace(client, former_ids=frozenset({key_hash_of(event)}))
