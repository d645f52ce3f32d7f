"""Table stream → event bus: a transactional outbox, so that every move has its event."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from act_one.tasks.events import event_of
from act_one.tasks.rows import read_item

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

BATCH: Final = 10
"""The most entries that one ``PutEvents`` call takes."""

logger = Logger(child=True)
metrics = Metrics()


def publish(
    records: Sequence[Mapping[str, Any]], events: "EventBridgeClient", bus: str
) -> str | None:
    """Send the moves among stream records to the bus, in order.

    Returns the sequence number of the first record that was not sent, None if all were. A record
    that can't be read is logged and skipped: repeating it would not help.
    """
    entries = [(_sequence(record), entry) for record in records if (entry := _entry(record, bus))]
    for start in range(0, len(entries), BATCH):
        batch = entries[start : start + BATCH]
        answer = events.put_events(Entries=[entry for _, entry in batch])
        for (sequence, entry), result in zip(batch, answer["Entries"], strict=True):
            if "ErrorCode" in result:
                extra = {"event": entry["DetailType"], "error": result["ErrorCode"]}
                logger.warning("event not taken", extra=extra)
                return sequence
    return None


def _sequence(record: Mapping[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def _entry(record: Mapping[str, Any], bus: str) -> "PutEventsRequestEntryTypeDef | None":
    """Write the event of a record that is a move; other writes change no version."""
    change = record["dynamodb"]
    if "NewImage" not in change:
        return None
    if change["NewImage"].get("version") == change.get("OldImage", {}).get("version"):
        return None
    try:
        return event_of(read_item(change["NewImage"]), bus)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        logger.exception("unreadable row", extra={"keys": change.get("Keys")})
        metrics.add_metric("UnreadableRows", MetricUnit.Count, 1)
        return None
