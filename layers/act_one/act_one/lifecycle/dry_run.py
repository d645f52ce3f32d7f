"""The dry run: what a request would lead to, without a row, a create or a cost."""

from act_one.clients.client import Client
from act_one.inputs.request import InputsCheck, TransferRequest
from act_one.json_types import Json
from act_one.lifecycle.estimate import estimate
from act_one.lifecycle.services import Services
from act_one.lifecycle.submission import limits_of, over_limit, row_of
from act_one.lifecycle.usage import budget_left
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.documents import notice_document
from act_one.tasks.durations import Durations
from act_one.tasks.ledger import postings
from act_one.tasks.task import Stage, Task


def dry_run(
    request: TransferRequest,
    client: Client,
    services: Services,
    ledger: LedgerTable,
    durations: Durations,
    check_inputs: InputsCheck,
) -> dict[str, Json]:
    """Say what ``submit`` would do with a request.

    Raises the same ``ProblemError``. A limit has room now; other requests may take it meanwhile.
    """
    row, exists = row_of(request, client, services, check_inputs, look=True)
    if not exists:
        _check_limits(row, client, services, ledger)
    would = "replay" if exists else "wait" if row.stage is Stage.ACCEPTED else "create"
    return {
        "dry_run": True,
        "would": would,
        "task_id": row.task_id if exists else None,
        "cost_micro_usd": 0 if exists else row.price,
        "warnings": [notice_document(warning) for warning in row.warnings],
        "budget": budget_left(client, ledger, services.settings, services.clock()),
        "eta_seconds": None,
        "eta_seconds_p90": None,
        **estimate(row, durations, services.clock()),
    }


def _check_limits(row: Task, client: Client, services: Services, ledger: LedgerTable) -> None:
    """Compare what the row would add with what its accounts have room for, as its create does."""
    limits = limits_of(client, services.settings)
    for posting in postings(None, row, limits):
        limit = posting.limit
        if limit is not None:
            days = ledger.days(posting.owner, posting.day, posting.day)
            there = days.get(posting.day, {}).get(limit.attribute, 0)
            if there + posting.amounts[limit.attribute] > limit.most:
                raise over_limit(limit, services.clock())
