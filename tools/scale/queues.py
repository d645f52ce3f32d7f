"""Simulations of what waits: deterministic, with the constants of the template and the code."""

import heapq
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from act_one.lifecycle.sweep import sweep
from act_one.tasks import table as tasks_table
from act_one.tasks.moves import COPY_START_SECONDS

SWEEP_PERIOD: Final = 60.0
STALE_SECONDS: Final = 0.05
"""A message whose task has been copied already costs its function so long."""
HORIZON: Final = 6 * 3_600.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What an interruption of the copy left behind."""

    tasks: int
    """Arrived until the queue was empty again, or for six hours."""
    most_waiting: int
    """Tasks that waited at once."""
    drained_after: float | None
    """Seconds after its end until no task waited; None: not within six hours."""
    fallbacks: int
    """Executions started because a copy had not begun within ``COPY_START_SECONDS``."""


def copies(
    rate: float, workers: int, seconds: float, outage: float, starts_per_sweep: int
) -> Backlog:
    """Let tasks arrive at a rate while the copy stands still for ``outage`` seconds.

    A task that no copy has claimed becomes due, and its fallback sends another message about it,
    which waits behind all others. Its first message then finds that there is nothing left to do, or
    the second does.
    """
    queue: deque[int] = deque()
    due: list[tuple[float, int]] = []
    claimed: set[int] = set()
    free = [outage] * workers
    heapq.heapify(free)
    arrived = most = fallbacks = 0
    next_sweep, last_begun = SWEEP_PERIOD, outage
    while True:
        worker, arrival = free[0], arrived / rate
        at = min(arrival, next_sweep, worker if queue else HORIZON)
        if at >= outage and not queue and len(claimed) == arrived:
            return Backlog(arrived, most, last_begun - outage, fallbacks)
        if at >= HORIZON:
            return Backlog(arrived, most, None, fallbacks)
        if at == next_sweep:
            next_sweep += SWEEP_PERIOD
            started = 0
            while due and due[0][0] <= at and started < starts_per_sweep:
                _, task = heapq.heappop(due)
                if task in claimed:
                    continue
                queue.append(task)
                heapq.heappush(due, (at + COPY_START_SECONDS, task))
                started += 1
            fallbacks += started
        elif at == arrival:
            queue.append(arrived)
            heapq.heappush(due, (at + COPY_START_SECONDS, arrived))
            arrived += 1
            most = max(most, arrived - len(claimed))
            if worker < at:  # it has been idle
                heapq.heapreplace(free, at)
        else:
            task = queue.popleft()
            heapq.heapreplace(free, at + (STALE_SECONDS if task in claimed else seconds))
            claimed.add(task)
            last_begun = at


def sweeps(due: int, latency: float) -> list[int]:
    """Run the real sweep over so many due rows, minute by minute; returns the starts of each.

    Each call of AWS takes ``latency`` seconds, of a clock that only this moves.
    """
    now = 0.0
    rows = deque(range(due))

    def clock() -> float:
        return now

    def listed(_now: float) -> Iterator[tuple[str, float]]:
        yield from [(f"task-{row}", 0.0) for row in rows]

    def take(*_: object, **__: object) -> SimpleNamespace:
        nonlocal now
        now += latency
        return SimpleNamespace(task_id=f"task-{rows.popleft()}", fallback_runs=1)

    def start(**_: object) -> None:
        nonlocal now
        now += latency

    table: Any = SimpleNamespace(due=listed, held=lambda: iter(()), claim_due=take)
    stepfunctions: Any = SimpleNamespace(
        start_execution=start, exceptions=SimpleNamespace(ExecutionAlreadyExists=KeyError)
    )
    done: list[int] = []
    while rows:
        now = len(done) * SWEEP_PERIOD
        done.append(sweep(table, stepfunctions, "arn", clock, lambda: False))
    return done


@dataclass(frozen=True, slots=True)
class Contention:
    """What transactions on one account of the ledger met."""

    tries: float
    """Per transaction."""
    slowest: float
    """Seconds that one in a hundred waited, at least."""
    failed: float
    """The share that was given up after the last try."""


def contention(
    tasks_per_second: float, per_task: float, held_seconds: float, seconds: float = 60.0
) -> Contention:
    """Send transactions on one item at random moments; one that meets another tries again.

    With the waits and the number of tries of ``tasks.table``. The moments come of a fixed seed.
    """
    chance = random.Random(1)  # noqa: S311 - a simulation
    pending: list[tuple[float, int, float]] = []
    at = 0.0
    while at < seconds:
        heapq.heappush(pending, (at, 1, at))
        at += chance.expovariate(tasks_per_second * per_task)
    total, count, tries, failed, free_at = len(pending), 0, 0, 0, 0.0
    waits: list[float] = []
    while pending:
        at, attempt, began = heapq.heappop(pending)
        tries += 1
        if at >= free_at:
            free_at = at + held_seconds
            waits.append(free_at - began)
        elif attempt == tasks_table._LEDGER_TRIES:  # noqa: SLF001 - its own constants
            failed += 1
        else:
            longest = tasks_table._LEDGER_MAX_SECONDS  # noqa: SLF001
            wait = min(longest, tasks_table._LEDGER_SECONDS * 2.0 ** (attempt - 1))  # noqa: SLF001
            again = at + wait * chance.uniform(0.5, 1.0)
            heapq.heappush(pending, (again, attempt + 1, began))
        count += 1
    slowest = sorted(waits)[int(len(waits) * 0.99)] if waits else float("inf")
    return Contention(tries / total, slowest, failed / total)
