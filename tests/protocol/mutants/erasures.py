"""Mutants of erasures: what brings an erased task back, and what stays of it."""

from dataclasses import replace
from typing import Final

from act_one.lifecycle import erasure, repeats
from act_one.tasks import events, table
from ops import erase as ops_erase
from tests.protocol.mutants.registry import altered, mutant

ERASURE: Final = "lifecycle/test_erasure.py::"
COMMAND: Final = "test_erase.py::"

altered(
    "a late result brings an erased task back",
    table,
    "_NOT_ERASED",
    "attribute_exists(task_id)",
    killer="test_a_result_that_comes_late_brings_no_erased_task_back",
)

altered(
    "an erased row can be written",
    table,
    "_NOT_ERASED",
    "attribute_exists(task_id)",
    killer=ERASURE + "test_no_write_changes_an_erased_row",
)


@mutant(
    "media stay",
    erasure,
    "delete_files",
    killer="test_an_erased_task_leaves_no_media",
)
def _(_delete_files, _task, _files):
    return None


@mutant(
    "older versions of files stay",
    erasure,
    "_versions",
    killer=ERASURE + "test_its_uploads_go_in_all_versions_and_no_others",
)
def _(versions, *arguments):
    return (one for one in versions(*arguments) if one.latest)


@mutant(
    "the result of a newer task of the folder goes too",
    erasure,
    "_id_in",
    killer=ERASURE
    + "test_the_result_of_a_newer_task_of_the_folder_stays_and_what_it_replaced_goes",
)
def _(_id_in, _result, _files):
    return "task_0123456789abcdef0123456789abcdef"


altered(
    "what a failed copy sent arrives after the erasure",
    erasure,
    "STRAGGLER_SECONDS",
    0.0,
    killer="test_what_a_failed_copy_sent_does_not_arrive_after_the_erasure",
)


@mutant(
    "an open task is erased",
    erasure,
    "_refuse_early",
    killer=ERASURE + "test_an_open_task_is_refused_and_not_changed",
)
def _(_refuse_early, _task, _now):
    return None


@mutant(
    "a tombstone keeps who consented",
    table,
    "tombstone",
    killer=ERASURE + "test_nothing_that_tells_of_a_person_or_a_caller_stays_in_the_row",
)
def _(tombstone, task, now):
    return replace(tombstone(task, now), consent=task.consent)


@mutant(
    "the key of an erased task is one for another body",
    repeats,
    "not_erased",
    killer=ERASURE + "test_its_idempotency_key_never_pays_again",
)
def _(_not_erased, task):
    return task


@mutant(
    "the begin of an erasure is told as another end",
    events,
    "detail_type_of",
    killer=ERASURE + "test_its_event_says_only_which_task_and_when",
)
def _(detail_type_of, task):
    return detail_type_of(replace(task, erasing_since=task.erased_at))


@mutant(
    "any client's task is erased with a person's",
    ops_erase,
    "matches",
    killer=COMMAND + "test_a_persons_tasks_are_erased_and_open_ones_reported",
)
def _(_matches, _task, _wanted):
    return True
