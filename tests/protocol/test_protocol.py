"""Generated histories: every part of the core, interleaved, killed, its replies lost.

`make test` tries the same dozen each time, `make full` two hundred. To try new ones for ten
minutes, and to see that broken cores are noticed:

    ACT_ONE_SOAK=600 .venv/bin/pytest -s tests/protocol
    PYTHONPATH=layers/act_one .venv/bin/python -m tests.protocol.mutants
"""

import os
import time
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.protocol.actors import Fault
from tests.protocol.provider import MEDIA_OUTAGES, OUTAGES, Create, Says, State
from tests.protocol.world import World, done
from tests.sizes import size

SOAK_SECONDS = float(os.environ.get("ACT_ONE_SOAK", "0"))


@dataclass(frozen=True)
class Go:
    """How far a run goes: so many calls that go well (None: all), one that may not, the rest."""

    calls: int | None
    fault: Fault
    rests: bool


to_the_end = st.just(Go(None, Fault.NONE, rests=False))
resting = st.builds(Go, st.integers(0, 4), st.just(Fault.NONE), st.just(True))  # noqa: FBT003
suffering = st.builds(Go, st.integers(0, 4), st.sampled_from(list(Fault)[1:]), st.booleans())
goes = to_the_end | resting | suffering
keys = st.sampled_from("abc")
those_and_retries = st.sampled_from(["a", "b", "c", "a'"])
skews = st.sampled_from([0.0, 5.0, -5.0])
creates = st.just(Create.ACCEPTED) | st.sampled_from(Create)
any_of_them = st.integers(0, 7)
waits = st.sampled_from([1, 6, 11, 35, 65, 130, 380, 620, 950, 3_700, 7_300, 22_000])


class Protocol(RuleBasedStateMachine):
    """The core's parts as rules; what must hold is checked after each of them."""

    deployment = None

    def __init__(self):
        super().__init__()
        self.world = World(self.deployment).__enter__()

    def teardown(self):
        try:
            if not self.world.broken:
                self.world.drain()
                self.world.check_end()
            done["histories"] += 1
            self.nothing_is_broken()
        finally:
            note("\n".join(self.world.history))
            self.world.__exit__()

    @invariant()
    def nothing_is_broken(self):
        done["steps"] += 1
        assert not self.world.broken, self.world.broken

    def go(self, actor, go):
        for _ in range(go.calls or 0):
            if not actor.ended:
                self.world.step(actor)
        if go.calls is not None and not actor.ended:
            self.world.step(actor, go.fault)
        if not go.rests:
            self.world.run(actor)
        if self.relay_is_quick and self.world.backlog() and not self.world.relaying():
            self.world.run(self.world.relay())

    @initialize(
        quick=st.booleans(),
        lag=st.sampled_from([0.0, 4.0, 30.0, 200.0]),
        url_seconds=st.sampled_from([7_200.0, 1_800.0, 90_000.0]),
        sends=st.lists(st.tuples(creates, goes), min_size=1, max_size=3),
    )
    def begins(self, quick, lag, url_seconds, sends):
        self.relay_is_quick = quick
        self.world.provider.lag_seconds = lag
        self.world.provider.url_seconds = url_seconds
        for key, (create, go) in zip("abc", sends, strict=False):
            self.go(self.world.submit(key, create=create), go)

    # ── What comes from outside ───────────────────────────────────────────────────────────────

    @rule(key=keys, body=st.sampled_from("aaab"), create=creates, skew=skews, go=goes)
    def client_submits(self, key, body, create, skew, go):
        self.go(self.world.submit(key, body=body, create=create, skew=skew), go)

    @rule(key=keys, body=st.sampled_from("aaab"), skew=skews, go=goes)
    def client_sends_a_batch(self, key, body, skew, go):
        self.go(self.world.accept(key, body=body, skew=skew), go)

    @precondition(lambda self: self.world.waiting())
    @rule(which=any_of_them, create=creates, skew=skews, go=goes)
    def ingest_sends_what_waits(self, which, create, skew, go):
        waiting = self.world.waiting()
        self.go(self.world.send(waiting[which % len(waiting)], create=create, skew=skew), go)

    @precondition(lambda self: self.world.without_result())
    @rule(which=any_of_them, twice=st.booleans(), create=creates, skew=skews, go=goes)
    def client_retries(self, which, twice, create, skew, go):
        keys = self.world.without_result()
        key = keys[which % len(keys)]
        self.go(self.world.retry(key, twice=twice, create=create, skew=skew), go)

    @precondition(lambda self: self.world.rows)
    @rule(key=those_and_retries, skew=skews, go=goes)
    def client_cancels(self, key, skew, go):
        self.go(self.world.withdraw(key, skew=skew), go)

    @precondition(lambda self: self.world.rows)
    @rule(key=those_and_retries, skew=skews, go=goes)
    def client_erases(self, key, skew, go):
        self.go(self.world.erase(key, skew=skew), go)

    @precondition(lambda self: self.world.provider.made)
    @rule(which=any_of_them, says=st.just(Says.TRUTH) | st.sampled_from(Says), skew=skews, go=goes)
    def provider_calls_back(self, which, says, skew, go):
        made = self.world.provider.made[which % len(self.world.provider.made)]
        key = self.key_of(made.intent)
        others = [
            task.provider_task_id
            for task in self.world.tasks.values()
            if task.provider_task_id not in {None, made.id}
        ]
        if says is Says.ANOTHERS_ID and not others:
            says = Says.GARBAGE
        anothers = others[which % len(others)] if others else ""
        self.go(self.world.callback(key, says, anothers=anothers, skew=skew), go)

    @precondition(lambda self: self.world.provider.made)
    @rule(which=any_of_them, skew=skews, go=goes)
    def provider_ends_a_task_and_calls_back(self, which, skew, go):
        made = self.world.provider.made[which % len(self.world.provider.made)]
        self.provider_works(made, State.SUCCEEDED)
        self.go(self.world.callback(self.key_of(made.intent), Says.TRUTH, skew=skew), go)

    @rule(
        which=any_of_them,
        change=st.sampled_from([State.FAILED, State.SUCCEEDED, "feed", "media", "key"]),
        outage=st.sampled_from(OUTAGES),
    )
    def provider_changes(self, which, change, outage):
        provider = self.world.provider
        match change:
            case State() if provider.made:
                self.provider_works(provider.made[which % len(provider.made)], change)
            case "feed":
                provider.feed_outage = outage
                self.world.tell(f"the feed's outage: {outage or 'none'}")
            case "media":
                provider.media_outage = MEDIA_OUTAGES[which % len(MEDIA_OUTAGES)]
                self.world.tell(f"the media's outage: {provider.media_outage or 'none'}")
            case "key":
                self.world.replace_key()

    def provider_works(self, made, state):
        if made.state is not State.SUCCEEDED:
            made.becomes(state, self.world.now)
            self.world.tell(f"the provider's task {made.id} has {state}")

    def key_of(self, task_id):
        return next(i.key for i in self.world.intents.values() if i.task_id == task_id)

    @rule(seconds=waits)
    def time_passes(self, seconds):
        self.world.wait(seconds)

    # ── What goes on within ───────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.world.due())
    @rule(skew=skews, go=goes)
    def sweeper_runs(self, skew, go):
        self.go(self.world.sweep(skew=skew), go)

    @precondition(lambda self: self.world.awake())
    @rule(which=any_of_them, create=creates, skew=skews, go=goes)
    def execution_turns(self, which, create, skew, go):
        awake = self.world.awake()
        self.go(self.world.turn(awake[which % len(awake)], create=create, skew=skew), go)

    @precondition(lambda self: self.world.due())
    @rule(which=any_of_them, create=creates, skew=skews, go=goes)
    def fallback_takes_what_is_due(self, which, create, skew, go):
        self.world.run(self.world.sweep())
        if self.world.awake():
            self.execution_turns(which, create, skew, go)

    @precondition(lambda self: self.world.free_messages())
    @rule(which=any_of_them, again=st.booleans(), skew=skews, go=goes)
    def copy_runs(self, which, again, skew, go):
        messages = self.world.free_messages()
        message = messages[which % len(messages)]
        self.go(self.world.copy(message, again=again, skew=skew), go)

    @precondition(lambda self: self.world.backlog() and not self.world.relaying())
    @rule(count=st.sampled_from([100, 1, 3]), go=goes)
    def relay_runs(self, count, go):
        self.go(self.world.relay(count), go)

    @precondition(lambda self: self.world.live())
    @rule(which=any_of_them, go=goes)
    def someone_goes_on(self, which, go):
        live = self.world.live()
        self.go(live[which % len(live)], go)

    @precondition(lambda self: self.world.live())
    @rule(which=any_of_them, go=suffering)
    def someone_suffers(self, which, go):
        self.someone_goes_on(which, go)

    @precondition(lambda self: self.world.late)
    @rule()
    def late_request_arrives(self):
        self.world.land()

    @rule()
    def a_good_minute_passes(self):
        self.world.patrol()
        self.world.wait(60)


def try_histories(deployment, **options):
    machine = type("Protocol", (Protocol,), {"deployment": deployment})
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, **options
        ),
    )


@pytest.mark.skipif(SOAK_SECONDS > 0, reason="the long run is asked for")
def test_no_history_breaks_a_promise(deployment):
    try_histories(
        deployment,
        max_examples=int(os.environ.get("ACT_ONE_HISTORIES", size(12, 200))),
        stateful_step_count=30,
        derandomize=True,
        database=None,
    )


@pytest.mark.skipif(SOAK_SECONDS == 0, reason="asked for by ACT_ONE_SOAK=seconds")
def test_no_history_breaks_a_promise_however_long_it_is_tried(deployment):
    began_at = time.monotonic()
    while (passed := time.monotonic() - began_at) < SOAK_SECONDS:
        try_histories(deployment, max_examples=100, stateful_step_count=50)
        numbers = ", ".join(f"{done[name]:,} {name}" for name in sorted(done))
        print(f"{passed:,.0f} s: {numbers}", flush=True)
