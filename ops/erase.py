"""Erase a client's tasks: those about one person, by their metadata, or one task by its id.

    python -m ops.erase STACK --client NAME --metadata KEY=VALUE [--metadata …] [--dry-run]
    python -m ops.erase STACK --client NAME --task ID [--dry-run]

with the operator's own AWS credentials. Erases each task that has ended as `DELETE /v1/tasks/{id}`
does, and finishes erasures that have begun. Prints a report as JSON: what was erased, and what was
not, and why. The exit status is 0 if nothing that matched is left. Run it again until then.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn, override

import boto3

from act_one.clock import system_clock
from act_one.inputs.query import text_of
from act_one.json_types import Json
from act_one.lifecycle.erasure import TaskFiles, erase
from act_one.problems import ProblemError
from act_one.tasks.schema import UnreadableRowError
from act_one.tasks.table import MovedOnError, TaskTable
from act_one.tasks.task import Task
from ops.stacks import NOT_DONE, CommandError, run, stack_outputs

USAGE: Final = (
    "Name the stack, the client and what to erase: "
    "make erase STACK=act-one CLIENT=default METADATA=subject=42"
)
PAGE: Final = 100
"""How many rows of the index are read at a time."""
REMAINS: Final[tuple[str, ...]] = (
    "the rows' tombstones and the ledger: ids, times and amounts",
    "what the provider has: ask CometAPI, by provider_task_id",
    "backups of the tasks table, for 35 days; a restore of before the erasure brings rows back",
    "input files in incoming/, and the pairs table's names of folders and hashes of files",
    "events and webhooks that were sent",
    "messages in queues, for up to 14 days, and in RelayFailuresBucket, for 90; logs",
)
"""What an erasure leaves (docs/data.md)."""


@dataclass(slots=True)
class Report:
    """The ids of the tasks that matched, by what became of them."""

    erased: dict[str, str | None] = field(default_factory=dict)
    """The provider's id of each, by which the provider can be asked to erase it too."""
    already_erased: list[str] = field(default_factory=list)
    not_erased: dict[str, str] = field(default_factory=dict)
    """Why each of them was not: it is open, for example."""

    def document(self, *, dry_run: bool) -> dict[str, Json]:
        """Write the report; of a dry run, ``erased`` are those that would be."""
        return {
            "dry_run": dry_run,
            "erased": [
                {"id": task_id, "provider_task_id": provider_task_id}
                for task_id, provider_task_id in self.erased.items()
            ],
            "already_erased": [*self.already_erased],
            "not_erased": {**self.not_erased},
            "remains": [*REMAINS],
        }


def ids_of(client: str, table: TaskTable) -> Iterator[str]:
    """List the ids of a client's tasks, the newest first."""
    last, more = None, True
    while more:
        places, more = table.of_client(client, PAGE, beyond=last)
        for last in places:
            yield last.task_id


def matches(task: Task, wanted: Mapping[str, str]) -> bool:
    """Return whether a task's metadata have these values, compared as `GET /v1/tasks` does."""
    return all(text_of(task.metadata.get(name)) == value for name, value in wanted.items())


def erase_all(
    task_ids: Iterable[str],
    client: str,
    wanted: Mapping[str, str],
    table: TaskTable,
    files: TaskFiles,
    *,
    dry_run: bool,
) -> Report:
    """Erase those of the tasks that are this client's and have these metadata."""
    report = Report()
    for task_id in task_ids:
        try:
            task = table.read(task_id)
        except UnreadableRowError as error:
            report.not_erased[task_id] = f"its row can't be read: {error}"
            continue
        if task is None or task.client_id != client:
            continue
        if task.erased_at is not None:
            if not wanted:
                report.already_erased.append(task_id)
        elif matches(task, wanted):
            _erase(task, table, files, report, dry_run=dry_run)
    return report


def _erase(
    task: Task, table: TaskTable, files: TaskFiles, report: Report, *, dry_run: bool
) -> None:
    if dry_run:
        if task.done:
            report.erased[task.task_id] = task.provider_task_id
        else:
            report.not_erased[task.task_id] = f"it is {task.stage}"
        return
    try:
        erase(task, table, files, system_clock)
    except ProblemError as problem:
        report.not_erased[task.task_id] = problem.detail
    except MovedOnError:
        report.not_erased[task.task_id] = "its row expired meanwhile; its files may be left"
    else:
        report.erased[task.task_id] = task.provider_task_id


class _Parser(ArgumentParser):
    @override
    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{USAGE} ({message})")


@dataclass(frozen=True, slots=True)
class _Asked:
    stack: str
    client: str
    metadata: Mapping[str, str]
    task: str | None
    dry_run: bool


def _read(arguments: list[str]) -> _Asked:
    parser = _Parser(prog="python -m ops.erase", allow_abbrev=False)
    parser.add_argument("stack")
    parser.add_argument("--client", required=True)
    parser.add_argument("--metadata", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--task", metavar="ID")
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args(arguments)
    pairs = [text.partition("=") for text in given.metadata]
    if not given.stack.strip() or not given.client.strip():
        raise CommandError(USAGE)
    if any(not name or not equals for name, equals, _ in pairs):
        raise CommandError(f"{USAGE} (METADATA is KEY=VALUE)")
    if bool(pairs) == bool(given.task):
        raise CommandError(f"{USAGE} (give either METADATA or TASK)")
    return _Asked(
        stack=given.stack.strip(),
        client=given.client.strip(),
        metadata={name: value for name, _, value in pairs},
        task=given.task,
        dry_run=given.dry_run,
    )


def main(arguments: list[str]) -> int:
    """Erase what is named; returns the exit status: 2 if something that matched is left."""
    left: list[str] = []

    def command() -> str:
        asked = _read(arguments)
        report = _report(asked, boto3.Session())
        left.extend(report.not_erased)
        return json.dumps(report.document(dry_run=asked.dry_run), indent=2, ensure_ascii=False)

    status = run(command)
    if left:
        print(f"{len(left)} tasks are not erased; run this again later.", file=sys.stderr)
    return NOT_DONE if left else status


def _report(asked: _Asked, session: boto3.Session) -> Report:
    outputs = stack_outputs(
        asked.stack, session, "TasksTable", "LedgerTable", "ResultsBucket", "UploadsBucket"
    )
    table = TaskTable(session.client("dynamodb"), outputs["TasksTable"], outputs["LedgerTable"])
    files = TaskFiles(
        s3=session.client("s3"), results=outputs["ResultsBucket"], uploads=outputs["UploadsBucket"]
    )
    ids: Iterator[str] | list[str] = (
        ids_of(asked.client, table) if asked.task is None else [asked.task]
    )
    return erase_all(ids, asked.client, asked.metadata, table, files, dry_run=asked.dry_run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
