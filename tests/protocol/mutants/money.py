"""Mutants of what tasks cost, of the limits of clients, and of the pause."""

from dataclasses import replace
from typing import Final

from act_one.clients.client import Client
from act_one.clients.directory import ClientDirectory
from act_one.ingest import messages
from act_one.lifecycle import submission, sweep
from act_one.tasks import ledger, table
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Billing
from tests.protocol.mutants.registry import mutant

LEDGER: Final = "tasks/test_ledger.py::"
SUBMISSION: Final = "lifecycle/test_submission.py::"
DIRECTORY: Final = "clients/test_directory.py::"
MESSAGES: Final = "ingest/test_messages.py::"
SWEEP: Final = "lifecycle/test_sweep.py::"


# ── The ledger ────────────────────────────────────────────────────────────────────────────────


@mutant(
    "an end leaves its price reserved",
    ledger,
    "postings",
    killer=LEDGER + "test_an_end_takes_the_reservation_to_where_the_billing_says",
)
def _(postings, before, after, limits=()):
    return postings(before, after, limits) if before is None else ()


@mutant(
    "what may be billed is free again",
    ledger,
    "_amounts",
    killer=LEDGER + "test_an_end_takes_the_reservation_to_where_the_billing_says",
)
def _(amounts, task):
    unknown = task.done and task.billing is Billing.UNKNOWN
    return amounts(replace(task, billing=Billing.NONE) if unknown else task)


@mutant(
    "a late result is spent twice",
    ledger,
    "postings",
    killer=LEDGER + "test_a_late_result_of_a_failed_task_is_counted_as_its_success",
)
def _(postings, before, after, limits=()):
    again = before is not None and before.done and not after.done
    return () if again else postings(before, after, limits)


@mutant(
    "a charge learnt after the end stays unknown",
    TaskTable,
    "record",
    killer=LEDGER + "test_a_charge_that_becomes_known_after_the_end_is_spent",
)
def _(record, self, task, **changes):
    return record(self, replace(task, accounts=()), **changes)


@mutant(
    "an end is settled by the billing of an older read",
    TaskTable,
    "_update_once",
    killer=LEDGER + "test_a_billing_that_becomes_known_before_an_end_is_the_one_that_counts",
)
def _(update_once, self, task, changes, condition, values, claim_id):
    postings = ledger.postings(task, replace(task, **changes))
    asked = self._update_request(
        task.task_id, changes, condition=condition, values=values, claim_id=claim_id
    )
    if not postings:
        return update_once(self, task, changes, condition, values, claim_id)
    return self._with_ledger({"Update": asked}, postings, claim_id) or self.read(task.task_id)


@mutant(
    "a task is settled in the account of the day of its end",
    ledger,
    "_posting",
    killer=LEDGER + "test_a_task_stays_in_the_account_of_the_day_of_its_creation",
)
def _(posting, account, task, changed, limit):
    day = task.updated_at if task.done else task.created_at
    return posting(account, replace(task, created_at=day), changed, limit)


@mutant(
    "a budget is looked at before the write",
    ledger,
    "_posting",
    killer=LEDGER + "test_a_budget_is_never_exceeded_by_tasks_at_once",
)
def _(posting, account, task, changed, _limit):
    return posting(account, task, changed, None)


@mutant(
    "a transaction that meets another fails",
    TaskTable,
    "_with_ledger",
    killer=LEDGER + "test_conflicts_with_other_transactions_are_waited_for",
)
def _(_with_ledger, self, write, postings, _claim_id):
    posted = [table._posting_write(each, self.ledger_name) for each in postings]  # noqa: SLF001
    items = [write, *posted]
    self.client.transact_write_items(TransactItems=items)


@mutant(
    "open tasks are not limited",
    submission,
    "_limits",
    killer=SUBMISSION + "test_what_exceeds_a_limit_is_not_sent",
)
def _(limits, client, settings):
    return limits(replace(client, max_open=None), settings)


# ── Clients ───────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a key without a client is a client of its own",
    ClientDirectory,
    "of_key",
    killer=DIRECTORY + "test_a_key_that_belongs_to_no_client_is_the_defaults",
)
def _(_of_key, _self, api_key):
    return Client(name=api_key)


@mutant(
    "a revoked client is let in",
    ClientDirectory,
    "of_key",
    killer=DIRECTORY + "test_a_revoked_client_is_refused_by_name",
)
def _(of_key, self, api_key):
    return replace(of_key(self, api_key), revoked=False)


@mutant(
    "an event speaks for any client",
    messages,
    "_client_of",
    killer=MESSAGES + "test_an_event_speaks_for_no_other_client",
)
def _(_client_of, asked, _source, context):
    return context.client(asked.get("client", "events"))


# ── The pause ─────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a pause holds no task that waits",
    submission,
    "resend",
    killer=SUBMISSION + "test_a_refused_task_is_held_when_it_is_due_during_a_pause",
)
def _(resend, task, keys, services, seconds_left):
    class NotPaused:
        is_paused = staticmethod(lambda: False)

    return resend(task, keys, replace(services, clients=NotPaused()), seconds_left)


@mutant(
    "held tasks are never released",
    sweep,
    "_release_held",
    killer=SWEEP + "test_held_tasks_are_started_oldest_first_once_sending_is_resumed",
)
def _(_release_held, *_arguments):
    return None


@mutant(
    "a pause counts as the provider's fault",
    submission,
    "resend",
    killer=SUBMISSION + "test_a_task_waits_while_sending_is_paused",
)
def _(resend, task, *rest):
    return resend(replace(task, released_at=None), *rest)
