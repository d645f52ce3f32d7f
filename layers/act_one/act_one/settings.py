"""A deployment's settings, read from the environment that ``template.yaml`` defines."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Self

from act_one.clock import DAY

_KEEP_ROWS_DAYS: Final = 15
_KEEP_CLAIMS_DAYS: Final = 400
"""Beyond the retention of inputs, so that files outlive no claim when it is raised by a year."""


class SettingError(ValueError):
    """An environment variable is missing or invalid; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field is read from the environment variable of its name in upper case."""

    tasks_table: str
    results_bucket: str
    ledger_table: str = ""
    """The table of what tasks cost; functions that only read tasks need none."""
    clients_table: str = ""
    """The table of clients."""
    price_per_task_usd: float = 0.4
    """What the provider charges for a task."""
    daily_budget_usd: float = 0.0
    """What all tasks of a UTC day may cost together; 0: no limit."""
    event_bus: str
    provider_secret: str
    """Name of the secret that holds the provider key, or its ARN if it isn't the stack's own."""
    callback_secret: str
    """Name of the secret that signs callback URLs."""
    provider_base_url: str
    runway_version: str = ""
    """Sent as ``X-Runway-Version``; empty: not sent."""
    callback_base_url: str = ""
    """Where the provider calls back, ending in ``/``; only the functions that send need it."""
    uploads_bucket: str = ""
    """The bucket of input files."""
    pairs_table: str = ""
    """The table of each folder's last claimed pair; only ingest needs it."""
    stats_table: str = ""
    """The table of recent durations."""
    ingest_queue_url: str = ""
    """URL of the ingest queue, which gets folders to read again later and tasks of batches."""
    input_retention_days: int = 0
    """Days until files in the uploads bucket expire; 0: never. Only ingest needs it."""
    input_base_url: str = ""
    """Base URL at which the provider reads input files; empty: presigned URLs are used."""
    fallback_arn: str = ""
    """The fallback's state machine; only the sweeper needs it."""
    require_consent: bool = False
    """Whether every request must refer to a consent."""
    webhook_url: str = ""
    """Default webhook of tasks that specify none; empty: no default."""
    webhook_secret: str = ""
    """Name of the secret from which those that sign webhooks are derived."""
    webhook_queue_url: str = ""
    """URL of the webhook queue."""
    cors_origin: str = ""
    """The origin whose pages may call the API; empty: none."""
    watched: bool = False
    """Whether the metrics that only alarms and the dashboard need are written."""
    api_docs: bool = True
    """Whether the API's description is served; only the docs function needs it."""
    callback_grace_seconds: float
    poll_interval_seconds: float
    poll_max_interval_seconds: float
    min_poll_seconds: float
    task_timeout_seconds: float
    copy_timeout_seconds: float
    """The copy function's own time-out; leases are measured by it."""
    max_media_bytes: int
    """Of a result's video."""
    max_video_bytes: int
    """Of an input, as are the next three."""
    max_image_bytes: int
    min_video_seconds: float
    max_video_seconds: float
    allow_http_media: bool
    unsafe_allow_private_media: bool
    result_retention_days: int
    """Days until results expire in the bucket; 0: never."""

    @property
    def price(self) -> int:
        """What the provider charges for a task, in micro-dollars."""
        return round(self.price_per_task_usd * 1_000_000)

    @property
    def daily_budget(self) -> int | None:
        """The stack's budget of a UTC day, in micro-dollars; None: no limit."""
        return round(self.daily_budget_usd * 1_000_000) or None

    def row_expires_at(self, now: float) -> float | None:
        """Return when an ended task's row expires: after its objects, None if these are kept."""
        days = self.result_retention_days
        return now + max(_KEEP_ROWS_DAYS, days + 1) * DAY if days else None

    def result_expires_at(self, stored_at: float) -> float | None:
        """Return when S3 removes a result: at the midnight UTC after its days; None: never."""
        days = self.result_retention_days
        return math.ceil((stored_at + days * DAY) / DAY) * DAY if days else None

    def claim_expires_at(self, now: float) -> float | None:
        """Return when the claim of a pair expires: long after its files, None if these stay."""
        days = self.input_retention_days
        return now + (days + _KEEP_CLAIMS_DAYS) * DAY if days else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises ``SettingError`` for a variable that is missing or not of its field's type.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            name = setting.name.upper()
            if name in environment:
                values[setting.name] = _read(name, environment[name], setting.type)
            elif setting.default is MISSING:
                message = f"{name} is not set: template.yaml gives it to every function"
                raise SettingError(message)
        return cls(**values)


def _read(name: str, text: str, kind: object) -> str | int | float | bool:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is int:
            return int(text)
        if kind is float:
            return float(text)
    except (KeyError, ValueError) as error:
        expected = kind.__name__ if isinstance(kind, type) else kind
        message = f"{name}={text!r} is not a {expected}"
        raise SettingError(message) from error
    return text
