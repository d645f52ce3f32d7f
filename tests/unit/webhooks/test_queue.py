"""The webhook queue: what is delivered is deleted, the rest is retried, nothing is held up."""

import threading
import time
from itertools import count

import pytest
from botocore.exceptions import EndpointConnectionError

from act_one.correlation import about_task
from act_one.problems import ProblemError
from act_one.tasks.events import DETAIL_TYPES
from act_one.tasks.task import Delivery, Stage, Webhook
from act_one.webhooks import queue as queue_module
from act_one.webhooks.delivery import WebhookMessage, read_message
from act_one.webhooks.queue import (
    AT_ONCE,
    PER_CLIENT,
    PER_ENDPOINT,
    Calls,
    Lane,
    Message,
    WebhookQueue,
    send_again,
    serve,
)
from tests.sizes import FULL, size
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


@pytest.fixture(autouse=True)
def uncounted(monkeypatch):
    """Count no metrics: the hundredth of a name would be written, which needs a namespace."""
    monkeypatch.setattr(queue_module.metrics, "add_metric", lambda *_: None)


def test_lines_about_calls_at_the_same_moment_have_the_ids_of_their_tasks(queue, log_lines):
    outcomes = {"good": DONE, "bad": again_in(60), "broken": ValueError("no key")}

    def look_up(text):
        about_task(f"task_{text}", f"request-{text}")
        return Lane(endpoint=text, client=text)

    def deliver(text):
        time.sleep(0.05)  # so that all are under way
        outcome = outcomes[text]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    for text in outcomes:
        queue.put(text)
    serve(queue.take(), Calls(look_up, deliver), queue, time.time, lambda: 60.0)

    found = {line["message"]: (line["task_id"], line["correlation_id"]) for line in log_lines}
    assert found == {
        "webhook delivered": ("task_good", "request-good"),
        "webhook failed": ("task_bad", "request-bad"),
        "webhook not sent": ("task_broken", "request-broken"),
    }


@pytest.fixture
def queue(aws):
    """A queue of the test's own, whose messages come back after 90 seconds."""
    sqs = aws("sqs")
    name = f"webhooks-{next(NUMBERS)}"
    made = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "90"})
    return WebhookQueue(sqs, made["QueueUrl"])


class Endpoints:
    """Stands for the calls: by the text of a message, what comes of it.

    A text is the name of an endpoint, a number, and the name of the client: "dead 7 a".
    """

    def __init__(self, **outcomes):
        self.outcomes = outcomes
        self.lookups = {}
        self.texts = []
        self.under_way = 0
        self.most = 0
        self.over = threading.Event()
        self._lock = threading.Lock()

    def find_lane(self, text):
        name, *_, client = text.split(" ") * 2
        outcome = self.lookups.get(name, Lane(endpoint=name, client=client))
        return outcome() if callable(outcome) else outcome

    def deliver(self, text):
        with self._lock:
            self.texts.append(text)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            outcome = self.outcomes.get(text.partition(" ")[0], DONE)
            return outcome() if callable(outcome) else outcome
        finally:
            with self._lock:
                self.under_way -= 1


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
    calls = Calls(endpoints.find_lane, endpoints.deliver)
    return serve(given, calls, queue, time.time, seconds_left)


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


def test_a_message_without_a_due_delivery_is_removed_without_a_call(queue):
    given = take(queue, "a")
    queue.put("old 1")
    endpoints = Endpoints()
    endpoints.outcomes["a"] = lambda: time.sleep(2) or DONE
    endpoints.lookups["old"] = None

    assert run(given, endpoints, queue) == []
    assert endpoints.texts == ["a"]
    assert left(queue) == (0, 1)


def test_a_message_that_cannot_be_looked_up_reappears_and_no_other(queue):
    def fails():
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    given = take(queue, "a", "b")
    endpoints = Endpoints()
    endpoints.lookups["b"] = fails

    assert run(given, endpoints, queue) == [m.message_id for m in given if m.body == "b"]
    assert endpoints.texts == ["a"]


def test_a_failure_of_ours_brings_the_message_back_by_itself_and_no_other(queue):
    def fails():
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    given = take(queue, "a", "b", "c")
    (failing,) = [one.message_id for one in given if one.body == "b"]
    endpoints = Endpoints(b=fails)

    assert run(given, endpoints, queue) == [failing]
    assert sorted(endpoints.texts) == ["a", "b", "c"]
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
    assert len(endpoints.texts) == 28
    assert left(queue) == (0, 2)  # the dead one and the bad one; all others are gone


def test_nothing_more_is_taken_when_there_is_no_time_for_it(queue):
    given = take(queue, "dead")
    queue.put("live")

    def hangs():
        time.sleep(1.5)
        return DONE

    endpoints = Endpoints(dead=hangs)

    assert run(given, endpoints, queue, none_left) == []
    assert endpoints.texts == ["dead"]
    assert left(queue) == (1, 1)


def test_no_more_calls_are_under_way_than_there_is_room_for(queue):
    endpoints = Endpoints()

    def hangs():
        endpoints.over.wait(20)
        return DONE

    names = [f"dead{number} x c{number}" for number in range(AT_ONCE + 30)]
    endpoints.outcomes |= {name.split(" ")[0]: hangs for name in names}
    given = take(queue, *names[:10])
    for name in names[10:]:
        queue.put(name)
    threading.Timer(5, endpoints.over.set).start()

    run(given, endpoints, queue)

    assert AT_ONCE - 10 <= endpoints.most <= AT_ONCE


@pytest.mark.parametrize(
    ("text", "most"),
    [("dead {} c{}", PER_ENDPOINT), ("dead{} {} c", PER_CLIENT)],
    ids=["one endpoint", "one client"],
)
def test_one_endpoint_or_client_has_only_its_share_of_the_calls(queue, text, most):
    endpoints = Endpoints()

    def hangs():
        endpoints.over.wait(20)
        return DONE

    texts = [text.format(number, number) for number in range(PER_CLIENT + 20)]
    endpoints.outcomes |= {one.split(" ")[0]: hangs for one in texts}
    given = take(queue, *texts[:10])
    for one in texts[10:]:
        queue.put(one)
    threading.Timer(6, endpoints.over.set).start()

    run(given, endpoints, queue)

    assert endpoints.most == most


def test_a_dead_endpoint_with_many_messages_ahead_does_not_delay_a_neighbour(queue):
    """Each dead call hangs until the neighbour was called, or for 20 seconds."""
    ahead = size(300, 800)
    endpoints = Endpoints()
    before, called_at = [], []

    def hangs():
        endpoints.over.wait(20)
        return again_in(300)

    def neighbour():
        called_at.append(time.monotonic())
        before.append(len(endpoints.texts))
        endpoints.over.set()
        return DONE

    endpoints.outcomes |= {"dead": hangs, "live": neighbour}
    given = take(queue, *(f"dead {number} a" for number in range(10)))
    for number in range(10, ahead):
        queue.put(f"dead {number} a")
    queue.put("live 1 b")
    began_at = time.monotonic()

    run(given, endpoints, queue)

    print(f"\n{called_at[0] - began_at:.1f} s behind {ahead} messages to a dead endpoint")
    assert before[0] <= PER_ENDPOINT + 1
    assert called_at[0] - began_at < 5 or not FULL  # a busy machine may take longer
    assert endpoints.most <= PER_ENDPOINT + 1


def test_a_slow_endpoint_with_many_messages_ahead_does_not_delay_a_neighbour(queue, monkeypatch):
    """Each call of its lasts a second, so that its messages are held and not put off at once."""
    monkeypatch.setattr(queue_module, "MAX_HELD", 60)
    monkeypatch.setattr(queue_module, "HELD_PER_CLIENT", 20)
    before = []
    endpoints = Endpoints(slow=lambda: time.sleep(1) or DONE)
    endpoints.outcomes["live"] = lambda: before.append(len(endpoints.texts)) or DONE
    given = take(queue, *(f"slow {number} a" for number in range(10)))
    for number in range(10, 200):
        queue.put(f"slow {number} a")
    queue.put("live 1 b")

    run(given, endpoints, queue)

    assert before[0] <= 100


def test_a_burst_to_an_endpoint_that_answers_is_delivered_without_a_pause(queue):
    given = take(queue, *(f"live {number}" for number in range(10)))
    for number in range(10, 60):
        queue.put(f"live {number}")
    endpoints = Endpoints(live=lambda: time.sleep(0.6) or DONE)

    assert run(given, endpoints, queue) == []
    assert len(endpoints.texts) == 60
    assert left(queue) == (0, 10)  # those are left to Lambda


def test_a_message_of_the_batch_that_is_put_off_is_reported(queue):
    endpoints = Endpoints()
    endpoints.outcomes["dead"] = lambda: time.sleep(4) or DONE
    given = take(queue, *(f"dead {number}" for number in range(PER_ENDPOINT + 2)))

    retried = run(given, endpoints, queue)

    assert len(retried) == 2
    assert len(endpoints.texts) == PER_ENDPOINT


def test_messages_that_are_held_go_to_another_invocation_when_time_is_short(queue):
    endpoints = Endpoints()
    endpoints.outcomes["slow"] = lambda: time.sleep(1) or DONE
    given = take(queue, *(f"slow {number}" for number in range(PER_ENDPOINT + 2)))

    assert len(run(given, endpoints, queue, none_left)) == 2
    assert left(queue) == (2, PER_ENDPOINT)


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

IDS = count(1)
HOOK = Webhook(url="https://user.example/hook?token=t0p", events=("task.failed",))


def created(table, stage):
    return table.create(task(stage, task_id=f"task_{next(IDS)}", version=3, webhook=HOOK))


@pytest.mark.parametrize("stage", DETAIL_TYPES)
def test_any_state_that_has_an_event_is_sent_again_whatever_the_webhook_names(queue, table, stage):
    row = created(table, stage)

    send_again(row, table, queue, 1_000.0)

    (message,) = queue.take()
    assert read_message(message.body) == WebhookMessage(
        task_id=row.task_id, version=3, asked_at=1_000.0
    )


def test_a_webhook_is_sent_again_once_per_ten_seconds_and_task(queue, table):
    row = created(table, Stage.FAILED)
    other = created(table, Stage.FAILED)
    send_again(row, table, queue, 1_000.0)
    send_again(other, table, queue, 1_001.0)

    with pytest.raises(ProblemError) as caught:
        send_again(row, table, queue, 1_009.0)

    assert (caught.value.status, caught.value.code) == (429, "webhook-sent-lately")
    assert caught.value.retry_after == 10
    send_again(row, table, queue, 1_010.0)
    assert left(queue) == (3, 0)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (task(Stage.SUCCEEDED), "no-webhook"),
        (task(Stage.ACCEPTED, webhook=HOOK), "nothing-to-send"),
        (task(Stage.SUBMITTING, webhook=HOOK), "nothing-to-send"),
    ],
)
def test_what_cannot_be_sent_again_says_why(queue, table, row, code):
    with pytest.raises(ProblemError) as caught:
        send_again(row, table, queue, 1_000.0)

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
