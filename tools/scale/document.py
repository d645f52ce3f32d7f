"""The page: which limit comes first, what to raise, and what a backlog does."""

import math
from itertools import pairwise
from typing import Final

from act_one.lifecycle.sweep import MAX_STARTS
from tools.scale.limits import (
    CALLS,
    TRANSACTION_SECONDS,
    Limit,
    concurrency,
    counted,
    limits,
    run_seconds,
    seconds_of,
)
from tools.scale.queues import contention, copies, sweeps

RATES: Final = (1, 10, 100, 1_000)
OUTAGE: Final = 600.0
SECONDS_OF_A_MONTH: Final = 30 * 86_400
LATENCIES: Final = (0.01, 0.02, 0.05)
INGESTED: Final = "tasks that ingest sends: of batches, events and files"
SPARE: Final = 1.5
"""How much more than the rate needs, so that a backlog drains."""


def page(dollars_per_million: float) -> str:
    """Write the page. A million tasks by POST cost so many dollars, without the provider's."""
    found = limits()
    workers, copy = concurrency("CopyFunctionMedia"), seconds_of("CopyFunction")
    return _PAGE.format(
        first=_number(_named("copies at once").tasks),
        sent=_number(_named(INGESTED).tasks),
        limits="".join(_row(limit) for limit in found),
        rates="".join(
            _rate(rate, slower, found, dollars_per_million)
            for slower, rate in pairwise((0, *RATES))
        ),
        run=f"{run_seconds():.1f}",
        workers=workers,
        copy=copy,
        spare=SPARE,
        copies="".join(
            _backlog(rate, count, copy)
            for rate, count in (
                *((0.5, workers), (1, workers), (1.5, workers), (2, workers)),
                *((10, _workers(10)), (100, _workers(100))),
            )
        ),
        sweeps="".join(_sweeps(due, latency) for due in (500, 6_000) for latency in LATENCIES),
        starts=MAX_STARTS,
        ledger="".join(_contention(rate) for rate in (5, 10, 20, 30, 40, 50)),
        held=f"{TRANSACTION_SECONDS * 1_000:.0f}",
    )


def _named(name: str) -> Limit:
    [found] = [limit for limit in limits() if limit.name == name]
    return found


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value.is_integer() else f"{value:.1f}"


def _row(limit: Limit) -> str:
    return (
        f"| {limit.name} | {_number(limit.tasks)} | {_number(float(limit.capacity))} "
        f"| {limit.per_task:.4g} | {limit.source} | {limit.raised} |\n"
    )


def _workers(rate: float) -> int:
    return math.ceil(rate * seconds_of("CopyFunction") * SPARE)


def _rate(rate: float, slower: float, found: list[Limit], dollars: float) -> str:
    """Write a row; of what is used up, only what isn't at the slower rate of the row above."""
    above = ["those above"] if any(limit.tasks < slower for limit in found) else []
    used_up = above + [limit.name for limit in found if slower <= limit.tasks < rate]
    month = rate * SECONDS_OF_A_MONTH / 1e6 * dollars
    return (
        f"| {rate:,} | {'; '.join(used_up) or 'nothing'} | {_workers(rate):,} "
        f"| {math.ceil(rate * run_seconds() * SPARE):,} | {rate * CALLS:,} "
        f"| {math.ceil(rate / 20):,} | {month:,.0f} |\n"
    )


def _backlog(rate: float, workers: int, seconds: float) -> str:
    found = copies(rate, workers, seconds, OUTAGE, MAX_STARTS)
    drained = (
        "not in six hours" if found.drained_after is None else f"{found.drained_after / 60:.0f} min"
    )
    share = found.fallbacks / found.tasks
    return (
        f"| {rate:g} | {workers} | {found.most_waiting:,} | {drained} | {found.fallbacks:,} "
        f"({share:.1f} a task) |\n"
    )


def _sweeps(due: int, latency: float) -> str:
    started = sweeps(due, latency)
    return f"| {due:,} | {latency * 1_000:.0f} ms | {max(started)} | {len(started)} min |\n"


def _contention(rate: float) -> str:
    per_task = counted("DynamoDB ledger write in a transaction")
    found = contention(rate, per_task, TRANSACTION_SECONDS)
    return f"| {rate} | {found.tries:.1f} | {found.slowest:.2f} s | {found.failed * 100:.1f} % |\n"


_PAGE: Final = """# Scale

`make scale` writes this page; it needs no stack. Constants come from the template, the code and
the counts of [costs](costs.md), and the simulations are deterministic. A test compares this page
with them. AWS's quotas are those that it documents for us-east-1 in November 2026; most regions
have less. Nothing here has been measured on AWS. The provider's own limits aren't known and may
be lower than all others. If the provider answers 429, tasks stay `accepted` and are sent again
for six hours.

**As deployed, a stack copies {first} results a second, and sends {sent} task a second of batches,
events and files.** In an account with the usual quotas, these limits are reached first; tasks by
POST meet only the copy's. Both are literals in the template, and low because a new account has
ten executions.

## Which limit comes first

| limit | tasks a second | there are | a task takes | by | raised by |
|---|---|---|---|---|---|
{limits}
Numbers are per second, except of what runs side by side (executions, copies, webhooks): *there
are* so many at a time, and a task takes one for so many seconds. Some quotas never come first:

- a queue's 120,000 messages in flight, because its functions hold a few at a time;
- requests to the function URL, ten a second for each execution that the function may have;
- reads of secrets, because functions keep what they read.

An event source mapping begins with five batches at a time and adds up to 300 a minute. So after a
jump of load, messages wait for a minute or two.

## At a rate

| a second | used up, as deployed | copies at once | executions | API calls | clients | $ a month |
|---|---|---|---|---|---|---|
{rates}
*Copies at once*, *executions*, *API calls* and *clients* say what the rate needs. Copies and
executions are {spare} times what the rate itself takes; one task runs functions for {run} s.
*Clients* is the number of ledger accounts that share the load, at 20 tasks a second each. *$ a
month* is everything but the provider, egress and storage.

- **10 a second**: raise the account's executions, `MaximumConcurrency` of the three mappings and
  `RequestsPerSecond`. Nothing in the code.
- **100 a second**: the one partition of the due index takes no more. `watched` needs several
  values, which the sweeper queries one by one. Tasks of one client need several accounts a day,
  which a limit adds up. Ask for the table's warm throughput before the first day.
- **1,000 a second**: as for 100, and each stream shard must be read by several runs at once
  (`ParallelizationFactor`). The table's and the bus's quotas are nearly reached. The provider's
  fee is $400 a second.

## When the copy stops for ten minutes

Tasks arrive while no result can be fetched. If no copy has claimed a task within three minutes,
it is due, and its fallback sends another message, at $100 per million (four transitions). A copy
takes {copy} s.

| tasks a second | copies at once | waiting at most | empty again after | fallbacks |
|---|---|---|---|---|
{copies}
At three quarters of what the copy can do, the backlog of ten minutes takes 40 more to drain, with
about one fallback a task. No result is lost, because the provider keeps results for about a day.
But a stack that is too slow for its rate never recovers, and each sweep starts as many fallbacks
as it may. Keep `MaximumConcurrency` at {spare} times what the rate needs, or pause the sending
(`make pause`).

## When callbacks are missed

A sweep starts {starts} fallbacks at most, and stops after 40 s. The table comes from the code's
own `sweep`, over rows that are all due at once. Every call of AWS takes the time in the second
column.

| due | each call | starts in a minute | all started after |
|---|---|---|---|
{sweeps}
6,000 are ten minutes without any callback at ten tasks a second.

## When tasks of one client meet in the ledger

Creating and ending a task adds to one item per client and day. DynamoDB cancels a transaction
that meets another, and the code tries it up to twelve times with its usual waits. Each
transaction holds the item for {held} ms (assumed). Tasks come at random moments, for a minute.

| tasks a second of one client | tries of each | one in a hundred takes | given up |
|---|---|---|---|
{ledger}
If a create is given up, its request is answered with a 5xx before anything is paid. If an end is
given up, the fallback makes it again. A stack with `DailyBudgetUsd` has one more such item, for
all clients together.
"""
