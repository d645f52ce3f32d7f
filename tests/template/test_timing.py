"""Times that have to fit into each other, across the template and the code."""

import re

from act_one import aws
from act_one.lifecycle import advance, callback, refresh, storing, sweep, waiting
from act_one.provider import client
from act_one.tasks import moves
from act_one.webhooks import delivery
from act_one.webhooks import queue as webhook_queue
from tests.template.checks import STATES, VARIABLES, Break, check, put
from tests.template.deployment import Faults, Template
from tests.template.reachable_calls import Function, reached_from
from tests.template.test_api import functions_behind_apis
from tests.template.test_state_machine import tasks_of

API_GATEWAY_SECONDS = 29
WRITES_SECONDS = 5
"""For what surrounds a call to the provider: secrets and rows, with a retry."""
SENDS = Function("act_one.provider.client", "CometApi.create")


def timeouts_of_those_that(template: Template, function: Function) -> dict[str, int]:
    """Map the Lambdas whose code reaches a function to their time-outs."""
    return {
        name: properties["Timeout"]
        for name, properties in template.of("Lambda::Function").items()
        if function in reached_from(properties["Handler"]).functions
    }


@check(
    Break("longer than API Gateway waits", put("SubmitFunction", "Timeout", to=30)),
)
def test_every_function_behind_the_api_answers_before_api_gateway_gives_up(
    template: Template,
) -> Faults:
    for name in functions_behind_apis(template):
        if template.of("Lambda::Function")[name]["Timeout"] >= API_GATEWAY_SECONDS:
            yield f"{name} works on after API Gateway gave up"


@check(
    Break("not enough", put("SubmitFunction", "Timeout", to=15)),
)
def test_every_sender_has_the_time_to_write_down_what_it_paid_for(template: Template) -> Faults:
    senders = timeouts_of_those_that(template, SENDS)
    if not senders:
        yield "no function sends"
    for name, timeout in senders.items():
        if timeout < client.CREATE_SECONDS + WRITES_SECONDS:
            yield f"{name} may end before the reply of a create is written"


@check(
    Break("still sending", put("FallbackFunction", "Timeout", to=60)),
)
def test_a_sender_is_gone_before_its_task_is_taken_for_lost(template: Template) -> Faults:
    for name, timeout in timeouts_of_those_that(template, SENDS).items():
        if timeout >= moves.SEND_LEASE_SECONDS:
            yield f"{name} may still be sending when its lease is over"


@check(
    Break("cut off", put("CallbackFunction", "Timeout", to=5)),
)
def test_every_look_at_the_feed_ends_before_its_function(template: Template) -> Faults:
    for function, seconds in (
        (Function("act_one.lifecycle.callback", "handle_callback"), callback.CALLBACK_FEED_SECONDS),
        (Function("act_one.lifecycle.advance", "advance"), advance.FALLBACK_FEED_SECONDS),
        (Function("act_one.lifecycle.refresh", "refresh"), refresh.READ_FEED_SECONDS),
    ):
        for name, timeout in timeouts_of_those_that(template, function).items():
            if timeout < seconds + WRITES_SECONDS:
                yield f"{name} may end before the feed's answer is written"


@check(
    Break("cut off", put("TasksFunction", "Timeout", to=20)),
)
def test_a_wait_ends_before_its_function(template: Template) -> Faults:
    waits = timeouts_of_those_that(template, Function("act_one.lifecycle.waiting", "wait_for_end"))
    if len(waits) < 2:
        yield f"only {sorted(waits)} wait"
    for name, timeout in waits.items():
        if timeout < waiting.LONGEST_WAIT + waiting.ANSWER_NEEDS_SECONDS:
            yield f"{name} is cut off before the longest wait is over"


@check(
    Break("the reader sends", put("TasksFunction", "Handler", to="submit.app.handler")),
)
def test_a_read_never_sends(template: Template) -> Faults:
    asking = timeouts_of_those_that(template, Function("act_one.lifecycle.refresh", "refresh"))
    senders = timeouts_of_those_that(template, SENDS)
    if "TasksFunction" not in asking.keys() - senders.keys():
        yield f"{sorted(asking)} ask the provider, {sorted(senders)} send"


@check(
    Break("another time", put("CopyFunction", "Timeout", to=600)),
    Break("another setting", put("CopyFunction", *VARIABLES, "COPY_TIMEOUT_SECONDS", to="200")),
)
def test_the_copy_knows_its_own_timeout_and_its_lease_outlives_it(template: Template) -> Faults:
    copies = timeouts_of_those_that(template, Function("act_one.lifecycle.storing", "store_result"))
    if len(copies) != 1:
        yield f"{sorted(copies)} copy"
    for timeout in copies.values():
        for name, function in template.of("Lambda::Function").items():
            given = function["Environment"]["Variables"].get("COPY_TIMEOUT_SECONDS")
            if given != str(timeout):
                yield f"{name} is given {given} s for a copy, it is {timeout} s"
        if storing.LEASE_MARGIN_SECONDS < WRITES_SECONDS:
            yield "two copies of one task may overlap"
        if timeout < storing.IMAGES_SECONDS * 2:
            yield "images leave no time for the video"


@check(
    Break("cut off", put("WebhooksFunction", "Timeout", to=30)),
)
def test_a_webhook_that_is_begun_is_ended(template: Template) -> Faults:
    needed = delivery.ATTEMPT_SECONDS + WRITES_SECONDS
    if needed > webhook_queue.ATTEMPT_NEEDS_SECONDS:
        yield "what is taken last may be cut off"
    for name, timeout in timeouts_of_those_that(
        template, Function("act_one.webhooks.queue", "serve")
    ).items():
        if timeout < 2 * needed:
            yield f"{name} has no time for what comes while an endpoint hangs"


@check(
    Break("ten receives", put("WebhookQueue", "RedrivePolicy", "maxReceiveCount", to=10)),
    Break("a day", put("WebhookQueue", "MessageRetentionPeriod", to=86_400)),
)
def test_a_webhook_is_tried_to_the_end_of_its_schedule(template: Template) -> Faults:
    """Between attempts it is out of sight, for 12 hours at most, and all the time in one queue."""
    longest = max(*delivery.RETRIES) * (1 + delivery.JITTER)
    if max(longest, delivery.LONGEST_WAIT) + API_GATEWAY_SECONDS > 12 * 3_600:
        yield "a message can't be put off for so long"
    for mapping in template.of("Lambda::EventSourceMapping").values():
        function = template.the("Lambda::Function", mapping["FunctionName"])
        queue = template.the("SQS::Queue", mapping["EventSourceArn"])
        if function["Handler"] != "webhooks.app.handler":
            continue
        # Messages that wait for a call to their endpoint are received without an attempt.
        pauses = queue["RedrivePolicy"]["maxReceiveCount"] - len(delivery.RETRIES) - 20
        if pauses * webhook_queue.LONGEST_PAUSE < 5 * 86_400:
            yield "the queue gives up before the schedule does"
        if queue["MessageRetentionPeriod"] < (len(delivery.RETRIES) + 1) * delivery.LONGEST_WAIT:
            yield "the queue forgets what is still to be tried"


@check(
    Break("on top of each other", put("SweeperFunction", "Timeout", to=60)),
)
def test_every_schedule_is_slower_than_its_function(template: Template) -> Faults:
    for name, schedule in template.of("Scheduler::Schedule").items():
        period = _seconds(schedule["ScheduleExpression"])
        function = template.the("Lambda::Function", schedule["Target"]["Arn"])
        if period is None or function is None or function["Timeout"] >= period:
            yield f"{name} starts runs on top of each other"


def _seconds(expression: str) -> int | None:
    found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    return int(found[1]) * {"minute": 60, "hour": 3600, "day": 86_400}[found[2]] if found else None


@check(
    Break("cut off", put("SweeperFunction", "Timeout", to=40)),
)
def test_a_sweep_stops_by_itself(template: Template) -> Faults:
    for name, timeout in timeouts_of_those_that(
        template, Function("act_one.lifecycle.sweep", "sweep")
    ).items():
        if timeout < sweep.SWEEP_SECONDS + WRITES_SECONDS:
            yield f"{name} may be cut off between a claim and its execution"


@check(
    Break("two at once", put(*STATES, "Advance", "TimeoutSeconds", to=120)),
)
def test_an_execution_has_its_first_look_before_it_counts_as_lost(template: Template) -> Faults:
    for label, state, _ in tasks_of(template):
        for lease in (sweep.START_LEASE_SECONDS, advance.EXECUTION_LOST_SECONDS):
            if state["TimeoutSeconds"] >= lease:
                yield f"{label} may still be at it when another execution starts"


@check(
    Break("one for each", put("Parameters", "CallbackGraceSeconds", "Default", to=300)),
    Break("after the deadline", put("Parameters", "TaskTimeoutSeconds", "Default", to=900)),
)
def test_by_default_most_tasks_end_before_the_fallback_starts(template: Template) -> Faults:
    """Tasks are said to take 2 to 20 minutes, and every execution costs money."""
    grace = default_seconds(template, "CallbackGraceSeconds")
    if not 900 <= grace < default_seconds(template, "TaskTimeoutSeconds"):
        yield f"the fallback starts after {grace} s"


@check(
    Break("a day", put("Parameters", "TaskTimeoutSeconds", "MaxValue", to=86_400)),
)
def test_every_deadline_leaves_time_for_results_that_come_late(template: Template) -> Faults:
    latest = template.written["Parameters"]["TaskTimeoutSeconds"].get("MaxValue", float("inf"))
    if latest >= moves.LATE_SECONDS:
        yield f"a deadline of {latest} s is later than the last look"


@check(
    Break("43,200 looks", put("Parameters", "PollIntervalSeconds", "Default", to=1)),
    Break("no minimum", put("Parameters", "MinPollSeconds", "Default", to=1)),
    Break("a long minimum", put("Parameters", "MinPollSeconds", "Default", to=60)),
)
def test_by_default_an_execution_is_far_from_its_longest_history(template: Template) -> Faults:
    events_per_look, longest = 9, 25_000
    shortest_wait = default_seconds(template, "PollIntervalSeconds")
    looks = default_seconds(template, "TaskTimeoutSeconds") / shortest_wait
    if looks * events_per_look > longest / 2:
        yield f"{looks:.0f} looks don't fit into one execution"
    if not (
        5
        <= default_seconds(template, "MinPollSeconds")
        <= shortest_wait
        <= default_seconds(template, "PollMaxIntervalSeconds")
    ):
        yield "intervals between looks contradict each other"


def default_seconds(template: Template, parameter: str) -> float:
    return float(template.written["Parameters"][parameter]["Default"])


def test_a_link_lives_no_longer_than_the_session_that_signed_it():
    assert aws.LINK_SECONDS <= 3_600
