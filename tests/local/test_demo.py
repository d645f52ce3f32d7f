"""The demo's judgement: it must say so, and exit with 1, whatever does not go as announced."""

import io
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from local import demo
from local.live import Live, Status
from local.verdict import (
    REASON,
    TRANSFERS,
    Books,
    Facts,
    Guards,
    Outcome,
    SavedFile,
    differences,
    path_taken,
    table,
)

IDS = ("task_a", "task_b", "task_c", "task_a")
SERVED = {task_id: (422_049, task_id[-1] * 64) for task_id in IDS}


def outcome(number, **changes):
    announced, task_id = TRANSFERS[number], IDS[number]
    size, sha256 = SERVED[task_id]
    succeeded = announced.status == "succeeded"
    return Outcome(
        announced=announced,
        task={
            "id": task_id,
            "status": announced.status,
            "settled_by": announced.settled_by,
            "output": {"video": {"bytes": size, "sha256": sha256}} if succeeded else None,
            "error": None if succeeded else {"code": "provider_failed", "message": REASON},
            **changes,
        },
        replayed=announced.repeats is not None,
        seconds=2.5,
        file=SavedFile(path=Path(f"out/{task_id}.mp4"), size=size, sha256=sha256)
        if succeeded
        else None,
    )


def as_announced():
    return Facts(
        guards=Guards(
            role_may_query=True,
            role_refused_secret=True,
            status_without_key=403,
            status_of_forged_callback=404,
        ),
        outcomes=tuple(outcome(number) for number in range(4)),
        books=Books(
            creates_seen=3,
            micro_dollars=1_200_000,
            paid={"task_a": 1, "task_b": 1, "task_c": 1},
            served=SERVED,
            callbacks={"task_a": 1, "task_b": 0, "task_c": 1},
        ),
        executions={"task_b": 1},
    )


def with_outcome(number, changed):
    facts = as_announced()
    return replace(
        facts, outcomes=(*facts.outcomes[:number], changed, *facts.outcomes[number + 1 :])
    )


def with_books(**changes):
    facts = as_announced()
    return replace(facts, books=replace(facts.books, **changes))


def with_guards(**changes):
    facts = as_announced()
    return replace(facts, guards=replace(facts.guards, **changes))


def with_file(number, **changes):
    right = outcome(number)
    return with_outcome(number, replace(right, file=replace(right.file, **changes)))


GONE_WRONG = {
    "the normal one failed": with_outcome(0, outcome(0, status="failed")),
    "the normal one is not done": with_outcome(0, outcome(0, status="running", settled_by=None)),
    "the fallback was faster than the callback": with_outcome(0, outcome(0, settled_by="fallback")),
    "the lost callback came": with_outcome(1, outcome(1, settled_by="callback")),
    "the failing one succeeded": with_outcome(2, outcome(2, status="succeeded")),
    "the failing one gives another reason": with_outcome(
        2, outcome(2, error={"code": "no_result_in_time", "message": "the deadline passed"})
    ),
    "the failing one gives no reason": with_outcome(2, outcome(2, error=None)),
    "the repeat got a task of its own": with_outcome(3, outcome(3, id="task_d")),
    "the repeat was not answered as one": with_outcome(3, replace(outcome(3), replayed=False)),
    "the first was answered as a repeat": with_outcome(0, replace(outcome(0), replayed=True)),
    "one was not run": replace(as_announced(), outcomes=as_announced().outcomes[:3]),
    "a fourth create was seen": with_books(creates_seen=4),
    "only two creates were seen": with_books(creates_seen=2),
    "one was paid twice": with_books(paid={"task_a": 2, "task_b": 1, "task_c": 1}),
    "one was not paid": with_books(paid={"task_a": 1, "task_b": 1}),
    "an unknown task was paid": with_books(
        paid={"task_a": 1, "task_b": 1, "task_c": 1, "task_x": 1}
    ),
    "the lost callback was sent": with_books(callbacks={"task_a": 1, "task_b": 1, "task_c": 1}),
    "the provider never called back": with_books(callbacks={"task_b": 0, "task_c": 1}),
    "no fallback was started": replace(as_announced(), executions={}),
    "the file is shorter": with_file(1, size=422_048),
    "the file has another hash": with_file(1, sha256="0" * 64),
    "the file is missing": with_outcome(0, replace(outcome(0), file=None)),
    "the task has no output": with_outcome(0, outcome(0, output=None)),
    "the task says another hash": with_outcome(
        0, outcome(0, output={"video": {"bytes": 422_049, "sha256": "0" * 64}})
    ),
    "the provider served something else": with_books(served=SERVED | {"task_b": (1, "b" * 64)}),
    "IAM is off": with_guards(role_refused_secret=False),
    "IAM refuses what the role may do": with_guards(role_may_query=False),
    "the API lets anybody in": with_guards(status_without_key=400),
    "a forged callback is taken": with_guards(status_of_forged_callback=200),
}


def test_nothing_is_found_when_all_went_as_announced():
    said = io.StringIO()

    assert differences(as_announced()) == []
    assert demo.conclude(as_announced(), said)
    assert "3 creates and was paid for 3 ($1.20, had it been real); none" in said.getvalue()
    assert "curl" in said.getvalue()


@pytest.mark.parametrize("facts", GONE_WRONG.values(), ids=GONE_WRONG.keys())
def test_whatever_differs_is_found_and_said(facts):
    said = io.StringIO()

    assert differences(facts)
    assert not demo.conclude(facts, said)
    for text in differences(facts):
        assert text in said.getvalue()
    assert "All went as announced" not in said.getvalue()


@pytest.fixture
def _own_process(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = {number: signal.getsignal(number) for number in demo.ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_process")
@pytest.mark.parametrize(("went_well", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_says_how_it_went(monkeypatch, went_well, status):
    monkeypatch.setattr(demo, "run", lambda _first: went_well)

    assert demo.main([]) == status


@pytest.mark.usefixtures("_own_process")
@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (demo.StackError("nothing is built yet"), 1, "nothing is built yet"),
        (demo.EmulatorError("it did not start"), 1, "it did not start"),
        (demo.DemoError("POST /v1/tasks answered 500"), 1, "answered 500"),
        (demo.requests.ConnectionError("refused"), 1, ".local/demo"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_a_demo_that_can_not_go_on_fails_with_a_sentence(monkeypatch, capsys, raised, status, said):
    def run(_first):
        raise raised

    monkeypatch.setattr(demo, "run", run)

    assert demo.main([]) == status
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("_own_process")
def test_the_steps_are_numbered_after_those_of_make(monkeypatch):
    numbers = []
    monkeypatch.setattr(demo, "run", lambda first: numbers.append(first) or True)

    assert demo.main(["--after", "2"]) == 0
    assert numbers == [3]
    assert demo.main(["--after", "two"]) == 2


@pytest.mark.usefixtures("_own_process")
def test_aws_settings_and_proxies_of_the_caller_are_left_out(monkeypatch):
    monkeypatch.setitem(os.environ, "AWS_PROFILE", "somebody")
    monkeypatch.setattr(demo, "run", lambda _first: "AWS_PROFILE" not in os.environ)

    assert demo.main([]) == 0
    assert os.environ["NO_PROXY"] == "*"


def test_the_table_has_a_line_for_each_transfer_and_each_file():
    lines = table(as_announced())

    for number, task_id in enumerate(IDS):
        assert lines[2 + number].startswith(task_id)
    assert [line.split()[-2] for line in lines[2:6]] == ["1", "1", "1", "0"]
    assert f"out/task_a.mp4: 422,049 bytes, sha256 {'a' * 64}" in lines
    assert sum("sha256" in line for line in lines) == 2


def test_the_path_names_the_parts_in_their_order():
    assert path_taken(outcome(0)) == "callback → feed → copy"
    assert path_taken(outcome(1)) == "sweeper → fallback → feed → copy"
    assert path_taken(outcome(2)) == "callback → feed"
    assert path_taken(outcome(3)) == "answered by its row"
    assert path_taken(outcome(0, settled_by=None, output=None)) == "nothing yet"


def test_elsewhere_than_on_a_terminal_only_changes_are_written():
    out = io.StringIO()
    live = Live(out)

    live.show([Status(name="one", seconds=0.1, says="sent")])
    live.show([Status(name="one", seconds=0.3, says="sent")])
    live.show(
        [Status(name="one", seconds=0.5, says="done"), Status(name="two", seconds=0.1, says="sent")]
    )

    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["one", "0.1", "s", "sent"],
        ["one", "0.5", "s", "done"],
        ["two", "0.1", "s", "sent"],
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_lines_are_drawn_over(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    out = Terminal()
    live = Live(out)

    live.show([Status(name="one", seconds=0.1, says="sent")])
    live.show([Status(name="one", seconds=0.3, says="a text longer than the line")])

    first, second = out.getvalue().splitlines()
    assert "\x1b" not in first.removesuffix("\x1b[K")
    assert second.startswith("\x1b[1F")
    assert len(second.removeprefix("\x1b[1F").removesuffix("\x1b[K")) == 29
