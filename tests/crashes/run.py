"""Runs points: kills, leaves the system alone, and records the outcome.

Leases and waits that take minutes are not waited for. A task to which nothing happens any more
gets its time moved instead: the times in its row move into the past by the same amount, as far as
it is until its due time. That is all that is done to it; who then finds it due, and what comes of
that, is the system's own doing.
"""

import hashlib
import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from botocore.exceptions import ClientError

from act_one.clients.client import DEFAULT_CLIENT
from act_one.keys import parse_keys
from act_one.provider.callback_token import callback_url
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.rows import read_item
from act_one.tasks.task import Task
from local.stack import LocalStack
from tests.crashes.calls import Call
from tests.crashes.killing_proxy import Trap, Watch
from tests.crashes.points import LIVES, Point
from tests.crashes.workers import count_busy, is_busy, kill, workers_of
from tests.e2e.caller import Bus, Caller

AT_ONCE: Final = 4
"""Workers that may be busy while something new is begun: a crash costs a start, cores are few."""
BEGUN_AT_ONCE: Final = 2
TICK: Final = 0.3
QUIET: Final = 5.0
"""Seconds without a change after which a task's time is moved, on a machine that isn't busy."""
QUIET_SWEEPS: Final = 20
"""The same, in times that a sweep takes: where that is longer, everything is."""
LATEST: Final = 20.0
"""Seconds after its task's end in which a crash must come, if it is to come at all."""
SETTLES_WITHIN: Final = 400.0
PARAMETERS: Final = {
    "MinPollSeconds": "1",
    "PollIntervalSeconds": "2",
    "PollMaxIntervalSeconds": "2",
    "RequestsPerSecond": "1000",
    "RequestBurst": "1000",
}
"""What an execution of the fallback really waits for is kept short; the rest is as on AWS."""
TIMEOUT_SECONDS: Final = 3_600.0  # the template's TaskTimeoutSeconds
_TIMES: Final = (
    "due_at",
    "sent_at",
    "source_known_at",
    "copy_lease_until",
    "feed_asked_at",
    "feed_failing_since",
)
_OPEN: Final = frozenset(
    {"accepted", "submitting", "unconfirmed", "submitted", "running", "storing", "expired"}
)
_AWAITING_CALLBACK: Final = frozenset({"submitting", "unconfirmed", "submitted", "running"})


@dataclass(slots=True)
class Outcome:
    """The outcome of a point's task."""

    point: Point
    task_id: str
    traps: list[Trap]
    answer: int = 0
    left_alone: bool = False
    """Whether its client has done what it does."""
    row_left: bool = False
    """Whether there was a row right after the client's answer."""
    repeated: requests.Response | None = None
    """The answer to the same request, sent again right after one that failed."""
    repeated_at_the_end: requests.Response | None = None
    row: Task | None = None
    objects: dict[str, str] = field(default_factory=dict)
    """Name → SHA-256."""
    provider_tasks: list[dict[str, Any]] = field(default_factory=list)
    beside: dict[str, Any] = field(default_factory=dict)
    """What its task.json says."""
    executions: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    unwatched: list[str] = field(default_factory=list)
    """Moments at which it was open and no sweep would ever have found it."""
    moved: list[str] = field(default_factory=list)
    """Where its time was moved: stage, and how far."""
    quiet_since: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether it ended as expected, and nothing is still to be waited for."""
        ended = self.row is not None and self.row.stage == self.point.stage
        waits = not all(trap.sprung.is_set() for trap in self.traps)
        return ended and not (waits and time.monotonic() - self.quiet_since < LATEST)


def run(points: Sequence[Point], stack: LocalStack, watch: Watch, bus: Bus) -> list[Outcome]:
    """Run points side by side, until their tasks are settled or it takes too long."""
    return _Run(stack, watch, bus).all_of(points)


def make_due(row: Task, caller: Caller) -> float | None:
    """Move a task's times into the past until it is due, unless it changes meanwhile.

    Returns by how many seconds; None: nothing was moved.
    """
    if row.due_at is None:
        return None
    ends_at = row.due_at
    if row.stage == "unconfirmed" and row.feed_failing_since is not None:
        # It was looked at in vain, and would be every two minutes: on to the last time.
        ends_at = max(ends_at, row.deadline(TIMEOUT_SECONDS))
    seconds = round(ends_at - time.time() + 0.1, 3)
    if seconds <= 0:
        return None
    times = [name for name in _TIMES if getattr(row, name) is not None]
    try:
        caller.table.client.update_item(
            TableName=caller.stack.tasks_table,
            Key={"task_id": {"S": row.task_id}},
            UpdateExpression="SET " + ", ".join(f"{name} = {name} - :seconds" for name in times),
            ConditionExpression="claim_id = :claim AND version = :version AND due_at = :due",
            ExpressionAttributeValues={
                ":seconds": {"N": str(seconds)},
                ":claim": {"S": row.claim_id},
                ":version": {"N": str(row.version)},
                ":due": {"N": str(row.due_at)},
            },
        )
    except caller.table.client.exceptions.ConditionalCheckFailedException:
        return None
    return seconds


class _Run:
    def __init__(self, stack: LocalStack, watch: Watch, bus: Bus) -> None:
        self.caller = Caller(stack)
        self.stack = stack
        self.watch = watch
        self.bus = bus
        self.database = stack.client("dynamodb")
        self.executions = stack.client("stepfunctions")
        self.functions = stack.client("lambda")
        self.client_id = DEFAULT_CLIENT
        self.outcomes: dict[str, Outcome] = {}
        self.pool = ThreadPoolExecutor(16)
        self.sweep_seconds = 0.1

    def all_of(self, points: Sequence[Point]) -> list[Outcome]:
        self.caller.wait(self.caller.submit("seconds=1"), {"succeeded"})  # warms the workers
        outcomes = [self._outcome(point) for point in points]
        with self.pool:
            self._run_alone([one for one in outcomes if not one.point.names_a_task])
            self._run_together(_mixed([one for one in outcomes if one.point.names_a_task]))
            list(self.pool.map(self._finish, outcomes))
        self._take_down()
        return outcomes

    def _outcome(self, point: Point) -> Outcome:
        task_id = derive_task_id(self.client_id, point.name)
        traps = [
            Trap(function=function, call=call, when=when, task_id=task_id)
            for function, call, when in (*point.also, (point.function, point.call, point.when))
        ]
        if not point.names_a_task:
            traps[-1].task_id = None
        outcome = self.outcomes[task_id] = Outcome(point, task_id, traps)
        return outcome

    # ── Points whose call names no task ───────────────────────────────────────────────────────

    def _run_alone(self, outcomes: Sequence[Outcome]) -> None:
        """Lead to one crash after the other, with nothing else for the function to do meanwhile."""
        of = defaultdict(list)
        for outcome in outcomes:
            of[outcome.point.function].append(outcome)
        for outcome in of["submit"]:
            self._spring(outcome, lambda outcome=outcome: self._submit(outcome))
        self._wait_for(of["submit"])  # their callbacks are not to step into the next traps
        for outcome in of["copy"]:
            self._spring(outcome, lambda outcome=outcome: self._submit(outcome))
        for outcome in (*of["callback"], *of["tasks"]):
            self._spring(outcome, lambda outcome=outcome: self._submit(outcome))
        for outcome in (*of["sweeper"], *of["fallback"]):
            self._submit(outcome)
            self._spring(outcome, lambda outcome=outcome: self._bring_due(outcome))

    def _spring(self, outcome: Outcome, lead_there: Callable[[], None]) -> None:
        """Set a point's trap and lead to it. A key is read once per worker: so by a new one."""
        for worker in workers_of(outcome.point.function, self.watch.aws_url):
            kill(worker)
        for trap in outcome.traps:
            self.watch.set(trap)
        lead_there()
        for trap in outcome.traps:
            trap.sprung.wait(120)

    def _bring_due(self, outcome: Outcome) -> None:
        row = self.caller.row(outcome.task_id)
        if outcome.row is None or outcome.row == row:
            if seconds := make_due(row, self.caller):
                outcome.moved.append(f"{row.stage} {seconds:.0f} s")
            self._sweep()

    def _wait_for(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            with suppress(AssertionError):
                self.caller.wait(outcome.task_id, {outcome.point.stage})

    # ── Points side by side ───────────────────────────────────────────────────────────────────

    def _run_together(self, outcomes: Sequence[Outcome]) -> None:
        waiting, begun = deque(outcomes), list[Future[None]]()
        ends_at = float("inf")
        while time.monotonic() < ends_at:
            quiet = self._look()
            for outcome in quiet:
                self._wait_for_room()
                self._bring_due(outcome)
            for _ in range(BEGUN_AT_ONCE):
                if not waiting or self._is_crowded():
                    break
                outcome = waiting.popleft()
                for trap in outcome.traps:
                    self.watch.set(trap)
                begun.append(self.pool.submit(self._submit, outcome))
                ends_at = time.monotonic() + SETTLES_WITHIN
            if not waiting and all(outcome.settled for outcome in self.outcomes.values()):
                break
            self._sweep()
            time.sleep(TICK)
        for future in begun:
            future.result()

    def _is_crowded(self) -> bool:
        return count_busy(self.watch.aws_url) >= AT_ONCE

    def _wait_for_room(self) -> None:
        ends_at = time.monotonic() + QUIET
        while self._is_crowded() and time.monotonic() < ends_at:
            time.sleep(0.1)

    def _sweep(self) -> None:
        """Sweep as the schedule does, with a client that is kept: it happens often."""
        began_at = time.monotonic()
        with suppress(ClientError):
            self.functions.invoke(FunctionName=self.stack.sweeper_function, Payload=b"{}")
        self.sweep_seconds = 0.8 * self.sweep_seconds + 0.2 * (time.monotonic() - began_at)

    def _look(self) -> list[Outcome]:
        """Read every row; answer the tasks to which nothing happens until they are due."""
        pages = self.database.get_paginator("scan").paginate(
            TableName=self.stack.tasks_table, ConsistentRead=True
        )
        now = time.monotonic()
        enough = max(QUIET, QUIET_SWEEPS * self.sweep_seconds)
        quiet = []
        for item in [item for page in pages for item in page["Items"]]:
            outcome = self.outcomes.get(item["task_id"]["S"])
            if outcome is None:
                continue
            row = read_item(item)
            if row != outcome.row:
                outcome.row, outcome.quiet_since = row, now
            if row.stage in _OPEN and (row.due_at is None or item.get("watched") != {"S": "open"}):
                outcome.unwatched.append(f"{row.stage}#{row.version}")
            if row.stage in _OPEN - {"expired"} and now - outcome.quiet_since > enough:
                quiet.append(outcome)
        return self._not_in_hand(quiet) if quiet else []

    def _not_in_hand(self, quiet: Sequence[Outcome]) -> list[Outcome]:
        """Leave out tasks that a client, a worker, a callback, an execution or the queue has."""
        called = set()
        for task in self.caller.simulator("tasks"):
            if _is_to_be_called(task):
                called.add(task["task_id"])
        running = self.executions.list_executions(
            stateMachineArn=self.stack.fallback_arn, statusFilter="RUNNING"
        )["executions"]
        held = {execution["name"].rpartition("-")[0] for execution in running}
        return [
            outcome
            for outcome in quiet
            if outcome.row is not None
            and outcome.left_alone
            and outcome.task_id not in held
            and not self._is_worked_on(outcome.task_id)
            and not (outcome.row.stage in _AWAITING_CALLBACK and outcome.task_id in called)
            and not (outcome.row.stage == "storing" and self._is_announced(outcome.task_id))
        ]

    def _is_worked_on(self, task_id: str) -> bool:
        """Return whether the worker that last called about a task is still busy, however slow."""
        worker = self.watch.last_worker.get(task_id)
        return worker is not None and is_busy(worker)

    def _is_announced(self, task_id: str) -> bool:
        """Tell whether a result was announced more often than a copy began on it."""
        published = self.watch.carried_out["relay", Call("publish Task Storing", task_id)]
        return published > self.watch.seen["copy", Call("claim the copy", task_id)]

    # ── The client ────────────────────────────────────────────────────────────────────────────

    def _submit(self, outcome: Outcome) -> None:
        answer = self._post(outcome)
        outcome.answer = answer.status_code
        outcome.row_left = self.caller.table.read(outcome.task_id) is not None
        if answer.status_code >= 500:
            outcome.repeated = self._post(outcome)
        match LIVES[outcome.point.life].then:
            case "cancel":
                self.caller.wait(outcome.task_id, {"accepted"})
                url = f"{self.stack.api_url}/tasks/{outcome.task_id}/cancel"
                canceled = requests.post(url, headers=self.caller.headers, timeout=60)
                outcome.answer = canceled.status_code
            case "handle_callback":
                self.caller.wait(outcome.task_id, {"accepted"})
                self._call_back(outcome.task_id)
        outcome.left_alone = True

    def _post(self, outcome: Outcome) -> requests.Response:
        # The simulator counts creates by video; a reason, given to failures, tells videos apart.
        behaviour = f"{LIVES[outcome.point.life].behaviour}&reason={outcome.task_id}"
        if "callback" not in {trap.function for trap in outcome.traps}:
            # One that waits ten seconds for its worker, because so much goes on here, comes again.
            behaviour += "&callback_retries=3"
        body = self.caller.body(behaviour)
        return self.caller.post(body, {"Idempotency-Key": outcome.point.name.encode()})

    def _call_back(self, task_id: str) -> None:
        """Call back as the provider would, about an id that the feed doesn't know (yet)."""
        secret = self.stack.client("secretsmanager").get_secret_value(
            SecretId=f"{self.stack.stack_name}/callback"
        )
        url = callback_url(
            f"{self.stack.endpoint_url}/", task_id, parse_keys(secret["SecretString"])
        )
        requests.post(
            url,
            headers={"Host": urlsplit(self.stack.callback_url).netloc},
            data=json.dumps({"task_id": f"unknown-{task_id}", "status": "1"}),
            timeout=60,
        )

    # ── The outcomes ───────────────────────────────────────────────────────────────────────────

    def _finish(self, outcome: Outcome) -> None:
        outcome.repeated_at_the_end = self._post(outcome)
        outcome.row = self.caller.row(outcome.task_id)
        outcome.executions = self.caller.executions(outcome.task_id)
        with suppress(AssertionError):
            outcome.events = self.bus.of(outcome.task_id, f"Task {outcome.row.stage.title()}")

    def _take_down(self) -> None:
        bucket = self.stack.results_bucket
        pages = self.caller.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for found in [found for page in pages for found in page.get("Contents", ())]:
            *_, task_id, name = found["Key"].split("/")
            if task_id in self.outcomes:
                outcome = self.outcomes[task_id]
                data = self.caller.object(f"s3://{bucket}/{found['Key']}")
                outcome.objects[name] = hashlib.sha256(data).hexdigest()
                if name == "task.json":
                    outcome.beside = json.loads(data)
        for task in self.caller.simulator("tasks"):
            if task["task_id"] in self.outcomes:
                self.outcomes[task["task_id"]].provider_tasks.append(task)


def _is_to_be_called(task: dict[str, Any]) -> bool:
    """Tell whether the provider has yet to call back for a task, or to try again."""
    behaviour, calls = task["behaviour"], task["callbacks"]
    if behaviour["callback"] == "lost":
        return False
    answered = bool(calls) and 200 <= (calls[-1]["status"] or 0) < 300
    return not answered and len(calls) <= behaviour["callback_retries"]


def _mixed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Order outcomes so that no function has all of its crashes at once."""
    totals = Counter(outcome.point.function for outcome in outcomes)
    numbers: Counter[str] = Counter()
    places = {}
    for outcome in outcomes:
        function = outcome.point.function
        numbers[function] += 1
        # What takes its time begins first.
        is_long = "long" in outcome.point.life
        places[outcome.task_id] = 0 if is_long else numbers[function] / totals[function]
    return sorted(outcomes, key=lambda outcome: places[outcome.task_id])
