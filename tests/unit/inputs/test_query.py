"""The query of a request: lists, waits and refreshes."""

from datetime import date

import pytest

from act_one.clock import rfc3339
from act_one.inputs.query import (
    DaysQuery,
    TaskQuery,
    check_names,
    read_days,
    read_page_query,
    read_refresh,
    read_wait,
    text_of,
)
from act_one.problems import ProblemError
from tests.unit.fakes import BEGINNING


def refused(read, *arguments):
    """Return the code and the field of the problem that reading raises."""
    with pytest.raises(ProblemError) as caught:
        read(*arguments)
    assert caught.value.status == 400
    return caught.value.code, caught.value.field


def once(**parameters):
    return {name: [value] for name, value in parameters.items()}


def test_without_parameters_a_page_has_the_latest_twenty_tasks():
    query = read_page_query({})

    assert (query.tasks, query.limit, query.next_token) == (TaskQuery(), 20, None)


def test_every_parameter_of_a_list_is_read():
    query = read_page_query(
        {
            "status": ["queued,running", "failed"],
            "created_after": ["2027-01-15T08:00:00Z"],
            "created_before": ["2027-01-15T10:00:01.5+01:00"],
            "metadata.order": ["42"],
            "metadata.a.b": [""],
            "limit": ["100"],
            "next_token": ["abc"],
        }
    )

    assert query.tasks == TaskQuery(
        statuses=frozenset({"queued", "running", "failed"}),
        since=BEGINNING,
        until=BEGINNING + 3_601.499,
        metadata=(("a.b", ""), ("order", "42")),
    )
    assert (query.limit, query.next_token) == (100, "abc")


@pytest.mark.parametrize(
    ("fraction", "since", "until"),
    [("", 0, -0.001), (".5", 0.5, 0.499), (".0001", 0.001, 0.0), (".1239999", 0.124, 0.123)],
)
def test_a_range_has_its_first_moment_and_not_its_last(fraction, since, until):
    """So ranges side by side have every task once, whose times are whole milliseconds."""
    text = rfc3339(BEGINNING).replace(".000Z", f"{fraction}Z")

    assert read_page_query(once(created_after=text)).tasks.since == BEGINNING + since
    assert read_page_query(once(created_before=text)).tasks.until == BEGINNING + until


@pytest.mark.parametrize(
    ("parameters", "code", "field"),
    [
        (once(colour="red"), "unknown-parameter", "colour"),
        ({"metadata.": ["1"]}, "unknown-parameter", "metadata."),
        (once(metadata="1"), "unknown-parameter", "metadata"),
        ({"x" * 100: ["1"]}, "unknown-parameter", "x" * 64),
        ({"limit": ["1", "1"]}, "repeated-parameter", "limit"),
        ({"metadata.a": ["1", "2"]}, "repeated-parameter", "metadata.a"),
        ({"next_token": ["1", "2"]}, "repeated-parameter", "next_token"),
        (once(status="done"), "status-unknown", "status"),
        (once(status=""), "status-unknown", "status"),
        (once(status="queued,"), "status-unknown", "status"),
        (once(status="storing"), "status-unknown", "status"),
        (once(limit="0"), "limit-invalid", "limit"),
        (once(limit="101"), "limit-invalid", "limit"),
        (once(limit=""), "limit-invalid", "limit"),
        (once(limit="\u0661"), "limit-invalid", "limit"),
        (once(limit="9" * 10), "limit-invalid", "limit"),
        (once(created_after="2026-11-22"), "time-invalid", "created_after"),
        (once(created_after="2026-11-22T12:00:00"), "time-invalid", "created_after"),
        (once(created_after="2026-11-22T12:00:00 01:00"), "time-invalid", "created_after"),
        (once(created_before="2026-02-30T12:00:00Z"), "time-invalid", "created_before"),
        (once(created_before="1800000000"), "time-invalid", "created_before"),
        (
            once(created_after="2026-11-22T12:00:00Z", created_before="2026-11-22T12:00:00Z"),
            *("time-range-empty", "created_before"),
        ),
    ],
)
def test_a_bad_parameter_of_a_list_is_named(parameters, code, field):
    assert refused(read_page_query, parameters) == (code, field)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("42", "42"),
        (42, "42"),
        (-1.5, "-1.5"),
        (1.0, "1.0"),
        (1e21, "1e+21"),
        (True, "true"),
        (False, "false"),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_metadata_is_compared_as_text(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=10", 10),
        ("Wait=10", 10),
        ('wait="10"', 10),
        ("respond-async, wait = 10; mode=x, handling=lenient", 10),
        ("wait=10, wait=20", 10),
        ("wait", 0),
        ("wait=", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ('wait="10', 0),
        ("wait=soon, wait=20", 0),
        ("waiting=10", 0),
        ("return=minimal", 0),
        (f"wait={'9' * 5_000}", 0),
    ],
)
def test_a_preference_for_a_wait_is_read_and_a_bad_one_ignored(prefer, seconds):
    assert read_wait({}, prefer) == seconds


def test_the_parameter_wins_over_the_preference():
    assert read_wait(once(wait="0"), "wait=20") == 0
    assert read_wait(once(wait="7"), None) == 7


@pytest.mark.parametrize("text", ["", "-1", "1.5", "soon", "9" * 10])
def test_a_bad_wait_is_refused(text):
    assert refused(read_wait, once(wait=text), "wait=20") == ("wait-invalid", "wait")


@pytest.mark.parametrize(
    ("parameters", "asks"),
    [({}, False), (once(refresh="true"), True), (once(refresh="false"), False)],
)
def test_a_refresh_is_asked_for_in_one_way(parameters, asks):
    assert read_refresh(parameters) is asks


@pytest.mark.parametrize("text", ["1", "TRUE", "yes", ""])
def test_a_bad_refresh_is_refused(text):
    assert refused(read_refresh, once(refresh=text)) == ("refresh-invalid", "refresh")


def test_a_route_refuses_parameters_that_it_does_not_have():
    check_names(once(wait="1"), "wait", "refresh")
    assert refused(check_names, once(wiat="1"), "wait") == ("unknown-parameter", "wiat")


# ── Days ──────────────────────────────────────────────────────────────────────────────────────

TODAY = date(2026, 11, 28)


def test_the_last_thirty_days_are_shown_by_default():
    assert read_days({}, TODAY) == DaysQuery(first=date(2026, 10, 30), last=TODAY)


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-11-01", "2026-11-28"), ("2026-11-28", "2026-11-28"), ("2025-11-28", "2026-11-28")],
)
def test_days_are_read(first, last):
    found = read_days({"from": [first], "to": [last]}, TODAY)

    assert (found.first.isoformat(), found.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    ("parameters", "code", "field"),
    [
        ({"from": ["28.11.2026"]}, "date-invalid", "from"),
        ({"to": ["2026-02-30"]}, "date-invalid", "to"),
        ({"to": ["20261128"]}, "date-invalid", "to"),
        ({"from": ["2026-11-29"]}, "date-invalid", "from"),
        ({"from": ["2025-11-27"], "to": ["2026-11-28"]}, "date-invalid", "from"),
        ({"to": ["0001-01-05"]}, "date-invalid", "to"),
        ({"day": ["2026-11-28"]}, "unknown-parameter", "day"),
        ({"to": ["2026-11-28", "2026-11-28"]}, "repeated-parameter", "to"),
    ],
)
def test_bad_days_are_named(parameters, code, field):
    with pytest.raises(ProblemError) as caught:
        read_days(parameters, TODAY)

    assert (caught.value.status, caught.value.code, caught.value.field) == (400, code, field)
