"""List prices (us-east-1, on demand), and the page that counts and prices make."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MILLION: Final = 1_000_000
PRICES: Final[Mapping[str, float]] = {
    "DynamoDB write unit": 0.625,
    "DynamoDB read unit": 0.125,
    "S3 write or list": 5.0,
    "S3 read": 0.4,
    "SQS request": 0.4,
    "EventBridge event": 1.0,
    "Step Functions transition": 25.0,
    "API request": 3.5,
    "Lambda run": 0.2,
    "Lambda GB-second": 13.3334,
}
"""Dollars per million; Lambda on arm64."""

ON_BEHALF: Final[Mapping[str, Mapping[str, float]]] = {
    # The media rule fills a queue, the queue is read and emptied.
    "POST with URLs": {"SQS request": 3},
    # S3 sends four events about each file, used or not: created, expired, its version and then the
    # delete marker removed.
    "POST with an upload": {"SQS request": 3, "S3 write or list": 2, "EventBridge event": 8},
    # Two files and result.json; the end of the task comes by the same queue.
    "files in the bucket": {"SQS request": 12, "S3 write or list": 2, "EventBridge event": 12},
    "an event": {"SQS request": 6, "EventBridge event": 1},
    "POST, a webhook asked for": {"SQS request": 6},
    # Look ⇄ wait: a start, two looks of two states each and an end.
    "POST, the callback missed": {"SQS request": 3, "Step Functions transition": 6},
}
RUNS: Final[Mapping[str, tuple[tuple[float, float, float], ...]]] = {
    # (runs, seconds, GB): submit waits for the provider's reply, copy for 10 MB.
    "POST with URLs": (
        (1, 2.0, 0.25),
        (2, 0.05, 0.25),
        (1, 0.4, 0.25),
        (4, 0.05, 0.25),
        (1, 2.5, 0.5),
    ),
    "POST with an upload": (
        *((1, 2.0, 0.25), (3, 0.05, 0.25), (1, 0.4, 0.25), (4, 0.05, 0.25), (1, 2.5, 0.5)),
    ),
    "files in the bucket": (
        *((2, 1.2, 0.25), (1, 0.1, 0.25), (1, 0.4, 0.25), (4, 0.05, 0.25), (1, 2.5, 0.5)),
    ),
    "an event": ((1, 2.0, 0.25), (1, 0.4, 0.25), (4, 0.05, 0.25), (1, 2.5, 0.5)),
    "POST, a webhook asked for": (
        *((1, 2.0, 0.25), (1, 0.4, 0.25), (4, 0.05, 0.25), (1, 2.5, 0.5), (1, 0.5, 0.25)),
    ),
    "POST, the callback missed": (
        *((1, 2.0, 0.25), (2, 0.05, 0.25), (2, 0.4, 0.25), (4, 0.05, 0.25), (1, 2.5, 0.5)),
    ),
}
LINES: Final = (
    *("DynamoDB write", "DynamoDB write in a transaction"),
    *("DynamoDB ledger write in a transaction", "DynamoDB index write"),
    *("DynamoDB durations write", "DynamoDB read"),
    *("S3 write or list", "S3 read"),
    *("EventBridge event", "SQS request", "Step Functions start"),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What one task asks for along one way: the functions' requests, on average."""

    way: str
    api_calls: int
    requests: Mapping[str, float]
    row_bytes: int


def bill_of(counts: Counts) -> dict[str, float]:
    """Price a million tasks, in dollars by service."""
    asked = {name: counts.requests.get(name, 0.0) for name in LINES}
    for name, times in ON_BEHALF[counts.way].items():
        asked[name] = asked.get(name, 0.0) + times
    row_units = math.ceil(counts.row_bytes / 1_024)
    writes = asked["DynamoDB write"] * row_units + asked["DynamoDB index write"]
    writes += asked["DynamoDB durations write"] * 2  # the last 100 durations have 1.6 KB
    # A transaction prepares and commits each write; an account has less than 1 KB.
    writes += asked["DynamoDB write in a transaction"] * 2 * row_units
    writes += asked["DynamoDB ledger write in a transaction"] * 2
    reads = asked["DynamoDB read"] * math.ceil(counts.row_bytes / 4_096)
    runs = RUNS[counts.way]
    return {
        "DynamoDB": writes * PRICES["DynamoDB write unit"] + reads * PRICES["DynamoDB read unit"],
        "S3 requests": asked["S3 write or list"] * PRICES["S3 write or list"]
        + asked["S3 read"] * PRICES["S3 read"],
        "Lambda": sum(
            count * PRICES["Lambda run"] + count * seconds * memory * PRICES["Lambda GB-second"]
            for count, seconds, memory in runs
        ),
        "API Gateway": counts.api_calls * PRICES["API request"],
        "queues, bus": asked["SQS request"] * PRICES["SQS request"]
        + asked["EventBridge event"] * PRICES["EventBridge event"],
        "Step Functions": asked.get("Step Functions transition", 0.0)
        * PRICES["Step Functions transition"],
        "logs": 5.5,
    }


def page(counted: Sequence[Counts]) -> str:
    """Write the page."""
    ways = [counts.way for counts in counted]
    head = f"| | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}\n"
    requests = "".join(
        f"| {line} | {' | '.join(f'{counts.requests.get(line, 0):g}' for counts in counted)} |\n"
        for line in LINES
    )
    bills = [bill_of(counts) for counts in counted]
    money = "".join(
        f"| {service} | {' | '.join(f'{bill[service]:.1f}' for bill in bills)} |\n"
        for service in bills[0]
    )
    total = " | ".join(f"**{sum(bill.values()):.0f}**" for bill in bills)
    size = max(counts.row_bytes for counts in counted) / 1_024
    return _PAGE.format(
        head=head, requests=requests, money=money, total=total, size=size, tasks=_TASKS
    )


_TASKS: Final = 5
_PAGE: Final = """# What a task costs

Written by `make costs`, which counts on the local stack: {tasks} tasks of each way in, one after
the other, every function warm, secrets read already. The provider's fee, $0.40 a task or $400,000
a million, is not in it.

## What our functions ask of AWS, per task

{head}{requests}
A row has up to {size:.1f} KB, and a write takes that many units, rounded up. Each write of a due
time also moves an entry of the index of what is due; the index of a client's tasks is written once.
A write in a transaction takes twice the units.

## Dollars per million tasks

List prices of us-east-1, arm64, on demand, no free tier; 10 MB a result; a caller reads its task
twice without a webhook; the provider takes 1 to 2 s to answer a create, a copy 2.5 s. What
services do for each other (rules fill queues, queues and streams run functions) is reckoned from
the template: `tools/costs/prices.py` has every number. Of the bus, $4 per file in the uploads
bucket and million tasks are S3's events, three of four about its expiry.

{head}{money}| **all of it** | {total} |

Larger than all of this, and no matter of ways in:

| per million tasks | $ |
|---|---|
| downloading each result of 10 MB once (egress, $0.09/GB) | 900 |
| keeping them for 30 days | 230 |
| inputs of 20 MB fetched by the provider from the uploads bucket | 1,800 |
| inputs of 20 MB kept for the two to three days that `InputRetentionDays=1` means | 31 to 46 |
| `Tracing=Active` | 35 |
| a `CallbackGraceSeconds` shorter than tasks take: a fallback for each | 550 to 2,400 |

## An idle month

| | $ |
|---|---|
| three secrets | 1.20 |
| three queues asked in vain by their functions, five pollers each, every 20 s | 0.78 |
| the sweeper, 43,800 runs and queries of nothing | 0.05 |
| tables, buckets, bus, state machine, API | 0 |
| **all of it** | **about 2** |

A busy month adds the metrics: a stack writes up to 14, each $0.30 a month, for the hours in which
it is written, at most $4.20.
"""
