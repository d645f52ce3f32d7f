"""A callback rings: it is kept, and the feed is what gets believed."""

import json
from dataclasses import replace

import pytest

from act_one.lifecycle.callback import EVIDENCE_BYTES, handle_callback
from act_one.provider.outcomes import NoAnswer, NotKnown, ProviderState, Report
from act_one.tasks.task import Billing, Evidence, Notice, SettledBy, Stage
from tests.unit.examples import SOURCE, TASK
from tests.unit.fakes import BEGINNING
from tests.unit.forms import FORMS

NOW = BEGINNING + 120.0
DONE = Report(provider_task_id="p", state=ProviderState.SUCCEEDED, media=SOURCE)
RUNNING = Report(provider_task_id="p", state=ProviderState.RUNNING, progress=40)
FAILED = Report(
    provider_task_id="p",
    state=ProviderState.FAILED,
    failure=Notice(code="provider_failed", message="no face"),
)
SUCCESS = json.dumps(FORMS["callback_legacy"]["body"] | {"task_id": "p"}).encode()
FAILURE = b'{"task_id": "p", "status": "2", "msg": "no face"}'
PROGRESS = b'{"task_id": "p", "status": "processing", "progress": 40}'

AWAITED = [
    *(Stage.ACCEPTED, Stage.SUBMITTING, Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING),
    *(Stage.EXPIRED, Stage.FAILED),
]


# ── Who is listened to ────────────────────────────────────────────────────────────────────────


def test_a_callback_for_a_row_that_is_gone_does_nothing(stack, provider):
    assert handle_callback("task_gone", SUCCESS, stack) is None
    assert provider.looks == []


@pytest.mark.parametrize("stage", [Stage.SUCCEEDED, Stage.CANCELED])
@pytest.mark.parametrize("body", [SUCCESS, FAILURE, b""])
def test_a_callback_changes_nothing_once_the_result_is_in_hand(
    stack, there, table, provider, stage, body
):
    before = there(stage, provider_task_id="p", source=SOURCE)
    provider.answers["p"] = FAILED

    assert handle_callback(TASK.task_id, body, stack) == before
    assert table.read(TASK.task_id) == before
    assert provider.looks == []


@pytest.mark.parametrize(("body", "announces"), [(SUCCESS, True), (FAILURE, False), (b"", False)])
def test_a_callback_during_a_copy_is_only_kept(there, stack, provider, clock, body, announces):
    before = there(Stage.STORING, provider_task_id="p", source=SOURCE)

    after = handle_callback(TASK.task_id, body, stack)

    assert after.evidence == Evidence(received_at=clock.now, body=body.decode())
    assert (after.success_callback is not None) == announces
    assert (after.callback_task_id == "p") == bool(body)
    kept = {"evidence": None, "success_callback": None, "callback_task_id": None}
    assert replace(after, **kept) == before
    assert provider.looks == []


@pytest.mark.parametrize("stage", AWAITED)
def test_a_callback_for_any_other_task_asks_the_feed(stack, there, provider, stage):
    there(stage, provider_task_id="p")

    handle_callback(TASK.task_id, SUCCESS, stack)

    assert provider.looks == ["p"]


@pytest.mark.parametrize("stage", AWAITED)
def test_the_feeds_result_is_stored_whatever_the_task_had_come_to(stack, there, provider, stage):
    there(stage, provider_task_id="p", error=Notice(code="a", message=""), due_at=None)
    provider.answers["p"] = DONE

    row = handle_callback(TASK.task_id, FAILURE, stack)

    assert row.stage is Stage.STORING
    assert row.source == SOURCE
    assert row.settled_by is SettledBy.CALLBACK
    assert row.billing is Billing.CHARGED
    assert row.error is None


@pytest.mark.parametrize(
    "answer", [NotKnown(), NoAnswer(reason="HTTP 500"), NoAnswer(reason="", key_refused=True)]
)
@pytest.mark.parametrize("stage", [Stage.UNCONFIRMED, Stage.SUBMITTED, Stage.RUNNING])
@pytest.mark.parametrize("body", [SUCCESS, FAILURE])
def test_the_body_alone_ends_nothing(stack, there, provider, answer, stage, body):
    there(stage, provider_task_id="p")
    provider.answers["p"] = answer

    row = handle_callback(TASK.task_id, body, stack)

    assert row.stage is stage
    assert row.evidence.body == body.decode()
    assert row.due_at == NOW + 10


def test_a_feed_that_lags_behind_the_callback_is_asked_again_soon(stack, there, provider):
    there(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = RUNNING

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert row.stage is Stage.RUNNING
    assert row.due_at == NOW + 10


def test_the_feeds_failure_ends_a_task_that_the_callback_calls_done(stack, there, provider):
    there(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = FAILED

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert (row.stage, row.error) == (Stage.FAILED, FAILED.failure)


def test_a_callback_proves_that_a_refusal_was_none(stack, there):
    there(Stage.ACCEPTED, billing=Billing.NONE)

    row = handle_callback(TASK.task_id, b"", stack)

    assert row.stage is Stage.UNCONFIRMED
    assert row.billing is Billing.UNKNOWN
    assert row.due_at == NOW + 10


# ── What it may say ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\x00\xff\xfe",
        b"task_id=p&status=3",
        b"<xml>p</xml>",
        b"[" * 100_000,
        b'{"task_id": ["p"], "status": {"a": 1}, "progress": -1.5e308}',
        b'{"task_id": "\\ud800", "status": "3"}',
        b'{"task_id": "' + b"p" * 5_000 + b'"}',
        SUCCESS[: len(SUCCESS) // 2],
    ],
    ids=lambda body: ascii(body)[:24],
)
@pytest.mark.parametrize("known", ["p", None])
def test_a_body_that_says_nothing_is_kept_and_the_feed_is_asked(
    stack, there, provider, body, known
):
    there(Stage.SUBMITTED, provider_task_id=known)
    provider.answers["p"] = DONE

    row = handle_callback(TASK.task_id, body, stack)

    assert row.evidence.received_at == NOW
    assert row.stage is (Stage.STORING if known else Stage.SUBMITTED)


def test_a_body_is_kept_up_to_8_kilobytes(stack, there):
    there(Stage.SUBMITTED, provider_task_id="p")

    row = handle_callback(TASK.task_id, "ü".encode() * 100_000, stack)

    assert row.evidence.body == "ü" * (EVIDENCE_BYTES // 2)


def test_the_latest_body_is_kept(stack, there):
    there(Stage.SUBMITTED, provider_task_id="p")
    handle_callback(TASK.task_id, b"first", stack)

    assert handle_callback(TASK.task_id, b"second", stack).evidence.body == "second"


# ── How often, and when next ──────────────────────────────────────────────────────────────────


def test_the_feed_is_asked_at_most_once_in_five_seconds(stack, there, provider, clock):
    there(Stage.SUBMITTED, provider_task_id="p")
    for _ in range(11):
        handle_callback(TASK.task_id, PROGRESS, stack)
        clock.pass_by(1)

    assert len(provider.looks) == 3


def test_a_duplicate_callback_changes_nothing_but_its_evidence(stack, there, provider, clock):
    there(Stage.SUBMITTED, provider_task_id="p")
    provider.answers["p"] = FAILED
    first = handle_callback(TASK.task_id, FAILURE, stack)
    clock.pass_by(6)

    second = handle_callback(TASK.task_id, FAILURE, stack)

    assert second.version == first.version
    assert second.evidence.received_at == clock.now
    assert replace(second, evidence=None, feed_asked_at=None, due_at=None) == replace(
        first, evidence=None, feed_asked_at=None, due_at=None
    )


@pytest.mark.parametrize("stage", [Stage.SUBMITTED, Stage.RUNNING])
def test_a_callback_in_mid_task_does_not_bring_the_fallback_forward(stack, there, provider, stage):
    there(stage, provider_task_id="p")
    provider.answers["p"] = RUNNING

    row = handle_callback(TASK.task_id, PROGRESS, stack)

    assert row.stage is Stage.RUNNING
    assert row.due_at == BEGINNING + 900


@pytest.mark.parametrize("stage", [Stage.UNCONFIRMED, Stage.EXPIRED, Stage.FAILED])
def test_a_callback_in_mid_task_brings_forward_a_look_that_is_hours_away(stack, there, stage):
    there(stage, due_at=NOW + 3_600)

    assert handle_callback(TASK.task_id, PROGRESS, stack).due_at == NOW + 10


@pytest.mark.parametrize("stage", [Stage.SUBMITTED, Stage.RUNNING])
def test_a_callback_in_mid_task_does_not_start_a_second_fallback(stack, there, provider, stage):
    there(stage, provider_task_id="p", polls=3)
    provider.answers["p"] = RUNNING

    row = handle_callback(TASK.task_id, PROGRESS, stack)

    # The longest interval, and the time after which an execution counts as lost.
    assert row.due_at == NOW + 120 + 120


def test_a_callback_in_mid_task_after_the_grace_keeps_it_due_soon(stack, there, provider, clock):
    clock.now = BEGINNING + 1_000
    there(Stage.SUBMITTED, provider_task_id="p")
    provider.answers["p"] = RUNNING

    assert handle_callback(TASK.task_id, PROGRESS, stack).due_at == BEGINNING + 1_010


def test_a_row_that_moves_while_the_feed_is_asked_stays_as_it_became(stack, there, table, provider):
    before = there(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = FAILED
    provider.during_feed = lambda: table.move(before, Stage.STORING, NOW, source=SOURCE)

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert row.stage is Stage.STORING
    assert table.read(TASK.task_id) == row


# ── An id that only a callback tells ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", [Stage.SUBMITTING, Stage.UNCONFIRMED, Stage.EXPIRED])
def test_an_id_from_a_body_is_learnt_when_the_feed_knows_it(stack, there, table, provider, stage):
    there(stage)
    provider.answers["p"] = replace(DONE, created_at=BEGINNING + 2)

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert row.stage is Stage.STORING
    assert row.provider_task_id == "p"
    assert table.owners_of("p") == [TASK.task_id]


@pytest.mark.parametrize("away", [-300, -1, 0, 299, 300])
def test_an_id_whose_times_fit_the_send_is_learnt(stack, there, provider, away):
    there(Stage.UNCONFIRMED)
    provider.answers["p"] = replace(RUNNING, created_at=BEGINNING + away)

    assert handle_callback(TASK.task_id, SUCCESS, stack).provider_task_id == "p"


@pytest.mark.parametrize("away", [-86_400, -301, 301, 5_000])
def test_an_id_whose_times_do_not_fit_is_not_learnt(stack, there, provider, away):
    there(Stage.UNCONFIRMED)
    provider.answers["p"] = replace(DONE, created_at=BEGINNING + away)

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert row.provider_task_id is None
    assert row.stage is Stage.UNCONFIRMED
    assert row.billing is Billing.UNKNOWN


@pytest.mark.parametrize("answer", [NotKnown(), NoAnswer(reason="HTTP 500")])
def test_an_id_that_the_feed_does_not_know_is_not_learnt(stack, there, provider, answer):
    there(Stage.UNCONFIRMED)
    provider.answers["p"] = answer

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert row.provider_task_id is None
    assert row.stage is Stage.UNCONFIRMED


def test_an_id_that_another_task_has_is_not_learnt(stack, there, table, provider):
    table.create(replace(TASK, task_id="task_other", provider_task_id="p"))
    there(Stage.UNCONFIRMED)
    provider.answers["p"] = replace(DONE, created_at=BEGINNING)

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert row.provider_task_id is None
    assert row.stage is Stage.UNCONFIRMED


def test_an_id_that_is_known_is_not_replaced_by_one_from_a_body(stack, there, provider):
    there(Stage.SUBMITTED, provider_task_id="ours")
    provider.answers["p"] = DONE

    row = handle_callback(TASK.task_id, SUCCESS, stack)

    assert provider.looks == ["ours"]
    assert (row.provider_task_id, row.stage) == ("ours", Stage.SUBMITTED)
