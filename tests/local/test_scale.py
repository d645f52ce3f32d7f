"""The page of scale: its simulations do what they say, and it is what they make of today's code."""

import re
from pathlib import Path

import pytest

from act_one.lifecycle.sweep import MAX_STARTS, SWEEP_SECONDS
from act_one.tasks import rows
from tools.scale.__main__ import dollars
from tools.scale.document import page
from tools.scale.limits import due_writes, limits
from tools.scale.queues import contention, copies, sweeps

ROOT = Path(__file__).parents[2]


# ── The copy ──────────────────────────────────────────────────────────────────────────────────


def test_a_backlog_drains_at_the_rate_that_the_copy_has_to_spare():
    # 100 s at 1 a second wait; 4 copies of 2 s take 2 a second, so 1 a second is spare.
    found = copies(rate=1.0, workers=4, seconds=2.0, outage=100.0, starts_per_sweep=500)

    assert found.most_waiting == pytest.approx(100, abs=5)
    assert found.drained_after == pytest.approx(100, abs=5)
    assert found.fallbacks == 0  # no task waited for three minutes


def test_a_task_that_waits_for_three_minutes_pays_for_fallbacks():
    short = copies(1.0, 5, 2.6, outage=120.0, starts_per_sweep=500)
    long = copies(1.0, 5, 2.6, outage=600.0, starts_per_sweep=500)

    assert short.fallbacks < long.fallbacks
    assert long.drained_after > 600 / (5 / 2.6 - 1) * 0.9  # stale messages only add to it


def test_a_rate_above_the_copys_never_drains():
    assert copies(3.0, 5, 2.6, outage=60.0, starts_per_sweep=500).drained_after is None


def test_without_an_outage_nothing_waits():
    found = copies(1.0, 5, 2.6, outage=0.1, starts_per_sweep=500)

    assert (found.most_waiting, found.fallbacks, found.drained_after) == (1, 0, 0.0)


# ── The sweep ─────────────────────────────────────────────────────────────────────────────────


def test_every_due_row_is_started_once_and_no_sweep_starts_too_many():
    started = sweeps(1_234, 0.001)

    assert sum(started) == 1_234
    assert started == [MAX_STARTS, MAX_STARTS, 1_234 - 2 * MAX_STARTS]


def test_a_slow_sweep_stops_at_its_time():
    [first, *_] = sweeps(2_000, 0.1)

    assert first == pytest.approx(SWEEP_SECONDS / 0.2, abs=2)


# ── The ledger ────────────────────────────────────────────────────────────────────────────────


def test_transactions_that_never_meet_are_tried_once():
    found = contention(0.1, 1, 0.000_001)

    assert (found.tries, found.failed) == (1.0, 0.0)


def test_the_busier_an_account_the_more_tries_and_from_its_limit_on_some_fail():
    found = [contention(rate, 2, 0.01) for rate in (1, 10, 30, 60, 120)]

    assert [one.tries for one in found] == sorted(one.tries for one in found)
    assert found[0].failed == 0
    # 100 transactions a second fit; of 240, at most 100 can have gone through.
    assert found[-1].failed > 1 - 100 / 240 - 0.1


def test_a_simulation_gives_the_same_every_time():
    assert contention(30, 2, 0.01) == contention(30, 2, 0.01)


# ── The limits and the page ───────────────────────────────────────────────────────────────────


def test_limits_come_in_the_order_in_which_they_are_reached():
    found = limits()

    assert [limit.tasks for limit in found] == sorted(limit.tasks for limit in found)
    assert {"copies at once", "requests of one API key"} <= {limit.name for limit in found[:4]}


def test_the_code_says_what_the_due_index_takes():
    source = Path(rows.__file__).read_text()

    assert f"about {1_000 / due_writes():.0f} tasks a second" in source


def test_the_page_is_what_todays_template_and_code_make():
    assert (ROOT / "docs/scale.md").read_text() == page(dollars()), "run `make scale`"


def test_every_quota_has_a_name_to_ask_for():
    text = (ROOT / "docs/scale.md").read_text()

    assert len(re.findall(r'Service Quotas: [\w ]+, "', text)) >= 6
