"""Table stream → event bus: a transactional outbox, so that every move has its event."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError

from act_one.correlation import about_task
from act_one.tasks.events import event_of
from act_one.tasks.rows import take_up
from act_one.tasks.schema import NewerRowError

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import (
        PutEventsRequestEntryTypeDef,
        PutEventsResultEntryTypeDef,
    )

BATCH: Final = 10
"""The most entries that one ``PutEvents`` call takes."""
CALL_INVALID: Final = "ValidationException"
"""The error of a whole call, for what only some of its entries may have caused."""
REFUSED_FOR_GOOD: Final = frozenset(
    {"InvalidArgument", "MalformedDetail", "RedactionFailure", CALL_INVALID}
)
"""Error codes that an entry gets for its content, again at each try.

Missing permissions aren't among them, although ``PutEvents`` calls them final: an operator can
grant them, and then no event is lost.
"""

logger = Logger(child=True)
metrics = Metrics()


def publish(
    records: Sequence[Mapping[str, Any]], events: "EventBridgeClient", bus: str
) -> str | None:
    """Send the moves among stream records to the bus, in order.

    Returns the sequence number of the first record to try again, None if there is none. A record
    that can't be read, or whose event the bus refuses for good, is reported and passed: otherwise
    it would hold up all later ones.
    """
    entries = [(sequence_of(record), entry) for record in records if (entry := _entry(record, bus))]
    for start in range(0, len(entries), BATCH):
        batch = entries[start : start + BATCH]
        results = _put([entry for _, entry in batch], events)
        for (sequence, entry), result in zip(batch, results, strict=True):
            if "ErrorCode" in result and not _passed(entry, result, events):
                return sequence
    return None


def _put(
    entries: "list[PutEventsRequestEntryTypeDef]", events: "EventBridgeClient"
) -> "list[PutEventsResultEntryTypeDef]":
    """Put entries on the bus, one by one if the call is invalid, so that only one is at fault."""
    try:
        return events.put_events(Entries=entries)["Entries"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != CALL_INVALID:
            raise
        if len(entries) == 1:
            return [{"ErrorCode": CALL_INVALID}]
        return [result for entry in entries for result in _put([entry], events)]


def _passed(
    entry: "PutEventsRequestEntryTypeDef",
    result: "PutEventsResultEntryTypeDef",
    events: "EventBridgeClient",
) -> bool:
    """Return whether the stream may go on after a refused entry.

    One that is refused for good is sent once more without the client's metadata, the only part
    whose form is not ours: a copy waits for the event of a `storing` task.
    """
    detail = json.loads(entry["Detail"])
    about_task(detail["id"], detail.get("correlation_id"))
    extra = {"event": entry["DetailType"], "error": result["ErrorCode"]}
    if result["ErrorCode"] not in REFUSED_FOR_GOOD:
        logger.warning("event not taken", extra=extra)
        return False
    if detail.get("metadata"):
        logger.error("event refused, sent without metadata", extra=extra)
        metrics.add_metric("EventsWithoutMetadata", MetricUnit.Count, 1)
        bare = json.dumps({**detail, "metadata": {}}, ensure_ascii=False)
        without: PutEventsRequestEntryTypeDef = {**entry, "Detail": bare}
        [again] = _put([without], events)
        return "ErrorCode" not in again or _passed(without, again, events)
    logger.error("event refused for good", extra=extra)
    metrics.add_metric("EventsRefused", MetricUnit.Count, 1)
    return True


def sequence_of(record: Mapping[str, Any]) -> str:
    """Return the number by which the stream is told from where on to send records again."""
    return str(record["dynamodb"]["SequenceNumber"])


def _entry(record: Mapping[str, Any], bus: str) -> "PutEventsRequestEntryTypeDef | None":
    """Write the event of a record that is a move; other writes change no version."""
    change = record["dynamodb"]
    if "NewImage" not in change:
        return None
    if change["NewImage"].get("version") == change.get("OldImage", {}).get("version"):
        return None
    try:
        return event_of(take_up(change["NewImage"]), bus)
    except NewerRowError:
        # Its event is lost, unless a webhook is requested again; later records must not wait.
        logger.warning("newer row", extra={"keys": change.get("Keys")})
        metrics.add_metric("NewerRows", MetricUnit.Count, 1)
        return None
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        logger.exception("unreadable row", extra={"keys": change.get("Keys")})
        metrics.add_metric("UnreadableRows", MetricUnit.Count, 1)
        return None
