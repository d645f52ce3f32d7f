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
EGRESS_PER_GB: Final = 0.09
STORAGE_PER_GB_MONTH: Final = 0.023
LOGS_PER_GB: Final = 0.5
SECRET_PER_MONTH: Final = 0.4
RESULT_MB: Final = 10

ALARM_METRIC: Final = 0.10
DASHBOARD: Final = 3.00
METRIC: Final = 0.30
METRICS: Final = 19
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

COPY: Final = ("CopyFunction", 1, 2.6)
SUBMIT: Final = ("SubmitFunction", 1, 2.0)
CALLBACK: Final = ("CallbackFunction", 1, 0.4)
READS: Final = ("TasksFunction", 2, 0.05)
RUNS: Final[Mapping[str, Sequence[tuple[str, float, float]]]] = {
    # (function, runs, seconds): submit waits for the provider's reply, copy for 10 MB.
    "POST with URLs": (SUBMIT, READS, CALLBACK, COPY),
    "POST with an upload": (SUBMIT, ("TasksFunction", 3, 0.05), CALLBACK, COPY),
    "files in the bucket": (
        *(("IngestFunction", 2, 1.2), ("IngestFunction", 1, 0.1)),
        *(CALLBACK, COPY),
    ),
    "an event": (("IngestFunction", 1, 2.0), CALLBACK, COPY),
    "POST, a webhook asked for": (SUBMIT, CALLBACK, COPY, ("WebhooksFunction", 1, 0.5)),
    "POST, the callback missed": (SUBMIT, READS, ("FallbackFunction", 2, 0.4), COPY),
}
RELAY_SECONDS: Final = 0.05
"""A relay runs for each write to a row, as if no two were ever taken together."""
LINES: Final = (
    *("DynamoDB write", "DynamoDB write in a transaction", "DynamoDB row unit"),
    *("DynamoDB index write", "DynamoDB ledger write in a transaction"),
    *("DynamoDB durations write", "DynamoDB pairs write", "DynamoDB read"),
    *("S3 write or list", "S3 read"),
    *("EventBridge event", "SQS request", "Step Functions start"),
)
# Of an idle month
DAYS: Final = 30
SWEEPS: Final = DAYS * 24 * 60
SWEEP_SECONDS: Final = 0.05
SECRETS: Final = 3
QUEUES: Final = 3
POLLERS: Final = 5
POLL_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """What one task asks for along one way: the functions' requests, on average."""

    way: str
    api_calls: int
    requests: Mapping[str, float]
    row_bytes: int
    log_bytes: float


def memory_of(resources: Mapping[str, Any]) -> dict[str, float]:
    """Return each function's memory in GB."""
    return {
        name: resource["Properties"]["MemorySize"] / 1_024
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Function"
    }


def bill_of(counts: Counts, memory: Mapping[str, float]) -> dict[str, float]:
    """Price a million tasks, in dollars by service."""
    asked = {name: counts.requests.get(name, 0.0) for name in LINES}
    for name, times in ON_BEHALF[counts.way].items():
        asked[name] = asked.get(name, 0.0) + times
    writes = asked["DynamoDB row unit"] + asked["DynamoDB index write"]
    writes += asked["DynamoDB durations write"] * 2  # the last 100 durations have 1.6 KB
    writes += asked["DynamoDB pairs write"]
    # A transaction prepares and commits each write; an account has less than 1 KB.
    writes += asked["DynamoDB ledger write in a transaction"] * 2
    reads = asked["DynamoDB read"] * math.ceil(counts.row_bytes / 4_096)
    moved = asked["DynamoDB write"] + asked["DynamoDB write in a transaction"]
    runs = (*RUNS[counts.way], ("RelayFunction", moved, RELAY_SECONDS))
    return {
        "DynamoDB": writes * PRICES["DynamoDB write unit"] + reads * PRICES["DynamoDB read unit"],
        "S3 requests": asked["S3 write or list"] * PRICES["S3 write or list"]
        + asked["S3 read"] * PRICES["S3 read"],
        "Lambda": sum(run_cost(memory[name], times, seconds) for name, times, seconds in runs),
        "API Gateway": counts.api_calls * PRICES["API request"],
        "queues, bus": asked["SQS request"] * PRICES["SQS request"]
        + asked["EventBridge event"] * PRICES["EventBridge event"],
        "Step Functions": asked.get("Step Functions transition", 0.0)
        * PRICES["Step Functions transition"],
        "logs": counts.log_bytes * MILLION / 1e9 * LOGS_PER_GB,
    }


def run_cost(gigabytes: float, times: float, seconds: float) -> float:
    """Price so many million runs of a function."""
    return times * (PRICES["Lambda run"] + seconds * gigabytes * PRICES["Lambda GB-second"])


def idle_bill(idle: Mapping[str, float], memory: Mapping[str, float]) -> dict[str, float]:
    """Price a month in which nothing is sent, in dollars; ``idle`` is what one sweep asks for."""
    asked = DAYS * 86_400 / POLL_SECONDS * QUEUES * POLLERS
    sweeping = run_cost(memory["SweeperFunction"], SWEEPS / MILLION, SWEEP_SECONDS)
    sweeping += SWEEPS / MILLION * idle.get("DynamoDB read", 0.0) * PRICES["DynamoDB read unit"]
    return {
        "three secrets": SECRETS * SECRET_PER_MONTH,
        "three queues asked in vain by their functions, five pollers each, every 20 s": asked
        / MILLION
        * PRICES["SQS request"],
        f"the sweeper, {SWEEPS:,} runs that find nothing": sweeping,
        "tables, buckets, bus, state machine, API": 0.0,
    }


def idle_month(idle: Mapping[str, float], template: Mapping[str, Any]) -> str:
    """Write what a stack costs without tasks, and what its metrics add in a busy month.

    ``idle`` is what one sweep asks for, ``template`` the expanded one: its alarms are counted.
    """
    resources = template["Resources"]
    month = idle_bill(idle, memory_of(resources))
    alarms = [one["Properties"] for one in resources.values() if one["Type"] == _ALARM]
    analyzed = sum(_metrics_of(alarm) for alarm in alarms)
    dashboards = sum(one["Type"] == _DASHBOARD for one in resources.values())
    watching = analyzed * ALARM_METRIC + dashboards * DASHBOARD
    return _IDLE.format(
        days=DAYS,
        months="".join(f"| {what} | {dollars:.2f} |\n" for what, dollars in month.items()),
        alarms=len(alarms),
        analyzed=analyzed,
        watching=watching,
        idle=sum(month.values()),
        together=sum(month.values()) + watching,
        metrics=METRICS,
        busy=METRICS * METRIC,
        more=WATCHED_METRICS,
        more_busy=WATCHED_METRICS * METRIC,
    )


_ALARM: Final = "AWS::CloudWatch::Alarm"
_DASHBOARD: Final = "AWS::CloudWatch::Dashboard"


def _metrics_of(alarm: Mapping[str, Any]) -> int:
    """Count the metrics that an alarm is billed for: each one that it reads, not expressions."""
    return sum("MetricStat" in one for one in alarm["Metrics"]) if "Metrics" in alarm else 1


def page(counted: Sequence[Counts], idle: Mapping[str, float], template: Mapping[str, Any]) -> str:
    """Write the page."""
    ways = [counts.way for counts in counted]
    head = f"| | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}\n"
    requests = "".join(
        f"| {line} | {' | '.join(f'{counts.requests.get(line, 0):g}' for counts in counted)} |\n"
        for line in LINES
    )
    memory = memory_of(template["Resources"])
    bills = [bill_of(counts, memory) for counts in counted]
    money = "".join(
        f"| {service} | {' | '.join(f'{bill[service]:.1f}' for bill in bills)} |\n"
        for service in bills[0]
    )
    total = " | ".join(f"**{sum(bill.values()):.0f}**" for bill in bills)
    month = idle_bill(idle, memory)
    least, most = min(sum(b.values()) for b in bills), max(sum(b.values()) for b in bills)
    per_task = _PAGE.format(
        head=head,
        requests=requests,
        money=money,
        total=total,
        first=_first(sum(bills[0].values()), least, most, sum(month.values())),
        size=max(counts.row_bytes for counts in counted) / 1_024,
        logged=max(counts.log_bytes for counts in counted) / 1_024,
        copy_memory=f"{memory['CopyFunction'] * 1_024:.0f}",
        copy_seconds=COPY[2],
        tasks=_TASKS,
    )
    return per_task + idle_month(idle, template)


def _first(posted: float, least: float, most: float, idle: float) -> str:
    """Write the table that comes first: what matters most, per task, million and idle month."""
    gigabytes = RESULT_MB / 1_000
    rows = (
        ("the provider's fee", 0.4 * MILLION, ""),
        (f"egress: each result of {RESULT_MB} MB downloaded once", EGRESS_PER_GB, ""),
        (f"storage: each result kept for {DAYS} days", STORAGE_PER_GB_MONTH, "as much as is kept"),
    )
    lines = []
    for what, price, month in rows:
        dollars = price if price > 1 else price * gigabytes * MILLION
        lines.append(f"| {what} | {_of_one(dollars)} | {dollars:,.0f} | {month or '0'} |\n")
    lines.append(
        f"| **all else, by POST** ({least:.0f} to {most:.0f} by other ways) "
        f"| {_of_one(posted)} | **{posted:.0f}** | **{idle:.2f}** |\n"
    )
    return "| $ | a task | a million tasks | an idle month |\n|---|---|---|---|\n" + "".join(lines)


def _of_one(dollars: float) -> str:
    return f"{dollars / MILLION:.5f}".rstrip("0") if dollars < 10_000 else "0.40"


_TASKS: Final = 5
_PAGE: Final = """# What a task costs

Written by `make costs`, which counts on the local stack: {tasks} tasks of each way in, one after
the other, every function warm, secrets read already.

{first}
Requests are counted; sizes of media, durations and prices are assumptions, written below.

## What our functions ask of AWS, per task

{head}{requests}
The counting follows each row: a write takes a unit per KB of the row before or after it, the larger
of the two, twice in a transaction. Rows end with up to {size:.1f} KB here, where URLs are short:
each further KB of URLs, metadata or callback is eight units more, $5 a million. A due time that is
set, moved or removed writes the index of what is due once or twice; the index of a client's tasks
is written once. A caller by POST reads its task twice, without a webhook. Functions log up to
{logged:.1f} KB per task.

## Dollars per million tasks

List prices of us-east-1, arm64, on demand, no free tier. The provider takes 1 to 2 s to answer a
create; a copy of 10 MB takes {copy_seconds} s at {copy_memory} MB of memory, most of it waiting.
What services do for each other (rules fill queues, queues and streams run functions) is reckoned
from the template: `tools/costs/prices.py` has every number. Of the bus, $4 per file in the uploads
bucket and million tasks are S3's events, three of four about its expiry.

{head}{money}| **all of it** | {total} |

Further, where it applies:

| per million tasks | $ |
|---|---|
| inputs of 20 MB fetched by the provider from the uploads bucket (egress) | 1,800 |
| inputs of 20 MB kept for the two to three days that `InputRetentionDays=1` means | 31 to 46 |
| `Tracing=Active` | 35 |
| a `CallbackGraceSeconds` shorter than tasks take: a fallback for each | 550 to 2,400 |

"""
_IDLE: Final = """## An idle month

Of {days} days, nothing sent, nothing stored.

| | $ |
|---|---|
{months}| **all of an idle month** | **{idle:.2f}** |
| with `AlarmEmail`: {alarms} alarms over {analyzed} metrics ($0.10 each) and a dashboard ($3) \
| {watching:.2f} more |
| **all of it with `AlarmEmail`** | **{together:.2f}** |

A busy month adds the metrics, $0.30 each for a month in which every hour writes it: a stack has
up to {metrics} (${busy:.2f}), some of which count only failures. With `AlarmEmail` there are
up to {more} more (${more_busy:.2f}), and $0.70 per million tasks for the lines of log that they
are in; in an idle month only the used part of a budget is written. AWS's free tier of ten alarms,
ten metrics and three dashboards an account is not deducted. Mails cost nothing up to 1,000 a month.
"""
