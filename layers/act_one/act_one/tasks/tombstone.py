"""What an erased task leaves in its row. Pure: no I/O, no clock.

tombstone kept                                why
task_id, client_id, claim_id, version         the same idempotency key never pays again
stage, billing, price, accounts, created_at   its place in the ledger
sent_at, attempt, provider_task_id            the provider's bill; no other task gets its result
expires_at                                    the row goes when it would have gone
"""

from act_one.tasks.identifiers import new_claim_id
from act_one.tasks.task import Task


def tombstone(task: Task, now: float) -> Task:
    """Return what stays of a task. It names what it keeps, so that no new field stays by chance."""
    return Task(
        task_id=task.task_id,
        client_id=task.client_id,
        stage=task.stage,
        created_at=task.created_at,
        updated_at=now,
        claim_id=new_claim_id(),
        version=task.version + 1,
        expires_at=task.expires_at,
        video="",
        image="",
        request_hash="",
        price=task.price,
        accounts=task.accounts,
        sent_at=task.sent_at,
        attempt=task.attempt,
        provider_task_id=task.provider_task_id,
        billing=task.billing,
        erasing_since=task.erasing_since,
        erased_at=now,
    )
