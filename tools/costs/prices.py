"""List prices (us-east-1, on demand), and the page that counts and prices make."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

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

ALARM_METRIC: Final = 0.10
DASHBOARD: Final = 3.00
METRIC: Final = 0.30
"""Dollars a month, as is the next."""
IDLE: Final = 2.03
METRICS: Final = 18
WATCHED_METRICS: Final = 10
"""How many metrics the functions write at all, and how many more if the stack is watched."""

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


def idle_month(template: Mapping[str, Any]) -> str:
    """Write what a stack costs without tasks, and what its metrics add in a busy month.

    ``template`` is the expanded one: its alarms are counted.
    """
    kinds = [one["Type"] for one in template["Resources"].values()]
    alarms = [
        one["Properties"]
        for one in template["Resources"].values()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    ]
    analyzed = sum(_metrics_of(alarm) for alarm in alarms)
    dashboards = kinds.count("AWS::CloudWatch::Dashboard")
    watching = analyzed * ALARM_METRIC + dashboards * DASHBOARD
    return _IDLE.format(
        alarms=len(alarms),
        analyzed=analyzed,
        watching=watching,
        idle=IDLE,
        together=IDLE + watching,
        metrics=METRICS,
        busy=METRICS * METRIC,
        more=WATCHED_METRICS,
        more_busy=WATCHED_METRICS * METRIC,
    )


def _metrics_of(alarm: Mapping[str, Any]) -> int:
    """Count the metrics that an alarm is billed for: each one that it reads, not expressions."""
    return sum("MetricStat" in one for one in alarm["Metrics"]) if "Metrics" in alarm else 1


def page(counted: Sequence[Counts], template: Mapping[str, Any]) -> str:
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
    per_task = _PAGE.format(
        head=head, requests=requests, money=money, total=total, size=size, tasks=_TASKS
    )
    return per_task + idle_month(template)


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

"""
_IDLE: Final = """## An idle month

| | $ |
|---|---|
| three secrets | 1.20 |
| three queues asked in vain by their functions, five pollers each, every 20 s | 0.78 |
| the sweeper, 43,800 runs and queries of nothing | 0.05 |
| tables, buckets, bus, state machine, API | 0 |
| **all of it** | **{idle:.2f}** |
| with `AlarmEmail`: {alarms} alarms over {analyzed} metrics ($0.10 each) and a dashboard ($3) \
| {watching:.2f} more |
| **all of it with `AlarmEmail`** | **{together:.2f}** |

A busy month adds the metrics, $0.30 each for a month in which every hour writes it: a stack has
up to {metrics} (${busy:.2f}), some of which count only failures. With `AlarmEmail` there are
up to {more} more (${more_busy:.2f}), and $0.70 per million tasks for the lines of log that they
are in; in an idle month only the used part of a budget is written. AWS's free tier of ten alarms,
ten metrics and three dashboards an account is not deducted. Mails cost nothing up to 1,000 a month.
"""
