"""`make redrive`: what was given up is tried again."""

from act_one.clock import HOUR
from act_one.lifecycle.advance import advance
from act_one.provider.outcomes import ProviderState, Report
from act_one.tasks import schema
from act_one.tasks.moves import COPY_START_SECONDS
from act_one.tasks.rows import to_item
from act_one.tasks.task import Notice, Stage
from ops import redrive as command
from ops.redrive import redrive
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    FakeClock,
    FakeProvider,
    make_services,
    no_warnings,
    plenty,
)
from tests.unit.test_commands import QUEUES, FakeSession

GIVEN_UP = Notice(code="media_unavailable", message="not fetched within 24 hours")


def test_a_redriven_task_has_24_hours_for_its_copy_again(table, monkeypatch):
    table.create(
        task(
            Stage.FAILED,
            provider_task_id="p",
            source=SOURCE,
            source_known_at=BEGINNING,
            error=GIVEN_UP,
            due_at=None,
        )
    )
    clock = FakeClock(BEGINNING + 72 * HOUR)
    monkeypatch.setattr(command.time, "time", clock)
    found = Report(
        provider_task_id="p", state=ProviderState.SUCCEEDED, media=SOURCE, created_at=None
    )
    provider = FakeProvider(answers={"p": found})
    services = make_services(table, provider, clock)
    outputs = dict.fromkeys((*QUEUES, "RelayFailuresBucket", "EventBus"), "name")
    monkeypatch.setattr(command, "replay", lambda *_: (0, 0))

    done = redrive("act-one", FakeSession(table, outputs | {"TasksTable": table.name}))
    assert (done.due, done.moved) == (1, False)
    assert table.read(TASK.task_id).due_at == clock.now

    advance(TASK.task_id, CALLBACK_KEYS, services, plenty, no_warnings)
    provider.answers.clear()
    for _ in range(23):  # the copy fails each time
        clock.pass_by(HOUR + COPY_START_SECONDS / 23)
        advance(TASK.task_id, CALLBACK_KEYS, services, plenty, no_warnings)
        assert table.read(TASK.task_id).stage is Stage.STORING
    clock.pass_by(2 * HOUR)
    advance(TASK.task_id, CALLBACK_KEYS, services, plenty, no_warnings)

    assert table.read(TASK.task_id).error.code == "media_unavailable"
    assert provider.creates == []


def test_a_task_of_a_newer_release_is_passed(table, monkeypatch):
    given_up = to_item(task(Stage.FAILED, error=GIVEN_UP, due_at=None))
    newer = given_up | {"schema": {"N": str(schema.TASKS.read + 1)}}
    table.client.put_item(TableName=table.name, Item=newer)
    outputs = dict.fromkeys((*QUEUES, "RelayFailuresBucket", "EventBus"), "name")
    monkeypatch.setattr(command, "replay", lambda *_: (0, 0))

    done = redrive("act-one", FakeSession(table, outputs | {"TasksTable": table.name}))

    assert done.due == 0
