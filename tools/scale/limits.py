"""Each limit, in units a second, and how many units a task takes of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from act_one.lifecycle.sweep import MAX_STARTS
from act_one.webhooks.queue import AT_ONCE
from tests.template.deployment import expanded
from tools.costs.prices import RELAY_SECONDS, RUNS

ROOT: Final = Path(__file__).parents[2]
WAY: Final = "POST with URLs"
CALLS: Final = 3
"""Of the API per task: a POST and two reads."""
MISSED: Final = 0.02
"""The share of tasks whose callback is missed (assumed)."""
SWEEP_PERIOD: Final = 60.0
INGEST_SECONDS: Final = next(
    seconds for name, _, seconds in RUNS["an event"] if name == "IngestFunction"
)
WEBHOOK_SECONDS: Final = next(
    seconds for name, _, seconds in RUNS["POST, a webhook asked for"] if name == "WebhooksFunction"
)
PUT_EVENTS_SECONDS: Final = 0.02
"""How long one call with ten events takes (assumed)."""
TRANSACTION_SECONDS: Final = 0.01
"""How long a transaction holds an account of the ledger (assumed)."""

# Documented by AWS, for us-east-1, in November 2026; other regions have less.
ACCOUNT_EXECUTIONS: Final = 1_000
NEW_ACCOUNT_EXECUTIONS: Final = 10
API_REQUESTS: Final = 10_000
PARTITION_WRITES: Final = 1_000
NEW_TABLE_WRITES: Final = 4_000
TABLE_WRITES: Final = 40_000
BUS_ENTRIES: Final = 10_000
RULE_DELIVERIES: Final = 18_750
PREFIX_WRITES: Final = 3_500
STARTS: Final = 300
NEW_TABLE_SHARDS: Final = NEW_TABLE_WRITES // PARTITION_WRITES


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: units a second that there are, and that a task takes."""

    name: str
    capacity: float
    per_task: float
    source: str
    raised: str
    """What raises it, and the code of the quota if it has one."""

    @property
    def tasks(self) -> float:
        """Tasks a second at which it is used up."""
        return self.capacity / self.per_task


def counted(line: str) -> float:
    """Read what a task asks for, as docs/costs.md has counted it."""
    page = (ROOT / "docs/costs.md").read_text()
    [found] = re.findall(rf"^\| {re.escape(line)} \| ([\d.]+) \|", page, re.MULTILINE)
    return float(found)


def properties(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = expanded()["Resources"][name]["Properties"]
    return found


def default(parameter: str) -> float:
    return float(expanded()["Parameters"][parameter]["Default"])


def concurrency(mapping: str) -> int:
    return int(properties(mapping)["ScalingConfig"]["MaximumConcurrency"])


def seconds_of(function: str) -> float:
    """Seconds that a function runs for one task."""
    return sum(times * seconds for name, times, seconds in RUNS[WAY] if name == function)


def run_seconds() -> float:
    """Seconds that all functions run for one task."""
    rows = counted("DynamoDB write") + counted("DynamoDB write in a transaction")
    return sum(times * seconds for _, times, seconds in RUNS[WAY]) + rows * RELAY_SECONDS


def due_writes() -> float:
    """Writes of the due index: all index writes but those of the client's and the provider's."""
    return counted("DynamoDB index write") - 2


def limits() -> list[Limit]:
    """List every limit, the lowest first."""
    found = (*_of_executions(), *_of_mappings(), *_of_tables(), *_of_ledger(), *_of_services())
    return sorted(found, key=lambda limit: limit.tasks)


def _of_executions() -> Iterator[Limit]:
    """Yield how much Lambda runs at once."""
    yield Limit(
        "executions of a new account",
        NEW_ACCOUNT_EXECUTIONS,
        run_seconds(),
        "AWS",
        'Service Quotas: Lambda, "Concurrent executions" (L-B99A9384)',
    )
    yield Limit(
        "executions of an account",
        ACCOUNT_EXECUTIONS,
        run_seconds(),
        "AWS",
        'Service Quotas: Lambda, "Concurrent executions" (L-B99A9384)',
    )


def _of_mappings() -> Iterator[Limit]:
    """Yield what the template, the code and the usage plan let through."""
    yield Limit(
        "copies at once",
        concurrency("CopyFunctionMedia"),
        seconds_of("CopyFunction"),
        "`CopyFunction`'s `MaximumConcurrency`",
        "the literal in `template.yaml`, up to 1,000",
    )
    yield Limit(
        "tasks that ingest sends: of batches, events and files",
        concurrency("IngestFunctionIngest"),
        INGEST_SECONDS,
        "`IngestFunction`'s `MaximumConcurrency`; one after the other",
        "the literal in `template.yaml`, up to 1,000",
    )
    yield Limit(
        "webhooks called at once",
        concurrency("WebhooksFunctionWebhooks") * AT_ONCE,
        WEBHOOK_SECONDS,
        "`WebhooksFunction`'s `MaximumConcurrency`, `AT_ONCE` in `webhooks/queue.py` each",
        "the literal in `template.yaml`, up to 1,000",
    )
    yield Limit(
        "requests of one API key",
        default("RequestsPerSecond"),
        CALLS,
        "`RequestsPerSecond`",
        "the parameter; a key per client",
    )
    yield Limit(
        "fallbacks that sweeps start",
        MAX_STARTS / SWEEP_PERIOD,
        MISSED,
        "`MAX_STARTS` in `lifecycle/sweep.py`, of 2 % missed callbacks",
        "the constant, with the account's executions",
    )


def _of_tables() -> Iterator[Limit]:
    """Yield the limits of the tasks table, its index and its stream."""
    rows = counted("DynamoDB write") + counted("DynamoDB write in a transaction")
    units = counted("DynamoDB row unit")
    yield Limit(
        "one partition of the due index",
        PARTITION_WRITES,
        due_writes(),
        "AWS: 1,000 a partition, `WATCHED` in `tasks/rows.py`",
        "code: some values of `watched`, each swept",
    )
    yield Limit(
        "write units of a new table",
        NEW_TABLE_WRITES,
        units,
        "AWS: on demand begins with 4,000",
        "grows by itself to twice the last peak; DynamoDB's warm throughput at once",
    )
    yield Limit(
        "write units of a table",
        TABLE_WRITES,
        units,
        "AWS",
        'Service Quotas: DynamoDB, "Table-level write throughput limit" (L-AB614373)',
    )
    yield Limit(
        "the relay, one run per shard of the stream",
        NEW_TABLE_SHARDS * 10 / PUT_EVENTS_SECONDS,
        rows,
        "four shards of a new table, 20 ms a call of ten events (assumed)",
        "`ParallelizationFactor` up to 10; shards grow with the table",
    )


def _of_ledger() -> Iterator[Limit]:
    """Yield the limits of one item of the ledger."""
    writes = counted("DynamoDB ledger write in a transaction")
    yield Limit(
        "one client's account of a day, waiting for each other",
        1 / TRANSACTION_SECONDS,
        writes,
        "one item of the ledger, 10 ms a transaction (assumed)",
        "more clients, each an item. Sharding an account's days would need code",
    )
    yield Limit(
        "one client's account of a day, write units",
        PARTITION_WRITES,
        writes * 2,
        "AWS: 1,000 a partition",
        "more clients",
    )


def _of_services() -> Iterator[Limit]:
    """Yield the quotas of other services."""
    yield Limit(
        "events put on buses",
        BUS_ENTRIES,
        counted("EventBridge event"),
        "AWS; 400 to 2,400 in most other regions",
        'Service Quotas: EventBridge, "PutEvents throttle limit"',
    )
    yield Limit(
        "requests of the API",
        API_REQUESTS,
        CALLS,
        "AWS, of all APIs of the account",
        'Service Quotas: API Gateway, "Throttle rate" (L-8A5B8E43)',
    )
    yield Limit(
        "events delivered by rules",
        RULE_DELIVERIES,
        1.0,
        "AWS; later ones are delayed, not lost",
        'Service Quotas: EventBridge, "Invocations throttle limit"',
    )
    yield Limit(
        "writes under one day's prefix of the results bucket",
        PREFIX_WRITES,
        counted("S3 write or list"),
        "AWS: 3,500 a prefix",
        "S3 splits a busy prefix by itself, with some 503 meanwhile, which are tried again",
    )
    yield Limit(
        "starts of executions",
        STARTS,
        MISSED,
        "AWS, after a burst of 1,300",
        'Service Quotas: Step Functions, "StartExecution throttle token refill rate per second"',
    )
