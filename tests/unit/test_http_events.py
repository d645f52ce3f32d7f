"""What the HTTP handlers read from their events, how they answer problems, and the clock."""

import base64
from urllib.parse import urljoin

import pytest

from act_one.clock import day_path, rfc3339, seconds_left_of, system_clock
from act_one.http_events import answer_problems, body_of, header, key_hash_of, location_below
from act_one.problems import ProblemError


def test_an_api_key_is_known_by_its_hash():
    name = key_hash_of({"headers": {"X-Api-Key": "key-1"}})

    assert name == key_hash_of({"headers": {"x-api-key": "key-1", "Accept": "*/*"}})
    assert name != key_hash_of({"headers": {"x-api-key": "key-2"}})
    assert len(name) == 16
    assert int(name, 16)
    assert "key-1" not in name


@pytest.mark.parametrize("sent", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_a_header_is_found_in_any_case(sent):
    event = {"headers": {"Accept": "*/*", sent: "order-42"}}

    assert header(event, "idempotency-key") == "order-42"


@pytest.mark.parametrize("event", [{}, {"headers": None}, {"headers": {"Accept": "*/*"}}])
def test_a_header_that_was_not_sent_is_none(event):
    assert header(event, "idempotency-key") is None


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ({"body": '{"name": "Zoë"}'}, '{"name": "Zoë"}'.encode()),
        ({"body": "e30=", "isBase64Encoded": False}, b"e30="),
        ({"body": base64.b64encode(b"\xff{}").decode(), "isBase64Encoded": True}, b"\xff{}"),
        ({"body": ""}, b""),
        ({"body": None}, None),
        ({}, None),
    ],
)
def test_a_body_is_the_bytes_that_were_sent(event, body):
    assert body_of(event) == body


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("https://a1b2.execute-api.us-east-1.amazonaws.com/v1", "/tasks"),
        ("https://api.example.com", "/tasks"),
        ("https://api.example.com/act-one", "/tasks"),
        ("http://127.0.0.1:4566/_aws/execute-api/a1b2/v1", "/tasks"),
        ("https://api.example.com/v1", "/tasks/"),
    ],
)
def test_a_location_leads_below_the_requests_own_url(base, path):
    location = location_below({"path": path}, "task_1")

    assert urljoin(f"{base}{path}?a=b", location) == f"{base}/tasks/task_1"


def test_a_problem_that_a_handler_raises_becomes_its_response():
    @answer_problems
    def handler(_event, _context):
        raise ProblemError(404, "not-found", "Not found", "check the id")

    assert handler({}, None)["statusCode"] == 404


def test_a_problem_says_when_to_retry():
    @answer_problems
    def handler(_event, _context):
        raise ProblemError(429, "too-soon", "Too soon", "wait", retry_after=10)

    assert handler({}, None)["headers"]["Retry-After"] == "10"


def test_the_time_that_is_left_is_told_in_seconds():
    class Context:
        def get_remaining_time_in_millis(self):
            return 12_345

    assert seconds_left_of(Context())() == 12.345


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000.25, "2027-01-15T08:00:00.250Z"),
        (951_782_399.999, "2000-02-28T23:59:59.999Z"),
    ],
)
def test_times_are_written_in_utc_to_the_millisecond(moment, text):
    assert rfc3339(moment) == text
    assert day_path(moment) == text[:10].replace("-", "/")


def test_the_clock_keeps_what_a_row_keeps():
    now = system_clock()

    assert now == round(now, 3)
    assert now > 1_700_000_000
