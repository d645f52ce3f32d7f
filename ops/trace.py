"""Print the story of one task as one timeline, from everything that the stack keeps about it.

    python -m ops.trace STACK TASK [--json]

with the operator's own AWS credentials: the row, the log lines of all functions, the executions of
the fallback, the webhook's deliveries, the files in the buckets and the ledger. Queries of URLs,
callback tokens and keys are removed from what is printed, as the functions remove them from errors.

The row has the time of its latest move only. Earlier moves are seen by what they left: the create,
the callback, the result, the log lines.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from act_one.clock import rfc3339, system_clock
from act_one.inputs.bucket import INCOMING, OUTGOING
from act_one.provider.replies import read_callback, scrub
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.documents import document, status_of, without_query
from act_one.tasks.events import detail_type_of
from act_one.tasks.ledger import postings
from act_one.tasks.links import result_prefix
from act_one.tasks.schema import NewerRowError, UnreadableRowError
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Evidence, Task
from ops.deployed import Stack
from ops.findings import missing_permission
from ops.log_lines import lines_about, log_groups
from ops.stacks import CommandError, CommandParser, code_of, run

if TYPE_CHECKING:
    from act_one.json_types import Json

USAGE: Final = "make trace STACK=act-one TASK=task_3396ce8c6b5503ae5cd17c51f65fb987"
AT_ONCE: Final = 6
"""How many log groups are read at once."""
MOST_RUNS: Final = 200
"""The most executions of a task that are looked at."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """Something that happened: when (epoch seconds), where that is known from, and what."""

    at: float
    source: str
    what: str


@dataclass(slots=True)
class Story:
    """What is known of a task, in the order of time, and what can't be said of one moment."""

    task: Task
    entries: list[Entry] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be read, and why."""


def story_of(task_id: str, stack: Stack) -> Story:
    """Collect everything that a stack has about a task. Raises ``CommandError`` if it has none."""
    table = TaskTable(
        stack.client("dynamodb"), stack.outputs["TasksTable"], stack.outputs["LedgerTable"]
    )
    try:
        task = table.read(task_id)
    except NewerRowError:
        raise
    except UnreadableRowError as error:
        raise CommandError(f"The row of {task_id} can't be read: {error}.") from error
    if task is None:
        raise CommandError(
            f"There is no task {task_id!r} in {stack.name}; rows are removed when their time to "
            "live is over (ResultRetentionDays)."
        )
    story = Story(task)
    story.entries += [*row_entries(task), *delivery_entries(task)]
    parts: dict[str, Any] = {
        "executions of the fallback": lambda: execution_entries(task, stack),
        "files": lambda: file_entries(task, stack),
        **{
            f"log lines of {name}": lambda name=name, group=group: log_entries(
                task, name, group, stack
            )
            for name, group in log_groups(stack).items()
        },
    }
    with ThreadPoolExecutor(AT_ONCE) as readers:
        # A session builds one client at a time: the threads find them built.
        for service in ("logs", "stepfunctions", "s3"):
            stack.client(service)
        read = {what: readers.submit(list, _deferred(part)) for what, part in parts.items()}
    for what, ended in read.items():
        _add(story, what, ended)
    try:
        story.facts += ledger_facts(task, stack)
    except (BotoCoreError, ClientError) as error:
        story.missing.append(f"the ledger: {_why(error)}")
    story.entries.sort()
    return story


def _deferred(part: Any) -> Iterator[Entry]:  # noqa: ANN401 - a function of no arguments
    """Begin to collect entries when the first is asked for."""
    yield from part()


def _add(story: Story, what: str, ended: Any) -> None:  # noqa: ANN401 - a future of entries
    try:
        story.entries += ended.result()
    except (BotoCoreError, ClientError) as error:
        story.missing.append(f"{what}: {_why(error)}")


def _why(error: Exception) -> str:
    if isinstance(error, ClientError):
        if "denied" in code_of(error).lower():
            return f"needs the permission {missing_permission(error)}"
        return code_of(error)
    return type(error).__name__


# ── The row ───────────────────────────────────────────────────────────────────────────────────


def row_entries(task: Task) -> Iterator[Entry]:
    """Say what the row has the times of."""
    origin = f", from {task.origin}" if task.origin else ""
    repeats = f", repeating {task.retry_of}" if task.retry_of else ""
    yield Entry(task.created_at, "row", f"created for the client {task.client_id}{origin}{repeats}")
    if task.sent_at is not None:
        number = f" number {task.attempt}" if task.attempt > 1 else ""
        got = f": {task.provider_task_id}" if task.provider_task_id else ""
        yield Entry(task.sent_at, "row", f"the create{number} began{got}")
    yield from _callback_entries(task)
    by = f", from the {task.settled_by}" if task.settled_by else ""
    moments = {
        "the feed was asked (the latest time)": task.feed_asked_at,
        "the feed has given no answer since": task.feed_failing_since,
        "released after a pause": task.released_at,
        f"the result is known{by}": task.source_known_at,
        "the webhook was asked for again": task.webhook_asked_at,
        "the erasure began": task.erasing_since,
        "until then a copy may run": task.copy_lease_until,
        "due: the next sweep starts the fallback": task.due_at,
        "DynamoDB removes the row, within days": task.expires_at,
    }
    yield from (Entry(at, "row", what) for what, at in moments.items() if at is not None)
    event = detail_type_of(task)
    yield Entry(
        task.erased_at or task.updated_at,
        "row",
        f"version {task.version}: {'erased' if task.erased_at else _outcome(task)}"
        + (f"; event {event}, {task.task_id}#{task.version}" if event else ""),
    )


def _callback_entries(task: Task) -> Iterator[Entry]:
    latest, success = task.evidence, task.success_callback
    if latest is not None:
        yield Entry(latest.received_at, "callback", f"the latest callback came: {_said(latest)}")
    if success is not None and (latest is None or success.received_at != latest.received_at):
        yield Entry(success.received_at, "callback", f"an earlier callback: {_said(success)}")


def _outcome(task: Task) -> str:
    if task.error is not None:
        return f"{task.stage} ({task.error.code}: {task.error.message})"
    return str(task.stage)


def _said(callback: Evidence) -> str:
    """Say what a callback's body reported, without its URLs."""
    report = read_callback(callback.body.encode())
    if report is None:
        return f"{len(callback.body.encode())} bytes that name no task"
    media = " with a result" if report.media else ""
    return f"{report.state.value}{media}, {report.provider_task_id or 'no id'}"


def delivery_entries(task: Task) -> Iterator[Entry]:
    """Say how the latest attempts to call the webhook ended."""
    for made in task.deliveries:
        after = (
            ""
            if made.error is None
            else f"; again at {rfc3339(made.next_at)}"
            if made.next_at is not None
            else "; no further attempt"
        )
        yield Entry(
            made.at,
            "webhook",
            f"{made.event} ({made.webhook_id}), attempt {made.attempt}: "
            f"{made.error or f'answered {made.status}'} in {made.milliseconds} ms{after}",
        )


# ── The fallback ──────────────────────────────────────────────────────────────────────────────


def execution_entries(task: Task, stack: Stack) -> Iterator[Entry]:
    """Say what each execution of the fallback did; Step Functions keeps them for 90 days."""
    client = stack.client("stepfunctions")
    prefix = stack.outputs["FallbackArn"].replace(":stateMachine:", ":execution:")
    for number in range(1, MOST_RUNS + 1):
        name = f"{task.task_id}-{number}"
        pages = client.get_paginator("get_execution_history").paginate(
            executionArn=f"{prefix}:{name}"
        )
        try:
            for page in pages:
                yield from (
                    Entry(event["timestamp"].timestamp(), f"fallback {number}", text)
                    for event in page["events"]
                    if (text := _history(event))
                )
        except client.exceptions.ExecutionDoesNotExist:
            if number > task.fallback_runs:
                return


def _history(event: Mapping[str, Any]) -> str:
    """Write an event of an execution's history; empty for those that say nothing new."""
    kind = str(event["type"])
    details: Mapping[str, Any] = next(
        (value for name, value in event.items() if name.endswith("EventDetails")), {}
    )
    if kind == "ExecutionStarted":
        return "started"
    if kind.endswith(("Failed", "TimedOut", "Aborted")):
        return f"{kind}: {details.get('error', '')} {details.get('cause', '')}".rstrip(": ")
    if kind in {"TaskSucceeded", "LambdaFunctionSucceeded"}:
        return _turn(str(details.get("output", "")))
    return "ended" if kind == "ExecutionSucceeded" else ""


def _turn(output: str) -> str:
    try:
        found = json.loads(output)
    except ValueError:
        return "took a turn"
    seconds = found.get("wait_seconds") if isinstance(found, dict) else found
    if isinstance(seconds, int | float):
        return f"took a turn; the next in {seconds} s"
    return "took a turn; nothing to wait for"


# ── The logs ──────────────────────────────────────────────────────────────────────────────────


def log_entries(task: Task, name: str, group: str, stack: Stack) -> Iterator[Entry]:
    """Return a function's log lines about a task, and Lambda's own about their invocations."""
    for at, text in lines_about(task, group, stack):
        yield Entry(at, name, text)


# ── Files and money ───────────────────────────────────────────────────────────────────────────


def file_entries(task: Task, stack: Stack) -> Iterator[Entry]:
    """List the task's files: its inputs and results in the uploads bucket, and its results."""
    results, uploads = stack.outputs["ResultsBucket"], stack.outputs["UploadsBucket"]
    places = {(results, result_prefix(task))}
    for uri in (task.video, task.image):
        if uri.startswith(f"s3://{uploads}/"):
            places.add((uploads, uri.removeprefix(f"s3://{uploads}/")))
    if task.origin and task.origin.startswith(f"s3://{uploads}/{INCOMING}"):
        folder = task.origin.removeprefix(f"s3://{uploads}/{INCOMING}")
        places.update({(uploads, INCOMING + folder), (uploads, OUTGOING + folder)})
    pages = stack.client("s3").get_paginator("list_objects_v2")
    seen = set()
    for bucket, prefix in sorted(places):
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                uri = f"s3://{bucket}/{found['Key']}"
                if uri not in seen:
                    seen.add(uri)
                    yield Entry(
                        found["LastModified"].timestamp(), "file", f"{uri}, {found['Size']} bytes"
                    )


def ledger_facts(task: Task, stack: Stack) -> list[str]:
    """Say where the task is in the ledger, and what its accounts have."""
    ledger = LedgerTable(stack.client("dynamodb"), stack.outputs["LedgerTable"])
    facts = []
    for posting in postings(None, task):
        there = ledger.days(posting.owner, posting.day, posting.day).get(posting.day, {})
        day = "" if posting.day == "-" else f" of {posting.day}"
        facts.append(
            f"in the account {posting.owner}{day}: {_amounts(posting.amounts)}; "
            f"the account has {_amounts(there)}"
        )
    return facts or ["in no account of the ledger"]


def _amounts(amounts: Mapping[str, int]) -> str:
    money = ("reserved", "spent", "unknown", "committed")
    return ", ".join(
        f"{name} ${amount / 1_000_000:g}" if name in money else f"{name} {amount}"
        for name, amount in amounts.items()
        if amount
    )


# ── What is printed ───────────────────────────────────────────────────────────────────────────


def heading(task: Task) -> Iterator[str]:
    """Say in a few lines what became of a task."""
    cost = "" if task.cost is None else f", ${task.cost / 1_000_000:g}"
    status, stage = status_of(task.stage), str(task.stage)
    state = "erased" if task.erased_at else status if status == stage else f"{status} ({stage})"
    by = f", settled by the {task.settled_by}" if task.settled_by else ""
    late = ", late" if task.late else ""
    yield f"{task.task_id}: {state}, billing {task.billing}{cost}{by}{late}"
    if task.correlation_id:
        yield f"correlation id {task.correlation_id}"
    if task.video:
        yield f"video {without_query(task.video)}"
        yield f"image {without_query(task.image)}"
    if task.webhook is not None:
        yield f"webhook {without_query(task.webhook.url)} for {', '.join(task.webhook.events)}"
    for warning in task.warnings:
        yield f"warning {warning.code}: {warning.message}"
    if task.retried_by:
        yield f"repeated by {task.retried_by}"


def text_of(story: Story, now: float) -> str:
    """Write a story for people: what is to come is below a line of its own."""
    width = max(len(entry.source) for entry in story.entries)
    lines = [*heading(story.task), *story.facts, ""]
    coming = False
    for entry in story.entries:
        if entry.at > now and not coming:
            coming = True
            lines.append(f"{rfc3339(now)}  now")
        lines.append(f"{rfc3339(entry.at)}  {entry.source:<{width}}  {entry.what}")
    lines += [f"not read: {one}" for one in story.missing]
    return "\n".join(redacted(line) for line in lines)


def document_of(story: Story) -> dict[str, "Json"]:
    """Write a story for machines."""
    timeline: list[Json] = [
        {**asdict(entry), "at": rfc3339(entry.at), "what": redacted(entry.what)}
        for entry in story.entries
    ]
    return {
        "task": _redacted_json(document(story.task)),
        "ledger": [redacted(fact) for fact in story.facts],
        "timeline": timeline,
        "not_read": [*story.missing],
    }


def _redacted_json(value: "Json") -> "Json":
    match value:
        case str():
            return redacted(value)
        case dict():
            return {name: _redacted_json(one) for name, one in value.items()}
        case list():
            return [_redacted_json(one) for one in value]
        case _:
            return value


def redacted(text: str) -> str:
    """Remove queries of URLs, tokens and keys, as from errors, and what would forge a line."""
    return "".join(letter if letter.isprintable() else " " for letter in scrub(text))


def main(arguments: Sequence[str]) -> int:
    """Print a task's story; returns the exit status."""
    return run(lambda: _command(arguments))


def _command(arguments: Sequence[str]) -> str:
    parser = CommandParser("ops.trace", f"Name the stack and the task: {USAGE}")
    parser.add_argument("stack")
    parser.add_argument("task")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    if not asked.stack.strip() or not asked.task.strip():
        raise CommandError(f"Name the stack and the task: {USAGE}")
    story = story_of(asked.task.strip(), Stack.of(asked.stack.strip(), boto3.Session()))
    if asked.json:
        return json.dumps(document_of(story), indent=2, ensure_ascii=False)
    return text_of(story, system_clock())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
