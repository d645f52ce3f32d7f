"""Breaks the core on purpose, one line at a time, and sees that a test of this folder notices.

    .venv/bin/python -m tests.protocol.mutants [--by-chance] [WORD …]

WORDs choose the mutants whose names hold one. Each mutant is a copy of the package in which one
text stands for another; the test that must fail runs against the copy. Exits with 1 if a mutant
survives. With ``--by-chance`` only the histories that hypothesis makes up are tried against it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LAYER: Final = ROOT / "layers/act_one"
HISTORIES: Final = ("tests/protocol/test_histories.py", "-k")
BY_CHANCE: Final = ("tests/protocol/test_protocol.py", "--hypothesis-profile=unshrunk", "-k")
CHANCES: Final = "300"


@dataclass(frozen=True)
class Mutant:
    """What is broken, where, and the test that must notice."""

    name: str
    module: str
    old: str
    new: str
    killer: str


MUTANTS: Final = (
    Mutant(
        "a refused task is sent again without claiming it",
        "lifecycle/submission",
        "    sending = services.table.move(\n        task,\n"
        "        Stage.SUBMITTING,\n        now,\n"
        "        sent_at=now,\n        attempt=task.attempt + 1,\n"
        "        billing=Billing.UNKNOWN,\n        due_at=now + SEND_LEASE_SECONDS,\n    )\n"
        "    return _send(sending,",
        "    return _send(task,",
        "test_a_refused_task_is_sent_again_by_one_look_only",
    ),
    Mutant(
        "the row is written after the create",
        "lifecycle/submission",
        "        created = services.table.create(task)\n"
        "    except MovedOnError as error:\n"
        "        return _replay(request, error.current), True\n"
        "    return _send(created, keys, services, seconds_left), False\n",
        "        sent = services.provider.create(\n"
        "            video=task.video,\n"
        "            image=task.image,\n"
        "            callback_url=callback_url(\n"
        "                services.settings.callback_base_url, task.task_id, keys\n"
        "            ),\n"
        "        )\n"
        "        created = services.table.create(task)\n"
        "    except MovedOnError as error:\n"
        "        return _replay(request, error.current), True\n"
        "    return _write_down(created, sent, services, seconds_left), False\n",
        "test_nothing_is_sent_before_its_row_is_written",
    ),
    Mutant(
        "another's claim is taken for one's own",
        "tasks/table",
        "claim_id is not None and current.claim_id == claim_id:",
        "claim_id is not None:",
        "test_two_requests_with_one_key_make_one_task",
    ),
    Mutant(
        "one's own claim is not recognised",
        "tasks/table",
        "current.claim_id == claim_id:",
        "False:",
        "test_a_row_whose_writer_heard_no_reply_is_known_again_and_sent",
    ),
    Mutant(
        "an existing row is written over",
        "tasks/table",
        '_ABSENT: Final = "attribute_not_exists(task_id)"',
        '_ABSENT: Final = "attribute_not_exists(no_such_field)"',
        "test_two_requests_with_one_key_make_one_task",
    ),
    Mutant(
        "a move looks at no version",
        "tasks/table",
        '_VERSION_SEEN: Final = "version = :seen_version"',
        '_VERSION_SEEN: Final = "version <> :seen_version OR version = :seen_version"',
        "test_a_refused_task_is_sent_again_by_one_look_only",
    ),
    Mutant(
        "an ambiguous create counts as refused",
        "provider/replies",
        "        return Rejected(reason=reason)\n    return Ambiguous(reason=reason)",
        "        return Rejected(reason=reason)\n    return Retryable(reason=reason)",
        "test_an_ambiguous_create_is_never_repeated",
    ),
    Mutant(
        "a create without a reply counts as refused",
        "provider/client",
        'return Ambiguous(reason=Notice(code="no_reply"',
        'return Retryable(reason=Notice(code="no_reply"',
        "test_a_create_without_an_outcome_is_never_repeated",
    ),
    Mutant(
        "an ambiguous create is repeated with a key read anew",
        "provider/client",
        "        if isinstance(outcome, Retryable) and outcome.key_refused:\n"
        "            renewed = self._renewed(keys)\n            seconds",
        "        if not isinstance(outcome, Created | Rejected):\n"
        "            renewed = self.key_ring.reload()\n            seconds",
        "test_an_ambiguous_create_is_not_repeated_with_a_replaced_key",
    ),
    Mutant(
        "a lost sender's task is sent again",
        "lifecycle/advance",
        "        task,\n        Stage.UNCONFIRMED,\n        now,\n        billing=Billing.UNKNOWN,",
        "        task,\n        Stage.ACCEPTED,\n        now,\n        billing=Billing.UNKNOWN,",
        "test_a_create_without_an_outcome_is_never_repeated",
    ),
    Mutant(
        "who called back is sent again",
        "lifecycle/submission",
        "    if task.evidence is not None:\n        # Who",
        "    if False:\n        # Who",
        "test_who_calls_back_was_not_refused_and_is_not_sent_again",
    ),
    Mutant(
        "a callback that could not be kept is acknowledged",
        "lifecycle/callback",
        "    task, may_ask = services.table.record_callback(\n"
        "        task_id,\n"
        "        evidence,\n"
        "        now + DUE_AGAIN_SECONDS,\n"
        "        services.settings.min_poll_seconds,\n"
        "        reports_success=said is not None and said.media is not None,\n"
        "    )\n",
        "    try:\n"
        "        task, may_ask = services.table.record_callback(\n"
        "            task_id,\n"
        "            evidence,\n"
        "            now + DUE_AGAIN_SECONDS,\n"
        "            services.settings.min_poll_seconds,\n"
        "            reports_success=said is not None and said.media is not None,\n"
        "        )\n"
        "    except Exception:\n"
        "        return None\n",
        "test_a_callback_that_could_not_be_kept_is_not_acknowledged",
    ),
    Mutant(
        "a callback's failure is believed",
        "lifecycle/callback",
        "        reports_success=said is not None and said.media is not None,\n",
        "        reports_success=said is not None,\n",
        "test_a_failure_that_only_a_callback_tells_is_never_believed",
    ),
    Mutant(
        "a callback is believed at once",
        "lifecycle/advance",
        "TRUST_CALLBACK_AFTER_SECONDS: Final = 600.0",
        "TRUST_CALLBACK_AFTER_SECONDS: Final = 0.0",
        "test_a_success_that_only_a_callback_tells_is_believed_after_ten_silent_minutes",
    ),
    Mutant(
        "a callback is never believed",
        "lifecycle/advance",
        "TRUST_CALLBACK_AFTER_SECONDS: Final = 600.0",
        "TRUST_CALLBACK_AFTER_SECONDS: Final = 1e9",
        "test_a_success_that_only_a_callback_tells_is_believed_after_ten_silent_minutes",
    ),
    Mutant(
        "an id is learnt whoever owns it",
        "lifecycle/advance",
        "    if any(owner != task.task_id for owner in services.table.owners_of(candidate)):\n"
        "        return NotKnown(), {}\n",
        "",
        "test_another_task_s_id_is_never_learnt",
    ),
    Mutant(
        "an id is learnt whenever it was made",
        "lifecycle/advance",
        "    if not isinstance(answer, Report) or not _fits(task, answer):",
        "    if not isinstance(answer, Report):",
        "test_an_old_task_s_id_is_never_learnt",
    ),
    Mutant(
        "a look is claimed though another has it",
        "tasks/table",
        '_DUE_SEEN: Final = "due_at = :seen_due"',
        '_DUE_SEEN: Final = "due_at = :seen_due OR look >= look"',
        "test_two_sweeps_claim_a_due_row_once",
    ),
    Mutant(
        "a look is called off that a callback asked for",
        "tasks/table",
        "        condition, values = _as_seen(task, facts)\n",
        "        condition, values = _as_seen(task, {})\n",
        "test_a_look_at_a_failed_task_is_not_called_off_once_a_callback_asked_for_it",
    ),
    Mutant(
        "a failed task is looked at as long as a callback says otherwise",
        "lifecycle/advance",
        '        facts["due_at"] = None  # the feed says otherwise',
        "        pass  # the feed says otherwise",
        "test_a_failed_task_is_not_looked_at_for_ever",
    ),
    Mutant(
        "a copy is claimed though another is at it",
        "tasks/table",
        'condition=f"{_STORING} AND {_NO_LIVE_LEASE}",\n'
        '            values={":storing": Stage.STORING, ":now": now},',
        'condition=_STORING,\n            values={":storing": Stage.STORING},',
        "test_two_messages_make_one_copy",
    ),
    Mutant(
        "a copy is released whoever holds it",
        "tasks/table",
        'condition=f"{_VERSION_SEEN} AND {_LEASE_MINE}",\n'
        '            values={":seen_version": task.version, ":my_lease": task.copy_lease_until},',
        'condition=_VERSION_SEEN,\n            values={":seen_version": task.version},',
        "test_a_released_copy_s_repeated_request_frees_no_other_copy",
    ),
    Mutant(
        "a lost copy's lease is waited for by nobody",
        "tasks/table",
        '            {"copy_lease_until": leased_until, "due_at": leased_until},',
        '            {"copy_lease_until": leased_until, "due_at": None},',
        "test_a_copy_that_dies_is_taken_up_when_its_lease_is_over",
    ),
    Mutant(
        "a look frees a lease that was taken while it asked the feed",
        "tasks/table",
        "        if task.stage is Stage.STORING and target is not Stage.SUCCEEDED:\n",
        "        if False:\n",
        "test_a_look_frees_no_lease_that_was_taken_while_it_asked_the_feed",
    ),
    Mutant(
        "a move calls a look off that a callback asked for",
        "tasks/table",
        "_as_seen(task, {} if ends else changes)",
        "_as_seen(task, {})",
        "test_a_look_that_ends_a_task_is_not_the_last_once_a_callback_asked_for_another",
    ),
    Mutant(
        "a lesser callback replaces the one that announced a success",
        "tasks/table",
        "        if reports_success:\n            told",
        "        if True:\n            told",
        "test_a_lesser_callback_does_not_replace_the_one_that_announced_a_success",
    ),
    Mutant(
        "a result known by its callback is fetched from its first address only",
        "lifecycle/advance",
        "    answer, learnt = _ask(task, services, FALLBACK_FEED_SECONDS)\n",
        "    answer, learnt = NotKnown(), dict[str, object]()\n",
        "test_a_result_known_only_by_its_callback_gets_a_fresh_address_from_the_feed",
    ),
    Mutant(
        "an object that is there already is an error",
        "media/copy",
        "            return _adopt(key, destination, s3)\n",
        "            raise\n",
        "test_an_object_that_an_earlier_attempt_left_is_adopted",
    ),
    Mutant(
        "entries that the bus refused are forgotten",
        "lifecycle/relay",
        "                return sequence\n",
        "",
        "test_no_event_is_lost_or_told_in_two_ways",
    ),
    Mutant(
        "an expired task is left alone",
        "lifecycle/advance",
        '                **heard.changes,\n                "due_at": now + HOUR,',
        '                **heard.changes,\n                "due_at": None,',
        "test_a_result_that_misses_the_deadline_is_found_by_the_hourly_look",
    ),
    Mutant(
        "an early callback's answer is overwritten by the create's reply",
        "lifecycle/submission",
        "            if error.current is None:\n                raise\n"
        "            current = error.current\n        except (Boto",
        "            raise\n        except (Boto",
        "test_a_callback_before_the_create_s_reply_is_not_lost",
    ),
    Mutant(
        "an outcome is dropped when the table is away",
        "lifecycle/submission",
        "            if seconds_left() < WRITE_NEEDS_SECONDS:\n                raise\n",
        "            raise\n",
        "test_a_sender_waits_for_its_write_while_the_table_is_away",
    ),
)


def broken(mutant: Mutant) -> str:
    """Return the mutant's module as it would be; its text must be there once."""
    text = (LAYER / f"act_one/{mutant.module}.py").read_text()
    times = text.count(mutant.old)
    assert times == 1, f"{mutant.name}: its text is {times} times in {mutant.module}.py; adapt it"
    return text.replace(mutant.old, mutant.new)


def survives(mutant: Mutant, folder: Path, *, by_chance: bool) -> bool:
    """Run a mutant's killer against it; whether the test passes all the same."""
    package = folder / str(MUTANTS.index(mutant)) / "act_one"
    shutil.copytree(LAYER / "act_one", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / f"{mutant.module}.py").write_text(broken(mutant))
    if by_chance:
        return _passes("test_no_history_breaks_a_promise", package.parent, BY_CHANCE)
    return _passes(mutant.killer, package.parent)


def _passes(test: str, layer: Path, where: tuple[str, ...] = HISTORIES) -> bool:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-x"),
            *("-o", f"pythonpath=. {layer}", *where, test),
        ],
        cwd=ROOT,
        env={**os.environ, "ACT_ONE_HISTORIES": CHANCES, "ACT_ONE_SOAK": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    # A fixture's error is no failure of the test, and kills nothing.
    summary = (ended.stdout.splitlines() or [""])[-1]
    if ended.returncode not in {0, 1} or "error" in summary:
        sys.exit(f"{test} did not run ({ended.returncode}):\n{ended.stdout}{ended.stderr}")
    return ended.returncode == 0


def main(words: list[str]) -> int:
    """Try the mutants; 1 if one survives."""
    began_at = monotonic()
    by_chance = "--by-chance" in words
    words = [word for word in words if word != "--by-chance"]
    chosen = [mutant for mutant in MUTANTS if not words or any(w in mutant.name for w in words)]
    for mutant in chosen:
        broken(mutant)
    if not _passes(" or ".join(mutant.killer for mutant in chosen), LAYER):
        sys.exit("the tests fail without any mutant")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        run = partial(survives, folder=Path(folder), by_chance=by_chance)
        outcomes = []
        for mutant, survived in zip(chosen, pool.map(run, chosen), strict=True):
            outcomes.append(survived)
            killer = "chance" if by_chance else mutant.killer
            print(f"{'SURVIVED' if survived else 'killed'}: {mutant.name} ({killer})", flush=True)
    print(f"{len(chosen)} mutants, {sum(outcomes)} survived, {monotonic() - began_at:.0f} s")
    return int(any(outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
