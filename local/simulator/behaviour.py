"""The behaviour of one task, chosen by the query of the `video` URL in its create.

`http://127.0.0.1:8080/inputs/performance.mp4?callback=lost&feed=flat&seconds=3` asks for a task
that ends after 3 s, sends no callback and has a feed in the flat shape. The fields of `Behaviour`
are the parameters and their types define the accepted values; docs/provider-simulator.md explains
them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import parse_qsl, urlsplit

OWN_VIDEO_PATH = "/inputs/performance.mp4"
MAX_INTEGER = 10**10  # the largest result is 10 GB
MAX_SECONDS = 10**6

CreateMode = Literal[
    "accepted",
    "rejected",
    "rejected_in_200",
    "invalid_request_500",
    "throttled",
    "saturated",
    "unauthorized",
    "no_quota",
    "error_500",
    "bad_gateway",
    "timeout_504",
    "timeout_524",
    "slow",
    "cut_before",
    "cut_after",
    "cut_mid_reply",
    "dribble",
    "garbage",
    "no_id",
    "redirect",
]
CreateForm = Literal["1", "2", "3", "top_level"]
CreateTask = Literal["none", "made"]
CallbackMode = Literal[
    "once",
    "lost",
    "late",
    "twice",
    "twice_at_once",
    "early",
    "foreign",
    "upstream_id",
    "malformed",
    "empty",
    "every_change",
    "huge",
    "lying",
]
CallbackBody = Literal["legacy", "guide"]
FeedShape = Literal["wrapped", "flat", "legacy", "bare"]
Nested = Literal["legacy", "upstream"]
FeedFault = Literal[
    "none",
    "error_500",
    "html",
    "unauthorized",
    "throttled",
    "timeout",
    "unknown_status",
    "lagging",
    "lying",
    "stale_nested",
    "never_known",
]
NotExistForm = Literal["400", "200", "error_code"]
Fetch = Literal["get", "head_get", "ranges", "none"]
Result = Literal["succeeded", "failed", "canceled", "expired", "never"]
MediaMode = Literal[
    "whole",
    "truncated",
    "truncated_without_length",
    "truncated_chunked",
    "without_length",
    "chunked",
    "slow",
    "stalled",
    "expired",
    "missing",
    "html",
    "redirect",
    "redirect_private",
    "private",
    "oversized",
    "oversized_without_length",
    "empty",
    "no_poster",
    "poster_missing",
]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """All parameters of a task's behaviour. Times are in seconds."""

    seconds: float = 2.0
    running_after: float | None = None
    result: Result = "succeeded"
    reason: str = "The generation failed: no face was found in the video."

    create: CreateMode = "accepted"
    create_form: CreateForm = "1"
    create_times: int = 0
    create_seconds: float | None = None
    create_task: CreateTask = "none"
    retry_after: int | None = None

    fetch: Fetch = "get"

    callback: CallbackMode = "once"
    callback_body: CallbackBody = "legacy"
    callback_retries: int = 0
    callback_retry_seconds: float = 1.0
    late_seconds: float = 10.0

    feed: FeedShape = "wrapped"
    nested: Nested = "legacy"
    feed_fault: FeedFault = "none"
    feed_fault_seconds: float = 0.0
    not_exist_seconds: float = 0.5
    not_exist_form: NotExistForm = "400"

    media: MediaMode = "whole"
    media_times: int = 0
    media_bytes: int | None = None
    media_seconds: float = 5.0


class BehaviourError(ValueError):
    """An unknown parameter or an invalid value; `parameter` is its name."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


def behaviour_of(video: str, default: Behaviour) -> Behaviour:
    """Return the behaviour that a video URL asks for; `default` if it isn't the simulator's own.

    The query of any other URL has another purpose, such as a signature.
    """
    parts = urlsplit(video)
    is_own = parts.path.endswith(OWN_VIDEO_PATH)  # its base URL may have a path
    return parse_behaviour(parts.query, default) if is_own else default


def parse_behaviour(query: str, default: Behaviour | None = None) -> Behaviour:
    """Return `default` with the parameters of a query string.

    Raises BehaviourError, whose message lists what is accepted.
    """
    chosen: dict[str, str] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name in chosen:
            raise BehaviourError(name, f"parameter {name} is given twice")
        chosen[name] = text
    return apply_parameters(chosen, default or Behaviour())


def apply_parameters(chosen: Mapping[str, str], default: Behaviour) -> Behaviour:
    """Return `default` with the chosen parameters. Raises BehaviourError for an invalid one."""
    hints = parameter_types()
    values: dict[str, Any] = {}
    for name, text in chosen.items():
        if name not in hints:
            raise BehaviourError(
                name, f"unknown parameter {name!r}: accepted are {', '.join(sorted(hints))}"
            )
        values[name] = value_of(name, text, hints[name])
    behaviour = replace(default, **values)
    if behaviour.feed_fault == "stale_nested" and behaviour.feed != "wrapped":
        raise BehaviourError(
            "feed_fault", "feed_fault=stale_nested requires feed=wrapped, the only nested shape"
        )
    return behaviour


@cache
def parameter_types() -> Mapping[str, object]:
    """Return the type of each parameter, in the order of `Behaviour`."""
    return get_type_hints(Behaviour)


def value_of(name: str, text: str, hint: object) -> str | int | float:
    """Convert a parameter's text to its type. Raises BehaviourError."""
    if hint is str:
        return text
    kinds = get_args(hint)
    if str in {type(kind) for kind in kinds}:
        if text not in kinds:
            raise BehaviourError(
                name, f"parameter {name} is {text!r}: accepted are {', '.join(kinds)}"
            )
        return text
    is_integer = int in (hint, *kinds)
    try:
        number = int(text) if is_integer else float(text)
    except ValueError:
        number = -1
    maximum = MAX_INTEGER if is_integer else MAX_SECONDS
    if not 0 <= number <= maximum:  # false for NaN
        kind = "whole numbers" if is_integer else "numbers"
        raise BehaviourError(
            name, f"parameter {name} is {text!r}: accepted are {kind} from 0 to {maximum}"
        )
    return number


def non_defaults(behaviour: Behaviour) -> dict[str, Any]:
    """Return the parameters that differ from their defaults."""
    defaults = asdict(Behaviour())
    return {name: value for name, value in asdict(behaviour).items() if value != defaults[name]}
