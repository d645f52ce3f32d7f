"""Mutants of events, of webhooks and their receivers, and of what clients are shown."""

import json
import sys
from dataclasses import replace
from typing import Final
from unittest.mock import patch

from act_one.lifecycle import read, relay
from act_one.webhooks import delivery, queue, secrets
from tests import endpoints
from tests.protocol.mutants.registry import ROOT, altered, mutant

RELAY: Final = "lifecycle/test_relay.py::"
READ: Final = "lifecycle/test_read.py::"
DELIVERY: Final = "webhooks/test_delivery.py::"
QUEUE: Final = "webhooks/test_queue.py::"
SECRETS: Final = "webhooks/test_secrets.py::"
RECEIVERS: Final = "webhooks/test_receivers.py::"

# ── Events ────────────────────────────────────────────────────────────────────────────────────

altered(
    "the relay waits for an event that is refused for good",
    relay,
    "REFUSED_FOR_GOOD",
    frozenset(),
    killer=RELAY + "test_an_event_that_is_refused_for_good_is_counted_and_passed",
)
altered(
    "the relay passes what it has no permission to send",
    relay,
    "REFUSED_FOR_GOOD",
    relay.REFUSED_FOR_GOOD | {"NotAuthorizedForSourceException"},
    killer=RELAY + "test_a_refusal_that_may_pass_or_that_an_operator_can_end_waits",
)


@mutant(
    "an event with refused metadata is passed over",
    relay,
    "_passed",
    killer=RELAY
    + "test_a_row_whose_metadata_eventbridge_refuses_stops_no_other_and_gets_its_event",
)
def _(passed, entry, result, events):
    detail = json.loads(entry["Detail"])
    bare = json.dumps({**detail, "metadata": {}})
    return passed({**entry, "Detail": bare}, result, events)


@mutant(
    "one entry fails its whole call",
    relay,
    "_put",
    killer=RELAY + "test_a_call_that_is_refused_as_a_whole_is_made_again_entry_by_entry",
)
def _(_put, entries, events):
    return events.put_events(Entries=entries)["Entries"]


@mutant(
    "a row that can't be read stops the relay",
    relay,
    "_entry",
    killer=RELAY + "test_an_unreadable_row_does_not_stop_the_others",
)
def _(entry, record, bus):
    found = entry(record, bus)
    if found is None and "NewImage" in record["dynamodb"]:
        relay.take_up(record["dynamodb"]["NewImage"])
    return found


# ── Webhooks: what is sent ────────────────────────────────────────────────────────────────────


@mutant(
    "a webhook's body is what the message says",
    delivery,
    "deliver",
    killer=DELIVERY + "test_the_body_is_the_row_whatever_the_message_says",
)
def _(deliver, text, context):
    def write_body(task):
        said = json.loads(text)["detail"]
        return json.dumps(json.loads(delivery_body(task)) | {"data": said})

    delivery_body = delivery.write_body
    with patch.object(delivery, "write_body", write_body):
        return deliver(text, context)


@mutant(
    "a message may be about any version",
    delivery,
    "_read_due",
    killer=DELIVERY + "test_a_message_about_a_version_that_does_not_exist_is_dropped",
)
def _(read_due, text, table):
    message = json.loads(text)
    row = table.read(message["detail"]["id"])
    message["detail"]["version"] = row.version
    return read_due(json.dumps(message), table)


@mutant(
    "a malformed message is retried",
    delivery,
    "read_message",
    killer=DELIVERY + "test_a_message_that_names_no_task_and_version_is_dropped",
)
def _(read_message, text):
    message = read_message(text)
    if message is None:
        raise ValueError("a malformed message")
    return message


@mutant(
    "the attempts at an earlier version count",
    delivery,
    "_attempts",
    killer=DELIVERY + "test_attempts_at_another_version_do_not_count",
)
def _(_attempts, _message, task):
    return len(task.deliveries)


@mutant(
    "a failed attempt is not counted",
    delivery,
    "_attempts",
    killer=DELIVERY + "test_a_failed_attempt_is_followed_by_the_next_one_of_the_schedule",
)
def _(_attempts, _message, _task):
    return 0


@mutant(
    "a webhook sent again continues the attempts before",
    delivery,
    "_attempts",
    killer=DELIVERY + "test_a_request_to_send_again_has_attempts_of_its_own",
)
def _(attempts, message, task):
    return attempts(replace(message, asked_at=None), task)


# ── Webhooks: secrets ─────────────────────────────────────────────────────────────────────────


@mutant(
    "one secret signs the webhooks of all clients",
    secrets,
    "_derive",
    killer=DELIVERY + "test_a_webhook_is_signed_with_its_clients_secret_and_no_other",
)
def _(derive, secret, _client):
    return derive(secret, "all")


@mutant(
    "the default endpoint is signed for with a client's secret",
    delivery,
    "signer_of",
    killer=DELIVERY + "test_the_default_endpoint_has_a_secret_of_its_own_that_no_client_knows",
)
def _(_signer_of, task, _default_url):
    return task.client_id


@mutant(
    "a client is shown the stack's secret",
    secrets,
    "show_secrets",
    killer=SECRETS + "test_a_client_is_shown_its_own_secrets",
)
def _(_show_secrets, key_ring, _client):
    keys = key_ring.keys()
    return {"current": keys.current, "previous": keys.previous}


altered(
    "a short secret signs webhooks",
    secrets,
    "LEAST_BYTES",
    1,
    killer=SECRETS + "test_a_secret_that_is_not_base64_or_too_short_signs_nothing",
)

# ── Webhooks: the queue ───────────────────────────────────────────────────────────────────────


@mutant(
    "one endpoint takes all calls",
    queue,
    "_sort",
    killer=QUEUE + "test_one_endpoint_or_client_has_only_its_share_of_the_calls[one endpoint]",
)
def _(sort, held, under_way):
    return sort([(one, replace(lane, endpoint=one.message_id)) for one, lane in held], under_way)


@mutant(
    "one client takes all calls",
    queue,
    "_sort",
    killer=QUEUE + "test_one_endpoint_or_client_has_only_its_share_of_the_calls[one client]",
)
def _(sort, held, under_way):
    return sort([(one, replace(lane, client=one.message_id)) for one, lane in held], under_way)


@mutant(
    "messages behind a hanging endpoint are not put off",
    queue,
    "_sort",
    killer=QUEUE + "test_a_message_of_the_batch_that_is_put_off_is_reported",
)
def _(sort, held, under_way):
    ready, kept, blocked = sort(held, under_way)
    return ready, [*kept, *(pair for pair in held if pair[0] in blocked)], []


@mutant(
    "a slow endpoint's messages take all the room to wait",
    queue,
    "_sort",
    killer=QUEUE + "test_a_slow_endpoint_with_many_messages_ahead_does_not_delay_a_neighbour",
)
def _(sort, *arguments):
    queue.HELD_PER_CLIENT = sys.maxsize
    return sort(*arguments)


altered(
    "an endpoint that answers is put off like one that hangs",
    queue,
    "SLOW_SECONDS",
    0.0,
    killer=QUEUE + "test_a_burst_to_an_endpoint_that_answers_is_delivered_without_a_pause",
)

# ── Webhooks: receivers ───────────────────────────────────────────────────────────────────────


def receiver(line: str, changed: str) -> dict[str, list[str | None]]:
    """Return the commands of the example receivers, the Python one with another line."""
    source = (ROOT / "examples/receivers/receiver.py").read_text()
    edited = source.replace(line, changed)
    if edited == source:
        raise ValueError(f"the receiver has no line {line!r}")
    return endpoints.COMMANDS | {"Python": [sys.executable, "-c", edited]}


altered(
    "the receiver starts with a short secret",
    endpoints,
    "COMMANDS",
    receiver("LEAST_KEY_BYTES = 24", "LEAST_KEY_BYTES = 1"),
    killer=RECEIVERS + "test_a_receiver_without_a_proper_secret_does_not_start",
)
altered(
    "the receiver takes a body of any size",
    endpoints,
    "COMMANDS",
    receiver("MAX_BODY_BYTES = 65_536", "MAX_BODY_BYTES = 2**40"),
    killer=RECEIVERS + "test_a_receiver_reads_no_more_of_a_body_than_a_webhook_can_have",
)

# ── What clients are shown ────────────────────────────────────────────────────────────────────


@mutant(
    "a shared task shows the queries of its inputs",
    read,
    "api_document",
    killer=READ + "test_a_shared_task_is_shown_without_the_queries_of_its_inputs",
)
def _(api_document, task):
    return api_document(replace(task, client_id="another"))


@mutant(
    "any text is looked up as a task's id",
    read,
    "is_task_id",
    killer=READ + "test_an_invalid_id_is_not_found_without_a_read",
)
def _(_is_task_id, _text):
    return True
