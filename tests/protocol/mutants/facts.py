"""Mutants of what is read from replies and callbacks, and of what is concluded from it."""

import re
from dataclasses import replace
from http.client import HTTPResponse
from typing import Final

from act_one.keys import KeyNotSetError, Keys
from act_one.lifecycle import advance, callback, next_step, poll, storing, submission
from act_one.net import exchange
from act_one.net.response import Response
from act_one.provider import callback_token, client, replies
from act_one.provider.callback_token import UnknownTokenError
from act_one.provider.client import CometApi
from act_one.provider.outcomes import Report
from act_one.tasks import moves
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Billing
from tests.protocol.mutants.registry import altered, mutant

CALLED_BACK: Final = "lifecycle/test_called_back.py::"
LOST_FACTS: Final = "lifecycle/test_lost_facts.py::"
ADVANCE: Final = "lifecycle/test_advance.py::"
CLIENT: Final = "provider/test_client.py::"
FEED: Final = "provider/test_feed_replies.py::"
FORMS: Final = "provider/test_undocumented_forms.py::"
NEVER: Final = re.compile(r"(?!)")
"""Matches nothing."""

# ── Callbacks ─────────────────────────────────────────────────────────────────────────────────


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
    "a callback does not forbid a cancel",
    moves,
    "to_canceled",
    killer=CALLED_BACK + "test_a_callback_prevents_a_cancel",
)
def _(to_canceled, *arguments):
    return replace(to_canceled(*arguments), unless_called_back=False)


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
    "a callback without an id removes the one that was known",
    TaskTable,
    "_update_request",
    killer=LOST_FACTS + "test_a_callback_without_an_id_keeps_the_earlier_one",
)
def _(update, self, task_id, changes, **rest):
    if "evidence" in changes:
        changes = {"callback_task_id": None, **changes}
    return update(self, task_id, changes, **rest)


@mutant(
    "only the latest id that a callback named is tried",
    poll,
    "_id_from_callbacks",
    killer=LOST_FACTS + "test_another_id_in_a_later_callback_does_not_replace_the_first",
)
def _(_id_from_callbacks, task):
    return task.callback_task_id


class AnyId:
    """A provider whose reports have the id that was asked for."""

    def __init__(self, provider):
        self.provider = provider

    def feed(self, provider_task_id, *, seconds):
        answer = self.provider.feed(provider_task_id, seconds=seconds)
        report = isinstance(answer, Report)
        return replace(answer, provider_task_id=provider_task_id) if report else answer


@mutant(
    "a callback's id is learnt from a report under another",
    poll,
    "ask_feed",
    killer=LOST_FACTS + "test_an_answer_with_another_id_than_the_callback_is_not_learned",
)
def _(ask_feed, task, services, seconds):
    return ask_feed(task, replace(services, provider=AnyId(services.provider)), seconds)


@mutant(
    "a callback alone is believed of a task that was rejected",
    poll,
    "next_step",
    killer=LOST_FACTS + "test_a_callback_alone_is_not_trusted_for_a_rejected_task",
)
def _(decide, task, *rest):
    rejected = task.billing is Billing.NONE
    return decide(replace(task, billing=Billing.UNKNOWN) if rejected else task, *rest)


@mutant(
    "a callback URL with a path before ours is unknown",
    callback_token,
    "verify",
    killer="provider/test_callback_token.py::test_the_base_urls_path_is_ignored",
)
def _(verify, path, key_ring):
    if path.strip("/").count("/") > 2:
        raise UnknownTokenError
    return verify(path, key_ring)


# ── The reply to a create ─────────────────────────────────────────────────────────────────────


@mutant(
    "an id in a truncated reply is thrown away",
    replies,
    "read_created",
    killer=FORMS + "test_an_id_is_read_from_a_truncated_reply",
)
def _(read_created, reply):
    return read_created(reply) if replies._json_object(reply.body) else None  # noqa: SLF001


@mutant(
    "what came of a reply that broke off is thrown away",
    client,
    "read_created",
    killer=CLIENT + "test_a_readable_id_makes_a_create_accepted",
)
def _(_read_created, _reply):
    return None


@mutant(
    "a reply that was compressed unasked is not read",
    exchange,
    "_decoded",
    killer=CLIENT + "test_a_readable_id_makes_a_create_accepted[gzip]",
)
def _(_decoded, body, _encoding):
    return body


@mutant(
    "an interim reply is taken for the reply",
    Response,
    "begin",
    killer=CLIENT + "test_a_readable_id_makes_a_create_accepted[after 1xx]",
)
def _(_begin, self):
    HTTPResponse.begin(self)
    self._head_bytes = self.fp.tell()
    self._source.begin_body(self._head_bytes)


@mutant(
    "an id is read in documented places only",
    replies,
    "_created_id",
    killer=FORMS + "test_an_id_is_read_in_each_undocumented_place",
)
def _(_created_id, body):
    data = replies._first_object(body.get("data"))  # noqa: SLF001
    return replies._id(data, "task_id") or replies._id(body, "task_id", "id")  # noqa: SLF001


altered(
    "data that is an id is not read",
    replies,
    "_BARE_ID",
    NEVER,
    killer=FORMS + "test_data_that_looks_like_an_id_is_read_as_one",
)


@mutant(
    "an id beside an error is taken for a task's",
    replies,
    "_names_an_error",
    killer=FORMS + "test_an_id_in_data_beside_an_error_is_not_read",
)
def _(_names_an_error, _body):
    return False


altered(
    "a used-up balance fails the task",
    replies,
    "_BALANCE_USED_UP",
    "\0",
    killer=FORMS + "test_a_used_up_balance_is_retryable_at_any_status",
)


# ── The feed ──────────────────────────────────────────────────────────────────────────────────


@mutant(
    "task_not_exist in an error's texts is not noticed",
    replies,
    "_says_not_exist",
    killer=FEED + "test_task_not_exist_is_read_in_each_place_at_any_status",
)
def _(says_not_exist, body):
    return says_not_exist({name: value for name, value in body.items() if name != "error"})


class CurrentOnly:
    """A key ring that has forgotten its previous key."""

    def __init__(self, ring):
        self.ring = ring

    def keys(self):
        return Keys(self.ring.keys().current)

    def reload(self):
        return Keys(self.ring.reload().current)


@mutant(
    "the feed is asked with the current key only",
    CometApi,
    "feed",
    killer=CLIENT + "test_the_previous_key_is_tried_if_the_current_one_finds_no_task",
)
def _(feed, self, *arguments, **named):
    return feed(replace(self, key_ring=CurrentOnly(self.key_ring)), *arguments, **named)


@mutant(
    "only a plain URL is read as a video",
    replies,
    "_first_url",
    killer=FORMS + "test_the_video_is_read_in_each_undocumented_place",
)
def _(_first_url, value):
    return replies._url(value)  # noqa: SLF001


@mutant(
    "the output beside a status is not read",
    replies,
    "_video_candidates",
    killer=FORMS + "test_the_video_is_read_in_each_undocumented_place",
)
def _(video_candidates, outer, nested):
    return video_candidates({n: v for n, v in outer.items() if n != "output"}, nested)


@mutant(
    "a URL is taken as it is written",
    replies,
    "_url",
    killer=FORMS + "test_a_url_that_needs_encoding_or_a_scheme_is_read",
)
def _(url, value):
    return value if url(value) else None


@mutant(
    "a nested state counts only if there is no outer one",
    replies,
    "_state_words",
    killer=FEED + "test_an_outer_word_beats_an_outer_number_and_both_beat_a_nested_word",
)
def _(state_words, outer, nested):
    return state_words(outer, nested)[:1]


altered(
    "milliseconds are read as seconds",
    replies,
    "_MILLISECONDS_FROM",
    float("inf"),
    killer=FEED + "test_a_creation_time_with_a_zone_is_read_in_each_form",
)


@mutant(
    "a time without a zone is read as UTC",
    replies,
    "_moment",
    killer=FEED + "test_a_creation_time_with_a_zone_is_read_in_each_form",
)
def _(moment, text):
    return moment(text) or (moment(f"{text}Z") if ":" in text else None)


@mutant(
    "a failed task that the feed calls running is not polled again",
    next_step,
    "_due_after_failure",
    killer=ADVANCE + "test_a_failed_task_that_the_feed_reports_in_progress_is_polled_hourly",
)
def _(_due_after_failure, *_arguments):
    return {"due_at": None}


@mutant(
    "an expired task's last poll comes up to an hour early",
    moves,
    "late_poll_at",
    killer=ADVANCE + "test_an_expired_task_is_polled_hourly_for_a_day",
)
def _(late_poll_at, task, now):
    poll_at = late_poll_at(task, now)
    return poll_at if poll_at != task.began_at + moves.LATE_SECONDS else None


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────


class Unread:
    """A key ring whose secret is not looked at."""

    def keys(self):
        return Keys("unread")


@mutant(
    "a task is claimed for a send before its key is read",
    submission,
    "resend",
    killer=CALLED_BACK + "test_without_a_usable_key_a_resend_sends_nothing_and_waits",
)
def _(resend, task, keys, services, *rest):
    provider = replace(services.provider, key_ring=Unread())
    return resend(task, keys, replace(services, provider=provider), *rest)


@mutant(
    "a repeated request needs the provider's key",
    submission,
    "submit",
    killer=CALLED_BACK + "test_a_repeated_request_needs_no_provider_key",
)
def _(submit, request, client_id, keys, services, *rest):
    try:
        services.provider.key_ring.keys()
    except KeyNotSetError as error:
        raise submission._key_not_set() from error  # noqa: SLF001
    return submit(request, client_id, keys, services, *rest)


# ── Copies ────────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a later attempt at a copy needs the provider's URL",
    storing,
    "_is_repeated",
    killer="lifecycle/test_storing.py::"
    "test_what_an_earlier_attempt_stored_is_adopted_when_the_providers_url_is_dead",
)
def _(_is_repeated, _task):
    return False


altered(
    "a lost copy gets no more time than one that ended",
    advance,
    "LOST_COPY_SECONDS",
    0.0,
    killer=ADVANCE
    + "test_a_copy_whose_end_was_never_written_has_another_attempt_to_adopt_its_files",
)
