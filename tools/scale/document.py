"""The page: which limit comes first, what to raise, and what a backlog does."""

import math
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
        rates="".join(_rate(rate, found, dollars_per_million) for rate in RATES),
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


def _rate(rate: float, found: list[Limit], dollars: float) -> str:
    used_up = [limit.name for limit in found if limit.tasks < rate]
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

Written by `make scale`, which needs no stack: constants come from the template, the code and the
counts of [costs](costs.md), and the simulations are deterministic. A test compares this page with
them. AWS's quotas are those that it documents for us-east-1 in November 2026; most regions have
less. Nothing here has been measured on AWS, and the provider's own limits aren't known: it may be
the first of all. A 429 from it keeps tasks `accepted`, and they are sent again for six hours.

**As deployed, a stack copies {first} results a second, and sends {sent} task a second of batches,
events and files.** Those are the first limits, for POST the copy's, of an account with the usual
quotas, and they are literals in the template: ten executions are all that a new account has.

## Which limit comes first

| limit | tasks a second | there are | a task takes | by | raised by |
|---|---|---|---|---|---|
{limits}
A second, unless it says otherwise; executions are a number at a time, of which a task takes the
seconds that it runs. Not limits here: 120,000 messages in flight of each queue, as a queue's
functions hold a few at a time; requests to the function URL, ten a second for each execution that
the function may have; reads of secrets, which a function keeps. A mapping begins with five batches
at a time and adds up to 300 a minute, so a jump of load waits for a minute or two.

## At a rate

| a second | used up, as deployed | copies at once | executions | API calls | clients | $ a month |
|---|---|---|---|---|---|---|
{rates}
The columns in the middle say what it takes, with {spare} times what the rate itself needs where
things run at once: one task runs functions for {run} s. *Clients*: how many ledger accounts share
the load, at 20 tasks a second each. *$ a month*: everything but the provider, egress and storage.

- **10 a second**: raise the account's executions, `MaximumConcurrency` of the three mappings and
  `RequestsPerSecond`. Nothing in the code.
- **100 a second**: the due index's one partition is at its end. `watched` needs several values,
  which the sweeper queries one by one; tasks of one client need several accounts a day, whose sum a
  limit reads. Ask for the table's warm throughput before the first day.
- **1,000 a second**: all of this, and stream shards have to be read in parallel
  (`ParallelizationFactor`). The table's and the bus's quotas are near. The provider's fee is $400 a
  second.

## When the copy stands still for ten minutes

Tasks go on arriving while no result can be fetched. A task that no copy has claimed within three
minutes is due: its fallback sends another message, at $100 per million (four transitions). A copy
takes {copy} s.

| tasks a second | copies at once | waiting at most | empty again after | fallbacks |
|---|---|---|---|---|
{copies}
At three quarters of what the copy can do, ten minutes take 40 more to drain, and about one fallback
a task. Nothing is lost, as results stay for about a day at the provider, but a stack that is too
slow for its rate never recovers, and sweeps start as many fallbacks as they may meanwhile. Keep
`MaximumConcurrency` at {spare} times what the rate needs, or pause the sending (`make pause`).

## When callbacks are missed

A sweep starts {starts} fallbacks at most, and stops after 40 s. This is the real `sweep`, over rows
that are all due at once, with every call of AWS taking as long as it says.

| due | each call | starts in a minute | all started after |
|---|---|---|---|
{sweeps}
6,000 are ten minutes without any callback at ten tasks a second.

## When tasks of one client meet in the ledger

Creating and ending a task adds to one item per client and day. A transaction that meets another is
canceled, and tried again with the code's own waits, twelve times. Each holds the item for {held} ms
(assumed); tasks come at random moments, for a minute.

| tasks a second of one client | tries of each | one in a hundred takes | given up |
|---|---|---|---|
{ledger}
A create that is given up is answered with a 5xx before anything is paid; an end that is given up is
made again by the fallback. A stack with `DailyBudgetUsd` has one more such item, for all clients
together.
"""
