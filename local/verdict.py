"""What the demo announces of each transfer, what came of it, and where the two differ. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

REASON: Final = "no face was found in the performance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One transfer of the demo, before it is run.

    ``behaviour`` is how the provider simulator treats it (docs/provider-simulator.md);
    ``repeats`` is the place in ``TRANSFERS`` of the one whose idempotency key it sends again.
    """

    name: str
    asked: str
    behaviour: str
    status: str
    settled_by: str
    repeats: int | None = None


TRANSFERS: Final = (
    Announced(
        name="normal",
        asked="a transfer",
        behaviour="seconds=2",
        status="succeeded",
        settled_by="callback",
    ),
    Announced(
        name="callback-lost",
        asked="callback lost",
        behaviour="seconds=2&callback=lost",
        status="succeeded",
        settled_by="fallback",
    ),
    Announced(
        name="provider-fails",
        asked="provider fails",
        behaviour=f"seconds=2&result=failed&reason={REASON.replace(' ', '+')}",
        status="failed",
        settled_by="callback",
    ),
    Announced(
        name="repeated",
        asked="the first again",
        behaviour="seconds=2",
        status="succeeded",
        settled_by="callback",
        repeats=0,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFile:
    """A video from the results bucket, saved at ``path`` in the checkout; ``sha256`` in hex."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one transfer: the API's last word on it, and its file if there is one."""

    announced: Announced
    task: Mapping[str, Any]
    replayed: bool
    seconds: float
    file: SavedFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The provider's side of it; the mappings are keyed by our task ids.

    ``served`` has size and sha256 of each task's right video, ``callbacks`` how many were sent.
    """

    creates_seen: int
    micro_dollars: int
    paid: Mapping[str, int]
    served: Mapping[str, tuple[int, str]]
    callbacks: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Whether those get in who may, and those don't who may not."""

    role_may_query: bool
    role_refused_secret: bool
    status_without_key: int
    status_of_forged_callback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the demo found out. ``executions`` counts fallbacks by task id."""

    guards: Guards
    outcomes: Sequence[Outcome]
    books: Books
    executions: Mapping[str, int]


def differences(facts: Facts) -> list[str]:
    """List what did not go as announced, in sentences; empty if everything did."""
    found = list(_of_guards(facts.guards))
    if len(facts.outcomes) != len(TRANSFERS):
        found.append(f"{len(facts.outcomes)} of {len(TRANSFERS)} transfers were run")
    for outcome in facts.outcomes:
        found += [f"{outcome.announced.name}: {text}" for text in _of_outcome(outcome, facts)]
    found += _of_bill(facts)
    return found


def _of_guards(guards: Guards) -> Iterator[str]:
    if not guards.role_may_query:
        yield "IAM refused the sweeper's role what it may do"
    if not guards.role_refused_secret:
        yield "IAM is off: the sweeper's role could read the provider key"
    if guards.status_without_key != 403:
        yield f"without an API key the API answered {guards.status_without_key}, not 403"
    if guards.status_of_forged_callback != 404:
        yield f"a forged callback was answered {guards.status_of_forged_callback}, not 404"


def _of_outcome(outcome: Outcome, facts: Facts) -> Iterator[str]:
    announced, task = outcome.announced, outcome.task
    for name, expected in (("status", announced.status), ("settled_by", announced.settled_by)):
        if task[name] != expected:
            yield f"{name} is {task[name]}, announced was {expected}"
    repeats = announced.repeats is not None
    if outcome.replayed != repeats:
        yield "it was answered as a repeat" if outcome.replayed else "it was not taken for a repeat"
    if announced.repeats is not None and task["id"] != facts.outcomes[announced.repeats].task["id"]:
        yield "it got a task of its own"
    if announced.status == "failed":
        yield from _of_failure(task)
    else:
        yield from _of_file(outcome, facts)
    looked_after = facts.executions.get(task["id"], 0) > 0
    called_back = facts.books.callbacks.get(task["id"], 0) > 0
    if announced.settled_by == "fallback" and not looked_after:
        yield "no execution of the fallback looked after it"
    if called_back == (announced.settled_by == "fallback"):
        yield "the provider called back" if called_back else "the provider never called back"


def _of_failure(task: Mapping[str, Any]) -> Iterator[str]:
    said = (task["error"] or {}).get("message", "")
    if REASON not in said:
        yield f"its error says {said!r}, the provider's reason was {REASON!r}"
    if task["output"] is not None:
        yield "it has an output though it failed"


def _of_file(outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Compare the three who speak of a video: the file, the task, the provider."""
    stored = (outcome.task["output"] or {}).get("video")
    served = facts.books.served.get(outcome.task["id"])
    if stored is None or outcome.file is None or served is None:
        yield "its video is missing"
        return
    file = (outcome.file.size, outcome.file.sha256)
    if file != served:
        yield f"{outcome.file.path.name} is not what the provider served"
    if (stored["bytes"], stored["sha256"]) != file:
        yield f"{outcome.file.path.name} is not what the task says"


def _of_bill(facts: Facts) -> Iterator[str]:
    books = facts.books
    ids = {outcome.task["id"] for outcome in facts.outcomes}
    expected = sum(announced.repeats is None for announced in TRANSFERS)
    if books.creates_seen != expected:
        yield f"the provider saw {books.creates_seen} creates, {expected} were announced"
    for task_id in ids | books.paid.keys():
        times = books.paid.get(task_id, 0)
        if times != 1 or task_id not in ids:
            yield f"{task_id} was paid {times} times"
    if len(ids) != expected:
        yield f"there are {len(ids)} tasks, {expected} were announced"


# ── The table ─────────────────────────────────────────────────────────────────────────────────


def table(facts: Facts) -> list[str]:
    """Lay out the outcomes, a line each, and under them the files."""
    head = ("task", "what was asked", "path taken", "status", "time", "creates paid", "file")
    rows = [head, *(_row(outcome, facts) for outcome in facts.outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    files = [outcome.file for outcome in facts.outcomes if outcome.file is not None]
    unique = {file.path: file for file in files}.values()
    return [
        lines[0],
        "─" * max(map(len, lines)),
        *lines[1:],
        "",
        *(f"{file.path}: {file.size:,} bytes, sha256 {file.sha256}" for file in unique),
    ]


def _row(outcome: Outcome, facts: Facts) -> tuple[str, ...]:
    task_id: str = outcome.task["id"]
    return (
        task_id[:13],
        outcome.announced.asked,
        path_taken(outcome),
        outcome.task["status"],
        f"{outcome.seconds:.1f} s",
        str(facts.books.paid.get(task_id, 0) - outcome.replayed),
        outcome.file.path.name if outcome.file else "none",
    )


def path_taken(outcome: Outcome) -> str:
    """Name the parts that brought a task its end, in order."""
    if outcome.replayed:
        return "answered by its row"
    first = {"callback": "callback → feed", "fallback": "sweeper → fallback → feed"}
    settled_by = outcome.task["settled_by"] or "nothing yet"
    copied = " → copy" if outcome.task["output"] else ""
    return first.get(settled_by, settled_by) + copied
