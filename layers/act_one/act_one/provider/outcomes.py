"""What the provider can answer, in our words: the outcomes of a create, the answers of the feed."""

from dataclasses import dataclass
from enum import StrEnum

from act_one.tasks.task import MediaUrls, Notice

# ── What a create can end in ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The provider made the task and bills it."""

    provider_task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider will never do this request; not billed."""

    reason: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Retryable:
    """Certainly not billed, may be tried again; ``key_refused``: our key or its balance."""

    reason: Notice
    retry_after_seconds: float | None = None
    key_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """May be billed, so never repeated."""

    reason: Notice


type CreateOutcome = Created | Rejected | Retryable | Ambiguous


# ── What the feed (or a callback's body) can say ──────────────────────────────────────────────


class ProviderState(StrEnum):
    """The provider's many words for a task's state, normalised."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the provider says of one task.

    ``media`` is set only when a success came with a usable URL; ``failure`` only with a failure.
    """

    provider_task_id: str | None
    state: ProviderState
    progress: int | None = None
    media: MediaUrls | None = None
    failure: Notice | None = None
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The feed doesn't know the id: normal in the first seconds, or another account's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The feed said nothing about the task: an error, an outage, a refused key."""

    reason: str
    key_refused: bool = False


type FeedAnswer = Report | NotKnown | NoAnswer
