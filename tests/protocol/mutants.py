"""Breaks the core on purpose, one promise at a time, and checks that a test here notices.

    .venv/bin/python -m tests.protocol.mutants [--by-chance] [WORD …]

WORDs choose the mutants whose names hold one. A mutant replaces one function or method of the core
in a process of its own, in which its killer must fail: a test of test_histories.py, or one of
tests/unit by its file. Exits with 1 if a
mutant survives. With ``--by-chance`` only the histories that hypothesis generates are tried.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest

from act_one.lifecycle import advance, callback, next_step, poll, relay, submission
from act_one.media import copy
from act_one.media.copy import MediaError
from act_one.provider import client, replies
from act_one.provider.client import CometApi
from act_one.provider.outcomes import Ambiguous, Report, Retryable
from act_one.provider.replies import read_callback
from act_one.tasks import moves, table
from act_one.tasks.rows import to_item
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Stage

ROOT: Final = Path(__file__).resolve().parents[2]
HISTORIES: Final = ("tests/protocol/test_histories.py", "-k")
BY_CHANCE: Final = ("tests/protocol/test_protocol.py", "--hypothesis-profile=unshrunk", "-k")
CHANCES: Final = "300"
CHOSEN: Final = "ACT_ONE_MUTANT"
"""The variable that names the mutant of a process; this module is a plugin of its pytest."""


@dataclass(frozen=True)
class Mutant:
    """What is broken, by replacing which attribute of what, and the test that must notice."""

    name: str
    owner: Any
    attribute: str
    killer: str
    replacement: Callable[..., Any]
    """Is called with the original first, then as the original is."""

    def apply(self) -> None:
        original = getattr(self.owner, self.attribute)

        @wraps(original)
        def replaced(*arguments, **named):
            return self.replacement(original, *arguments, **named)

        setattr(self.owner, self.attribute, replaced)


MUTANTS: Final[list[Mutant]] = []


def mutant(name: str, owner: Any, attribute: str, *, killer: str):
    def add(replacement: Callable[..., Any]) -> Callable[..., Any]:
        MUTANTS.append(Mutant(name, owner, attribute, killer, replacement))
        return replacement

    return add


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
def _(ours_or_raise, response, claim_id):
    if claim_id is not None and "Item" in response:
        claim_id = response["Item"]["claim_id"]["S"]
    return ours_or_raise(response, claim_id)


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
    "_update",
    killer="test_a_success_that_only_a_callback_tells_is_believed_after_ten_silent_minutes",
)
def _(update, self, task_id, changes, **rest):
    if changes.get("feed_failing_since"):
        changes = {**changes, "feed_failing_since": changes["feed_failing_since"] - 600}
    return update(self, task_id, changes, **rest)


@mutant(
    "a callback is never believed",
    TaskTable,
    "_update",
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
    "_update",
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
    "_update",
    killer="test_two_messages_make_one_copy",
)
def _(update, self, task_id, changes, *, values=None, **rest):
    if "copy_attempts" in rest.get("add", ()):
        values = {**values, ":now": 1e12}  # every lease is over
    return update(self, task_id, changes, values=values, **rest)


@mutant(
    "a look frees a lease that was taken while it asked the feed",
    TaskTable,
    "_update",
    killer="test_a_look_frees_no_lease_that_was_taken_while_it_asked_the_feed",
)
def _(update, self, task_id, changes, *, values=None, **rest):
    if "stage" in changes and ":now" in values:
        values = {**values, ":now": 1e12}  # every lease is over
    return update(self, task_id, changes, values=values, **rest)


@mutant(
    "a copy is released whoever holds it",
    TaskTable,
    "_update",
    killer="test_a_released_copy_s_repeated_request_frees_no_other_copy",
)
def _(update, self, task_id, changes, *, condition, values=None, **rest):
    if "stage" not in changes and changes.get("copy_lease_until", "kept") is None:
        condition, values = "version = :seen", {":seen": values[":seen_version"]}
    return update(self, task_id, changes, condition=condition, values=values, **rest)


@mutant(
    "a lost copy's lease is waited for by nothing",
    TaskTable,
    "_update",
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


# ── Facts from callbacks and the feed ─────────────────────────────────────────────────────────

CALLED_BACK: Final = "lifecycle/test_called_back.py::"
LOST_FACTS: Final = "lifecycle/test_lost_facts.py::"
FORMS: Final = "provider/test_undocumented_forms.py::"


@mutant(
    "a callback does not forbid a step",
    TaskTable,
    "move",
    killer=CALLED_BACK + "test_a_callback_prevents_a_resend",
)
def _(move, self, task, target, now, *, unless_called_back=False, **changes):
    del unless_called_back
    return move(self, task, target, now, **changes)


@mutant(
    "a refusal is believed although the provider called back",
    submission,
    "_step_after",
    killer=CALLED_BACK + "test_a_refusal_after_a_callback_leaves_the_task_unconfirmed",
)
def _(step_after, task, outcome, now, services):
    step = step_after(replace(task, evidence=None), outcome, now, services)
    return replace(step, unless_called_back=False)


@mutant(
    "a report counts under any id",
    poll,
    "_is_about",
    killer=LOST_FACTS + "test_a_report_with_another_id_or_none_changes_no_stage",
)
def _(_is_about, *_arguments):
    return True


@mutant(
    "a success counts under its own id only",
    poll,
    "_is_about",
    killer=LOST_FACTS
    + "test_a_success_with_another_id_counts_if_its_time_fits_and_no_task_owns_it",
)
def _(_is_about, task, report, _services):
    return task.provider_task_id == report.provider_task_id


@mutant(
    "a success without media is an answer",
    next_step,
    "_is_bare_success",
    killer=LOST_FACTS + "test_a_success_without_media_lets_a_callback_with_media_be_trusted",
)
def _(_is_bare_success, _report):
    return False


@mutant(
    "the time for fetching a result counts from the send",
    moves,
    "to_storing",
    killer=LOST_FACTS + "test_a_result_reported_again_is_copied_for_another_day",
)
def _(to_storing, task, *arguments):
    step = to_storing(task, *arguments)
    changes = {**step.changes, "source_known_at": task.began_at}
    return replace(step, changes=changes)


@mutant(
    "only the kept part of a callback is read",
    callback,
    "read_callback",
    killer=LOST_FACTS + "test_a_callback_over_8_kilobytes_is_read_whole",
)
def _(read_callback, body):
    return read_callback(body[: callback.EVIDENCE_BYTES])


@mutant(
    "an id in a truncated reply is thrown away",
    replies,
    "read_created",
    killer=FORMS + "test_an_id_is_read_from_a_truncated_reply",
)
def _(read_created, reply):
    return read_created(reply) if replies._json_object(reply.body) else None  # noqa: SLF001


@mutant(
    "secrets that the provider echoes are passed on",
    replies,
    "scrub",
    killer=FORMS + "test_an_echoed_secret_is_removed_from_the_reason",
)
def _(scrub, text, _secrets=()):
    return scrub(text)


# ── Trying them ───────────────────────────────────────────────────────────────────────────────


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    """Break the core before the tests import it."""
    next(mutant for mutant in MUTANTS if mutant.name == os.environ[CHOSEN]).apply()


def survives(mutant: Mutant, *, by_chance: bool) -> bool:
    """Run a mutant's killer against it; return whether the test passes all the same."""
    if by_chance:
        return _passes("test_no_history_breaks_a_promise", mutant, BY_CHANCE)
    file, _, test = mutant.killer.rpartition("::")
    return _passes(test, mutant, (f"tests/unit/{file}", "-k") if file else HISTORIES)


def _passes(tests: str, mutant: Mutant | None, where: tuple[str, ...] = HISTORIES) -> bool:
    plugin = ("-p", __spec__.name, "-x") if mutant else ("-x",)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"),
            *(*plugin, *where, tests),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "layers/act_one"),
            "ACT_ONE_HISTORIES": CHANCES,
            "ACT_ONE_SOAK": "0",
            CHOSEN: mutant.name if mutant else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    # An error in a fixture is not a failure of the test, and kills nothing.
    summary = (ended.stdout.splitlines() or [""])[-1]
    if ended.returncode not in {0, 1} or "error" in summary:
        sys.exit(f"{tests} did not run ({ended.returncode}):\n{ended.stdout}{ended.stderr}")
    return ended.returncode == 0


def _unit_tests(mutants: list[Mutant]) -> Iterator[str]:
    for each in mutants:
        file = each.killer.rpartition("::")[0]
        if file:
            yield f"tests/unit/{file}"


def main(words: list[str]) -> int:
    """Try the mutants; return 1 if one survives."""
    began_at = monotonic()
    by_chance = "--by-chance" in words
    words = [word for word in words if word != "--by-chance"]
    chosen = [mutant for mutant in MUTANTS if not words or any(w in mutant.name for w in words)]
    everywhere = (*HISTORIES[:-1], *sorted({*_unit_tests(chosen)}), "-k")
    killers = (mutant.killer.rpartition("::")[2] for mutant in chosen)
    if not _passes(" or ".join(killers), None, everywhere):
        sys.exit("the tests fail without any mutant")
    with ThreadPoolExecutor(2) as pool:
        outcomes = []
        run = partial(survives, by_chance=by_chance)
        for mutant, survived in zip(chosen, pool.map(run, chosen), strict=True):
            outcomes.append(survived)
            killer = "chance" if by_chance else mutant.killer
            print(f"{'SURVIVED' if survived else 'killed'}: {mutant.name} ({killer})", flush=True)
    print(f"{len(chosen)} mutants, {sum(outcomes)} survived, {monotonic() - began_at:.0f} s")
    return int(any(outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
