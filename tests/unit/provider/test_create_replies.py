"""What a reply to a create means: accepted, rejected, refused or ambiguous."""

import pytest

from act_one.clock import HOUR
from act_one.provider.outcomes import Ambiguous, Created, Rejected, Retryable
from act_one.provider.replies import read_create_reply
from tests.unit.forms import NOW, body_of, expected, meaning, reply, reply_of, shown

ERROR = {"error": {"message": "no", "type": "comet_api_error", "param": "", "code": ""}}


@meaning("create")
def test_each_published_create_reply_has_its_files_meaning(name, means):
    outcome = read_create_reply(reply_of(name), now=NOW)

    assert shown(outcome, means) == expected(means)


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"task_id": "a"}},
        {"data": {"task_id": "a", "id": "b"}, "task_id": "c", "id": "d"},
        {"data": None, "task_id": "a"},
        {"data": {}, "task_id": "a", "id": "d"},
        {"data": {"task_id": ""}, "task_id": " a "},
        {"data": [], "id": "a"},
        {"data": {"task_id": None}, "task_id": "", "id": "a"},
        {"data": {"task_id": "a"}, "code": 500, "msg": "something else went wrong"},
        {"task_id": "a", "error": {"message": "a warning"}},
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_a_2xx_with_an_id_is_accepted(body, status):
    assert read_create_reply(reply(body, status), now=NOW) == Created(provider_task_id="a")


def test_a_numeric_id_is_read():
    outcome = read_create_reply(reply({"data": {"task_id": 196642}}), now=NOW)

    assert outcome == Created(provider_task_id="196642")


@pytest.mark.parametrize(
    "task_id", ["", "  ", None, True, False, [], ["a"], {}, {"id": "a"}, float("nan")]
)
def test_a_reply_with_an_invalid_id_is_ambiguous(task_id):
    outcome = read_create_reply(reply({"code": 200, "data": {"task_id": task_id}}), now=NOW)

    assert isinstance(outcome, Ambiguous)


@pytest.mark.parametrize(
    "code",
    [200, "200", 201, 0, "0", "", None, "success", "SUCCESS", " success ", "ok", True, [], {}],
)
def test_a_2xx_without_an_id_is_ambiguous(code):
    outcome = read_create_reply(reply({"code": code, "msg": "", "data": {}}), now=NOW)

    assert isinstance(outcome, Ambiguous)


@pytest.mark.parametrize("code", [400, "400", 401, 500, 123, 2000, -1, "fail", "invalid_request"])
def test_a_2xx_with_an_error_code_is_rejected_for_its_reason(code):
    outcome = read_create_reply(reply({"code": code, "msg": "no face", "data": None}), now=NOW)

    assert isinstance(outcome, Rejected)
    assert outcome.reason.code == "provider_rejected"
    assert outcome.reason.message.startswith("no face")


@pytest.mark.parametrize("error", [ERROR["error"], "no", ["no"]])
def test_an_id_beside_an_error_is_a_request_id(error):
    outcome = read_create_reply(reply({"id": "req-1", "error": error}), now=NOW)

    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"true",
        b'"a"',
        b"3",
        b"{",
        b'{"data": {"task_id": "\xff"}}',
        b"<html>OK</html>",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
    ],
)
def test_an_unreadable_2xx_is_ambiguous(body):
    assert isinstance(read_create_reply(reply(body), now=NOW), Ambiguous)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (100, Ambiguous),
        (301, Ambiguous),
        (302, Ambiguous),
        (307, Ambiguous),
        (400, Rejected),
        (401, Retryable),
        (402, Retryable),
        (403, Retryable),
        (404, Rejected),
        (405, Rejected),
        (408, Ambiguous),
        (409, Rejected),
        (413, Rejected),
        (415, Rejected),
        (422, Rejected),
        (429, Retryable),
        (451, Rejected),
        (499, Rejected),
        (500, Ambiguous),
        (501, Ambiguous),
        (502, Ambiguous),
        (503, Ambiguous),
        (504, Ambiguous),
        (520, Ambiguous),
        (522, Ambiguous),
        (524, Ambiguous),
        (599, Ambiguous),
        (999, Ambiguous),
    ],
)
def test_a_status_other_than_2xx_decides_for_any_body(status, outcome):
    for body in (ERROR, b"", b"<html>", {"task_id": "a"}):
        assert type(read_create_reply(reply(body, status), now=NOW)) is outcome


@pytest.mark.parametrize(
    "text",
    [
        b"The upstream is SATURATED",
        b"No Available Channel for model",
        b"no channel",
        b'{"error": {"code": "model_not_found"}}',
    ],
)
@pytest.mark.parametrize(
    ("status", "outcome"), [(503, Retryable), (500, Ambiguous), (502, Ambiguous), (504, Ambiguous)]
)
def test_only_a_503_can_mean_that_no_channel_is_available(text, status, outcome):
    assert type(read_create_reply(reply(text, status), now=NOW)) is outcome


@pytest.mark.parametrize(("status", "outcome"), [(500, Rejected), (502, Ambiguous)])
def test_only_a_500_can_mean_that_the_request_is_invalid(status, outcome):
    body = body_of("error_500_invalid_request")

    assert type(read_create_reply(reply(body, status), now=NOW)) is outcome


@pytest.mark.parametrize(
    ("status", "key_refused"), [(401, True), (403, True), (429, False), (503, False)]
)
def test_only_401_and_403_mean_a_refused_key(status, key_refused):
    outcome = read_create_reply(reply(b"no channel", status), now=NOW)

    assert isinstance(outcome, Retryable)
    assert outcome.key_refused is key_refused


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 12 ", 12),
        ("0", 0),
        ("3600", HOUR),
        ("3601", HOUR),
        ("9" * 400, HOUR),
        ("Sun, 22 Nov 2026 12:00:00 GMT", 30),
        ("Sun, 22 Nov 2026 13:00:00 +0100", 30),
        ("Sun, 22 Nov 2026 12:00:00", 30),
        ("Sunday, 22-Nov-26 12:00:00 GMT", 30),
        ("Sun, 22 Nov 2026 11:59:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", HOUR),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٧", None),  # noqa: RUF001 - a digit, but not one of HTTP's
        ("1e3", None),
        (", ,", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_or_date_up_to_an_hour(text, seconds, status):
    outcome = read_create_reply(reply(b"no channel", status, retry_after=text), now=NOW)

    assert isinstance(outcome, Retryable)
    assert outcome.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (ERROR, "no"),
        ({"error": {"message": "no face", "code": "bad_image"}}, "no face (bad_image)"),
        ({"error": {"message": "bad_image: no face", "code": "bad_image"}}, "bad_image: no face"),
        ({"error": "no face"}, "no face"),
        ({"error": {"code": "bad_image"}}, "HTTP 400 (bad_image)"),
        ({"code": "bad_image", "message": "no face"}, "no face (bad_image)"),
        ({"code": 400, "msg": "no face"}, "no face (400)"),
        ({"message": "", "msg": "no face"}, "no face"),
        ({"message": None, "error": None}, "HTTP 400"),
        ({"message": {"text": "no"}}, "HTTP 400"),
        (b"<html>", "HTTP 400"),
        (b"", "HTTP 400"),
    ],
)
def test_the_reason_is_the_providers_own_text(body, says):
    outcome = read_create_reply(reply(body, 400), now=NOW)

    assert isinstance(outcome, Rejected)
    assert outcome.reason.message == says


def test_the_request_id_is_kept_in_the_reason():
    outcome = read_create_reply(reply_of("error_401"), now=NOW)

    assert "request id: 20260313095246131420000AbCdEfGh" in outcome.reason.message
