"""Log lines about a task have its ids, in whatever order tasks are taken up."""

import ast
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

import pytest
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter, clear_context_keys

from act_one.correlation import about_request, about_task, begin, of_request, records_of
from act_one.tasks.moves import Step
from act_one.tasks.rows import take_up, to_item
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Evidence, Stage
from local.emulator import ROOT
from tests.unit.examples import TASK, task
from tests.unit.fakes import BEGINNING

ABOUT_TASK = {"task_id": TASK.task_id, "correlation_id": "request-1"}
ROW = task(Stage.SUBMITTED, correlation_id="request-1", due_at=BEGINNING)
SOURCES = [*ROOT.glob("functions/**/*.py"), *ROOT.glob("layers/act_one/act_one/**/*.py")]


def line():
    """Return what a log line that is written now says of requests and tasks."""
    written = json.loads(LambdaPowertoolsFormatter().format(logging.makeLogRecord({"msg": "…"})))
    names = ("request_id", "task_id", "correlation_id")
    return {name: written[name] for name in names if name in written}


@pytest.fixture(autouse=True)
def no_keys():
    clear_context_keys()
    yield
    clear_context_keys()


def test_a_line_is_about_the_request_until_a_row_is_taken_up():
    begin("request-2")
    before = line()
    take_up(to_item(ROW))

    assert before == {"request_id": "request-2", "correlation_id": "request-2"}
    assert line() == {"request_id": "request-2", **ABOUT_TASK}


def test_a_line_about_a_request_is_not_about_a_task_that_was_read_for_it():
    begin("request-2")
    take_up(to_item(ROW))
    about_request()

    assert line() == {"request_id": "request-2", "correlation_id": "request-2"}
    assert of_request() == "request-2"


def test_a_line_about_a_task_without_an_id_has_not_that_of_another():
    take_up(to_item(ROW))
    about_task("task_2")

    assert line() == {"task_id": "task_2"}


def test_each_message_of_a_batch_begins_anew():
    lines = []
    for record in records_of({"Records": [{"messageId": "1"}, {"messageId": "2"}]}):
        lines.append(line())
        about_task(f"task_{record['messageId']}", "another's")

    assert lines == [
        {"request_id": "1", "correlation_id": "1"},
        {"request_id": "2", "correlation_id": "2"},
    ]


def test_tasks_handled_at_the_same_moment_have_lines_of_their_own():
    contexts = [copy_context() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for number, context in enumerate(contexts):
            pool.submit(context.run, about_task, f"task_{number}", f"request-{number}").result()

    assert [context.run(line)["correlation_id"] for context in contexts] == [
        f"request-{number}" for number in range(4)
    ]
    assert line() == {}


EVIDENCE = Evidence(received_at=BEGINNING, body="{}")
TAKEN_UP = {
    "read": lambda table: table.read(TASK.task_id),
    "moved": lambda table: table.apply(ROW, Step(Stage.RUNNING), BEGINNING),
    "claimed": lambda table: table.claim_due(TASK.task_id, BEGINNING, BEGINNING, 60.0),
    "called back": lambda table: table.record_callback(TASK.task_id, EVIDENCE, BEGINNING, 5.0),
    "found moved on": lambda table: table.claim_copy(TASK.task_id, BEGINNING, 60.0),
    "found there": lambda table: table.create(ROW),
}


@pytest.mark.parametrize("way", TAKEN_UP)
def test_from_any_use_of_a_row_on_the_lines_are_about_its_task(way, table):
    table.create(ROW)
    created = line()
    clear_context_keys()

    with suppress(MovedOnError):
        TAKEN_UP[way](table)

    assert created == line() == ABOUT_TASK


def test_rows_become_tasks_only_where_the_log_learns_of_them():
    readers = {
        path.name
        for path in SOURCES
        if any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "read_item"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }

    assert readers == {"rows.py", "listing.py"}  # a page is about no one task


def test_no_handler_works_through_messages_without_naming_each_in_the_log():
    loops = [
        f"{path.name}:{node.lineno}"
        for path in ROOT.glob("functions/**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.For) and "Records" in ast.unparse(node.iter)
    ]

    assert loops == []
