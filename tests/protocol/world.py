"""Everything around the core, in one hand: its clock, its calls, its deaths, and what must hold.

The table is a real (emulated) one; the provider, its CDN, the bucket, the bus and the executions
are kept here. Every function of the core runs as an ``Actor``, one I/O call at a time.
"""

import contextlib
import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self
from unittest.mock import patch

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.hooks import HierarchicalEmitter

from act_one.clients.client import Client
from act_one.clock import HOUR
from act_one.inputs.request import TransferRequest
from act_one.inputs.retry import RetryOptions
from act_one.keys import KeyRing
from act_one.lifecycle import submission
from act_one.lifecycle.advance import advance
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.cancel import cancel
from act_one.lifecycle.erasure import TaskFiles, erase
from act_one.lifecycle.relay import publish
from act_one.lifecycle.retry import retry
from act_one.lifecycle.services import Services
from act_one.lifecycle.storing import Storage, store_result
from act_one.lifecycle.submission import accept, send_accepted, submit, waits_for_first_send
from act_one.lifecycle.sweep import sweep
from act_one.problems import ProblemError
from act_one.provider import client
from act_one.provider.callback_token import verify
from act_one.provider.client import CometApi
from act_one.settings import Settings
from act_one.tasks import schema
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.events import detail_type_of
from act_one.tasks.identifiers import derive_retry_id, derive_task_id
from act_one.tasks.ledger import client_account
from act_one.tasks.rows import read_item
from act_one.tasks.schema import NewerRowError
from act_one.tasks.table import TaskTable
from act_one.tasks.task import SETTLED, Stage, Task
from tests.protocol.actors import Actor, Crash, Fault, current
from tests.protocol.checks import faults_of_end, faults_of_write
from tests.protocol.provider import LIES, TRUTHS, WITH_ID, Create, Provider, Says, State

LATEST_SECONDS = 10.0
"""How long a request that its sender gave up on may still be on its way."""
RECEIVES = 5
CLIENT = Client(name="client")
ACCOUNT = client_account(CLIENT.name)
MAX_CALLS = 200
MAX_TURNS = 120

done: Counter[str] = Counter()
"""What was done so far in this process, for those who ask how much a run has shown."""


@dataclass(frozen=True)
class Deployment:
    """Emulated tables, and how many seconds each function may run."""

    client: Any
    table: str
    ledger: str
    seconds: dict[str, float]


@dataclass
class Intent:
    """What the test knows of one thing that a client wants, beside its row."""

    key: str
    task_id: str
    bodies: set[str] = field(default_factory=set)
    failing_since: list[float] = field(default_factory=list)
    id_written_at: float | None = None
    told_id_at: float | None = None
    told_success_at: float | None = None
    told_url_until: float = 0.0
    turns: int = 0


@dataclass
class Execution:
    """One execution of the fallback's state machine: advance ⇄ wait."""

    name: str
    task_id: str
    wakes_at: float
    ended: bool = False
    actor: Actor | None = None


@dataclass
class Message:
    """One message of the media queue."""

    event: dict[str, Any]
    receives: int = 0
    actor: Actor | None = None


@dataclass
class _Late:
    until: float
    operation: str
    perform: Any


class World:
    """One history: make it go on by its methods, then ``drain`` and see what ``broken`` holds."""

    def __init__(self, deployment: Deployment, *, retention_days: int = 30) -> None:
        self.deployment = deployment
        self.began_at = self.now = 1_800_000_000.0
        self.broken: list[str] = []
        self.history: list[str] = []
        self.intents: dict[str, Intent] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, Task] = {}
        self.records: list[dict[str, Any]] = []
        self.relayed = 0
        self.moves: dict[str, str] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.messages: list[Message] = []
        self.executions: dict[str, Execution] = {}
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.actors: list[Actor] = []
        self.copiers: dict[str, Actor] = {}
        self.late: list[_Late] = []
        self.calm_since: float | None = None
        self.newer: set[str] = set()
        self.provider = Provider(self)
        self.secret = {"current": "key-1"}
        self.settings = Settings(
            tasks_table=deployment.table,
            results_bucket="results",
            event_bus="bus",
            provider_secret="provider",
            callback_secret="callback",
            provider_base_url="https://provider.example",
            callback_base_url="https://callback.example/",
            fallback_arn="arn:fallback",
            callback_grace_seconds=900,
            poll_interval_seconds=15,
            poll_max_interval_seconds=120,
            min_poll_seconds=5,
            task_timeout_seconds=3_600,
            copy_timeout_seconds=deployment.seconds["copy"],
            max_media_bytes=1_000_000,
            max_video_bytes=1_000_000,
            max_image_bytes=1_000_000,
            min_video_seconds=3.0,
            max_video_seconds=30.0,
            allow_http_media=False,
            unsafe_allow_private_media=False,
            result_retention_days=retention_days,
        )
        self._rings: dict[tuple[str, str], KeyRing] = {}
        self._client = WatchedClient(self)
        self._patches = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._patches.enter_context(patch.object(client, "post", self.provider.post))
        slow = SimpleNamespace(sleep=self._sleep)
        self._patches.enter_context(patch.object(submission, "time", slow))
        submission.metrics.clear_metrics()
        logging.disable(logging.CRITICAL)
        return self

    def __exit__(self, *_failure: object) -> None:
        for actor in self.actors:
            actor.kill()
        for task_id in self.rows:  # the next history's sweeps are to see none of these
            key = {"task_id": {"S": task_id}}
            self.deployment.client.delete_item(TableName=self.deployment.table, Key=key)
        for day in self.accounts():
            key = {"owner": {"S": ACCOUNT}, "day": {"S": day}}
            self.deployment.client.delete_item(TableName=self.deployment.ledger, Key=key)
        logging.disable(logging.NOTSET)
        self._patches.close()

    # ── Time ──────────────────────────────────────────────────────────────────────────────────

    def wait(self, seconds: float) -> None:
        """Let time pass; who runs longer than its function's time-out is killed."""
        until = self.now + seconds
        self.land(len(self.late))
        self.now = round(until, 3)
        for actor in self.live():
            if self.now - actor.started_at > actor.seconds:
                actor.kill()
                self.tell(f"{actor} runs into its time-out")
                self._ended(actor)

    def land(self, count: int = 1) -> None:
        """Let requests arrive that their senders gave up on."""
        for request in self.late[:count]:
            self.tell(f"{request.operation} arrives late")
            # The answer goes nowhere, whatever it is.
            with contextlib.suppress(Exception):
                request.perform()
        del self.late[:count]

    def replace_key(self) -> None:
        """The provider knows only a new key; the secret holds it, and the one before."""
        old, new = self.secret["current"], f"{self.secret['current']}'"
        self.secret = {"current": new, "previous": old}
        self.provider.keys = {new}
        self.tell("the provider's key is replaced")

    def _sleep(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)

    def _clock(self, skew: float):
        return lambda: round(self.now + skew, 3)

    # ── Calls ─────────────────────────────────────────────────────────────────────────────────

    def io(
        self,
        operation: str,
        perform,
        *,
        not_sent: Exception | None = None,
        lost: Exception | None = None,
        refused: Exception | None = None,
        repeats: bool = True,
        may_be_late: bool = True,
    ):
        """Make a call of the actor that runs now, with what is to befall it."""
        actor = current()
        done["calls"] += 1
        if actor is None:
            return perform()
        if actor.calls > MAX_CALLS:
            self.broken.append(f"{actor} makes no end of calls, {operation} now")
            raise Crash
        fault = actor.before(operation)
        if fault is Fault.LATE and not may_be_late:
            fault = Fault.REPLY_LOST
        if fault is not Fault.NONE:
            done[fault] += 1
        self.tell(f"  {actor}: {operation}{'' if fault is Fault.NONE else f' — {fault}'}")
        match fault:
            case Fault.DIES_BEFORE:
                raise Crash
            case Fault.NOT_SENT:
                raise not_sent or EndpointConnectionError(endpoint_url="https://aws.example")
            case Fault.REFUSED:
                raise refused or ClientError({"Error": {"Code": "ThrottlingException"}}, operation)
            case Fault.LATE:
                self.late.append(_Late(self.now + LATEST_SECONDS, operation, perform))
                raise lost or ReadTimeoutError(endpoint_url="https://aws.example")
        answer, failure = None, None
        try:
            answer = perform()
        except Exception as error:  # noqa: BLE001 - an error reply is a reply too
            failure = error
        match fault:
            case Fault.DIES_AFTER:
                raise Crash
            case Fault.REPLY_LOST:
                raise lost or ReadTimeoutError(endpoint_url="https://aws.example")
            case Fault.SENT_AGAIN if repeats:
                return self.io(operation, perform, not_sent=not_sent, lost=lost, refused=refused)
        if failure is not None:
            raise failure
        return answer

    # ── What functions run with ───────────────────────────────────────────────────────────────

    def _backend(self, actor: Actor) -> Services:
        provider = CometApi(
            base_url=self.settings.provider_base_url,
            runway_version="",
            key_ring=self._ring(actor.kind, "provider"),
            clock=self._clock(actor.skew),
        )
        table = TaskTable(self._client, self.deployment.table, self.deployment.ledger)
        clients = SimpleNamespace(is_paused=lambda: False)
        return Services(table, provider, self.settings, self._clock(actor.skew), clients)

    def _ring(self, kind: str, secret: str) -> KeyRing:
        """Return the ring of a warm function, which keeps what it read."""
        if (kind, secret) not in self._rings:
            client = SimpleNamespace(
                get_secret_value=lambda **_: {
                    "SecretString": json.dumps(
                        self.secret if secret == "provider" else {"current": "signs callbacks"}
                    )
                },
                exceptions=SimpleNamespace(ResourceNotFoundException=LookupError),
            )
            self._rings[kind, secret] = KeyRing(client, secret, lambda: self.now)
        return self._rings[kind, secret]

    def _seconds_left(self, actor: Actor):
        return lambda: actor.seconds - (self.now - actor.started_at)

    def _start(self, kind: str, name: str, work, *, skew: float = 0.0, then=None) -> Actor:
        done["runs"] += 1
        actor = Actor(
            f"{name}.{len(self.actors)}",
            lambda actor: work(actor, self._backend(actor)),
            kind=kind,
            skew=skew,
            started_at=self.now,
            seconds=self.deployment.seconds[kind],
            then=then or (lambda _: None),
        )
        self.actors.append(actor)
        self.tell(f"{actor} starts{f', its clock {skew:+} s' if skew else ''}")
        if actor.ended:
            self._ended(actor)
        return actor

    # ── Functions ─────────────────────────────────────────────────────────────────────────────

    def intent(self, key: str) -> Intent:
        """Return what is known of a key; ``a'`` is the retry of ``a``."""
        if key not in self.intents:
            derived = key.endswith("'")
            task_id = (
                derive_retry_id(self.intent(key[:-1]).task_id)
                if derived
                else derive_task_id(CLIENT.name, key)
            )
            self.intents[key] = Intent(key, task_id)
        return self.intents[key]

    def submit(
        self, key: str, *, body: str = "a", create: Create | None = None, skew: float = 0.0
    ) -> Actor:
        """A client sends a request with an idempotency key."""
        intent, request = self.intent(key), _request(key, body)
        if create is not None:
            self.provider.next_create[intent.task_id] = create

        def work(actor, services):
            keys = self._ring("submit", "callback").keys()
            try:
                return submit(
                    request, CLIENT, keys, services, self._seconds_left(actor), lambda _: ()
                )
            except ProblemError as problem:
                return problem

        then = self._answered(intent, request)
        return self._start("submit", f"submit {key}", work, skew=skew, then=then)

    def accept(self, key: str, *, body: str = "a", skew: float = 0.0) -> Actor:
        """A client's batch has a request: its task is sent later."""
        intent, request = self.intent(key), _request(key, body)

        def work(_actor, services):
            try:
                return accept(request, CLIENT, services, 60.0)
            except ProblemError as problem:
                return problem

        then = self._answered(intent, request)
        return self._start("submit", f"accept {key}", work, skew=skew, then=then)

    def send(self, key: str, *, create: Create | None = None, skew: float = 0.0) -> Actor:
        """Ingest has the message of a batch's task, be it for the second time or long after."""
        intent = self.intent(key)
        if create is not None:
            self.provider.next_create[intent.task_id] = create

        def work(actor, services):
            keys = self._ring("ingest", "callback").keys()
            left = self._seconds_left(actor)
            return send_accepted(intent.task_id, keys, services, left, lambda _: ())

        return self._start("ingest", f"send {key}", work, skew=skew)

    def retry(
        self, key: str, *, twice: bool, create: Create | None = None, skew: float = 0.0
    ) -> Actor:
        """A client wants its task once more; ``twice``: even if it may be paid for twice."""
        parent, child = self.intent(key), self.intent(f"{key}'")
        if create is not None:
            self.provider.next_create[child.task_id] = create

        def work(actor, services):
            task = services.table.read(parent.task_id)
            if task is None or task.erasing_since is not None:
                return None
            actor.read = task
            keys = self._ring("submit", "callback").keys()
            left = self._seconds_left(actor)
            options = RetryOptions(may_be_billed_twice=twice)
            try:
                return retry(task, options, CLIENT, keys, services, left, lambda _: ())
            except ProblemError as problem:
                return problem

        def then(actor):
            if not isinstance(actor.result, tuple):
                return
            task, existed = actor.result
            if task.task_id == parent.task_id:
                if twice or existed:
                    self.broken.append(f"{actor} is given the task that was to be repeated")
            elif (task.task_id, task.retry_of) != (child.task_id, parent.task_id):
                self.broken.append(f"{actor} is given another's task")
            elif not existed and actor.read.stage not in _REPEATABLE[twice]:
                self.broken.append(f"{actor} repeats a task that was {actor.read.stage}")

        return self._start("submit", f"retry {key}", work, skew=skew, then=then)

    def _answered(self, intent: Intent, request: TransferRequest):
        """Return what is checked once a client has its answer."""

        def then(actor):
            match actor.result:
                case ProblemError() as problem:
                    told = self.tasks.get(intent.task_id)
                    erased = told is not None and told.erasing_since is not None
                    if problem.code == "task-erased" and erased:
                        return
                    if isinstance(problem, NewerRowError) and intent.task_id in self.newer:
                        return
                    other = told is not None and told.request_hash != request.fingerprint()
                    if problem.code != "idempotency-key-reused" or not other:
                        self.broken.append(f"{actor} gets {problem.code}")
                case (task, _) if (
                    task.task_id != intent.task_id or task.request_hash != request.fingerprint()
                ):
                    self.broken.append(f"{actor} is given another's task")

        return then

    def callback(self, key: str, says: Says, *, anothers: str = "", skew: float = 0.0) -> Actor:
        """The provider calls back about a task that it made."""
        intent = self.intent(key)
        made = self.provider.of(intent.task_id)
        body = self.provider.callback_body(made, says, anothers)
        path = self.provider.callback_paths[intent.task_id]

        def work(actor, services):
            actor.says, actor.made, actor.state = says, made, made.state
            return handle_callback(verify(path, self._ring("callback", "callback")), body, services)

        def then(actor):
            row = self.tasks.get(intent.task_id)
            kept = row.stage in {Stage.STORING, Stage.SUCCEEDED, Stage.CANCELED}
            kept = kept or row.erasing_since is not None
            if not (actor.crashed or actor.failure or actor.wrote_evidence or kept):
                self.broken.append(f"{actor} is answered 200 and kept nowhere")

        return self._start("callback", f"callback {key} ({says})", work, skew=skew, then=then)

    def waiting(self) -> list[str]:
        """List the keys whose tasks wait for their first send."""
        return [key for key, task in self._known() if waits_for_first_send(task)]

    def without_result(self) -> list[str]:
        """List the keys whose tasks ended without a result, or may have."""
        return [key for key, task in self._known() if task.stage in _REPEATABLE[True]]

    def _known(self):
        for key, one in list(self.intents.items()):
            if one.task_id in self.tasks:
                yield key, self.tasks[one.task_id]

    def withdraw(self, key: str, *, skew: float = 0.0) -> Actor:
        """A client cancels its task."""
        task_id = self.intent(key).task_id

        def work(actor, services):
            task = services.table.read(task_id)
            try:
                return task and cancel(task, services.table, self.settings, self._clock(actor.skew))
            except ProblemError as problem:
                return problem

        return self._start("tasks", f"cancel {key}", work, skew=skew)

    def erase(self, key: str, *, skew: float = 0.0) -> Actor:
        """A client erases its task."""
        task_id = self.intent(key).task_id
        files = TaskFiles(s3=FakeS3(self), results="results", uploads="uploads")

        def work(actor, services):
            task = services.table.read(task_id)
            try:
                return task and erase(task, services.table, files, self._clock(actor.skew))
            except ProblemError as problem:
                return problem

        return self._start("erase", f"erase {key}", work, skew=skew)

    def sweep(self, *, skew: float = 0.0) -> Actor:
        """The sweeper's minute comes."""

        def work(actor, services):
            stepfunctions = SimpleNamespace(
                start_execution=self._start_execution,
                exceptions=SimpleNamespace(ExecutionAlreadyExists=_AlreadyExistsError),
            )
            clock = self._clock(actor.skew)
            return sweep(services.table, stepfunctions, "arn:fallback", clock, lambda: False)

        return self._start("sweeper", "sweep", work, skew=skew)

    def _start_execution(self, *, stateMachineArn, name, input) -> None:  # noqa: A002, ARG002, N803
        def perform():
            running = self.executions.get(name)
            if running is not None and running.ended:
                raise _AlreadyExistsError
            if running is None:
                task_id = json.loads(input)["task_id"]
                self.executions[name] = Execution(name, task_id, self.now)

        self.io("start execution", perform)

    def awake(self) -> list[Execution]:
        """List the executions whose next turn has come and is not being taken."""
        return [
            execution
            for execution in self.executions.values()
            if not execution.ended and execution.actor is None and execution.wakes_at <= self.now
        ]

    def another_execution(self, key: str) -> Execution:
        """Start one by hand, as an operator may at any time."""
        name = f"by-hand-{len(self.executions)}"
        self.executions[name] = Execution(name, self.intent(key).task_id, self.now)
        return self.executions[name]

    def turn(
        self, execution: Execution, *, create: Create | None = None, skew: float = 0.0
    ) -> Actor:
        """An execution takes its next turn."""
        task_id = execution.task_id
        if create is not None:
            self.provider.next_create[task_id] = create
        intent = next(known for known in self.intents.values() if known.task_id == task_id)
        if self.calm_since is not None:
            intent.turns += 1
            if intent.turns > MAX_TURNS:
                self.broken.append(f"{intent.key} has turns without end")

        def work(actor, services):
            keys = self._ring("fallback", "callback").keys()
            return advance(task_id, keys, services, self._seconds_left(actor), lambda _: ())

        def then(actor):
            execution.actor = None
            execution.ended = not isinstance(actor.result, int)
            if not execution.ended:
                execution.wakes_at = self.now + actor.result

        actor = self._start("fallback", f"turn {intent.key}", work, skew=skew, then=then)
        execution.actor = None if actor.ended else actor
        return actor

    def copy(self, message: Message, *, again: bool = False, skew: float = 0.0) -> Actor:
        """A message of the media queue is taken; ``again``: it comes another time anyway."""
        task_id = message.event["id"]
        key = next(known.key for known in self.intents.values() if known.task_id == task_id)
        s3 = FakeS3(self)
        storage = Storage(bucket="results", s3=s3, s3_once=s3, http=self.provider.cdn)
        message.receives += 1

        def work(_actor, services):
            return store_result(task_id, services, storage)

        def then(actor):
            message.actor = None
            taken = not (actor.crashed or actor.failure) and not again
            if message in self.messages and (taken or message.receives >= RECEIVES):
                self.messages.remove(message)

        actor = self._start("copy", f"copy {key}", work, skew=skew, then=then)
        message.actor = None if actor.ended else actor
        return actor

    def free_messages(self) -> list[Message]:
        return [message for message in self.messages if message.actor is None]

    def relay(self, count: int = 100) -> Actor:
        """The stream hands its next records to the relay, which is one at a time."""
        batch = self.records[self.relayed : self.relayed + count]
        bus = SimpleNamespace(put_events=self._put_events)

        def then(actor):
            if actor.crashed or actor.failure:
                return
            numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
            sent = len(batch) if actor.result is None else numbers.index(actor.result)
            self.relayed += sent

        return self._start(
            "relay", "relay", lambda _actor, _backend: publish(batch, bus, "bus"), then=then
        )

    def backlog(self) -> bool:
        return self.relayed < len(self.records)

    def relaying(self) -> bool:
        return any(actor.kind == "relay" for actor in self.live())

    def _put_events(self, *, Entries) -> dict[str, Any]:  # noqa: N803 - AWS's name
        def perform(refused: int | None = None):
            results = []
            for number, entry in enumerate(Entries):
                if number == refused:
                    results.append({"ErrorCode": "InternalFailure"})
                else:
                    self._publish(entry)
                    results.append({"EventId": "e"})
            return {"FailedEntryCount": int(refused is not None), "Entries": results}

        try:
            return self.io("put events", perform, refused=_PartlyError())
        except _PartlyError:
            return perform(refused=len(Entries) // 2)

    def _publish(self, entry: dict[str, Any]) -> None:
        detail = json.loads(entry["Detail"])
        event = {"type": entry["DetailType"], **detail}
        known = self.events.setdefault(detail["event_id"], event)
        if known != event:
            self.broken.append(f"two events are called {detail['event_id']}")
        if event["type"] == "Task Storing":
            self.messages.append(Message(event))

    @contextlib.contextmanager
    def newer_release(self, key: str):
        """A newer release has written a task's row, until it is rolled out: nothing may change."""
        task_id = self.intent(key).task_id
        self._set_schema(task_id, schema.TASKS.read + 1)
        self.newer.add(task_id)
        before = len(self.records), self.provider.bill(task_id), len(self.objects)
        yield
        after = len(self.records), self.provider.bill(task_id), len(self.objects)
        if after != before:
            self.broken.append(f"{key} is changed although a newer release wrote it")
        self.newer.remove(task_id)
        self._set_schema(task_id, schema.TASKS.written)

    def _set_schema(self, task_id: str, number: int) -> None:
        self.deployment.client.update_item(
            TableName=self.deployment.table,
            Key={"task_id": {"S": task_id}},
            UpdateExpression="SET #schema = :number",
            ExpressionAttributeNames={"#schema": schema.ATTRIBUTE},
            ExpressionAttributeValues={":number": {"N": str(number)}},
        )

    # ── Going on ──────────────────────────────────────────────────────────────────────────────

    def live(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.ended]

    def step(self, actor: Actor, fault: Fault = Fault.NONE) -> None:
        """Let an actor make the call that it waits for."""
        actor.go_on(fault)
        if actor.ended:
            self._ended(actor)

    def run(self, actor: Actor, *, until: str = "") -> Actor:
        """Let an actor go on without faults, to its end or until it is about to make a call."""
        while not actor.ended and (not until or actor.waits_for != until):
            self.step(actor)
        return actor

    def _ended(self, actor: Actor) -> None:
        if actor.crashed:
            done["deaths"] += 1
        self.tell(f"{actor} ends{_how(actor)}")
        injected = isinstance(
            actor.failure, (ClientError | EndpointConnectionError, ReadTimeoutError)
        )
        if isinstance(actor.failure, NewerRowError) and self.newer:
            injected = actor.faulted = True
        if actor.failure is not None and not (actor.faulted and injected):
            self.broken.append(f"{actor} fails: {actor.failure!r}")
        actor.then(actor)

    def due(self) -> list[Task]:
        return [
            task
            for task in self.tasks.values()
            if task.due_at is not None and task.due_at <= self.now
        ]

    def patrol(self) -> None:
        """Let everything that has something to do now do it, without faults."""
        for _ in range(100):
            if self.backlog() and not self.relaying():
                self.run(self.relay())
            elif messages := self.free_messages():
                self.run(self.copy(messages[0]))
            elif executions := self.awake():
                self.run(self.turn(executions[0]))
            elif self.due():
                self.run(self.sweep())
            else:
                return
        self.broken.append("there is always something to do, and time stands still")

    def drain(self, hours: float = 30.0) -> None:
        """Faults stop and outages end; time goes on until nothing is left to do."""
        self.tell("faults stop")
        for actor in self.live():
            self.run(actor)
        self.land(len(self.late))
        self.calm_since = self.now
        for intent in self.intents.values():
            task = self.tasks.get(intent.task_id)
            if task is not None and task.erasing_since is not None:
                self.run(self.erase(intent.key))
        self.provider.feed_outage = self.provider.media_outage = ""
        self.provider.next_create.clear()
        for made in self.provider.made:
            if made.state not in {State.SUCCEEDED, State.FAILED}:
                made.becomes(State.SUCCEEDED, self.now)
        ends_at = self.now + hours * HOUR
        self.patrol()
        while not self.broken and (then := self._next_moment()) is not None and then <= ends_at:
            self.now = max(self.now, then)
            self.patrol()
        if (then := self._next_moment()) is not None:
            self.broken.append(f"there is still something to do, {then - self.now:,.0f} s on")

    def _next_moment(self) -> float | None:
        moments = [_swept_at(task) for task in self.tasks.values() if task.due_at is not None]
        moments += [ours.wakes_at for ours in self.executions.values() if not ours.ended]
        return min(moments, default=None)

    def accounts(self) -> dict[str, dict[str, int]]:
        """Return what the ledger has of the client, by day."""
        ledger = LedgerTable(self.deployment.client, self.deployment.ledger)
        return ledger.days(ACCOUNT, "0", "9")

    def check_end(self) -> None:
        """Add to ``broken`` what doesn't hold now that all is over."""
        for task_id in self.rows:
            key = {"task_id": {"S": task_id}}
            table = self.deployment.table
            item = self.deployment.client.get_item(TableName=table, Key=key)["Item"]
            if read_item(item) != self.tasks[task_id]:
                self.broken.append("the table holds what no actor wrote")
        self.broken += faults_of_end(self)

    def tell(self, line: str) -> None:
        self.history.append(f"{self.now - self.began_at:>9.1f}  {line}")

    # ── What is watched ───────────────────────────────────────────────────────────────────────

    def written(self, task_id: str, item: dict[str, Any], writer: Actor | None) -> None:
        """Take in a write that happened: check it, and put it into the stream."""
        old_item, old = self.rows.get(task_id), self.tasks.get(task_id)
        if writer is not None and "evidence" in item:
            writer.wrote_evidence = True
        if old_item == item:
            return
        new = read_item(item)
        self.rows[task_id], self.tasks[task_id] = item, new
        done["writes"] += 1
        if old is None:
            done["retries" if new.retry_of else f"begun {new.stage}"] += 1
        intent = next(known for known in self.intents.values() if known.task_id == task_id)
        self.tell(f"      {intent.key} {_seen(old, new, self.began_at)}")
        change = {"Keys": {"task_id": {"S": task_id}}, "NewImage": item}
        if old_item is not None:
            change["OldImage"] = old_item
        change["SequenceNumber"] = str(len(self.records) + 1)
        name = "INSERT" if old_item is None else "MODIFY"
        self.records.append({"eventName": name, "dynamodb": change})
        detail_type = detail_type_of(new)
        if (old is None or new.version != old.version) and detail_type is not None:
            self.moves[f"{task_id}#{new.version}"] = detail_type
        if old is not None and new.version != old.version:
            done[f"{old.stage}->{new.stage}"] += 1
        self.broken += [
            f"{intent.key}: {fault}" for fault in faults_of_write(self, intent, old, new, writer)
        ]
        self._learn(intent, old, new, writer)

    def _learn(self, intent: Intent, old: Task | None, new: Task, writer: Actor | None) -> None:
        if new.feed_failing_since is not None:
            intent.failing_since.append(new.feed_failing_since)
        if new.provider_task_id is not None and intent.id_written_at is None:
            intent.id_written_at = self.now
        claimed = old is not None and new.copy_attempts == old.copy_attempts + 1
        if claimed and writer is not None:
            self.copiers[intent.task_id] = writer
        if old is not None and old.evidence == new.evidence:
            return
        if new.evidence is None or writer is None or writer.kind != "callback":
            return
        if new.provider_task_id is None:  # only the latest callback is kept
            intent.told_id_at = self.now if writer.says in WITH_ID else None
        if writer.says in LIES:
            intent.told_success_at = None
        if writer.says in TRUTHS and writer.state is State.SUCCEEDED:
            intent.told_success_at = self.now
            intent.told_url_until = writer.started_at + writer.made.url_seconds

    def create_begins(self, task_id: str) -> None:
        """The provider is about to be called: only a row that says so allows it."""
        row = self.tasks.get(task_id)
        if row is None or row.stage is not Stage.SUBMITTING:
            self.broken.append(f"a create begins while the row is {row and row.stage}")

    def billed(self, task_id: str) -> None:
        if self.provider.bill(task_id) > 1 and task_id not in self.provider.deceived:
            self.broken.append("one intent is billed twice")

    def settled(self) -> bool:
        return all(task.stage in SETTLED for task in self.tasks.values())


def _request(key: str, body: str) -> TransferRequest:
    return TransferRequest(
        video=f"https://client.example/{body}.mp4",
        image="https://client.example/face.png",
        idempotency_key=key,
    )


_ENDED = {Stage.FAILED, Stage.CANCELED, Stage.EXPIRED}
_REPEATABLE = {False: _ENDED, True: _ENDED | {Stage.UNCONFIRMED}}
"""The stages in which a task may be repeated, without its client's word and with it."""


def _seen(old: Task | None, new: Task, began_at: float) -> str:
    """Write what a write changed, for people; times count from the history's begin."""
    changed = []
    for name in sorted(Task.__dataclass_fields__.keys() - _UNSEEN):
        after = getattr(new, name)
        if after == (getattr(old, name) if old else getattr(_BLANK, name)):
            continue
        if name.endswith(("_at", "_until", "_since")) and after is not None:
            after = f"{after - began_at:+.1f}"
        elif name == "warnings":
            after = [warning.code for warning in after]
        changed.append(f"{name}={getattr(after, 'code', after)}")
    return f"[{new.stage}#{new.version}] {' '.join(changed)}"


def _swept_at(task: Task) -> float:
    """Say when the sweeper comes. Where nothing can be asked it is hours late: that saves turns."""
    unknown = task.provider_task_id is None and task.evidence is None
    if task.stage is Stage.EXPIRED and unknown:
        return max(task.due_at, (task.sent_at or task.created_at) + 23.5 * HOUR)
    return task.due_at


_BLANK = Task(
    task_id="",
    client_id="",
    stage=Stage.SUBMITTING,
    created_at=0,
    updated_at=0,
    video="",
    image="",
    request_hash="",
    claim_id="",
)
_UNSEEN = {
    *("task_id", "client_id", "video", "image", "request_hash", "claim_id"),
    *("created_at", "updated_at", "stage", "version", "metadata", "output"),
}


def _how(actor: Actor) -> str:
    if actor.crashed:
        return " dead"
    if actor.failure is not None:
        return f": {type(actor.failure).__name__}"
    return f": {actor.result}" if isinstance(actor.result, int | None) else ""


class _AlreadyExistsError(Exception):
    pass


class _PartlyError(Exception):
    pass


class WatchedClient:
    """The DynamoDB client, each call of which may suffer, each write of which is seen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._real = world.deployment.client
        self.exceptions = self._real.exceptions

    def put_item(self, **request):
        writer = current()

        def perform():
            answer = self._real.put_item(**request)
            item = request["Item"]
            self._world.written(item["task_id"]["S"], item, writer)
            return answer

        return self._world.io("create row", perform)

    def update_item(self, **request):
        writer = current()

        def perform():
            answer = self._real.update_item(**request)
            self._world.written(request["Key"]["task_id"]["S"], answer["Attributes"], writer)
            return answer

        return self._world.io("update row", perform)

    def transact_write_items(self, *, TransactItems):  # noqa: N803 - AWS's name
        writer = current()
        [(kind, write)] = TransactItems[0].items()

        def perform():
            answer = self._real.transact_write_items(TransactItems=TransactItems)
            key = write["Item"] if kind == "Put" else write["Key"]
            asked = {"TableName": write["TableName"], "Key": {"task_id": key["task_id"]}}
            row = self._real.get_item(**asked, ConsistentRead=True)["Item"]
            self._world.written(row["task_id"]["S"], row, writer)
            return answer

        name = "create row" if kind == "Put" else "update row"
        return self._world.io(name, perform)

    def get_item(self, **request):
        return self._world.io("read row", lambda: self._real.get_item(**request))

    def query(self, **request):
        return self._world.io("query owners", lambda: self._real.query(**request))

    def get_paginator(self, name: str):
        pages = self._real.get_paginator(name)

        def paginate(**request):
            held = ":century" in request["ExpressionAttributeValues"]
            call = "query held" if held else "query due"
            return iter(self._world.io(call, lambda: list(pages.paginate(**request))))

        return SimpleNamespace(paginate=paginate)


class FakeS3:
    """The results bucket: atomic puts, `If-None-Match`, and one version of each object."""

    meta = SimpleNamespace(endpoint_url="http://s3.example", events=HierarchicalEmitter())

    def __init__(self, world: World) -> None:
        self._world = world

    def put_object(self, *, Key, Body, ContentType, IfNoneMatch=None, **_more):  # noqa: N803
        content = Body if isinstance(Body, bytes) else b"".join(iter(lambda: Body.read(512), b""))
        objects = self._world.objects

        def perform():
            if Key in objects and IfNoneMatch == "*":
                raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
            if Key in objects and not Key.endswith("task.json"):
                self._world.broken.append(f"{Key} is replaced")
            objects[Key] = (content, ContentType)
            return {}

        return self._world.io("put object", perform, repeats=False)

    def get_object(self, *, Key, **_more):  # noqa: N803
        def perform():
            if Key not in self._world.objects:
                raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
            content, content_type = self._world.objects[Key]
            body = SimpleNamespace(iter_chunks=lambda _size: iter([content]))
            return {"Body": body, "ContentType": content_type}

        return self._world.io("get object", perform, repeats=False)

    def get_paginator(self, _name: str):
        def listed(prefix: str):
            found = [key for key in self._world.objects if key.startswith(prefix)]
            named = [{"Key": key, "VersionId": "null", "IsLatest": True} for key in found]
            return [{"Versions": named}]

        return SimpleNamespace(
            paginate=lambda *, Prefix, **_more: self._world.io(  # noqa: N803 - AWS's name
                "list objects", lambda: listed(Prefix)
            )
        )

    def delete_object(self, *, Key, **_more):  # noqa: N803
        self._world.io("delete object", lambda: self._world.objects.pop(Key, None))
