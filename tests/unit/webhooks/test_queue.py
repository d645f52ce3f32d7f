"""The webhook queue: what is delivered is deleted, the rest is retried, nothing is held up."""

import json
import threading
import time
from itertools import count

import pytest
from botocore.exceptions import EndpointConnectionError

from act_one.problems import ProblemError
from act_one.tasks.events import DETAIL_TYPES
from act_one.tasks.task import Delivery, Stage, Webhook
from act_one.webhooks.delivery import read_message
from act_one.webhooks.queue import AT_ONCE, Message, WebhookQueue, send_again, serve
from tests.unit.examples import task

NUMBERS = count(1)
DONE = Delivery(webhook_id="t#1", event="task.succeeded", attempt=1, at=0.0, milliseconds=1)


def again_in(seconds):
    return Delivery(
        webhook_id="t#1",
        event="task.succeeded",
        attempt=1,
        at=0.0,
        milliseconds=1,
        error="answered 500",
        next_at=time.time() + seconds,
    )


@pytest.fixture
def queue(aws):
    """A queue of the test's own, whose messages come back after 90 seconds."""
    sqs = aws("sqs")
    name = f"webhooks-{next(NUMBERS)}"
    made = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "90"})
    return WebhookQueue(sqs, made["QueueUrl"])


class Endpoints:
    """Stands for the calls: by the text of a message, what comes of it."""

    def __init__(self, **outcomes):
        self.outcomes = outcomes
        self.calls = []
        self.under_way = 0
        self.most = 0
        self.over = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, text, attempt):
        with self._lock:
            self.calls.append((text, attempt))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            outcome = self.outcomes.get(text.partition(" ")[0], DONE)
            return outcome() if callable(outcome) else outcome
        finally:
            with self._lock:
                self.under_way -= 1

    def texts(self):
        return [text for text, _ in self.calls]


def take(queue, *texts):
    """Put messages into the queue and take them, as Lambda does for a batch."""
    for text in texts:
        queue.put(text)
    taken = []
    while len(taken) < len(texts):
        taken += queue.take()
    return taken


def left(queue):
    """(waiting, out of sight) of a queue."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = queue.client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=names)
    return tuple(int(found["Attributes"][name]) for name in names)


def plenty():
    return 60.0


def none_left():
    return 5.0


def run(given, endpoints, queue, seconds_left=plenty):
    return serve(given, endpoints, queue, time.time, seconds_left)


# ── A batch ───────────────────────────────────────────────────────────────────────────────────


def test_what_was_delivered_is_left_to_lambda_to_remove(queue):
    given = take(queue, "a", "b")

    assert run(given, Endpoints(b=None), queue) == []
    assert left(queue) == (0, 2)


def test_what_is_to_be_tried_again_stays_out_of_sight_until_then(queue):
    given = take(queue, "a", "b")
    (failing,) = [one for one in given if one.body == "b"]

    assert run(given, Endpoints(b=again_in(2)), queue) == [failing.message_id]

    for message in given:
        if message is not failing:
            queue.drop(message)
    began_at = time.monotonic()
    while not (back := queue.take()):
        assert time.monotonic() - began_at < 10
    assert time.monotonic() - began_at > 0.9
    assert [(one.body, one.receives) for one in back] == [("b", 2)]


def test_each_call_knows_how_often_its_message_was_taken(queue):
    (message,) = take(queue, "a")
    queue.put_off(message, 0)
    (message,) = take(queue) or queue.take()
    endpoints = Endpoints()

    run([message], endpoints, queue)

    assert endpoints.calls == [("a", 2)]


def test_a_failure_of_ours_brings_the_message_back_by_itself_and_no_other(queue):
    def fails():
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    given = take(queue, "a", "b", "c")
    (failing,) = [one.message_id for one in given if one.body == "b"]
    endpoints = Endpoints(b=fails)

    assert run(given, endpoints, queue) == [failing]
    assert sorted(endpoints.texts()) == ["a", "b", "c"]
    assert left(queue) == (0, 3)


def test_a_message_that_cannot_be_put_off_comes_again_too_soon_rather_than_never(queue):
    (message,) = take(queue, "a")
    queue.drop(message)
    stale = Message(message_id="1", receipt="no receipt", receives=1, body="a")

    assert run([stale], Endpoints(a=again_in(5)), queue) == ["1"]


def test_the_messages_of_a_batch_are_delivered_side_by_side(queue):
    barrier = threading.Barrier(10, timeout=5)
    given = take(queue, *(f"x {number}" for number in range(10)))

    def meet():
        barrier.wait()
        return DONE

    assert run(given, Endpoints(x=meet), queue) == []


# ── While an endpoint hangs ───────────────────────────────────────────────────────────────────


def test_while_one_hangs_the_queue_is_served_on(queue):
    endpoints = Endpoints()
    reached = threading.Event()

    def hangs():
        assert reached.wait(20)
        return again_in(300)

    def last():
        reached.set()
        return DONE

    endpoints.outcomes |= {"dead": hangs, "last": last, "bad": again_in(300)}
    given = take(queue, "dead")
    for number in range(25):
        queue.put(f"live {number}")
    queue.put("bad")
    threading.Timer(3, queue.put, ["last"]).start()

    coming_again = run(given, endpoints, queue)

    assert coming_again == [given[0].message_id]
    assert len(endpoints.calls) == 28
    assert left(queue) == (0, 2)  # the dead one and the bad one; all others are gone


def test_nothing_more_is_taken_when_there_is_no_time_for_it(queue):
    given = take(queue, "dead")
    queue.put("live")

    def hangs():
        time.sleep(1.5)
        return DONE

    endpoints = Endpoints(dead=hangs)

    assert run(given, endpoints, queue, none_left) == []
    assert endpoints.texts() == ["dead"]
    assert left(queue) == (1, 1)


def test_no_more_calls_are_under_way_than_there_is_room_for(queue):
    endpoints = Endpoints()

    def hangs():
        endpoints.over.wait(20)
        return DONE

    endpoints.outcomes["dead"] = hangs
    given = take(queue, *(f"dead {number}" for number in range(10)))
    for number in range(AT_ONCE + 20):
        queue.put(f"dead {number}")
    threading.Timer(5, endpoints.over.set).start()

    run(given, endpoints, queue)

    assert AT_ONCE - 10 <= endpoints.most <= AT_ONCE


def test_what_hangs_is_waited_for_when_no_more_can_be_taken(queue):
    class Refusing:
        def receive_message(self, **_):
            raise EndpointConnectionError(endpoint_url="https://sqs.example")

    def hangs():
        time.sleep(1.5)
        return DONE

    given = take(queue, "dead")

    assert run(given, Endpoints(dead=hangs), WebhookQueue(Refusing(), queue.url)) == []


# ── On demand ─────────────────────────────────────────────────────────────────────────────────

HOOK = Webhook(url="https://user.example/hook?token=t0p", events=("task.failed",))


@pytest.mark.parametrize("stage", DETAIL_TYPES)
def test_any_state_that_has_an_event_is_sent_again_whatever_the_webhook_names(queue, stage):
    row = task(stage, version=3, webhook=HOOK)

    send_again(row, queue)

    (message,) = queue.take()
    announced = read_message(message.body)
    assert announced.on_demand
    assert announced.event == f"task.{stage}"
    assert announced.webhook_id == f"{row.task_id}#3"
    assert json.loads(message.body)["detail-type"] == DETAIL_TYPES[stage]
    assert "t0p" not in message.body


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (task(Stage.SUCCEEDED), "no-webhook"),
        (task(Stage.ACCEPTED, webhook=HOOK), "nothing-to-send"),
        (task(Stage.SUBMITTING, webhook=HOOK), "nothing-to-send"),
    ],
)
def test_what_cannot_be_sent_again_says_why(queue, row, code):
    with pytest.raises(ProblemError) as caught:
        send_again(row, queue)

    assert (caught.value.status, caught.value.code) == (409, code)
    assert left(queue) == (0, 0)


def test_a_message_of_lambda_is_read_as_it_comes():
    record = {
        "messageId": "1",
        "receiptHandle": "r",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "3"},
    }

    assert Message.of_record(record) == Message(message_id="1", receipt="r", receives=3, body="{}")
