"""What a simulator can't do as a function, and mustn't do where anybody reaches it."""

from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from local.simulator.behaviour import Behaviour

# Values that need the socket of the connection, by parameter.
RAW = {
    "create": ("cut_before", "cut_after", "cut_mid_reply", "dribble"),
    "feed_fault": ("timeout",),
    "media": (
        "truncated",
        "truncated_without_length",
        "truncated_chunked",
        "without_length",
        "chunked",
        "slow",
        "stalled",
        "oversized",
        "oversized_without_length",
    ),
}
LOCALLY = "run the simulator on your machine for that (docs/provider-simulator.md)"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one simulator.

    - `raw_sockets`: whether replies can be cut, held back and framed at will;
    - `reply_seconds`: the longest delay of a reply;
    - `media_bytes`: the largest result;
    - `callback_seconds`, `callback_retries`: the longest wait for a callback, and how often it is
      repeated: AWS stops a function that keeps sending messages to itself;
    - `callback_hosts`: patterns of the hosts that may be called back, over https only; None allows
      every URL;
    - `inspection_needs_key`: whether `/_simulator/` asks for an account's key.
    """

    raw_sockets: bool = True
    reply_seconds: float | None = None
    media_bytes: int | None = None
    callback_seconds: float | None = None
    callback_retries: int | None = None
    callback_hosts: tuple[str, ...] | None = None
    inspection_needs_key: bool = False


NO_LIMITS = Limits()


def refused_behaviour(limits: Limits, behaviour: Behaviour) -> str | None:
    """Say why a task can't have this behaviour here, None if it can."""
    chosen = {one.name: getattr(behaviour, one.name) for one in fields(behaviour)}
    for name in RAW:
        if refusal := refused_value(limits, name, chosen[name]):
            return refusal
    wait = max(behaviour.seconds + behaviour.late_seconds, behaviour.callback_retry_seconds)
    for name, value, most in (
        ("create_seconds", behaviour.create_seconds or 0, limits.reply_seconds),
        ("media_bytes", behaviour.media_bytes or 0, limits.media_bytes),
        ("the time to a callback", wait, limits.callback_seconds),
        ("callback_retries", behaviour.callback_retries, limits.callback_retries),
    ):
        if most is not None and value > most:
            return f"{name} is at most {most:g} in a function; {LOCALLY}"
    return None


def refused_value(limits: Limits, parameter: str, value: str) -> str | None:
    """Say why one value isn't possible here, None if it is."""
    if limits.raw_sockets or value not in RAW.get(parameter, ()):
        return None
    return f"{parameter}={value} needs a raw socket, which a function doesn't have; {LOCALLY}"


def refused_callback(limits: Limits, url: str) -> str | None:
    """Say why a URL may not be called back, None if it may. The URL must be a valid one."""
    if limits.callback_hosts is None:
        return None
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or parts.port not in (None, 443) or "@" in parts.netloc:
        return "callback_url must be https, on port 443 and without a user"
    if not any(fnmatchcase(host, pattern) for pattern in limits.callback_hosts):
        return f"callback_url may not name the host {host}; add it to the parameter CallbackHosts"
    return None
