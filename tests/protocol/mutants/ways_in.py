"""Mutants of requests, of the files that they name, and of folders and messages."""

from dataclasses import replace
from typing import Final

from act_one.ingest import folders, messages, pairs
from act_one.ingest.context import IngestContext
from act_one.ingest.pairs import PairTable, Verdict
from act_one.inputs import preflight, request
from act_one.inputs.request import TransferRequest
from act_one.lifecycle import submission
from act_one.net import dialing
from act_one.net.downloads import PeerError
from act_one.settings import Settings
from tests.protocol.mutants.registry import altered, mutant

REQUESTS: Final = "inputs/test_request.py::"
PREFLIGHT: Final = "media/test_preflight.py::"
UPLOADS: Final = "lifecycle/test_submission.py::"
FOLDERS: Final = "ingest/test_folders.py::"
MESSAGES: Final = "ingest/test_messages.py::"
LIMITS: Final = "ingest/test_message_limits.py::"

# ── Requests ──────────────────────────────────────────────────────────────────────────────────

altered(
    "metadata may hold integers that EventBridge takes but other parsers change",
    request,
    "MAX_INTEGER",
    2**63 - 1,
    killer=REQUESTS + "test_an_integer_that_other_json_parsers_change_or_refuse_is_refused",
)
altered(
    "metadata may be nested 33 levels deep",
    request,
    "MAX_METADATA_DEPTH",
    33,
    killer=REQUESTS + "test_metadata_deeper_than_32_levels_is_refused",
)


@mutant(
    "the metadata of a message is not checked",
    request,
    "_check_json",
    killer=LIMITS + "test_metadata_that_eventbridge_refuses_is_rejected",
)
def _(_check_json, _value, _depth=1):
    return None


@mutant(
    "any text can be the id of an ended task",
    messages,
    "is_task_id",
    killer=LIMITS + "test_an_end_of_a_task_that_cannot_exist_reaches_no_table",
)
def _(_is_task_id, _text):
    return True


# ── Ids ───────────────────────────────────────────────────────────────────────────────────────


@mutant(
    "the ids of requested tasks can be computed from their keys",
    IngestContext,
    "secret_key",
    killer=MESSAGES + "test_the_id_of_a_requested_task_cannot_be_computed_from_its_key",
)
def _(_secret_key, _self, key):
    return key


@mutant(
    "the ids of tasks from folders can be computed from their files",
    folders,
    "_request_key",
    killer=FOLDERS + "test_the_id_of_a_folders_task_cannot_be_computed_from_its_files",
)
def _(_request_key, pair, run, _context):
    return f"{pair.key}\n{run}"


@mutant(
    "the secret of ids is made anew",
    PairTable,
    "id_secret",
    killer=MESSAGES + "test_the_id_of_a_requested_task_cannot_be_computed_from_its_key",
)
def _(_id_secret, _self):
    return pairs.secrets.token_bytes(32)


# ── Preflight ─────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a name without an address may have one soon",
    dialing._Lookup,  # noqa: SLF001
    "run",
    killer=PREFLIGHT + "test_a_name_that_does_not_exist_is_refused",
)
def _(run, self):
    run(self)
    self.has_none = False


@mutant(
    "a host that refuses connections may take them soon",
    PeerError,
    "__init__",
    killer=PREFLIGHT + "test_a_host_that_refuses_connections_is_refused",
)
def _(init, self, code, message, *, certain=False):
    del certain
    init(self, code, message)


@mutant(
    "a name that can't be resolved now has no address",
    dialing._Lookup,  # noqa: SLF001
    "run",
    killer=PREFLIGHT + "test_a_name_that_no_server_can_resolve_now_gets_a_warning",
)
def _(run, self):
    run(self)
    self.has_none = not self.found


@mutant(
    "a file of which there are no ranges is not checked",
    preflight._Input,  # noqa: SLF001
    "_read_whole",
    killer=PREFLIGHT + "test_an_index_at_the_end_is_read_without_ranges",
)
def _(_read_whole, _self):
    raise preflight._UnseenError("its server sends no ranges of it")  # noqa: SLF001


# ── Uploads ───────────────────────────────────────────────────────────────────────────────────


@mutant(
    "uploads are compared by their ids",
    TransferRequest,
    "content_fingerprint",
    killer=UPLOADS + "test_the_same_bytes_under_a_new_upload_id_are_the_same_request",
)
def _(_content_fingerprint, _self):
    return None


@mutant(
    "uploads of other bytes are the same request",
    TransferRequest,
    "content_fingerprint",
    killer=UPLOADS + "test_other_bytes_under_a_new_upload_id_are_another_request",
)
def _(content_fingerprint, self):
    return content_fingerprint(replace(self, etags=dict.fromkeys(self.etags, "any")))


@mutant(
    "a repeated request needs its upload",
    submission,
    "submit",
    killer=UPLOADS + "test_a_repeat_gets_its_task_after_its_upload_is_gone",
)
def _(submit, asked, client_id, keys, services, *rest):
    return submit(services.uploads.pin_versions(asked), client_id, keys, services, *rest)


# ── Folders ───────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a pair is forgotten with its task's row",
    PairTable,
    "read",
    killer=FOLDERS + "test_an_older_pair_is_not_paid_again_when_its_row_is_gone",
)
def _(read, self, folder):
    taken = read(self, folder)
    return taken and replace(taken, created=False)


@mutant(
    "a folder with too many entries is told nothing",
    folders,
    "_read_folder",
    killer=FOLDERS + "test_a_folder_with_more_entries_than_are_read_is_one_rejection",
)
def _(read_folder, name, context):
    context.uploads.list_files(name)
    return read_folder(name, context)


@mutant(
    "a retry that finds the task does not mark its pair as created",
    folders,
    "_take_pair",
    killer=FOLDERS + "test_a_retry_remembers_a_pair_whose_first_attempt_stopped_after_the_create",
)
def _(take_pair, folder, context, submit):
    taken = context.pairs.read(folder.name)
    if taken is None or taken.created or (task := context.table.read(taken.task_id)) is None:
        return take_pair(folder, context, submit)
    return task


@mutant(
    "a claim is kept no longer than its files",
    Settings,
    "claim_expires_at",
    killer=FOLDERS + "test_a_claim_outlives_the_files_however_often_they_are_put_again",
)
def _(_claim_expires_at, self, now):
    return now + self.input_retention_days * folders.DAY


@mutant(
    "a claim is not kept longer when its files are put again",
    folders,
    "_keep_claim",
    killer=FOLDERS + "test_a_claim_outlives_the_files_however_often_they_are_put_again",
)
def _(_keep_claim, taken, _context):
    return taken


altered(
    "a pair whose task failed can't be asked for again",
    folders,
    "_ASKED_AGAIN",
    frozenset(),
    killer=FOLDERS
    + "test_a_pair_whose_task_failed_is_submitted_again_when_both_files_are_put_again",
)
altered(
    "a pair whose task succeeded is asked for again",
    folders,
    "_ASKED_AGAIN",
    frozenset(folders.Stage),
    killer=FOLDERS + "test_a_pair_whose_task_succeeded_is_never_submitted_again",
)


@mutant(
    "an old file and a new one are a pair",
    folders,
    "judge",
    killer=FOLDERS + "test_a_replaced_pair_is_never_mixed_whenever_the_folder_is_read",
)
def _(judge, pair, taken):
    verdict = judge(pair, taken)
    return Verdict.NEW if verdict is Verdict.MIXED else verdict


# ── problem.json ──────────────────────────────────────────────────────────────────────────────


@mutant(
    "a problem stays when its files are gone",
    folders,
    "_remove_problem",
    killer=FOLDERS + "test_a_problem_goes_when_its_files_go",
)
def _(_remove_problem, _folder, _context):
    return False


@mutant(
    "an older problem stays while the folder waits for a second new file",
    folders,
    "_write_waiting",
    killer=FOLDERS + "test_a_refused_pair_is_told_once_and_both_files_have_to_be_new",
)
def _(write_waiting, waiting, key, folder, context):
    return folders.PROBLEM not in folder.files and write_waiting(waiting, key, folder, context)


@mutant(
    "a problem is not compared with the folder after it was written",
    folders,
    "_write",
    killer=FOLDERS + "test_a_problem_that_is_written_late_does_not_outlive_its_state",
)
def _(write, *arguments):
    write(*arguments)
    return False


altered(
    "a refused pair is told to replace one file",
    folders,
    "_BOTH_FILES",
    "",
    killer=FOLDERS + "test_a_refused_pair_says_that_both_files_have_to_be_put_again",
)


@mutant(
    "a folder that stays incomplete is not looked at again",
    folders,
    "_write_waiting",
    killer=FOLDERS + "test_a_lone_file_is_told_what_it_waits_for_after_a_while",
)
def _(_write_waiting, *_arguments):
    return False
