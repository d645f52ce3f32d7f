"""Random histories of one task: it is never paid for twice, and it is watched until it ends.

Only the provider and the copied bytes are fakes. Hypothesis picks the events: creates with any
outcome, true, false and unreadable callbacks, outages, sweeps and time.
"""

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from act_one.clock import DAY
from act_one.inputs.request import TransferRequest
from act_one.lifecycle.advance import advance
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.sweep import START_LEASE_SECONDS
from act_one.problems import ProblemError
from act_one.provider.outcomes import (
    Ambiguous,
    Created,
    NoAnswer,
    NotKnown,
    ProviderState,
    Rejected,
    Report,
    Retryable,
)
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.moves import MOVES
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Billing, Notice, Output, SettledBy, Stage, StoredMedia
from tests.sizes import size
from tests.unit.examples import SOURCE
from tests.unit.fakes import (
    CALLBACK_KEYS,
    FakeClock,
    FakeProvider,
    make_services,
    no_warnings,
    plenty,
    submitted,
)

REQUEST = TransferRequest(
    video="https://media.example/a.mp4",
    image="https://media.example/b.png",
    idempotency_key="order-42",
)
TASK_ID = derive_task_id("client-1", "order-42")
REASON = Notice(code="reason", message="")
OUTCOMES = {
    "rejected": Rejected(reason=REASON),
    "refused": Retryable(reason=REASON),
    "lost before": Ambiguous(reason=REASON),
    "lost after": Ambiguous(reason=REASON),
}
MEDIA = StoredMedia(s3_uri="s3://b/k", size=1, sha256="00", content_type="video/mp4")


MODES = ["accepted", *OUTCOMES, "dies before", "dies after"]


class DiedError(Exception):
    """The sender died before it recorded the create's outcome."""


class World(FakeProvider):
    """A provider that creates, bills and remembers tasks."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.mode = "accepted"
        self.made = {}
        self.outage = False

    def create(self, **_):
        if self.mode in {"accepted", "lost after", "dies after"}:
            provider_task_id = f"provider-{len(self.made) + 1}"
            self.made[provider_task_id] = [ProviderState.QUEUED, self.clock()]
        if self.mode.startswith("dies"):
            raise DiedError
        if self.mode == "accepted":
            return Created(provider_task_id=provider_task_id)
        return OUTCOMES[self.mode]

    def feed(self, provider_task_id, *, seconds):
        assert seconds > 0
        if self.outage:
            return NoAnswer(reason="HTTP 500")
        if provider_task_id not in self.made:
            return NotKnown()
        state, created_at = self.made[provider_task_id]
        if self.clock() - created_at < 3:
            return NotKnown()
        return Report(
            provider_task_id=provider_task_id,
            state=state,
            media=SOURCE if state is ProviderState.SUCCEEDED else None,
            failure=REASON if state is ProviderState.FAILED else None,
            created_at=created_at,
        )


class Life(RuleBasedStateMachine):
    table = None

    def __init__(self):
        super().__init__()
        self.clock = FakeClock()
        self.world = World(self.clock)
        self.services = make_services(self.table, self.world, self.clock)
        self.row = None

    def teardown(self):
        key = {"task_id": {"S": TASK_ID}}
        self.table.client.delete_item(TableName=self.table.name, Key=key)

    # ── Events ──

    @initialize(mode=st.sampled_from(MODES))
    def a_client_submits(self, mode):
        self.world.mode = mode
        with suppress(DiedError):
            submitted(self.services, REQUEST)

    @rule(mode=st.sampled_from(MODES))
    def a_client_repeats_its_request_and_reuses_its_key(self, mode):
        self.a_client_submits(mode)
        other = TransferRequest(video="https://a.example/", image="", idempotency_key="order-42")
        with pytest.raises(ProblemError):
            submitted(self.services, other)

    @precondition(lambda self: self.world.made)
    @rule(state=st.sampled_from(ProviderState), data=st.data())
    def the_provider_progresses(self, state, data):
        one = data.draw(st.sampled_from(sorted(self.world.made)))
        if self.world.made[one][0] not in {ProviderState.SUCCEEDED, ProviderState.FAILED}:
            self.world.made[one][0] = state

    @rule(
        status=st.sampled_from(["1", "2", "3", "SUCCESS", "processing", ""]),
        named=st.sampled_from(["provider-1", "provider-2", "foreign", None, "garbage"]),
    )
    def a_callback_arrives(self, status, named):
        body = {"task_id": named, "status": status, "video_url": "https://evil.example/v.mp4"}
        content = b"\xff{" if named == "garbage" else json.dumps(body).encode()
        handle_callback(TASK_ID, content, self.services)

    @rule(seconds=st.sampled_from([1, 10, 60, 60, 200, 1_000, 4_000, 40_000]))
    def time_passes(self, seconds):
        self.clock.pass_by(seconds)

    @rule(outage=st.booleans())
    def the_feed_fails_or_recovers(self, outage):
        self.world.outage = outage

    @rule(mode=st.sampled_from(MODES))
    def a_sweep_runs(self, mode):
        self.world.mode = mode
        for task_id, due_at in list(self.table.due(self.clock())):
            try:
                self.table.claim_due(task_id, due_at, self.clock(), START_LEASE_SECONDS)
            except MovedOnError:
                continue
            for _ in range(4):
                wait = None
                with suppress(DiedError):
                    wait = advance(task_id, CALLBACK_KEYS, self.services, plenty, no_warnings)
                if wait is None:
                    break
                assert wait >= 1
                self.clock.pass_by(wait)

    @rule(seconds=st.sampled_from([70, 1_300, 4_000]), mode=st.sampled_from(MODES))
    def time_passes_with_sweeps(self, seconds, mode):
        for _ in range(3):
            self.clock.pass_by(seconds)
            self.a_sweep_runs(mode)

    @rule(ends=st.sampled_from(["well", "badly", "never"]))
    def a_copy_runs(self, ends):
        try:
            task = self.table.claim_copy(TASK_ID, self.clock(), 360.0)
        except MovedOnError:
            return
        assert task.source == SOURCE or task.settled_by is SettledBy.CALLBACK_BODY
        if ends == "well":
            self.table.move(
                task,
                Stage.SUCCEEDED,
                self.clock(),
                output=Output(video=MEDIA),
                due_at=None,
                copy_lease_until=None,
            )
        elif ends == "badly":
            self.table.release_copy(task, self.clock(), due_at=self.clock() + 5)

    # ── Invariants ──

    @invariant()
    def the_task_is_paid_once_and_watched(self):
        before, self.row = self.row, self.table.read(TASK_ID)
        assert len(self.world.made) <= 1
        if self.row:
            self.billing_is_true(self.row)
            self.open_tasks_are_due_and_ended_ones_explained(self.row)
        if before:
            self.every_move_is_legal(before, self.row)

    def billing_is_true(self, row):
        if row.billing is Billing.NONE:
            assert self.world.made == {}
        # A trusted callback carried our token, so the provider sent it.
        if row.billing is Billing.CHARGED and row.settled_by is not SettledBy.CALLBACK_BODY:
            assert len(self.world.made) == 1

    def open_tasks_are_due_and_ended_ones_explained(self, row):
        if not row.done:
            assert row.due_at is not None
            assert row.expires_at is None
        if row.stage in {Stage.FAILED, Stage.EXPIRED}:
            assert row.error is not None
        if row.stage is Stage.SUCCEEDED:
            assert row.output is not None

    def every_move_is_legal(self, before, row):
        reached = {before.stage}
        for _ in range(row.version - before.version):
            reached = set().union(*(MOVES[stage] for stage in reached))
        assert row.stage in reached
        assert before.provider_task_id in {None, row.provider_task_id}
        assert row.provider_task_id in {None, "provider-1"}

    # ── The end ──

    @precondition(lambda self: self.world.made and self.row)
    @rule()
    def a_paid_result_is_eventually_stored(self):
        (made,) = self.world.made.values()
        if made[0] is ProviderState.FAILED or made[1] + DAY < self.clock():
            return
        self.world.outage = False
        made[0] = ProviderState.SUCCEEDED
        self.clock.pass_by(10)
        body = {"task_id": "provider-1", "status": "3"}
        handle_callback(TASK_ID, json.dumps(body).encode(), self.services)
        for _ in range(5):
            self.a_copy_runs("well")
            self.clock.pass_by(400)
            self.a_sweep_runs("accepted")
        late = made[1] + DAY < self.clock()
        assert self.table.read(TASK_ID).stage is Stage.SUCCEEDED or late


def test_no_history_pays_twice_or_forgets_a_task(table):
    Life.table = table

    run(
        Life,
        settings=settings(
            max_examples=size(10, 20),
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
        ),
    )
