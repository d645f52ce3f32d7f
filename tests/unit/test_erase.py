"""`make erase`: a person's tasks go, and the report says what is left."""

import json

import boto3
import pytest

from act_one.lifecycle.erasure import TaskFiles
from act_one.tasks.task import Stage
from ops import erase
from ops.erase import erase_all, ids_of, matches
from tests.unit.examples import TASK, task
from tests.unit.test_commands import FakeSession

OUTPUTS = dict.fromkeys(("TasksTable", "LedgerTable", "ResultsBucket", "UploadsBucket"), "name")


class NoFiles:
    """Buckets without objects."""

    def get_paginator(self, _name):
        return self

    def paginate(self, **_):
        return [{}]


FILES = TaskFiles(s3=NoFiles(), results="results", uploads="uploads")


@pytest.mark.parametrize(
    ("metadata", "wanted", "matched"),
    [
        ({"subject": "42", "order": "7"}, {"subject": "42"}, True),
        ({"subject": 42}, {"subject": "42"}, True),
        ({"subject": True}, {"subject": "true"}, True),
        ({"subject": "true"}, {"subject": "true"}, True),
        ({"subject": {"id": 1}}, {"subject": '{"id": 1}'}, False),
        ({"subject": "42"}, {"subject": "42", "order": "7"}, False),
        ({"subject": "420"}, {"subject": "42"}, False),
        ({"subject": "a=b"}, {"subject": "a=b"}, True),
        ({}, {"subject": ""}, False),
    ],
)
def test_metadata_match_as_a_whole_whatever_their_type(metadata, wanted, matched):
    assert matches(task(metadata=metadata), wanted) is matched


@pytest.fixture
def tasks(table):
    """Tasks of two persons and of two clients, one of them open."""
    mine = {"metadata": {"subject": "42"}, "provider_task_id": "provider-1"}
    table.create(task(Stage.SUCCEEDED, task_id="task_1", due_at=None, **mine))
    table.create(task(Stage.RUNNING, task_id="task_2", **mine))
    table.create(task(Stage.FAILED, task_id="task_3", metadata={"subject": "43"}))
    table.create(task(Stage.FAILED, task_id="task_4", client_id="client-2", **mine))
    return table


def erased_in(table):
    rows = {name: table.read(name) for name in ("task_1", "task_2", "task_3", "task_4")}
    return [name for name, row in rows.items() if row.erased_at is not None]


def by_subject(table, *, dry_run=False):
    ids = ids_of("client-1", table)
    return erase_all(ids, "client-1", {"subject": "42"}, table, FILES, dry_run=dry_run)


def test_all_tasks_of_a_client_are_found_page_by_page(table, monkeypatch):
    monkeypatch.setattr(erase, "PAGE", 2)
    for number in range(5):
        table.create(task(task_id=f"task_{number}", created_at=TASK.created_at + number))
    table.create(task(task_id="task_9", client_id="another"))

    assert [*ids_of("client-1", table)] == [f"task_{number}" for number in (4, 3, 2, 1, 0)]


def test_a_persons_tasks_are_erased_and_open_ones_reported(tasks):
    report = by_subject(tasks)

    assert report.erased == {"task_1": "provider-1"}
    assert "running" in report.not_erased["task_2"]
    assert erased_in(tasks) == ["task_1"]


def test_a_dry_run_reports_the_same_and_erases_nothing(tasks):
    report = by_subject(tasks, dry_run=True)

    assert report.erased == {"task_1": "provider-1"}
    assert report.not_erased == {"task_2": "it is running"}
    assert erased_in(tasks) == []


def test_an_erasure_that_has_begun_is_found_and_finished(tasks):
    tasks.begin_erasure(tasks.read("task_1"), 1.0)

    assert by_subject(tasks).erased == {"task_1": "provider-1"}
    assert erased_in(tasks) == ["task_1"]


def test_one_task_is_erased_by_its_id_only_for_its_client(tasks):
    for client in ("client-2", "client-1", "client-1"):
        report = erase_all(["task_1"], client, {}, tasks, FILES, dry_run=False)

    assert report.already_erased == ["task_1"]
    assert erased_in(tasks) == ["task_1"]


def test_the_command_prints_a_report_and_fails_while_something_is_left(tasks, monkeypatch, capsys):
    class Session(FakeSession):
        def client(self, service):
            return {"dynamodb": tasks.client, "s3": NoFiles()}.get(service, self)

    outputs = OUTPUTS | {"TasksTable": tasks.name, "LedgerTable": tasks.ledger_name}
    monkeypatch.setattr(boto3, "Session", lambda: Session(outputs=outputs))

    status = erase.main(["act-one", "--client", "client-1", "--metadata", "subject=42"])

    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert status == 2
    assert report["erased"] == [{"id": "task_1", "provider_task_id": "provider-1"}]
    assert [*report["not_erased"]] == ["task_2"]
    assert report["remains"]
    assert "1 tasks are not erased" in captured.err
    assert erase.main(["act-one", "--client", "client-1", "--task", "task_3"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["act-one"],
        ["", "--client", "a", "--task", "task_1"],
        ["act-one", "--client", "", "--task", "task_1"],
        ["act-one", "--client", "a"],
        ["act-one", "--client", "a", "--metadata", "subject"],
        ["act-one", "--client", "a", "--metadata", "=42"],
        ["act-one", "--client", "a", "--metadata", "subject=42", "--task", "task_1"],
    ],
)
def test_a_mistake_is_told_and_nothing_is_erased(arguments, monkeypatch, capsys):
    monkeypatch.setattr(boto3, "Session", lambda: pytest.fail("AWS was asked"))

    assert erase.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "make erase STACK=" in captured.err
