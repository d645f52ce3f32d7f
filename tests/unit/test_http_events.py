"""What the HTTP handlers read from their events, how they answer problems, and the clock."""

import base64
from urllib.parse import urljoin

import pytest

from act_one.clock import day_path, parse_rfc3339, rfc3339, seconds_left_of, system_clock
from act_one.correlation import of_request
from act_one.http_events import (
    SECURITY_HEADERS,
    body_of,
    header,
    json_response,
    key_hash_of,
    location_below,
    location_beside,
    problem_response,
    query_of,
    request_id_of,
    secured,
    serve_api,
)
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


@pytest.mark.parametrize("path", ["/tasks/one/retry", "/v1/tasks/one/retry", "/tasks/one/retry/"])
def test_a_location_beside_a_thing_leads_from_its_part(path):
    location = location_beside({"path": path}, "task_1")

    base = path.partition("/one")[0]
    assert urljoin(f"https://api.example{path}?a=b", location) == (
        f"https://api.example{base}/task_1"
    )


def test_a_problem_that_a_handler_raises_becomes_its_response():
    @serve_api("")
    def handler(_event, _context):
        raise ProblemError(404, "not-found", "Not found", "check the id")

    assert handler(request(), None)["statusCode"] == 404


def test_a_problem_says_when_to_retry():
    problem = ProblemError(429, "too-soon", "Too soon", "wait", retry_after=10)

    assert problem_response(problem)["headers"]["Retry-After"] == "10"


def request(**headers):
    return {"headers": headers, "requestContext": {"requestId": "gateways-own"}}


def served(response, event=None, origin=""):
    return serve_api(origin)(lambda *_: response)(event or request(), None)


@pytest.mark.parametrize("sent", ["a", "order-42/7", "!" * 128, "~{}\"'"])
def test_a_request_id_of_visible_characters_is_the_clients(sent):
    assert request_id_of(request(**{"x-request-id": sent})) == sent


@pytest.mark.parametrize("sent", ["", " ", "a b", "a\r\nSet-Cookie: b=c", "a\n", "é", "a" * 129])
def test_another_request_id_is_replaced_by_the_gateways(sent):
    assert request_id_of(request(**{"X-Request-Id": sent})) == "gateways-own"


def test_the_request_id_is_returned_and_known_while_the_handler_runs():
    known = []

    @serve_api("")
    def handler(_event, _context):
        known.append(of_request())
        return json_response(200, {})

    answer = handler(request(**{"X-Request-Id": "mine"}), None)

    assert answer["headers"]["X-Request-Id"] == "mine"
    assert known == ["mine"]


@pytest.mark.parametrize("origin", ["https://app.example", "*"])
def test_pages_of_the_allowed_origin_can_read_every_reply(origin):
    headers = served(json_response(200, {}), origin=origin)["headers"]

    assert headers["Access-Control-Allow-Origin"] == origin
    assert "retry-after" in headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers


def test_without_an_origin_no_page_can_read_a_reply():
    assert not any("Access-Control" in name for name in served(json_response(200, {}))["headers"])


def test_every_reply_has_the_headers_for_browsers():
    for response in (served(json_response(200, {})), secured(json_response(404, {}))):
        assert SECURITY_HEADERS.items() <= response["headers"].items()


def test_a_header_that_a_route_has_set_stays():
    answer = served({"statusCode": 200, "headers": {"cache-control": "private"}})

    assert answer["headers"]["cache-control"] == "private"
    assert "Cache-Control" not in answer["headers"]
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"


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


def test_a_query_has_every_value_of_each_parameter():
    event = {"multiValueQueryStringParameters": {"status": ["a", "b"], "limit": ["1"]}}

    assert query_of(event) == {"status": ["a", "b"], "limit": ["1"]}


@pytest.mark.parametrize("event", [{}, {"multiValueQueryStringParameters": None}])
def test_a_request_without_a_query_has_no_parameters(event):
    assert query_of(event) == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-15T08:00:00Z", 0),
        ("2027-01-15t08:00:00.250z", 0.25),
        ("2027-01-15T09:30:00+01:30", 0),
        ("2027-01-15T07:00:00.000001-01:00", 0.000001),
        ("0001-01-01T00:00:00+23:59", -63_935_683_140.0),
    ],
)
def test_a_time_of_rfc_3339_is_read(text, seconds):
    assert parse_rfc3339(text) == pytest.approx(1_800_000_000 + seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2027-01-15", "2027-01-15T08:00:00", "2027-01-15T08:00Z", "20270115T080000Z"),
        *("2027-02-30T08:00:00Z", "2027-01-15T25:00:00Z", "2027-01-15T08:00:60Z", "now"),
        *("2027-01-15T08:00:00+24:00", "2027-01-15T08:00:00,5Z", " 2027-01-15T08:00:00Z"),
    ],
)
def test_a_time_without_a_zone_or_in_another_form_is_not_read(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of error is what callers catch
        parse_rfc3339(text)
