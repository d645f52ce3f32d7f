"""Submission: a request becomes a row, the row a paid create, its outcome the row's next stage.

The row is written before the provider is called and is itself the idempotency record, so that no
crash and no repetition can lead to a second create for one request.
"""

import math
import time
from dataclasses import replace
from typing import Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clients.client import Client
from act_one.clock import HOUR, SecondsLeft, next_utc_day, rfc3339
from act_one.correlation import about_request, of_request
from act_one.inputs.consent import ConsentMissingError
from act_one.inputs.request import InputsCheck, TransferRequest
from act_one.keys import KeyNotSetError, Keys
from act_one.lifecycle.read import not_erased
from act_one.lifecycle.services import Services
from act_one.problems import KeyReusedError, ProblemError
from act_one.provider.callback_token import callback_url
from act_one.provider.outcomes import Ambiguous, Created, CreateOutcome, Rejected, Retryable
from act_one.settings import Settings
from act_one.tasks import ledger, moves
from act_one.tasks.events import DEFAULT_WEBHOOK_EVENTS
from act_one.tasks.identifiers import derive_task_id, new_claim_id
from act_one.tasks.ledger import Limit
from act_one.tasks.moves import SEND_LEASE_SECONDS, Step
from act_one.tasks.table import MovedOnError, OverLimitError
from act_one.tasks.task import Billing, Notice, Stage, Task, Webhook

ACCEPTED_LIMIT_SECONDS: Final = 6 * HOUR
CREATE_NEEDS_SECONDS: Final = 20.0
"""A create may take 15 s, and its outcome must be written after it."""
WRITE_NEEDS_SECONDS: Final = 2.0
OPEN_RETRY_SECONDS: Final = 30
"""When to try again while too many tasks are open, which take minutes."""

logger = Logger(child=True)
metrics = Metrics()


def submit(
    request: TransferRequest,
    client: Client,
    keys: Keys,
    services: Services,
    seconds_left: SecondsLeft,
    check_inputs: InputsCheck,
) -> tuple[Task, bool]:
    """Turn a request into a task and send it, unless the same request has a task already.

    Returns the task and whether it existed before. ``keys`` sign the callback URL. With too little
    time left for a create, or while sending is paused, the task stays `accepted` and the fallback
    sends it. Raises ``ProblemError``: 400 for missing consent, 429 over a budget or a limit of open
    tasks, 503 while the provider key is not set, 409 for a reused idempotency key, 410 for that of
    an erased task, and 422 for inputs that the provider would fail on or that are not in the
    uploads bucket.
    """
    about_request()
    task_id = derive_task_id(client.name, request.idempotency_key)
    refused = _refused(request, client, services)
    inspected = request.preflight or services.uploads.has(request)
    if (
        (refused is not None or inspected)
        and request.idempotency_key is not None
        and (existing := services.table.read(task_id)) is not None
    ):
        # A repeat gets its task even if consent is required, or the inputs are gone, by now.
        return _replay(request, existing, services), True
    if refused is not None:
        raise refused
    warnings: tuple[Notice, ...] = ()
    if inspected:
        request = services.uploads.pin_versions(request)
    if request.preflight:
        warnings = check_inputs(services.uploads.presign(request))
    task = _new_task(request, client, task_id, warnings, services)
    paused = services.clients.is_paused()
    if paused:
        unsent = replace(task, stage=Stage.ACCEPTED, sent_at=None, attempt=0, billing=Billing.NONE)
        task = replace(unsent, **moves.held(unsent).changes)
    try:
        created = services.table.create(task, _limits(client, services.settings))
    except MovedOnError as error:
        return _replay(request, error.current, services), True
    except OverLimitError as error:
        raise _over_limit(error.limit, services.clock()) from error
    if paused:
        return created, False
    return not_erased(_send(created, keys, services, seconds_left)), False


def _refused(request: TransferRequest, client: Client, services: Services) -> ProblemError | None:
    """Return why a request can't become a task, whatever its inputs are; None if it can."""
    if request.consent is None and (services.settings.require_consent or client.consent_required):
        return ConsentMissingError()
    try:
        services.provider.key_ring.keys()
    except KeyNotSetError:
        return _key_not_set()
    return None


def _new_task(
    request: TransferRequest,
    client: Client,
    task_id: str,
    warnings: tuple[Notice, ...],
    services: Services,
) -> Task:
    """Make the row of a request: `submitting`, because it is sent right after it is written."""
    now = services.clock()
    return Task(
        task_id=task_id,
        client_id=client.name,
        stage=Stage.SUBMITTING,
        created_at=now,
        updated_at=now,
        video=request.video,
        image=request.image,
        video_file=request.video_file,
        image_file=request.image_file,
        correlation_id=of_request(),
        origin=request.origin,
        metadata=request.metadata,
        consent=request.consent,
        request_hash=request.fingerprint(),
        content_hash=request.content_fingerprint(),
        price=services.settings.price,
        accounts=_accounts(client, services.settings),
        claim_id=new_claim_id(),
        sent_at=now,
        attempt=1,
        due_at=now + SEND_LEASE_SECONDS,
        billing=Billing.UNKNOWN,
        warnings=warnings,
        webhook=request.webhook or _default_webhook(services.settings.webhook_url),
    )


def _accounts(client: Client, settings: Settings) -> tuple[str, ...]:
    """Name the accounts of a client's new task: one that nothing limits isn't kept."""
    accounts = [ledger.client_account(client.name)]
    if settings.daily_budget is not None:
        accounts.append(ledger.STACK)
    if client.max_open is not None:
        accounts.append(ledger.open_account(client.name))
    return tuple(accounts)


def _limits(client: Client, settings: Settings) -> list[Limit]:
    limits = (
        (ledger.client_account(client.name), "committed", client.daily_budget),
        (ledger.STACK, "committed", settings.daily_budget),
        (ledger.open_account(client.name), "open", client.max_open),
    )
    return [
        Limit(account=account, attribute=attribute, most=most)
        for account, attribute, most in limits
        if most is not None
    ]


def _over_limit(limit: Limit, now: float) -> ProblemError:
    if limit.attribute == "open":
        return ProblemError(
            429,
            "too-many-open-tasks",
            "The client has too many open tasks",
            f"at most {limit.most} tasks of this client may be open at once; wait until one ends",
            retry_after=OPEN_RETRY_SECONDS,
        )
    whose = "the stack's" if limit.account == ledger.STACK else "this client's"
    resets_at = next_utc_day(now)
    return ProblemError(
        429,
        "budget-exceeded",
        "The budget of today is used up",
        f"the task would exceed {whose} budget of ${limit.most / 1_000_000:,.2f} a day, "
        f"in which open tasks count in full; it starts anew at {rfc3339(resets_at)}",
        retry_after=math.ceil(resets_at - now),
        extensions={"resets_at": rfc3339(resets_at)},
    )


def resend(task: Task, keys: Keys, services: Services, seconds_left: SecondsLeft) -> Task:
    """Send a task whose create was certainly refused, or give it up after six hours.

    A task that was called back meanwhile becomes `unconfirmed` instead. Raises ``MovedOnError``
    when another function moved the task.
    """
    now = services.clock()
    settings = services.settings
    if task.evidence is not None:
        # A caller back has the task, so the create was not refused: never send it again.
        return services.table.apply(task, moves.to_unconfirmed(task, now, settings), now)
    if services.clients.is_paused():
        return services.table.apply(task, moves.held(task), now)
    if now - (task.released_at or task.created_at) > ACCEPTED_LIMIT_SECONDS:
        return services.table.apply(task, moves.to_failed(_UNAVAILABLE, now, settings), now)
    try:
        # Read before the move: a task whose key can't be read is certainly not sent.
        services.provider.key_ring.keys()
    except KeyNotSetError:
        warnings = task.with_warning(_KEY_REFUSED)
        due_at = now + moves.RESEND_MAX_SECONDS
        return services.table.record(task, due_at=due_at, warnings=warnings)
    sending = services.table.apply(task, moves.to_submitting(task, now), now)
    return _send(sending, keys, services, seconds_left)


def poll_soon_if_called_back(task: Task, now: float, services: Services) -> Task:
    """Make a task due now if a callback came before its latest move and could not be acted on."""
    return task if task.evidence is None else services.table.record(task, due_at=now)


_KEY_REFUSED: Final = Notice(
    code="provider_key_refused",
    message="the provider refuses the key, or its balance is used up; "
    "the task waits and is sent again",
)
_UNAVAILABLE: Final = Notice(
    code="provider_unavailable",
    message="the provider refused the task for six hours; nothing was billed",
)


def _key_not_set() -> ProblemError:
    return ProblemError(
        503,
        "provider-key-not-set",
        "The provider key is not set",
        "put CometAPI's key into the stack's provider secret; the stack's outputs say how",
        retryable=True,
    )


def _default_webhook(url: str) -> Webhook | None:
    return Webhook(url=url, events=DEFAULT_WEBHOOK_EVENTS) if url else None


def _replay(asked: TransferRequest, existing: Task | None, services: Services) -> Task:
    """Return the task of the same request: the same URLs, or other uploads of the same bytes.

    Raises ``ProblemError``: 409 for another request, and 410 for any of an erased task.
    """
    if existing is None:
        raise KeyReusedError
    not_erased(existing)
    if existing.request_hash == asked.fingerprint():
        return existing
    if existing.content_hash is not None and services.uploads.has(asked):
        pinned = asked if asked.etags else services.uploads.pin_versions(asked)
        if existing.content_hash == pinned.content_fingerprint():
            return existing
    raise KeyReusedError


def _send(task: Task, keys: Keys, services: Services, seconds_left: SecondsLeft) -> Task:
    """Call the provider for a row that is `submitting`, and write the outcome."""
    if seconds_left() < CREATE_NEEDS_SECONDS:
        now = services.clock()
        return services.table.apply(task, moves.back_to_accepted(task, now), now)
    video, image = services.uploads.urls(task)
    outcome = services.provider.create(
        video=video,
        image=image,
        callback_url=callback_url(services.settings.callback_base_url, task.task_id, keys),
    )
    # Logged first: the log line is what remains if no write succeeds any more.
    logger.info("create", extra={"outcome": _logged(outcome)})
    if isinstance(outcome, Retryable) and outcome.key_refused:
        metrics.add_metric("ProviderKeyRefused", MetricUnit.Count, 1)
    return _write_outcome(task, outcome, services, seconds_left)


def _write_outcome(
    task: Task, outcome: CreateOutcome, services: Services, seconds_left: SecondsLeft
) -> Task:
    """Write a create's outcome, trying as long as there is time: it may have been paid for."""
    current = task
    while True:
        now = services.clock()
        try:
            if current.version != task.version:
                return _add_id(current, outcome, now, services)
            step = _step_after(current, outcome, now, services)
            moved = services.table.apply(current, step, now)
            may_be_called_back = isinstance(outcome, Created | Ambiguous)
            return poll_soon_if_called_back(moved, now, services) if may_be_called_back else moved
        except MovedOnError as error:
            # A callback or the fallback was faster. What it found stays; the id is added.
            if error.current is None:
                raise
            current = error.current
        except (BotoCoreError, ClientError):
            if seconds_left() < WRITE_NEEDS_SECONDS:
                raise
            logger.exception("outcome not written yet")
            time.sleep(0.2)


def _step_after(task: Task, outcome: CreateOutcome, now: float, services: Services) -> Step:
    if task.evidence is not None and isinstance(outcome, Rejected | Retryable):
        # A caller back has the task, so it was not refused.
        return moves.to_unconfirmed(task, now, services.settings)
    match outcome:
        case Created():
            return moves.to_submitted(outcome.provider_task_id, now, services.settings)
        case Rejected():
            return moves.to_rejected(outcome.reason, now, services.settings)
        case Retryable():
            return moves.to_accepted(task, _refusal(outcome), now, outcome.retry_after_seconds)
        case Ambiguous():
            return moves.to_unconfirmed(task, now, services.settings)


def _refusal(outcome: Retryable) -> Notice:
    if outcome.key_refused:
        return _KEY_REFUSED
    return Notice(code="provider_refused", message=outcome.reason.message)


def _add_id(current: Task, outcome: CreateOutcome, now: float, services: Services) -> Task:
    """Write the provider's id into a row that moved on without it, in whatever stage it is."""
    if not isinstance(outcome, Created) or current.provider_task_id is not None:
        return current
    if current.erasing_since is not None:
        return current  # the log line of the create has the id
    if current.stage is Stage.UNCONFIRMED:
        submitted = moves.to_submitted(outcome.provider_task_id, now, services.settings)
        return services.table.apply(current, submitted, now)
    return services.table.learn_id(current, outcome.provider_task_id, billing=Billing.CHARGED)


def _logged(outcome: CreateOutcome) -> dict[str, str]:
    match outcome:
        case Created():
            return {"kind": "created", "provider_task_id": outcome.provider_task_id}
        case Rejected() | Retryable() | Ambiguous():
            kind = type(outcome).__name__.lower()
            return {"kind": kind, "reason": f"{outcome.reason.code}: {outcome.reason.message}"}
