"""The demo's check: it prints every difference from what was expected, and exits with 1."""

import io
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from local import demo
from local.check import (
    REASON,
    TRANSFERS,
    AccessChecks,
    Observed,
    Outcome,
    ProviderRecord,
    SavedFile,
    differences,
    path_taken,
    table,
)
from local.status_lines import Status, StatusLines

IDS = ("task_a", "task_b", "task_c", "task_a")
SERVED = {task_id: (422_049, task_id[-1] * 64) for task_id in IDS}


def outcome(number, **changes):
    transfer, task_id = TRANSFERS[number], IDS[number]
    size, sha256 = SERVED[task_id]
    succeeded = transfer.status == "succeeded"
    return Outcome(
        transfer=transfer,
        task={
            "id": task_id,
            "status": transfer.status,
            "settled_by": transfer.settled_by,
            "output": {"video": {"bytes": size, "sha256": sha256}} if succeeded else None,
            "error": None if succeeded else {"code": "provider_failed", "message": REASON},
            **changes,
        },
        replayed=transfer.repeats is not None,
        seconds=2.5,
        file=SavedFile(path=Path(f"out/{task_id}.mp4"), size=size, sha256=sha256)
        if succeeded
        else None,
    )


def as_expected():
    return Observed(
        access=AccessChecks(
            role_may_query=True,
            role_refused_secret=True,
            status_without_key=403,
            status_of_forged_callback=404,
        ),
        outcomes=tuple(outcome(number) for number in range(4)),
        provider=ProviderRecord(
            creates_seen=3,
            micro_dollars=1_200_000,
            paid={"task_a": 1, "task_b": 1, "task_c": 1},
            served=SERVED,
            callbacks={"task_a": 1, "task_b": 0, "task_c": 1},
        ),
        executions={"task_b": 1},
    )


def with_outcome(number, changed):
    observed = as_expected()
    return replace(
        observed, outcomes=(*observed.outcomes[:number], changed, *observed.outcomes[number + 1 :])
    )


def with_provider(**changes):
    observed = as_expected()
    return replace(observed, provider=replace(observed.provider, **changes))


def with_access(**changes):
    observed = as_expected()
    return replace(observed, access=replace(observed.access, **changes))


def with_file(number, **changes):
    right = outcome(number)
    return with_outcome(number, replace(right, file=replace(right.file, **changes)))


UNEXPECTED = {
    "the normal transfer failed": with_outcome(0, outcome(0, status="failed")),
    "the normal transfer is not done": with_outcome(
        0, outcome(0, status="running", settled_by=None)
    ),
    "the fallback was faster than the callback": with_outcome(0, outcome(0, settled_by="fallback")),
    "the lost callback came": with_outcome(1, outcome(1, settled_by="callback")),
    "the failing transfer succeeded": with_outcome(2, outcome(2, status="succeeded")),
    "the failing transfer gives another reason": with_outcome(
        2, outcome(2, error={"code": "no_result_in_time", "message": "the deadline passed"})
    ),
    "the failing transfer gives no reason": with_outcome(2, outcome(2, error=None)),
    "the repeat created another task": with_outcome(3, outcome(3, id="task_d")),
    "the repeat was not treated as a repeat": with_outcome(3, replace(outcome(3), replayed=False)),
    "the first transfer was treated as a repeat": with_outcome(
        0, replace(outcome(0), replayed=True)
    ),
    "a transfer was not run": replace(as_expected(), outcomes=as_expected().outcomes[:3]),
    "a fourth create was seen": with_provider(creates_seen=4),
    "only two creates were seen": with_provider(creates_seen=2),
    "a task was paid twice": with_provider(paid={"task_a": 2, "task_b": 1, "task_c": 1}),
    "a task was not paid": with_provider(paid={"task_a": 1, "task_b": 1}),
    "an unknown task was paid": with_provider(
        paid={"task_a": 1, "task_b": 1, "task_c": 1, "task_x": 1}
    ),
    "the lost callback was sent": with_provider(callbacks={"task_a": 1, "task_b": 1, "task_c": 1}),
    "the provider never called back": with_provider(callbacks={"task_b": 0, "task_c": 1}),
    "no fallback was started": replace(as_expected(), executions={}),
    "the file is shorter": with_file(1, size=422_048),
    "the file has another hash": with_file(1, sha256="0" * 64),
    "the file is missing": with_outcome(0, replace(outcome(0), file=None)),
    "the task has no output": with_outcome(0, outcome(0, output=None)),
    "the task has another hash": with_outcome(
        0, outcome(0, output={"video": {"bytes": 422_049, "sha256": "0" * 64}})
    ),
    "the provider served something else": with_provider(served=SERVED | {"task_b": (1, "b" * 64)}),
    "IAM is not enforced": with_access(role_refused_secret=False),
    "IAM denies a permission that the role has": with_access(role_may_query=False),
    "the API accepts requests without a key": with_access(status_without_key=400),
    "a forged callback is accepted": with_access(status_of_forged_callback=200),
}


def test_there_is_no_difference_if_everything_went_as_expected():
    out = io.StringIO()

    assert differences(as_expected()) == []
    assert demo.conclude(as_expected(), out)
    assert "3 creates and billed 3 (a real one would charge $1.20); no task" in out.getvalue()
    assert "curl" in out.getvalue()


@pytest.mark.parametrize("observed", UNEXPECTED.values(), ids=UNEXPECTED.keys())
def test_every_difference_is_printed(observed):
    out = io.StringIO()

    assert differences(observed)
    assert not demo.conclude(observed, out)
    for text in differences(observed):
        assert text in out.getvalue()
    assert "Everything went as expected" not in out.getvalue()


@pytest.fixture
def _own_process(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = {number: signal.getsignal(number) for number in demo.END_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_process")
@pytest.mark.parametrize(("went_well", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_tells_whether_everything_went_as_expected(monkeypatch, went_well, status):
    monkeypatch.setattr(demo, "run", lambda _first: went_well)

    assert demo.main([]) == status


@pytest.mark.usefixtures("_own_process")
@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (demo.StackError("nothing is built yet"), 1, "nothing is built yet"),
        (demo.EmulatorError("it did not start"), 1, "it did not start"),
        (demo.DemoError("POST /v1/tasks answered 500"), 1, "answered 500"),
        (demo.requests.ConnectionError("refused"), 1, ".local/demo"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_a_demo_that_cannot_continue_prints_the_reason(
    monkeypatch, capsys, raised, status, message
):
    def run(_first):
        raise raised

    monkeypatch.setattr(demo, "run", run)

    assert demo.main([]) == status
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("_own_process")
def test_the_steps_are_numbered_after_those_of_make(monkeypatch):
    numbers = []
    monkeypatch.setattr(demo, "run", lambda first: numbers.append(first) or True)

    assert demo.main(["--after", "2"]) == 0
    assert numbers == [3]
    assert demo.main(["--after", "two"]) == 2


@pytest.mark.usefixtures("_own_process")
def test_aws_settings_and_proxies_of_the_caller_are_ignored(monkeypatch):
    monkeypatch.setitem(os.environ, "AWS_PROFILE", "of-the-caller")
    monkeypatch.setattr(demo, "run", lambda _first: "AWS_PROFILE" not in os.environ)

    assert demo.main([]) == 0
    assert os.environ["NO_PROXY"] == "*"


def test_the_table_has_a_line_for_each_transfer_and_each_file():
    lines = table(as_expected())

    for number, task_id in enumerate(IDS):
        assert lines[2 + number].startswith(task_id)
    assert [line.split()[-2] for line in lines[2:6]] == ["1", "1", "1", "0"]
    assert f"out/task_a.mp4: 422,049 bytes, sha256 {'a' * 64}" in lines
    assert sum("sha256" in line for line in lines) == 2


def test_the_path_lists_the_components_in_order():
    assert path_taken(outcome(0)) == "callback → feed → copy"
    assert path_taken(outcome(1)) == "sweeper → fallback → feed → copy"
    assert path_taken(outcome(2)) == "callback → feed"
    assert path_taken(outcome(3)) == "existing task returned"
    assert path_taken(outcome(0, settled_by=None, output=None)) == "not settled"


def test_without_a_terminal_only_changes_are_written():
    out = io.StringIO()
    lines = StatusLines(out)

    lines.show([Status(name="one", seconds=0.1, text="sent")])
    lines.show([Status(name="one", seconds=0.3, text="sent")])
    lines.show(
        [Status(name="one", seconds=0.5, text="done"), Status(name="two", seconds=0.1, text="sent")]
    )

    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["one", "0.1", "s", "sent"],
        ["one", "0.5", "s", "done"],
        ["two", "0.1", "s", "sent"],
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_lines_are_redrawn_in_place(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    out = Terminal()
    lines = StatusLines(out)

    lines.show([Status(name="one", seconds=0.1, text="sent")])
    lines.show([Status(name="one", seconds=0.3, text="a text longer than the line")])

    first, second = out.getvalue().splitlines()
    assert "\x1b" not in first.removesuffix("\x1b[K")
    assert second.startswith("\x1b[1F")
    assert len(second.removeprefix("\x1b[1F").removesuffix("\x1b[K")) == 29
