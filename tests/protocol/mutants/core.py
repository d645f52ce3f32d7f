"""Mutants of sending, callbacks, polls and copies; the state machine's histories kill them."""

from dataclasses import replace

from act_one.lifecycle import advance, relay, submission
from act_one.media import copy
from act_one.media.copy import MediaError
from act_one.provider import client
from act_one.provider.client import CometApi
from act_one.provider.outcomes import Ambiguous, Report, Retryable
from act_one.provider.replies import read_callback
from act_one.tasks import table
from act_one.tasks.rows import to_item
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage
from tests.protocol.mutants.registry import mutant

# ── Sending ───────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a refused task is sent again without claiming it",
    TaskTable,
    "move",
    killer="test_a_refused_task_is_sent_again_by_one_look_only",
)
def _(move, self, task, target, now, **changes):
    return task if target is Stage.SUBMITTING else move(self, task, target, now, **changes)


@mutant(
    "the row is written after the create",
    submission,
    "submit",
    killer="test_nothing_is_sent_before_its_row_is_written",
)
def _(submit, request, client_id, keys, services, *rest):
    class LateTable(TaskTable):
        def create(self, task):
            return task

        def move(self, task, target, now, **changes):
            if self.read(task.task_id) is None:
                super().create(task)
            return super().move(task, target, now, **changes)

    late = LateTable(services.table.client, services.table.name)
    return submit(request, client_id, keys, replace(services, table=late), *rest)


@mutant(
    "another's claim is taken for one's own",
    table,
    "_ours_or_raise",
    killer="test_two_requests_with_one_key_make_one_task",
)
def _(ours_or_raise, item, claim_id):
    if claim_id is not None and item:
        claim_id = item["claim_id"]["S"]
    return ours_or_raise(item, claim_id)


@mutant(
    "one's own claim is not recognised",
    table,
    "_ours_or_raise",
    killer="test_a_row_whose_writer_heard_no_reply_is_known_again_and_sent",
)
def _(ours_or_raise, response, _claim_id):
    return ours_or_raise(response, None)


@mutant(
    "an existing row is written over",
    TaskTable,
    "create",
    killer="test_two_requests_with_one_key_make_one_task",
)
def _(_create, self, task):
    self.client.put_item(TableName=self.name, Item=to_item(task))
    return task


@mutant(
    "an ambiguous create counts as refused",
    client,
    "read_create_reply",
    killer="test_an_ambiguous_create_is_never_repeated",
)
def _(read_create_reply, reply, *, now):
    outcome = read_create_reply(reply, now=now)
    return Retryable(reason=outcome.reason) if isinstance(outcome, Ambiguous) else outcome


@mutant(
    "a create without a reply counts as refused",
    CometApi,
    "create",
    killer="test_a_create_without_an_outcome_is_never_repeated",
)
def _(create, self, **asked):
    outcome = create(self, **asked)
    no_reply = isinstance(outcome, Ambiguous) and outcome.reason.code == "no_reply"
    return Retryable(reason=outcome.reason) if no_reply else outcome


@mutant(
    "an ambiguous create is repeated with a key read anew",
    CometApi,
    "create",
    killer="test_an_ambiguous_create_is_not_repeated_with_a_replaced_key",
)
def _(create, self, **asked):
    key = self.key_ring.keys().current
    outcome = create(self, **asked)
    ambiguous = isinstance(outcome, Ambiguous)
    return create(self, **asked) if ambiguous and self.key_ring.reload().current != key else outcome


@mutant(
    "a lost sender's task is sent again",
    advance,
    "_give_up_sender",
    killer="test_a_create_without_an_outcome_is_never_repeated",
)
def _(_give_up_sender, task, now, services):
    services.table.move(task, Stage.ACCEPTED, now, due_at=now)


@mutant(
    "a task that was called back is sent again",
    advance,
    "resend",
    killer="test_who_calls_back_was_not_refused_and_is_not_sent_again",
)
def _(resend, task, *rest):
    return resend(replace(task, evidence=None), *rest)


@mutant(
    "an early callback's answer is overwritten by the create's reply",
    TaskTable,
    "move",
    killer="test_a_callback_before_the_create_s_reply_is_not_lost",
)
def _(move, self, task, target, now, **changes):
    try:
        return move(self, task, target, now, **changes)
    except MovedOnError as error:
        raise error if task.stage is not Stage.SUBMITTING else MovedOnError(None) from None


@mutant(
    "an outcome is dropped when the table is away",
    submission,
    "_send",
    killer="test_a_sender_waits_for_its_write_while_the_table_is_away",
)
def _(send, task, keys, services, seconds_left):
    times = iter([seconds_left()])
    return send(task, keys, services, lambda: next(times, 0.0))


# ── Callbacks ─────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a callback that could not be kept is acknowledged",
    TaskTable,
    "record_callback",
    killer="test_a_callback_that_could_not_be_kept_is_not_acknowledged",
)
def _(record_callback, *arguments, **flags):
    try:
        return record_callback(*arguments, **flags)
    except Exception:  # noqa: BLE001 - what must not be done
        return None, False


@mutant(
    "a callback's failure is believed",
    TaskTable,
    "record_callback",
    killer="test_a_failure_that_only_a_callback_tells_is_never_believed",
)
def _(record_callback, self, task_id, evidence, *rest, **flags):
    says_something = read_callback(evidence.body) is not None
    return record_callback(self, task_id, evidence, *rest, **dict.fromkeys(flags, says_something))


@mutant(
    "a lesser callback replaces the one that announced a success",
    TaskTable,
    "record_callback",
    killer="test_a_lesser_callback_does_not_replace_the_one_that_announced_a_success",
)
def _(record_callback, *arguments, **flags):
    return record_callback(*arguments, **dict.fromkeys(flags, True))


@mutant(
    "a callback is believed at once",
    TaskTable,
    "_update_request",
    killer="test_a_success_that_only_a_callback_tells_is_believed_after_ten_silent_minutes",
)
def _(update, self, task_id, changes, **rest):
    if changes.get("feed_failing_since"):
        changes = {**changes, "feed_failing_since": changes["feed_failing_since"] - 600}
    return update(self, task_id, changes, **rest)


@mutant(
    "a callback is never believed",
    TaskTable,
    "_update_request",
    killer="test_a_success_that_only_a_callback_tells_is_believed_after_ten_silent_minutes",
)
def _(update, self, task_id, changes, **rest):
    kept = {name: value for name, value in changes.items() if name != "success_callback"}
    return update(self, task_id, kept, **rest)


@mutant(
    "a result known by its callback is fetched from its first address only",
    TaskTable,
    "move",
    killer="test_a_result_known_only_by_its_callback_gets_a_fresh_address_from_the_feed",
)
def _(move, self, task, target, now, **changes):
    if task.stage is target is Stage.STORING:
        changes["source"] = task.source
    return move(self, task, target, now, **changes)


# ── Asking the feed ───────────────────────────────────────────────────────────────────────────


@mutant(
    "an id is learnt whoever owns it",
    TaskTable,
    "owners_of",
    killer="test_another_task_s_id_is_never_learnt",
)
def _(_owners_of, _self, _provider_task_id):
    return []


@mutant(
    "an id is learnt whenever it was made",
    CometApi,
    "feed",
    killer="test_an_old_task_s_id_is_never_learnt",
)
def _(feed, self, provider_task_id, **named):
    answer = feed(self, provider_task_id, **named)
    return replace(answer, created_at=None) if isinstance(answer, Report) else answer


@mutant(
    "a look is claimed though another has it",
    TaskTable,
    "claim_due",
    killer="test_two_sweeps_claim_a_due_row_once",
)
def _(claim_due, self, task_id, seen_due, now, lease_seconds):
    row = self.read(task_id)
    return claim_due(self, task_id, row.due_at if row else seen_due, now, lease_seconds)


@mutant(
    "a look is called off that a callback asked for",
    TaskTable,
    "record",
    killer="test_a_look_at_a_failed_task_is_not_called_off_once_a_callback_asked_for_it",
)
def _(_record, self, task, **changes):
    condition, values = table._as_seen(task, {})  # noqa: SLF001
    return self._update(task.task_id, changes, condition=condition, values=values)


@mutant(
    "a move calls a look off that a callback asked for",
    TaskTable,
    "_update_request",
    killer="test_a_look_that_ends_a_task_is_not_the_last_once_a_callback_asked_for_another",
)
def _(update, self, task_id, changes, *, condition, values=None, **rest):
    if "stage" in changes and values and ":seen_due" in values:
        condition, values = "version = :seen", {":seen": values[":seen_version"]}
    return update(self, task_id, changes, condition=condition, values=values, **rest)


@mutant(
    "a failed task is looked at as long as a callback says otherwise",
    TaskTable,
    "record",
    killer="test_a_failed_task_is_not_looked_at_for_ever",
)
def _(record, self, task, **changes):
    if task.stage is Stage.FAILED and changes.get("due_at", "kept") is None:
        del changes["due_at"]
    return record(self, task, **changes) if changes else task


@mutant(
    "an expired task is left alone",
    TaskTable,
    "move",
    killer="test_a_result_that_misses_the_deadline_is_found_by_the_hourly_look",
)
def _(move, self, task, target, now, **changes):
    if target is Stage.EXPIRED:
        changes["due_at"] = None
    return move(self, task, target, now, **changes)


@mutant(
    "a move looks at no version",
    table,
    "_as_seen",
    killer="test_a_refused_task_is_sent_again_by_one_look_only",
)
def _(_as_seen, _task, _changes):
    return "attribute_exists(task_id)", {}


# ── Copies and events ─────────────────────────────────────────────────────────────────────────


@mutant(
    "a copy is claimed though another is at it",
    TaskTable,
    "_update_request",
    killer="test_two_messages_make_one_copy",
)
def _(update, self, task_id, changes, *, values=None, **rest):
    if "copy_attempts" in rest.get("add", ()):
        values = {**values, ":now": 1e12}  # every lease is over
    return update(self, task_id, changes, values=values, **rest)


@mutant(
    "a look frees a lease that was taken while it asked the feed",
    TaskTable,
    "_update_request",
    killer="test_a_look_frees_no_lease_that_was_taken_while_it_asked_the_feed",
)
def _(update, self, task_id, changes, *, values=None, **rest):
    if "stage" in changes and ":now" in values:
        values = {**values, ":now": 1e12}  # every lease is over
    return update(self, task_id, changes, values=values, **rest)


@mutant(
    "a copy is released whoever holds it",
    TaskTable,
    "_update_request",
    killer="test_a_released_copy_s_repeated_request_frees_no_other_copy",
)
def _(update, self, task_id, changes, *, condition, values=None, **rest):
    if "stage" not in changes and changes.get("copy_lease_until", "kept") is None:
        condition, values = "version = :seen", {":seen": values[":seen_version"]}
    return update(self, task_id, changes, condition=condition, values=values, **rest)


@mutant(
    "a lost copy's lease is waited for by nothing",
    TaskTable,
    "_update_request",
    killer="test_a_copy_that_dies_is_taken_up_when_its_lease_is_over",
)
def _(update, self, task_id, changes, **rest):
    if "copy_attempts" in (rest.get("add") or ()):
        changes = {**changes, "due_at": None}
    return update(self, task_id, changes, **rest)


@mutant(
    "an object that is there already is an error",
    copy,
    "_adopt",
    killer="test_an_object_that_an_earlier_attempt_left_is_adopted",
)
def _(_adopt, *_arguments):
    raise MediaError("store_failed", "it is there already")


@mutant(
    "entries that the bus refused are forgotten",
    relay,
    "publish",
    killer="test_no_event_is_lost_or_told_in_two_ways",
)
def _(publish, *arguments):
    publish(*arguments)
