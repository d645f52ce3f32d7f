"""The outcomes of a create and the answers of the feed, in our types."""

from dataclasses import dataclass
from enum import StrEnum

from act_one.tasks.task import MediaUrls, Notice

# ── A create ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The provider accepted the create, and bills it."""

    provider_task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider will never accept this request. Not billed."""

    reason: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Retryable:
    """The create was refused for now, and may be repeated. Certainly not billed.

    ``key_refused``: the reason is our key or its balance.
    """

    reason: Notice
    retry_after_seconds: float | None = None
    key_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """The outcome is unknown. It may be billed, so the create is never repeated."""

    reason: Notice


type CreateOutcome = Created | Rejected | Retryable | Ambiguous


# ── The feed, and a callback's body ──────────────────────────────────────────────


class ProviderState(StrEnum):
    """The state of a task, from the many words that the provider has for it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The provider's report on one task.

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
    """The feed doesn't know the id: normal in the first seconds, or the key of another account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The feed gave no answer about the task: an error, an outage, a refused key."""

    reason: str
    key_refused: bool = False


type FeedAnswer = Report | NotKnown | NoAnswer
