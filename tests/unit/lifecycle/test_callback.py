"""A callback is stored and makes us poll the feed, whose answer decides."""

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


# ── Stages ────────────────────────────────────────────────────────────────────────────────────


def test_a_callback_for_a_missing_row_is_ignored(services, provider):
    assert handle_callback("task_gone", SUCCESS, services) is None
    assert provider.polls == []


@pytest.mark.parametrize("stage", [Stage.SUCCEEDED, Stage.CANCELED])
@pytest.mark.parametrize("body", [SUCCESS, FAILURE, b""])
def test_a_callback_for_a_succeeded_or_canceled_task_changes_nothing(
    services, create_task, table, provider, stage, body
):
    before = create_task(stage, provider_task_id="p", source=SOURCE)
    provider.answers["p"] = FAILED

    assert handle_callback(TASK.task_id, body, services) == before
    assert table.read(TASK.task_id) == before
    assert provider.polls == []


@pytest.mark.parametrize(("body", "succeeded"), [(SUCCESS, True), (FAILURE, False), (b"", False)])
def test_a_callback_during_a_copy_is_only_stored(
    create_task, services, provider, clock, body, succeeded
):
    before = create_task(Stage.STORING, provider_task_id="p", source=SOURCE)

    after = handle_callback(TASK.task_id, body, services)

    assert after.evidence == Evidence(received_at=clock.now, body=body.decode())
    assert (after.success_callback is not None) == succeeded
    assert (after.callback_task_id == "p") == bool(body)
    kept = {"evidence": None, "success_callback": None, "callback_task_id": None}
    assert replace(after, **kept) == before
    assert provider.polls == []


@pytest.mark.parametrize("stage", AWAITED)
def test_a_callback_in_any_other_stage_polls_the_feed(services, create_task, provider, stage):
    create_task(stage, provider_task_id="p")

    handle_callback(TASK.task_id, SUCCESS, services)

    assert provider.polls == ["p"]


@pytest.mark.parametrize("stage", AWAITED)
def test_a_result_from_the_feed_is_stored_in_any_other_stage(
    services, create_task, provider, stage
):
    create_task(stage, provider_task_id="p", error=Notice(code="a", message=""), due_at=None)
    provider.answers["p"] = DONE

    row = handle_callback(TASK.task_id, FAILURE, services)

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
def test_a_callback_body_alone_changes_no_stage(
    services, create_task, provider, answer, stage, body
):
    create_task(stage, provider_task_id="p")
    provider.answers["p"] = answer

    row = handle_callback(TASK.task_id, body, services)

    assert row.stage is stage
    assert row.evidence.body == body.decode()
    assert row.due_at == NOW + 10


def test_a_feed_behind_the_callback_is_polled_again_soon(services, create_task, provider):
    create_task(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = RUNNING

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert row.stage is Stage.RUNNING
    assert row.due_at == NOW + 10


def test_a_failure_from_the_feed_overrides_a_callbacks_success(services, create_task, provider):
    create_task(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = FAILED

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert (row.stage, row.error) == (Stage.FAILED, FAILED.failure)


def test_a_callback_makes_an_accepted_task_unconfirmed(services, create_task):
    create_task(Stage.ACCEPTED, billing=Billing.NONE)

    row = handle_callback(TASK.task_id, b"", services)

    assert row.stage is Stage.UNCONFIRMED
    assert row.billing is Billing.UNKNOWN
    assert row.due_at == NOW + 10


# ── Bodies ────────────────────────────────────────────────────────────────────────────────────


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
def test_an_unreadable_body_is_stored_and_the_feed_is_polled(
    services, create_task, provider, body, known
):
    create_task(Stage.SUBMITTED, provider_task_id=known)
    provider.answers["p"] = DONE

    row = handle_callback(TASK.task_id, body, services)

    assert row.evidence.received_at == NOW
    assert row.stage is (Stage.STORING if known else Stage.SUBMITTED)


def test_up_to_8_kilobytes_of_a_body_are_stored(services, create_task):
    create_task(Stage.SUBMITTED, provider_task_id="p")

    row = handle_callback(TASK.task_id, "ü".encode() * 100_000, services)

    assert row.evidence.body == "ü" * (EVIDENCE_BYTES // 2)


def test_the_latest_body_is_stored(services, create_task):
    create_task(Stage.SUBMITTED, provider_task_id="p")
    handle_callback(TASK.task_id, b"first", services)

    assert handle_callback(TASK.task_id, b"second", services).evidence.body == "second"


# ── Poll rate and due times ───────────────────────────────────────────────────────────────────


def test_callbacks_poll_the_feed_at_most_every_five_seconds(services, create_task, provider, clock):
    create_task(Stage.SUBMITTED, provider_task_id="p")
    for _ in range(11):
        handle_callback(TASK.task_id, PROGRESS, services)
        clock.pass_by(1)

    assert len(provider.polls) == 3


def test_a_duplicate_callback_changes_only_the_evidence(services, create_task, provider, clock):
    create_task(Stage.SUBMITTED, provider_task_id="p")
    provider.answers["p"] = FAILED
    first = handle_callback(TASK.task_id, FAILURE, services)
    clock.pass_by(6)

    second = handle_callback(TASK.task_id, FAILURE, services)

    assert second.version == first.version
    assert second.evidence.received_at == clock.now
    assert replace(second, evidence=None, feed_asked_at=None, due_at=None) == replace(
        first, evidence=None, feed_asked_at=None, due_at=None
    )


@pytest.mark.parametrize("stage", [Stage.SUBMITTED, Stage.RUNNING])
def test_a_progress_callback_keeps_the_due_time(services, create_task, provider, stage):
    create_task(stage, provider_task_id="p")
    provider.answers["p"] = RUNNING

    row = handle_callback(TASK.task_id, PROGRESS, services)

    assert row.stage is Stage.RUNNING
    assert row.due_at == BEGINNING + 900


@pytest.mark.parametrize("stage", [Stage.UNCONFIRMED, Stage.EXPIRED, Stage.FAILED])
def test_a_progress_callback_brings_a_distant_due_time_forward(services, create_task, stage):
    create_task(stage, due_at=NOW + 3_600)

    assert handle_callback(TASK.task_id, PROGRESS, services).due_at == NOW + 10


@pytest.mark.parametrize("stage", [Stage.SUBMITTED, Stage.RUNNING])
def test_a_progress_callback_starts_no_second_fallback(services, create_task, provider, stage):
    create_task(stage, provider_task_id="p", polls=3)
    provider.answers["p"] = RUNNING

    row = handle_callback(TASK.task_id, PROGRESS, services)

    # The longest interval, and the time after which an execution counts as lost.
    assert row.due_at == NOW + 120 + 120


def test_a_progress_callback_after_the_grace_period_keeps_a_task_due_soon(
    services, create_task, provider, clock
):
    clock.now = BEGINNING + 1_000
    create_task(Stage.SUBMITTED, provider_task_id="p")
    provider.answers["p"] = RUNNING

    assert handle_callback(TASK.task_id, PROGRESS, services).due_at == BEGINNING + 1_010


def test_a_move_during_the_poll_is_kept(services, create_task, table, provider):
    before = create_task(Stage.RUNNING, provider_task_id="p")
    provider.answers["p"] = FAILED
    provider.during_feed = lambda: table.move(before, Stage.STORING, NOW, source=SOURCE)

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert row.stage is Stage.STORING
    assert table.read(TASK.task_id) == row


# ── Provider ids from callbacks ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", [Stage.SUBMITTING, Stage.UNCONFIRMED, Stage.EXPIRED])
def test_an_id_from_a_callback_is_learned_if_the_feed_knows_it(
    services, create_task, table, provider, stage
):
    create_task(stage)
    provider.answers["p"] = replace(DONE, created_at=BEGINNING + 2)

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert row.stage is Stage.STORING
    assert row.provider_task_id == "p"
    assert table.owners_of("p") == [TASK.task_id]


@pytest.mark.parametrize("away", [-300, -1, 0, 299, 300])
def test_an_id_created_within_five_minutes_of_sending_is_learned(
    services, create_task, provider, away
):
    create_task(Stage.UNCONFIRMED)
    provider.answers["p"] = replace(RUNNING, created_at=BEGINNING + away)

    assert handle_callback(TASK.task_id, SUCCESS, services).provider_task_id == "p"


@pytest.mark.parametrize("away", [-86_400, -301, 301, 5_000])
def test_an_id_created_at_another_time_is_not_learned(services, create_task, provider, away):
    create_task(Stage.UNCONFIRMED)
    provider.answers["p"] = replace(DONE, created_at=BEGINNING + away)

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert row.provider_task_id is None
    assert row.stage is Stage.UNCONFIRMED
    assert row.billing is Billing.UNKNOWN


@pytest.mark.parametrize("answer", [NotKnown(), NoAnswer(reason="HTTP 500")])
def test_an_id_that_the_feed_does_not_confirm_is_not_learned(
    services, create_task, provider, answer
):
    create_task(Stage.UNCONFIRMED)
    provider.answers["p"] = answer

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert row.provider_task_id is None
    assert row.stage is Stage.UNCONFIRMED


def test_an_id_of_another_task_is_not_learned(services, create_task, table, provider):
    table.create(replace(TASK, task_id="task_other", provider_task_id="p"))
    create_task(Stage.UNCONFIRMED)
    provider.answers["p"] = replace(DONE, created_at=BEGINNING)

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert row.provider_task_id is None
    assert row.stage is Stage.UNCONFIRMED


def test_a_known_id_is_not_replaced_by_a_callbacks(services, create_task, provider):
    create_task(Stage.SUBMITTED, provider_task_id="ours")
    provider.answers["p"] = DONE

    row = handle_callback(TASK.task_id, SUCCESS, services)

    assert provider.polls == ["ours"]
    assert (row.provider_task_id, row.stage) == ("ours", Stage.SUBMITTED)
