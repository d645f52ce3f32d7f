"""A task: one transfer, its stages, and the moves between them. Pure: no I/O, no clock.

    accepted ─▶ submitting ─▶ submitted ─▶ running ─▶ storing ─▶ succeeded
                    │                                    ▲
                    └─▶ unconfirmed (may be billed) ─────┤
                                                         │
        failed, expired ── a paid result turns up ───────┘

Rows and code know the ``stage``; callers also see the coarser ``status`` and ``done``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from act_one.json_types import Json

UPLOADS_CLIENT: Final = "uploads"
"""Whose the tasks are that come of files dropped into the bucket. A key's client has 16 digits."""
EVENTS_CLIENT: Final = "events"
"""Whose the tasks are that are requested by event or by message."""


class Stage(StrEnum):
    """Where a task is; the table row's own word."""

    ACCEPTED = "accepted"
    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"
    SUBMITTED = "submitted"
    RUNNING = "running"
    STORING = "storing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Billing(StrEnum):
    """Whether the provider charged for the task, as far as we can know."""

    NONE = "none"
    UNKNOWN = "unknown"
    CHARGED = "charged"


class SettledBy(StrEnum):
    """Which part brought the task its end."""

    CALLBACK = "callback"
    FALLBACK = "fallback"
    READ = "read"
    CALLBACK_BODY = "callback_body"


SETTLED: Final = frozenset({Stage.SUCCEEDED, Stage.FAILED, Stage.CANCELED, Stage.EXPIRED})
"""Stages that callers see as done; of these only ``succeeded`` and ``canceled`` never change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaUrls:
    """Where the provider keeps a result for less than a day; ``video`` is never empty."""

    video: str
    poster: str | None = None
    last_frame: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """The one version of an input in the uploads bucket that a task is about, and what it is."""

    version: str | None
    """S3's version id; None where the bucket keeps no versions."""
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMedia:
    """One object in the results bucket, verified: ``size`` in bytes, ``sha256`` in hex."""

    s3_uri: str
    size: int
    sha256: str
    content_type: str
    duration_seconds: float | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a succeeded task left in the results bucket."""

    video: StoredMedia
    poster: StoredMedia | None = None
    last_frame: StoredMedia | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A machine ``code`` (``snake_case``) and a sentence for people: an error or a warning."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The endpoint that is told of a task's ``events`` (``task.succeeded`` and others)."""

    url: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to tell a task's endpoint of an event, and what came of it."""

    webhook_id: str
    """The same for each attempt at one event."""
    event: str
    attempt: int
    at: float
    """When it began, in epoch seconds."""
    milliseconds: int
    status: int | None = None
    """Of the reply; None: there was none."""
    reply: str = ""
    """Its body's first 200 characters."""
    error: str | None = None
    """Why it counts as failed; None: it doesn't."""
    next_at: float | None = None
    """When the next attempt is due; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The latest callback: when it came (epoch seconds), and the first 8 KB of its body."""

    received_at: float
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row of the tasks table. Times are epoch seconds; ``progress`` is 0 to 100."""

    task_id: str
    client_id: str
    stage: Stage
    created_at: float
    updated_at: float
    video: str
    image: str
    request_hash: str
    claim_id: str
    version: int = 1
    billing: Billing = Billing.NONE
    progress: int = 0
    metadata: Mapping[str, Json] = field(default_factory=dict)
    video_file: PinnedFile | None = None
    """Of an input named by an ``s3://`` URI, as is the next one; None for one with a URL."""
    image_file: PinnedFile | None = None
    origin: str | None = None
    """The ``s3://…/`` folder that the task came from; None if it came otherwise."""
    sent_at: float | None = None
    """When the (latest) create began; the deadline counts from here."""
    attempt: int = 0
    """Creates begun."""
    due_at: float | None = None
    """The sweeper must look after this; None: never."""
    fallback_runs: int = 0
    """Executions of the fallback started."""
    polls: int = 0
    """Times that the fallback asked the feed; spaces out the next one."""
    provider_task_id: str | None = None
    feed_asked_at: float | None = None
    feed_failing_since: float | None = None
    """Since when the feed gave no answer for this task; None: its last answer was one."""
    evidence: Evidence | None = None
    success_callback: Evidence | None = None
    """The latest callback that announced a success; a lesser one doesn't replace it."""
    source: MediaUrls | None = None
    copy_attempts: int = 0
    copy_lease_until: float | None = None
    output: Output | None = None
    error: Notice | None = None
    warnings: tuple[Notice, ...] = ()
    settled_by: SettledBy | None = None
    late: bool = False
    webhook: Webhook | None = None
    """Who asked to be called; None: nobody."""
    deliveries: tuple[Delivery, ...] = ()
    """The latest attempts at calling, oldest first; they make no new version."""
    expires_at: float | None = None
    """When DynamoDB may delete the row (its TTL)."""

    @property
    def done(self) -> bool:
        """Whether callers need not wait any longer."""
        return self.stage in SETTLED

    def deadline(self, timeout_seconds: float) -> float:
        """Say when the task expires without a result, counted from its send."""
        return (self.sent_at or self.created_at) + timeout_seconds

    def with_warning(self, warning: Notice) -> tuple[Notice, ...]:
        """Return the warnings plus one more, each code once, the newest text kept."""
        return (*(kept for kept in self.warnings if kept.code != warning.code), warning)
