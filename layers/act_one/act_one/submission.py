"""A request becomes a row, the row a paid create, the create's outcome the row's next stage.

The row is written before the provider is called and is itself the idempotency record, so that no
crash and no repetition can lead to a second create for one intent.
"""

import random
from typing import Final

from aws_lambda_powertools import Logger

from act_one.backend import Backend
from act_one.callback_token import callback_url
from act_one.clock import HOUR
from act_one.cometapi import Accepted, Ambiguous, CreateOutcome, Refused, Rejected
from act_one.keys import KeyNotSetError, Keys
from act_one.problems import ProblemError
from act_one.task import (
    Billing,
    Remark,
    Stage,
    Task,
    derive_task_id,
    new_claim_id,
)
from act_one.task_table import MovedOnError
from act_one.transfer_request import TransferRequest

SEND_LEASE_SECONDS: Final = 60.0
"""A `submitting` older than this has lost its sender; longer than any sender may live."""
RESEND_SECONDS: Final = 30.0
RESEND_MAX_SECONDS: Final = 900.0
ACCEPTED_LIMIT_SECONDS: Final = 6 * HOUR

logger = Logger(child=True)


def submit(
    request: TransferRequest, client_id: str, keys: Keys, backend: Backend
) -> tuple[Task, bool]:
    """Turn a request into a task, sending it to the provider unless it has one already.

    Answers the task and whether it was there before. ``keys`` sign the callback URL. Raises
    ``ProblemError``: 503 while the provider key is not set, 409 for a reused idempotency key.
    """
    _require_provider_key(backend)
    now = backend.clock()
    task = Task(
        task_id=derive_task_id(client_id, request.idempotency_key),
        client_id=client_id,
        stage=Stage.SUBMITTING,
        created_at=now,
        updated_at=now,
        video=request.video,
        image=request.image,
        metadata=request.metadata,
        request_hash=request.fingerprint(),
        claim_id=new_claim_id(),
        sent_at=now,
        attempt=1,
        due_at=now + SEND_LEASE_SECONDS,
        billing=Billing.UNKNOWN,
    )
    try:
        created = backend.table.create(task)
    except MovedOnError as error:
        return _replay(task, error.current), True
    return _send(created, keys, backend), False


def resend(task: Task, keys: Keys, backend: Backend) -> Task:
    """Send a task that the provider certainly refused before, or give it up after six hours.

    Raises ``MovedOnError`` when somebody else took it.
    """
    now = backend.clock()
    if now - task.created_at > ACCEPTED_LIMIT_SECONDS:
        return backend.table.move(
            task,
            Stage.FAILED,
            now,
            error=Remark(
                code="provider_unavailable",
                message="the provider refused the task for six hours; nothing was billed",
            ),
            due_at=None,
            expires_at=backend.row_expires_at(now),
        )
    sending = backend.table.move(
        task,
        Stage.SUBMITTING,
        now,
        sent_at=now,
        attempt=task.attempt + 1,
        billing=Billing.UNKNOWN,
        due_at=now + SEND_LEASE_SECONDS,
    )
    return _send(sending, keys, backend)


def _require_provider_key(backend: Backend) -> None:
    try:
        backend.provider.key_ring.keys()
    except KeyNotSetError as error:
        raise ProblemError(
            503,
            "provider-key-not-set",
            "The provider key is not set",
            "put CometAPI's key into the stack's provider secret; the stack's outputs say how",
        ) from error


def _replay(asked: Task, existing: Task | None) -> Task:
    if existing is None or existing.request_hash != asked.request_hash:
        raise ProblemError(
            409,
            "idempotency-key-reused",
            "The idempotency key belongs to another request",
            "this Idempotency-Key was used with another body; use a new key for a new transfer",
            field="Idempotency-Key",
        )
    return existing


def _send(task: Task, keys: Keys, backend: Backend) -> Task:
    """Call the provider for a row that is `submitting`, and write down what came of it."""
    outcome = backend.provider.create(
        video=task.video,
        image=task.image,
        callback_url=callback_url(backend.settings.callback_base_url, task.task_id, keys),
    )
    # The log line comes first: it is what is left if no write succeeds any more.
    logger.info("create", extra={"task_id": task.task_id, "outcome": _logged(outcome)})
    try:
        return _write_outcome(task, outcome, backend)
    except MovedOnError as error:
        # A callback was faster than the create's reply; what it found stays, the id is added.
        if error.current is None:
            raise
        return _add_id(error.current, outcome, backend)


def _write_outcome(task: Task, outcome: CreateOutcome, backend: Backend) -> Task:
    now = backend.clock()
    match outcome:
        case Accepted():
            submitted = backend.table.move(
                task,
                Stage.SUBMITTED,
                now,
                provider_task_id=outcome.provider_task_id,
                billing=Billing.CHARGED,
                due_at=now + backend.settings.callback_grace_seconds,
            )
            if submitted.evidence is None:
                return submitted
            # A callback came before this reply and could ask nothing yet: don't wait for another.
            return backend.table.note(submitted, due_at=now)
        case Rejected():
            return backend.table.move(
                task,
                Stage.FAILED,
                now,
                error=outcome.reason,
                billing=Billing.NONE,
                due_at=None,
                expires_at=backend.row_expires_at(now),
            )
        case Refused():
            return backend.table.move(
                task,
                Stage.ACCEPTED,
                now,
                warnings=task.with_warning(_refusal_warning(outcome)),
                billing=Billing.NONE,
                due_at=now + _resend_seconds(task.attempt, outcome.retry_after_seconds),
            )
        case Ambiguous():
            return backend.table.move(
                task,
                Stage.UNCONFIRMED,
                now,
                warnings=task.with_warning(UNCONFIRMED_WARNING),
                billing=Billing.UNKNOWN,
                due_at=task.deadline(backend.settings.task_timeout_seconds),
            )


UNCONFIRMED_WARNING: Final = Remark(
    code="create_unconfirmed",
    message="it is not known whether the provider took the task; it is not sent again, "
    "and its result is stored if the provider calls back",
)


def _refusal_warning(refused: Refused) -> Remark:
    if refused.key_refused:
        return Remark(
            code="provider_key_refused",
            message="the provider refuses the key or its balance is used up; "
            "the task waits and is sent again",
        )
    return Remark(code="provider_refused", message=refused.reason.message)


def _resend_seconds(attempt: int, retry_after: float | None) -> float:
    backoff = min(RESEND_MAX_SECONDS, RESEND_SECONDS * 2.0 ** min(attempt - 1, 10))
    jittered = backoff * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
    return max(jittered, retry_after or 0.0)


def _add_id(current: Task, outcome: CreateOutcome, backend: Backend) -> Task:
    if not isinstance(outcome, Accepted) or current.provider_task_id is not None:
        return current
    try:
        return backend.table.learn_id(current, outcome.provider_task_id, billing=Billing.CHARGED)
    except MovedOnError as error:
        return error.current or current


def _logged(outcome: CreateOutcome) -> dict[str, str]:
    match outcome:
        case Accepted():
            return {"kind": "accepted", "provider_task_id": outcome.provider_task_id}
        case Rejected() | Refused() | Ambiguous():
            kind = type(outcome).__name__.lower()
            return {"kind": kind, "reason": f"{outcome.reason.code}: {outcome.reason.message}"}
