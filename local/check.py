"""The demo's transfers: what is expected of each, and how the outcome differs from that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

REASON: Final = "no face was found in the performance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One transfer of the demo and its expected end.

    ``behaviour`` is the provider simulator's behaviour (docs/provider-simulator.md); ``repeats`` is
    the index in ``TRANSFERS`` of the transfer whose idempotency key this one uses again.
    """

    name: str
    description: str
    behaviour: str
    status: str
    settled_by: str
    repeats: int | None = None


TRANSFERS: Final = (
    Transfer(
        name="normal",
        description="a transfer",
        behaviour="seconds=2",
        status="succeeded",
        settled_by="callback",
    ),
    Transfer(
        name="callback-lost",
        description="callback lost",
        behaviour="seconds=2&callback=lost",
        status="succeeded",
        settled_by="fallback",
    ),
    Transfer(
        name="provider-fails",
        description="provider fails",
        behaviour=f"seconds=2&result=failed&reason={REASON.replace(' ', '+')}",
        status="failed",
        settled_by="callback",
    ),
    Transfer(
        name="repeated",
        description="the first again",
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
    """What became of one transfer: the task as the API last returned it, and its file if any."""

    transfer: Transfer
    task: Mapping[str, Any]
    replayed: bool
    seconds: float
    file: SavedFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRecord:
    """What the provider simulator recorded. The mappings are keyed by the backend's task ids.

    ``served`` has the size and SHA-256 of each task's video, ``callbacks`` how many were sent.
    """

    creates_seen: int
    micro_dollars: int
    paid: Mapping[str, int]
    served: Mapping[str, tuple[int, str]]
    callbacks: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessChecks:
    """The results of allowed and forbidden requests."""

    role_may_query: bool
    role_refused_secret: bool
    status_without_key: int
    status_of_forged_callback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that the demo observed. ``executions`` counts fallback executions by task id."""

    access: AccessChecks
    outcomes: Sequence[Outcome]
    provider: ProviderRecord
    executions: Mapping[str, int]


def differences(observed: Observed) -> list[str]:
    """Describe what differs from what was expected; empty if nothing does."""
    found = list(_access_differences(observed.access))
    if len(observed.outcomes) != len(TRANSFERS):
        found.append(f"{len(observed.outcomes)} of {len(TRANSFERS)} transfers were run")
    for outcome in observed.outcomes:
        found += [
            f"{outcome.transfer.name}: {text}" for text in _outcome_differences(outcome, observed)
        ]
    found += _bill_differences(observed)
    return found


def _access_differences(access: AccessChecks) -> Iterator[str]:
    if not access.role_may_query:
        yield "IAM denied the sweeper's role an allowed request"
    if not access.role_refused_secret:
        yield "IAM is not enforced: the sweeper's role could read the provider key"
    if access.status_without_key != 403:
        yield f"without an API key the API answered {access.status_without_key}, not 403"
    if access.status_of_forged_callback != 404:
        yield f"a forged callback was answered {access.status_of_forged_callback}, not 404"


def _outcome_differences(outcome: Outcome, observed: Observed) -> Iterator[str]:
    transfer, task = outcome.transfer, outcome.task
    for name, expected in (("status", transfer.status), ("settled_by", transfer.settled_by)):
        if task[name] != expected:
            yield f"{name} is {task[name]}, not {expected}"
    repeats = transfer.repeats is not None
    if outcome.replayed != repeats:
        yield "it was treated as a repeat" if outcome.replayed else "it was not treated as a repeat"
    if (
        transfer.repeats is not None
        and task["id"] != observed.outcomes[transfer.repeats].task["id"]
    ):
        yield "it created another task"
    if transfer.status == "failed":
        yield from _failure_differences(task)
    else:
        yield from _file_differences(outcome, observed)
    has_fallback = observed.executions.get(task["id"], 0) > 0
    called_back = observed.provider.callbacks.get(task["id"], 0) > 0
    if transfer.settled_by == "fallback" and not has_fallback:
        yield "the fallback was not started for it"
    if called_back == (transfer.settled_by == "fallback"):
        yield "the provider sent a callback" if called_back else "the provider sent no callback"


def _failure_differences(task: Mapping[str, Any]) -> Iterator[str]:
    message = (task["error"] or {}).get("message", "")
    if REASON not in message:
        yield f"its error is {message!r}, without the provider's reason {REASON!r}"
    if task["output"] is not None:
        yield "it failed but has an output"


def _file_differences(outcome: Outcome, observed: Observed) -> Iterator[str]:
    """Compare the saved file with the task and with the provider's record."""
    stored = (outcome.task["output"] or {}).get("video")
    served = observed.provider.served.get(outcome.task["id"])
    if stored is None or outcome.file is None or served is None:
        yield "its video is missing"
        return
    file = (outcome.file.size, outcome.file.sha256)
    if file != served:
        yield f"{outcome.file.path.name} differs from what the provider served"
    if (stored["bytes"], stored["sha256"]) != file:
        yield f"{outcome.file.path.name} differs from the size or hash in the task"


def _bill_differences(observed: Observed) -> Iterator[str]:
    provider = observed.provider
    ids = {outcome.task["id"] for outcome in observed.outcomes}
    expected = sum(transfer.repeats is None for transfer in TRANSFERS)
    if provider.creates_seen != expected:
        yield f"the provider saw {provider.creates_seen} creates, not {expected}"
    for task_id in ids | provider.paid.keys():
        times = provider.paid.get(task_id, 0)
        if times != 1 or task_id not in ids:
            yield f"{task_id} was paid {times} times"
    if len(ids) != expected:
        yield f"there are {len(ids)} tasks, not {expected}"


# ── The table ─────────────────────────────────────────────────────────────────────────────────


def table(observed: Observed) -> list[str]:
    """Format the outcomes, one per line, followed by the files."""
    head = ("task", "transfer", "path taken", "status", "time", "creates paid", "file")
    rows = [head, *(_row(outcome, observed) for outcome in observed.outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    files = [outcome.file for outcome in observed.outcomes if outcome.file is not None]
    unique = {file.path: file for file in files}.values()
    return [
        lines[0],
        "─" * max(map(len, lines)),
        *lines[1:],
        "",
        *(f"{file.path}: {file.size:,} bytes, sha256 {file.sha256}" for file in unique),
    ]


def _row(outcome: Outcome, observed: Observed) -> tuple[str, ...]:
    task_id: str = outcome.task["id"]
    return (
        task_id[:13],
        outcome.transfer.description,
        path_taken(outcome),
        outcome.task["status"],
        f"{outcome.seconds:.1f} s",
        str(observed.provider.paid.get(task_id, 0) - outcome.replayed),
        outcome.file.path.name if outcome.file else "none",
    )


def path_taken(outcome: Outcome) -> str:
    """List the components that brought the task to its end, in order."""
    if outcome.replayed:
        return "existing task returned"
    first = {"callback": "callback → feed", "fallback": "sweeper → fallback → feed"}
    settled_by = outcome.task["settled_by"] or "not settled"
    copied = " → copy" if outcome.task["output"] else ""
    return first.get(settled_by, settled_by) + copied
