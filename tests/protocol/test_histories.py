"""One history for each way in which a promise could be broken, and is not."""

import pytest

from act_one.tasks.task import Stage
from tests.protocol.actors import Fault
from tests.protocol.provider import Create, Says, State
from tests.protocol.world import World

AMBIGUOUS = [
    Create.BROKEN,
    Create.BROKEN_BUT_MADE,
    Create.NO_ID_BUT_MADE,
    Create.HTML_BUT_MADE,
]


@pytest.fixture
def world(deployment):
    with World(deployment) as world:
        yield world


def row(world, key="a"):
    return world.tasks[world.intent(key).task_id]


def made(world, key="a"):
    return world.provider.of(world.intent(key).task_id)


def minutes_pass(world, minutes):
    for _ in range(minutes):
        world.patrol()
        world.wait(60)


def hours_pass(world, hours):
    for _ in range(hours):
        world.patrol()
        world.wait(3_600)


def ends(world, stage, key="a"):
    if not world.broken:
        world.drain()
        world.check_end()
    story = "\n".join(world.history)
    assert not world.broken, f"{world.broken}\n{story}"
    assert row(world, key).stage is stage, story


# ── Sending ───────────────────────────────────────────────────────────────────────────────────


def test_two_requests_with_one_key_make_one_task(world):
    first, second = world.submit("a"), world.submit("a")
    for one in (first, second):
        world.run(one, until="create row")

    world.run(first, until="create")
    world.run(second)
    world.run(first)

    assert second.result[1] is True
    ends(world, Stage.SUCCEEDED)


def test_a_reused_key_with_another_body_is_refused(world):
    world.run(world.submit("a", body="a"))

    second = world.run(world.submit("a", body="b"))

    assert second.result.status == 409
    ends(world, Stage.SUCCEEDED)


def test_nothing_is_sent_before_its_row_is_written(world):
    submit = world.run(world.submit("a"), until="create row")

    world.step(submit, Fault.NOT_SENT)

    assert submit.ended
    assert not world.rows
    assert not world.provider.made


def test_a_row_whose_writer_heard_no_reply_is_known_again_and_sent(world):
    submit = world.run(world.submit("a"), until="create row")

    world.step(submit, Fault.SENT_AGAIN)
    world.run(submit)

    assert row(world).stage is Stage.SUBMITTED
    ends(world, Stage.SUCCEEDED)


@pytest.mark.parametrize("create", AMBIGUOUS)
def test_an_ambiguous_create_is_never_repeated(world, create):
    world.run(world.submit("a", create=create))
    minutes_pass(world, 30)
    world.run(world.submit("a"))

    ends(world, Stage.EXPIRED)


@pytest.mark.parametrize(
    "fault", [Fault.DIES_BEFORE, Fault.DIES_AFTER, Fault.REPLY_LOST, Fault.LATE]
)
def test_a_create_without_an_outcome_is_never_repeated(world, fault):
    submit = world.run(world.submit("a"), until="create")

    world.step(submit, fault)
    world.run(submit)
    minutes_pass(world, 5)

    ends(world, Stage.EXPIRED)


def test_a_lost_outcome_is_told_by_the_callback(world):
    submit = world.run(world.submit("a"), until="create")
    world.step(submit, Fault.DIES_AFTER)
    made(world).becomes(State.SUCCEEDED, world.now)
    minutes_pass(world, 5)

    world.run(world.callback("a", Says.TRUTH))

    ends(world, Stage.SUCCEEDED)


def test_a_refused_task_is_sent_again_by_one_look_only(world):
    world.run(world.submit("a", create=Create.BUSY))
    world.wait(60)
    world.run(world.sweep())
    first = world.run(world.turn(world.awake()[0]), until="update row")
    world.wait(40)  # the first one's execution counts as lost only later; start another by hand
    second = world.turn(world.another_execution("a"))
    world.run(second, until="create")

    world.run(first)
    world.run(second)

    ends(world, Stage.SUCCEEDED)


def test_a_sender_waits_for_its_write_while_the_table_is_away(world):
    submit = world.run(world.submit("a"), until="update row")

    for fault in (Fault.NOT_SENT, Fault.REFUSED, Fault.NOT_SENT, Fault.REPLY_LOST):
        world.step(submit, fault)
    world.run(submit)

    assert row(world).provider_task_id == made(world).id
    ends(world, Stage.SUCCEEDED)


def test_a_replaced_key_is_read_anew_and_the_refused_create_sent_with_it(world):
    world.run(world.submit("a"))
    world.wait(60)
    world.replace_key()

    world.run(world.submit("b"))

    assert row(world, "b").stage is Stage.SUBMITTED
    ends(world, Stage.SUCCEEDED, "b")


def test_an_ambiguous_create_is_not_repeated_with_a_replaced_key(world):
    world.run(world.submit("a"))
    world.wait(60)
    world.replace_key()
    world.provider.keys.add("key-1")

    world.run(world.submit("b", create=Create.BROKEN_BUT_MADE))

    ends(world, Stage.EXPIRED, "b")


def test_a_key_that_is_refused_for_six_hours_fails_the_task_unbilled(world):
    world.provider.keys.clear()
    world.run(world.submit("a"))

    minutes_pass(world, 7 * 60)

    assert row(world).error.code == "provider_unavailable"
    ends(world, Stage.FAILED)


def test_a_canceled_task_is_never_sent(world):
    world.run(world.submit("a", create=Create.BUSY))
    world.wait(60)
    world.run(world.sweep())
    turn = world.run(world.turn(world.awake()[0]), until="update row")

    world.run(world.withdraw("a"))
    world.run(turn)

    assert not world.provider.made
    ends(world, Stage.CANCELED)


# ── Callbacks ─────────────────────────────────────────────────────────────────────────────────


def test_a_callback_before_the_create_s_reply_is_not_lost(world):
    submit = world.run(world.submit("a"), until="update row")
    made(world).becomes(State.SUCCEEDED, world.now)
    world.provider.lag_seconds = 3.0

    world.run(world.callback("a", Says.TRUTH))
    world.run(submit)

    ends(world, Stage.SUCCEEDED)


def test_a_callback_that_could_not_be_kept_is_not_acknowledged(world):
    world.run(world.submit("a"))
    callback = world.callback("a", Says.TRUTH)

    world.step(callback, Fault.NOT_SENT)
    world.run(callback)

    assert callback.failure is not None
    ends(world, Stage.SUCCEEDED)


def test_a_callback_whose_function_dies_is_looked_after_in_seconds(world):
    world.run(world.submit("a"))
    made(world).becomes(State.SUCCEEDED, world.now)

    world.step(world.callback("a", Says.TRUTH), Fault.DIES_AFTER)
    minutes_pass(world, 2)

    assert row(world).stage is Stage.SUCCEEDED
    ends(world, Stage.SUCCEEDED)


def test_a_failure_that_only_a_callback_tells_is_never_believed(world):
    world.run(world.submit("a"))
    world.provider.feed_outage = "500"
    world.wait(60)
    world.run(world.callback("a", Says.FALSE_FAILURE))

    minutes_pass(world, 30)

    ends(world, Stage.SUCCEEDED)


def test_a_success_that_only_a_callback_tells_is_believed_after_ten_silent_minutes(world):
    world.run(world.submit("a", create=Create.BROKEN_BUT_MADE))
    made(world).becomes(State.SUCCEEDED, world.now)
    world.run(world.callback("a", Says.TRUTH_WITHOUT_ID))
    minutes_pass(world, 9)
    assert row(world).stage is Stage.UNCONFIRMED

    minutes_pass(world, 6)

    assert row(world).stage is Stage.SUCCEEDED
    ends(world, Stage.SUCCEEDED)


def test_a_success_told_after_a_day_is_believed_though_the_feed_is_silent(world):
    world.provider.url_seconds = 7_200.0
    world.run(world.submit("a"))
    hours_pass(world, 26)
    assert row(world).stage is Stage.EXPIRED
    made(world).becomes(State.SUCCEEDED, world.now)
    world.provider.feed_outage = "500"

    world.run(world.callback("a", Says.TRUTH))
    minutes_pass(world, 15)

    ends(world, Stage.SUCCEEDED)


def test_another_task_s_id_is_never_learnt(world):
    world.run(world.submit("a", create=Create.BROKEN))
    world.run(world.submit("b"))
    world.run(world.submit("c", create=Create.BROKEN_BUT_MADE))

    world.run(world.callback("c", Says.ANOTHERS_ID, anothers=made(world, "b").id))

    assert row(world, "c").provider_task_id is None
    ends(world, Stage.EXPIRED, "c")


def test_an_old_task_s_id_is_never_learnt(world):
    world.run(world.submit("a", create=Create.BROKEN_BUT_MADE))

    world.run(world.callback("a", Says.STRANGERS_ID))
    minutes_pass(world, 5)

    ends(world, Stage.EXPIRED)


@pytest.mark.parametrize("dies", [Fault.NONE, Fault.DIES_AFTER])
def test_who_calls_back_was_not_refused_and_is_not_sent_again(world, dies):
    world.run(world.submit("a", create=Create.BUSY_BUT_MADE))
    made(world).becomes(State.SUCCEEDED, world.now)

    callback = world.callback("a", Says.TRUTH)
    world.step(callback, dies)
    world.run(callback)
    world.run(world.callback("a", Says.TRUTH))
    minutes_pass(world, 5)

    assert world.provider.bill(row(world).task_id) == 1
    ends(world, Stage.SUCCEEDED)


def test_a_lesser_callback_does_not_replace_the_one_that_announced_a_success(world):
    world.run(world.submit("a", create=Create.BROKEN_BUT_MADE))
    made(world).becomes(State.SUCCEEDED, world.now)
    success = world.callback("a", Says.TRUTH_BY_UPSTREAM_ID)
    made(world).state = State.RUNNING
    earlier = world.callback("a", Says.TRUTH_BY_UPSTREAM_ID)
    made(world).state = State.SUCCEEDED

    world.run(success)
    world.run(earlier)

    ends(world, Stage.SUCCEEDED)


# ── Failed, and then not ──────────────────────────────────────────────────────────────────────


def failed(world):
    world.run(world.submit("a"))
    made(world).becomes(State.FAILED, world.now)
    world.run(world.callback("a", Says.TRUTH))
    world.wait(60)
    assert row(world).stage is Stage.FAILED


def test_a_failed_task_whose_result_turns_up_succeeds_late(world):
    failed(world)
    made(world).becomes(State.SUCCEEDED, world.now)

    world.run(world.callback("a", Says.TRUTH))

    assert row(world).late
    ends(world, Stage.SUCCEEDED)


def test_a_look_at_a_failed_task_is_not_called_off_once_a_callback_asked_for_it(world):
    failed(world)
    world.step(world.callback("a", Says.TRUTH), Fault.DIES_AFTER)
    world.wait(15)
    world.run(world.sweep())
    turn = world.run(world.turn(world.awake()[0]), until="update row")
    made(world).becomes(State.SUCCEEDED, world.now)
    world.provider.feed_outage = "500"

    world.run(world.callback("a", Says.TRUTH))
    world.run(turn)

    ends(world, Stage.SUCCEEDED)


def test_a_look_that_ends_a_task_is_not_the_last_once_a_callback_asked_for_another(world):
    world.run(world.submit("a"))
    world.wait(950)
    world.run(world.sweep())
    made(world).becomes(State.FAILED, world.now)
    turn = world.run(world.turn(world.awake()[0]), until="update row")
    world.step(turn)  # reserves the feed
    world.run(turn, until="update row")
    made(world).becomes(State.SUCCEEDED, world.now)

    callback = world.callback("a", Says.TRUTH)
    world.step(callback)  # the feed was asked a moment ago
    world.step(callback, Fault.DIES_AFTER)
    world.run(turn)

    ends(world, Stage.SUCCEEDED)


def test_a_failed_task_is_not_looked_at_for_ever(world):
    failed(world)

    world.run(world.callback("a", Says.FALSE_SUCCESS))

    ends(world, Stage.FAILED)
    assert world.intent("a").turns <= 2


# ── The fallback ──────────────────────────────────────────────────────────────────────────────


def test_two_sweeps_claim_a_due_row_once(world):
    world.run(world.submit("a"))
    world.wait(1_000)
    first, second = world.sweep(), world.sweep()
    for sweep in (first, second):
        world.run(sweep, until="query due")
        world.step(sweep)

    world.run(first)
    world.run(second)

    assert [first.result, second.result] == [1, 0]
    ends(world, Stage.SUCCEEDED)


def test_a_later_sweep_starts_an_execution_that_was_not_started(world):
    world.run(world.submit("a"))
    world.wait(1_000)
    sweep = world.run(world.sweep(), until="start execution")

    world.step(sweep, Fault.DIES_BEFORE)
    minutes_pass(world, 4)

    assert world.executions
    ends(world, Stage.SUCCEEDED)


def test_a_result_that_misses_the_deadline_is_found_by_the_hourly_look(world):
    world.run(world.submit("a"))
    hours_pass(world, 20)
    assert row(world).stage is Stage.EXPIRED

    made(world).becomes(State.SUCCEEDED, world.now)

    ends(world, Stage.SUCCEEDED)


# ── The copy ──────────────────────────────────────────────────────────────────────────────────


def storing(world):
    world.run(world.submit("a"))
    made(world).becomes(State.SUCCEEDED, world.now)
    world.run(world.callback("a", Says.TRUTH))
    world.run(world.relay())
    return world.messages[0]


def test_two_messages_make_one_copy(world):
    message = storing(world)
    first = world.run(world.copy(message, again=True), until="put object")

    second = world.run(world.copy(message))
    world.run(first)

    assert second.result is None
    ends(world, Stage.SUCCEEDED)


def test_a_copy_that_dies_is_taken_up_when_its_lease_is_over(world):
    message = storing(world)
    copy = world.run(world.copy(message, again=True), until="media")
    world.step(copy, Fault.DIES_AFTER)

    minutes_pass(world, 5)
    assert row(world).stage is Stage.STORING
    minutes_pass(world, 3)

    assert row(world).stage is Stage.SUCCEEDED
    ends(world, Stage.SUCCEEDED)


def test_a_released_copy_s_repeated_request_frees_no_other_copy(world):
    message = storing(world)
    world.provider.media_outage = "down"
    first = world.run(world.copy(message, again=True), until="update row")
    world.step(first)  # the claim
    world.run(first, until="update row")
    world.step(first, Fault.SENT_AGAIN)  # the release
    world.provider.media_outage = ""
    world.wait(1)
    second = world.run(world.copy(message, again=True), until="put object")

    world.run(first)

    assert row(world).copy_lease_until is not None
    world.run(second)
    ends(world, Stage.SUCCEEDED)


def test_a_look_frees_no_lease_that_was_taken_while_it_asked_the_feed(world):
    message = storing(world)
    world.wait(300)
    world.run(world.sweep())
    turn = world.run(world.turn(world.awake()[0]), until="update row")
    first = world.run(world.copy(message, again=True), until="put object")

    world.run(turn)

    assert row(world).copy_lease_until is not None
    assert world.run(world.copy(message)).result is None
    world.run(first)
    ends(world, Stage.SUCCEEDED)


@pytest.mark.parametrize("fault", [Fault.DIES_AFTER, Fault.REPLY_LOST, Fault.LATE])
@pytest.mark.parametrize("at", ["put object", "update row"])
def test_an_object_that_an_earlier_attempt_left_is_adopted(world, fault, at):
    copy = world.copy(storing(world))
    world.step(copy)
    world.run(copy, until=at)

    world.step(copy, fault)
    world.run(copy)

    ends(world, Stage.SUCCEEDED)


def test_a_result_known_only_by_its_callback_gets_a_fresh_address_from_the_feed(world):
    world.provider.url_seconds = 1_800.0
    world.run(world.submit("a", create=Create.BROKEN_BUT_MADE))
    made(world).becomes(State.SUCCEEDED, world.now)
    world.provider.feed_outage = "500"
    world.provider.media_outage = "down"
    world.run(world.callback("a", Says.TRUTH))
    minutes_pass(world, 20)
    assert row(world).stage is Stage.STORING

    world.wait(3_600)

    ends(world, Stage.SUCCEEDED)


def test_a_callback_during_the_copy_can_still_name_a_better_address(world):
    world.provider.url_seconds = 1_800.0
    world.run(world.submit("a", create=Create.BROKEN_BUT_MADE))
    made(world).becomes(State.SUCCEEDED, world.now)
    world.provider.media_outage = "down"
    world.run(world.callback("a", Says.TRUTH_WITHOUT_ID))
    minutes_pass(world, 15)
    assert row(world).stage is Stage.STORING
    world.wait(3_600)

    world.run(world.callback("a", Says.TRUTH))

    ends(world, Stage.SUCCEEDED)


# ── The relay ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
def test_no_event_is_lost_or_told_in_two_ways(world, fault):
    for key in "abc":
        world.run(world.submit(key))

    relay = world.relay()
    world.step(relay, fault)
    world.run(relay)

    ends(world, Stage.SUCCEEDED)


# ── Erasing ───────────────────────────────────────────────────────────────────────────────────


def erased(world, key="a"):
    if not world.broken:
        world.drain()
        world.check_end()
    story = "\n".join(world.history)
    assert not world.broken, f"{world.broken}\n{story}"
    assert row(world, key).erased_at is not None, story


def succeeded(world):
    world.run(world.submit("a"))
    made(world).becomes(State.SUCCEEDED, world.now)
    world.run(world.callback("a", Says.TRUTH))
    world.patrol()
    assert row(world).stage is Stage.SUCCEEDED


def test_an_erased_task_leaves_no_media(world):
    succeeded(world)
    assert world.objects

    world.run(world.erase("a"))

    assert not world.objects
    erased(world)


@pytest.mark.parametrize("calls", range(8))
@pytest.mark.parametrize("fault", [Fault.DIES_BEFORE, Fault.DIES_AFTER, Fault.SENT_AGAIN])
def test_an_erasure_that_dies_anywhere_is_finished_by_the_next(world, calls, fault):
    succeeded(world)

    dying = world.erase("a")
    for _ in range(calls):
        if not dying.ended:
            world.step(dying)
    if not dying.ended:
        world.step(dying, fault)
    world.run(dying)
    world.run(world.erase("a"))

    erased(world)


@pytest.mark.parametrize("rung", [False, True])
def test_a_result_that_comes_late_brings_no_erased_task_back(world, rung):
    world.run(world.submit("a"))
    made(world).becomes(State.FAILED, world.now)
    world.run(world.callback("a", Says.TRUTH))
    assert row(world).stage is Stage.FAILED
    made(world).becomes(State.SUCCEEDED, world.now)
    late = world.callback("a", Says.TRUTH)
    if rung:  # it has reserved the feed, and is about to ask it
        world.step(late)
    world.run(world.erase("a"))
    world.run(late)
    world.run(world.callback("a", Says.TRUTH))

    assert not world.objects
    erased(world)


def test_an_expired_task_that_is_erased_is_polled_no_more(world):
    world.run(world.submit("a"))
    hours_pass(world, 3)
    assert row(world).stage is Stage.EXPIRED
    polling = world.turn(world.another_execution("a"))
    world.step(polling)
    made(world).becomes(State.SUCCEEDED, world.now)
    world.run(world.erase("a"))
    world.run(polling)
    hours_pass(world, 3)

    assert not world.objects
    erased(world)


def test_what_a_failed_copy_sent_does_not_arrive_after_the_erasure(world):
    world.run(world.submit("a"))
    made(world).becomes(State.SUCCEEDED, world.now)
    world.run(world.callback("a", Says.TRUTH))
    world.run(world.relay())
    copy = world.run(world.copy(world.free_messages()[0]), until="put object")
    world.step(copy, Fault.LATE)
    world.run(copy)
    world.objects.clear()
    late, world.late = world.late, []
    minutes_pass(world, 1)
    world.patrol()
    assert row(world).stage is Stage.SUCCEEDED
    world.late = late

    world.run(world.erase("a"))
    world.wait(61)
    world.run(world.erase("a"))

    erased(world)


def test_the_key_of_an_erased_task_never_pays_again(world):
    succeeded(world)
    world.run(world.erase("a"))

    world.run(world.submit("a"))
    world.run(world.submit("a", body="b"))

    assert world.provider.bill(world.intent("a").task_id) == 1
    erased(world)


# ── Releases ──────────────────────────────────────────────────────────────────────────────────


def test_a_task_that_a_newer_release_wrote_is_left_alone(world):
    world.run(world.submit("a"))
    execution = world.another_execution("a")
    made(world).becomes(State.SUCCEEDED, world.now)

    with world.newer_release("a"):
        world.run(world.callback("a", Says.TRUTH))
        world.wait(2 * 3_600)
        world.run(world.sweep())
        world.run(world.turn(execution))
        refused = world.run(world.submit("a"))

    assert (refused.result.status, refused.result.retry_after) == (503, 60)
    assert execution.ended
    ends(world, Stage.SUCCEEDED)


@pytest.mark.parametrize("until", ["update row", "feed"])
def test_a_function_under_way_changes_nothing_that_a_newer_release_has_written(world, until):
    world.run(world.submit("a"))
    made(world).becomes(State.SUCCEEDED, world.now)
    turn = world.run(world.turn(world.another_execution("a")), until=until)

    with world.newer_release("a"):
        world.run(turn)

    ends(world, Stage.SUCCEEDED)


def test_a_copy_of_a_task_that_a_newer_release_wrote_begins_later(world):
    world.run(world.submit("a"))
    made(world).becomes(State.SUCCEEDED, world.now)
    world.run(world.callback("a", Says.TRUTH))
    world.run(world.relay())

    with world.newer_release("a"):
        world.run(world.copy(world.free_messages()[0]))
        assert world.free_messages()

    ends(world, Stage.SUCCEEDED)


def test_a_paid_create_whose_row_a_newer_release_wrote_is_not_repeated(world):
    submit = world.run(world.submit("a"), until="create")
    world.step(submit)

    with world.newer_release("a"):
        world.run(submit)
        again = world.run(world.submit("a"))
    minutes_pass(world, 3)
    made(world).becomes(State.SUCCEEDED, world.now)
    world.run(world.callback("a", Says.TRUTH))

    assert (submit.result.status, again.result.status) == (503, 503)
    assert world.provider.bill(world.intent("a").task_id) == 1
    ends(world, Stage.SUCCEEDED)
