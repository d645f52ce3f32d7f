"""A task: one transfer, as one row of the tasks table holds it. Pure: no I/O, no clock.

Rows and code know the ``stage``; callers also see the coarser ``status`` and ``done``
(``documents``). The moves between stages, and what each of them writes, are in ``moves``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypedDict

from act_one.json_types import Json

UPLOADS_CLIENT: Final = "uploads"
"""The client of tasks made from files in the uploads bucket. An API key's client has 16 digits."""
EVENTS_CLIENT: Final = "events"
"""The client of tasks requested by an event or a message."""
SHARED_CLIENTS: Final = frozenset({UPLOADS_CLIENT, EVENTS_CLIENT})
"""Clients whose tasks every API key of the stack may read: they belong to the account."""


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


SETTLED: Final = frozenset({Stage.SUCCEEDED, Stage.FAILED, Stage.CANCELED, Stage.EXPIRED})
"""Stages that callers see as done. Of these, only ``succeeded`` and ``canceled`` never change."""


class Billing(StrEnum):
    """Whether the provider charged for the task, as far as is known."""

    NONE = "none"
    UNKNOWN = "unknown"
    CHARGED = "charged"


class SettledBy(StrEnum):
    """Which part of the system learnt the task's result."""

    CALLBACK = "callback"
    FALLBACK = "fallback"
    READ = "read"
    CALLBACK_BODY = "callback_body"
    """A callback's body was trusted, because the feed could not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaUrls:
    """Where the provider keeps a result, for less than a day; ``video`` is never empty."""

    video: str
    poster: str | None = None
    last_frame: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """The one version of an input in the uploads bucket that a task uses, and its type."""

    version: str | None
    """S3's version id; None where the bucket keeps no versions."""
    media_type: str
    etag: str | None = None
    """What contents are compared by: S3's ETag, or the checksum of a file under a KMS key; None if
    it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMedia:
    """A verified object in the results bucket: ``size`` in bytes, ``sha256`` in hex."""

    s3_uri: str
    size: int
    sha256: str
    content_type: str
    duration_seconds: float | None = None
    width: int | None = None
    height: int | None = None
    c2pa: bool | None = None
    """Whether the file carries a C2PA manifest; None where that isn't known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The objects that a succeeded task has in the results bucket."""

    video: StoredMedia
    poster: StoredMedia | None = None
    last_frame: StoredMedia | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An error or a warning: a machine ``code`` (``snake_case``) and a sentence for people."""

    code: str
    message: str


class WebhookForm(StrEnum):
    """The form of a webhook's body."""

    STANDARD = "standard"
    """Our own: type, timestamp and the task."""
    COMETAPI = "cometapi"
    """That of CometAPI's callbacks, for receivers that were written for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The endpoint to call, and the ``events`` (such as ``task.succeeded``) to call it for."""

    url: str
    events: tuple[str, ...]
    form: WebhookForm = WebhookForm.STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to deliver an event to a task's endpoint, and its result."""

    webhook_id: str
    """The same for every attempt at one event."""
    event: str
    attempt: int
    at: float
    """When it began, in epoch seconds."""
    milliseconds: int
    status: int | None = None
    """The reply's HTTP status; None without a reply."""
    reply: str = ""
    """The first 200 characters of the reply's body."""
    error: str | None = None
    """Why the attempt failed; None if it succeeded."""
    next_at: float | None = None
    """When the next attempt is due, in epoch seconds; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A callback: when it came (epoch seconds), and the first 8 KB of its body."""

    received_at: float
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row of the tasks table. Times are epoch seconds; ``progress`` is 0 to 100."""

    # The row
    task_id: str
    client_id: str
    stage: Stage
    created_at: float
    updated_at: float
    claim_id: str
    """The random id of the latest create, move or claim (see ``table``)."""
    version: int = 1
    """Counts moves, from 1."""
    expires_at: float | None = None
    """When DynamoDB may delete the row (its TTL)."""

    # The request
    video: str
    image: str
    request_hash: str
    content_hash: str | None = None
    """The same hash with files in the uploads bucket by content; None: there are none."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    consent: str | None = None
    """The caller's reference to the consent of the people who are shown."""
    video_file: PinnedFile | None = None
    """Set for an input given as an ``s3://`` URI, as is ``image_file``; None for a URL."""
    image_file: PinnedFile | None = None
    preflight_wanted: bool = False
    """Whether the inputs are still to be checked, when the task is sent."""
    retry_of: str | None = None
    """The id of the task that this one repeats on its client's word."""
    retried_by: str | None = None
    """The id of the task that repeats this one."""
    correlation_id: str | None = None
    """The id of the request, event or message that made the task; every log line about it has it.
    None in rows that are older."""
    origin: str | None = None
    """The ``s3://…/`` folder that the task was made from, or the ``event:…`` or ``message:…`` that
    requested it; None for the API."""

    # The money
    price: int = 0
    """What the provider charges for it, in micro-dollars."""
    accounts: tuple[str, ...] = ()
    """The accounts of the ledger that it is in (see ``ledger``)."""

    # The provider
    sent_at: float | None = None
    """When the latest create began; the deadline counts from here."""
    attempt: int = 0
    """How many creates have begun."""
    provider_task_id: str | None = None
    billing: Billing = Billing.NONE
    progress: int = 0
    feed_asked_at: float | None = None
    feed_failing_since: float | None = None
    """Since when the feed has given no answer for this task; None after an answer."""
    evidence: Evidence | None = None
    """The latest callback."""
    success_callback: Evidence | None = None
    """The latest callback that reported a success; later callbacks of other kinds keep it."""
    callback_task_id: str | None = None
    """The latest id that a callback named; callbacks without one keep it."""

    # The watch
    released_at: float | None = None
    """When an operator let it go after a pause."""
    due_at: float | None = None
    """When the sweeper must take up the task; None: never."""
    fallback_runs: int = 0
    """How many executions of the fallback were started."""
    polls: int = 0
    """How often the fallback asked the feed; determines the wait before the next poll."""

    # The copy
    source: MediaUrls | None = None
    source_known_at: float | None = None
    """When the result was (last) reported; the time for fetching it counts from here."""
    copy_attempts: int = 0
    copy_lease_until: float | None = None

    # The outcome
    output: Output | None = None
    error: Notice | None = None
    warnings: tuple[Notice, ...] = ()
    settled_by: SettledBy | None = None
    late: bool = False
    """Whether the result came after the task had ended or expired."""

    # The webhook
    webhook: Webhook | None = None
    """The endpoint to call; None: there is none."""
    webhook_asked_at: float | None = None
    """When its client last requested to send the webhook again."""
    deliveries: tuple[Delivery, ...] = ()
    """The latest delivery attempts, oldest first; they make no new version."""

    # The erasure
    erasing_since: float | None = None
    """When its erasure began: from then on only the erasure's end changes the row."""
    erased_at: float | None = None
    """When its erasure ended: the row has only what a tombstone keeps."""

    @property
    def cost(self) -> int | None:
        """What was paid for it, in micro-dollars; None if that is not known, or not yet."""
        known = {Billing.NONE: 0, Billing.CHARGED: self.price or None}
        return known.get(self.billing)

    @property
    def done(self) -> bool:
        """Whether callers need not wait any longer."""
        return self.stage in SETTLED

    def deadline(self, timeout_seconds: float) -> float:
        """Return when the task expires without a result, counted from its send."""
        return self.began_at + timeout_seconds

    @property
    def began_at(self) -> float:
        """When the task was sent or, before that, created."""
        return self.sent_at or self.created_at

    def with_warning(self, warning: Notice) -> tuple[Notice, ...]:
        """Return the warnings plus one more: each code once, with its newest text."""
        return (*(kept for kept in self.warnings if kept.code != warning.code), warning)


class TaskChanges(TypedDict, total=False):
    """Fields of a row that a write may change; None removes one.

    The identity of a task and its request never change, and ``stage``, ``version``, ``updated_at``
    and ``claim_id`` are written by the table itself.
    """

    expires_at: float | None
    preflight_wanted: bool
    retried_by: str
    sent_at: float
    attempt: int
    provider_task_id: str
    billing: Billing
    progress: int
    feed_asked_at: float
    feed_failing_since: float | None
    evidence: Evidence
    success_callback: Evidence
    callback_task_id: str
    released_at: float
    due_at: float | None
    polls: int
    source: MediaUrls | None
    source_known_at: float
    copy_attempts: int
    copy_lease_until: float | None
    output: Output
    error: Notice | None
    warnings: tuple[Notice, ...]
    settled_by: SettledBy
    late: bool
    deliveries: tuple[Delivery, ...]
