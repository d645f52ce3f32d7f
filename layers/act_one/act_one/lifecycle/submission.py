"""A request becomes a row, the row a paid create, the create's outcome the row's next stage.

The row is written before the provider is called and is itself the idempotency record, so that no
crash and no repetition can lead to a second create for one intent.
"""

import random
import time
from typing import Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clock import HOUR, SecondsLeft
from act_one.inputs.request import InputsCheck, TransferRequest
from act_one.keys import KeyNotSetError, Keys
from act_one.lifecycle.services import Services
from act_one.problems import KeyReusedError, ProblemError
from act_one.provider.callback_token import callback_url
from act_one.provider.outcomes import Ambiguous, Created, CreateOutcome, Rejected, Retryable
from act_one.tasks.events import ENDS
from act_one.tasks.identifiers import derive_task_id, new_claim_id
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Billing, Notice, Stage, Task, Webhook

SEND_LEASE_SECONDS: Final = 60.0
"""A `submitting` older than this has lost its sender; longer than any sender may live."""
RESEND_SECONDS: Final = 30.0
RESEND_MAX_SECONDS: Final = 900.0
ACCEPTED_LIMIT_SECONDS: Final = 6 * HOUR

CREATE_NEEDS_SECONDS: Final = 20.0
"""A create may take 15 s, and what came of it must be written down after it."""
WRITE_NEEDS_SECONDS: Final = 2.0

logger = Logger(child=True)
metrics = Metrics()


def submit(
    request: TransferRequest,
    client_id: str,
    keys: Keys,
    services: Services,
    seconds_left: SecondsLeft,
    check_inputs: InputsCheck,
) -> tuple[Task, bool]:
    """Turn a request into a task, sending it to the provider unless it has one already.

    Answers the task and whether it was there before. ``keys`` sign the callback URL. With too
    little time left for a create, the task is `accepted` and the fallback sends it. Raises
    ``ProblemError``: 503 while the provider key is not set, 409 for a reused idempotency key, and
    422 for inputs that the provider would fail on, or that are not in the uploads bucket.
    """
    _require_provider_key(services)
    task_id = derive_task_id(client_id, request.idempotency_key)
    warnings: tuple[Notice, ...] = ()
    if request.preflight or services.uploads.has(request):
        # A repeat gets its task even if the inputs are gone by now.
        if request.idempotency_key and (existing := services.table.read(task_id)):
            return _replay(request, existing), True
        request = services.uploads.pin_versions(request)
    if request.preflight:
        warnings = check_inputs(services.uploads.presign(request))
    now = services.clock()
    task = Task(
        task_id=task_id,
        client_id=client_id,
        stage=Stage.SUBMITTING,
        created_at=now,
        updated_at=now,
        video=request.video,
        image=request.image,
        video_file=request.video_file,
        image_file=request.image_file,
        origin=request.origin,
        metadata=request.metadata,
        request_hash=request.fingerprint(),
        claim_id=new_claim_id(),
        sent_at=now,
        attempt=1,
        due_at=now + SEND_LEASE_SECONDS,
        billing=Billing.UNKNOWN,
        warnings=warnings,
        webhook=request.webhook or _default_webhook(services.settings.webhook_url),
    )
    try:
        created = services.table.create(task)
    except MovedOnError as error:
        return _replay(request, error.current), True
    return _send(created, keys, services, seconds_left), False


def resend(task: Task, keys: Keys, services: Services, seconds_left: SecondsLeft) -> Task:
    """Send a task that the provider certainly refused before, or give it up after six hours.

    One that was called back meanwhile becomes `unconfirmed` instead. Raises ``MovedOnError`` when
    somebody else took it.
    """
    now = services.clock()
    if task.evidence is not None:
        # Who calls back has the task, so the refusal was none: it must never be sent again.
        return services.table.move(
            task,
            Stage.UNCONFIRMED,
            now,
            warnings=task.with_warning(UNCONFIRMED_WARNING),
            billing=Billing.UNKNOWN,
            due_at=now,
        )
    if now - task.created_at > ACCEPTED_LIMIT_SECONDS:
        return services.table.move(
            task,
            Stage.FAILED,
            now,
            error=Notice(
                code="provider_unavailable",
                message="the provider refused the task for six hours; nothing was billed",
            ),
            due_at=None,
            expires_at=services.settings.row_expires_at(now),
        )
    sending = services.table.move(
        task,
        Stage.SUBMITTING,
        now,
        sent_at=now,
        attempt=task.attempt + 1,
        billing=Billing.UNKNOWN,
        due_at=now + SEND_LEASE_SECONDS,
    )
    return _send(sending, keys, services, seconds_left)


def _default_webhook(url: str) -> Webhook | None:
    return Webhook(url=url, events=ENDS) if url else None


def _require_provider_key(services: Services) -> None:
    try:
        services.provider.key_ring.keys()
    except KeyNotSetError as error:
        raise ProblemError(
            503,
            "provider-key-not-set",
            "The provider key is not set",
            "put CometAPI's key into the stack's provider secret; the stack's outputs say how",
            retryable=True,
        ) from error


def _replay(asked: TransferRequest, existing: Task | None) -> Task:
    if existing is None or existing.request_hash != asked.fingerprint():
        raise KeyReusedError
    return existing


def _send(task: Task, keys: Keys, services: Services, seconds_left: SecondsLeft) -> Task:
    """Call the provider for a row that is `submitting`, and write down what came of it."""
    if seconds_left() < CREATE_NEEDS_SECONDS:
        now = services.clock()
        return services.table.move(
            task, Stage.ACCEPTED, now, billing=Billing.NONE, attempt=task.attempt - 1, due_at=now
        )
    video, image = services.uploads.urls(task)
    outcome = services.provider.create(
        video=video,
        image=image,
        callback_url=callback_url(services.settings.callback_base_url, task.task_id, keys),
    )
    # The log line comes first: it is what is left if no write succeeds any more.
    logger.info("create", extra={"task_id": task.task_id, "outcome": _logged(outcome)})
    if isinstance(outcome, Retryable) and outcome.key_refused:
        metrics.add_metric("ProviderKeyRefused", MetricUnit.Count, 1)
    return _write_down(task, outcome, services, seconds_left)


def _write_down(
    task: Task, outcome: CreateOutcome, services: Services, seconds_left: SecondsLeft
) -> Task:
    """Write what the provider said, as long as there is time: it may have been paid for."""
    current = task
    while True:
        try:
            if current.version == task.version:
                return _write_outcome(current, outcome, services)
            return _add_id(current, outcome, services)
        except MovedOnError as error:
            # A callback or the fallback was faster; what it found stays, the id is added.
            if error.current is None:
                raise
            current = error.current
        except (BotoCoreError, ClientError):
            if seconds_left() < WRITE_NEEDS_SECONDS:
                raise
            logger.exception("not written yet", extra={"task_id": task.task_id})
            time.sleep(0.2)


def _write_outcome(task: Task, outcome: CreateOutcome, services: Services) -> Task:
    now = services.clock()
    match outcome:
        case Created():
            submitted = services.table.move(
                task,
                Stage.SUBMITTED,
                now,
                provider_task_id=outcome.provider_task_id,
                billing=Billing.CHARGED,
                due_at=now + services.settings.callback_grace_seconds,
            )
            return poll_soon_if_called_back(submitted, now, services)
        case Rejected():
            return services.table.move(
                task,
                Stage.FAILED,
                now,
                error=outcome.reason,
                billing=Billing.NONE,
                due_at=None,
                expires_at=services.settings.row_expires_at(now),
            )
        case Retryable():
            return services.table.move(
                task,
                Stage.ACCEPTED,
                now,
                warnings=task.with_warning(_refusal_warning(outcome)),
                billing=Billing.NONE,
                due_at=now + _resend_seconds(task.attempt, outcome.retry_after_seconds),
            )
        case Ambiguous():
            unconfirmed = services.table.move(
                task,
                Stage.UNCONFIRMED,
                now,
                warnings=task.with_warning(UNCONFIRMED_WARNING),
                billing=Billing.UNKNOWN,
                due_at=task.deadline(services.settings.task_timeout_seconds),
            )
            return poll_soon_if_called_back(unconfirmed, now, services)


def poll_soon_if_called_back(task: Task, now: float, services: Services) -> Task:
    """A callback came before this move and could ask nothing yet: don't wait for another."""
    return task if task.evidence is None else services.table.record(task, due_at=now)


UNCONFIRMED_WARNING: Final = Notice(
    code="create_unconfirmed",
    message="it is not known whether the provider took the task; it is not sent again, "
    "and its result is stored if the provider calls back",
)


def _refusal_warning(refused: Retryable) -> Notice:
    if refused.key_refused:
        return Notice(
            code="provider_key_refused",
            message="the provider refuses the key or its balance is used up; "
            "the task waits and is sent again",
        )
    return Notice(code="provider_refused", message=refused.reason.message)


def _resend_seconds(attempt: int, retry_after: float | None) -> float:
    backoff = min(RESEND_MAX_SECONDS, RESEND_SECONDS * 2.0 ** min(attempt - 1, 10))
    jittered = backoff * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
    return max(jittered, retry_after or 0.0)


def _add_id(current: Task, outcome: CreateOutcome, services: Services) -> Task:
    """Write the provider's id into a row that moved on without it, whatever its stage."""
    if not isinstance(outcome, Created) or current.provider_task_id is not None:
        return current
    now = services.clock()
    known = {"provider_task_id": outcome.provider_task_id, "billing": Billing.CHARGED}
    if current.stage is Stage.UNCONFIRMED:
        due_at = now + services.settings.callback_grace_seconds
        return services.table.move(current, Stage.SUBMITTED, now, due_at=due_at, **known)
    return services.table.learn_id(current, outcome.provider_task_id, billing=Billing.CHARGED)


def _logged(outcome: CreateOutcome) -> dict[str, str]:
    match outcome:
        case Created():
            return {"kind": "accepted", "provider_task_id": outcome.provider_task_id}
        case Rejected() | Retryable() | Ambiguous():
            kind = type(outcome).__name__.lower()
            return {"kind": kind, "reason": f"{outcome.reason.code}: {outcome.reason.message}"}
