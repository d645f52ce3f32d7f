"""What the feed's replies and callbacks' bodies mean."""

import json
from itertools import product

import pytest

from act_one.provider.outcomes import NoAnswer, NotKnown, ProviderState, Report
from act_one.provider.replies import read_callback, read_feed_reply
from tests.unit.forms import FORMS, body_of, expected, meaning, reply, reply_of, shown

VIDEO = "https://cdn.example/result.mp4"
STATE_WORDS = """
    queued    | NOT_START SUBMITTED QUEUED PENDING THROTTLED created 0
    running   | IN_PROGRESS RUNNING processing 1
    succeeded | SUCCESS SUCCEEDED succeed completed finished 3
    failed    | FAILURE FAILED fail error 2
    failed    | CANCELED CANCELLED EXPIRED TIMEOUT
    unknown   | AWAITING_REVIEW 4 -1 20 03 succeededd not_succeeded un-known ✓
"""
WORDS = [
    (word, ProviderState(state.strip()))
    for state, words in (line.split("|") for line in STATE_WORDS.strip().splitlines())
    for word in words.split()
]


def report(body):
    answer = read_feed_reply(reply(body))
    assert isinstance(answer, Report)
    return answer


# ── Published forms ───────────────────────────────────────────────────────────────────────────


@meaning("feed")
def test_each_published_feed_reply_has_its_files_meaning(name, means):
    answer = read_feed_reply(reply_of(name))

    assert shown(answer, means) == expected(means)


@meaning("callback")
def test_each_published_callback_has_its_files_meaning(name, means):
    answer = read_callback(body_of(name))

    assert shown(answer, means) == expected(means)


@pytest.mark.parametrize(
    "name", [name for name, form in FORMS.items() if name.startswith("feed") and "body" in form]
)
def test_a_callback_in_a_feed_form_has_the_same_meaning(name):
    assert read_callback(body_of(name)) == read_feed_reply(reply_of(name))


# ── The state ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("word", "state"), WORDS)
def test_a_word_means_its_state_in_any_case_and_spacing(word, state):
    for spelt in (word, word.lower(), word.upper(), word.title(), f" {word} ", f"\t{word}\n"):
        assert report({"task_id": "a", "status": spelt}).state is state
        assert report({"task_id": "a", "state": spelt}).state is state


@pytest.mark.parametrize(("word", "state"), WORDS)
def test_a_nested_word_counts_if_the_outer_object_has_none(word, state):
    for place, key in product(["data", "result"], ["status", "state"]):
        assert report({"task_id": "a", "status": "", place: {key: word}}).state is state


@pytest.mark.parametrize(("word", "state"), [pair for pair in WORDS if pair[0].isdigit()])
def test_a_number_means_the_same_as_its_digits(word, state):
    if word == str(int(word)):
        assert report({"task_id": "a", "status": int(word)}).state is state


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"status": "SUCCESS", "state": "running"}, "succeeded"),
        ({"status": "FAILURE", "state": "succeeded"}, "failed"),
        ({"status": "3", "state": "running"}, "running"),
        ({"status": "2", "state": "succeeded"}, "succeeded"),
        ({"status": "0", "state": "succeeded"}, "succeeded"),
        ({"status": "3", "state": ""}, "succeeded"),
        ({"status": "RUNNING", "data": {"status": "SUCCEEDED"}}, "running"),
        ({"status": "SUCCESS", "data": {"status": "FAILED"}}, "succeeded"),
        ({"state": "failed", "data": {"status": "SUCCEEDED"}}, "failed"),
        ({"status": "1", "data": {"status": "FAILED"}}, "running"),
        ({"status": "AWAITING_REVIEW", "data": {"status": "SUCCEEDED"}}, "succeeded"),
        ({"status": "AWAITING_REVIEW", "data": {"status": "ODD"}}, "unknown"),
        ({"status": "UNKNOWN", "data": {"status": "SUCCEEDED", "output": [VIDEO]}}, "succeeded"),
        ({"status": "ODD", "data": {"status": "?"}}, "unknown"),
    ],
)
def test_an_outer_word_beats_an_outer_number_and_both_beat_a_nested_word(fields, state):
    assert report({"task_id": "a", **fields}).state == state


@pytest.mark.parametrize("nothing", [{}, {"status": ""}, {"status": None, "state": " "}])
def test_a_task_without_a_status_is_queued(nothing):
    assert report({"task_id": "a", **nothing}).state is ProviderState.QUEUED


@pytest.mark.parametrize("junk", [True, False, [], {}, ["SUCCESS"], {"status": "SUCCESS"}])
def test_a_status_that_is_not_text_is_ignored(junk):
    assert report({"task_id": "a", "status": junk, "state": junk}).state is ProviderState.QUEUED


# ── The id, progress and times ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        ({"task_id": "a", "id": "b"}, "a"),
        ({"id": "b", "status": "RUNNING"}, "b"),
        ({"task_id": "", "id": "b"}, "b"),
        ({"task_id": 12}, "12"),
        ({"data": {"task_id": "a"}}, "a"),
        ({"data": {"id": "b"}}, "b"),
        ({"status": "SUCCESS", "data": {"id": "b"}}, "b"),
        ({"task_id": "a", "data": {"task_id": "b", "id": "c"}}, "a"),
        ({"status": "RUNNING"}, None),
    ],
)
def test_the_id_is_the_outermost_one(body, task_id):
    assert report(body).provider_task_id == task_id


@pytest.mark.parametrize(
    ("progress", "percent"),
    [
        ("30%", 30),
        (" 30 % ", 30),
        ("0%", 0),
        ("100%", 100),
        ("99.6%", 100),
        ("0.5%", 0),
        (30, 30),
        ("30", 30),
        (0.3, 30),
        ("0.3", 30),
        (1.0, 100),
        (1, 1),
        (0, 0),
        (0.0, 0),
        (250, 100),
        ("250%", 100),
        (-3, 0),
        (-0.5, 0),
        (-1.5e308, 0),
        (1.5e308, 100),
        pytest.param(10**400, None, id="10**400"),
        pytest.param("9" * 4_000, None, id="9 * 4,000"),
        (None, None),
        ("", None),
        ("%", None),
        ("half", None),
        (float("nan"), None),
        (float("inf"), None),
        ("nan%", None),
        ("1e999", None),
        (True, None),
        ([30], None),
        ({"percent": 30}, None),
    ],
)
def test_progress_is_read_as_a_percentage_in_each_form(progress, percent):
    answer = report({"task_id": "a", "status": "RUNNING", "progress": progress})

    assert answer.progress == percent
    assert answer.progress is None or type(answer.progress) is int


def test_progress_may_be_missing():
    assert report({"task_id": "a", "status": "RUNNING"}).progress is None


def test_the_outer_progress_beats_the_nested_one():
    body = {"task_id": "a", "progress": "100%", "data": {"progress": 0.9}}

    assert report(body).progress == 100


@pytest.mark.parametrize(
    ("fields", "created_at"),
    [
        ({"submit_time": 1773366766}, 1773366766),
        ({"submit_time": "1773366766"}, 1773366766),
        ({"create_time": "1734078348"}, 1734078348),
        ({"submit_time": 1773366766, "create_time": "1734078348"}, 1773366766),
        ({"submit_time": 0, "create_time": "1734078348"}, 1734078348),
        ({"data": {"createdAt": "2026-03-13T09:52:46+08:00"}}, 1773366766),
        ({"data": {"createdAt": "2026-03-13T01:52:46Z"}}, 1773366766),
        ({"data": {"createdAt": "2026-03-13T01:52:46"}}, None),
        ({"submit_time": "yesterday", "data": {"createdAt": "2026-03-13T01:52:46Z"}}, 1773366766),
        ({"submit_time": None}, None),
        ({"submit_time": -5}, None),
        ({"submit_time": "nan"}, None),
        ({"submit_time": "0001-01-01T00:00:00+14:00"}, None),
        ({"submit_time": 1_773_366_766_000}, 1_773_366_766.0),
        ({"create_time": "1773366766123"}, 1_773_366_766.123),
        ({"createdAt": "2026-03-13T09:52:46"}, None),
        ({"createdAt": "2026-03-13 09:52:46"}, None),
        ({"createdAt": "2026-03-13T01:52:46Z"}, 1_773_366_766.0),
        ({"data": {"createdAt": "soon"}}, None),
        ({}, None),
    ],
)
def test_a_creation_time_with_a_zone_is_read_in_each_form(fields, created_at):
    assert report({"task_id": "a", "status": "RUNNING", **fields}).created_at == created_at


# ── The result ────────────────────────────────────────────────────────────────────────────────

# Where a video's URL may be, best place first: (outer fields, nested fields).
PLACES = [
    ({"result_url": VIDEO + "?1"}, {}),
    ({"video_url": VIDEO + "?2"}, {}),
    ({}, {"output": [VIDEO + "?3", VIDEO + "?other"]}),
    ({}, {"video_url": VIDEO + "?4"}),
    ({}, {"url": VIDEO + "?5"}),
    ({"url": VIDEO + "?6"}, {}),
    ({"fail_reason": VIDEO + "?7"}, {}),
]


@pytest.mark.parametrize("best", range(len(PLACES)))
def test_the_video_is_taken_from_the_best_place_that_has_one(best):
    body = {"task_id": "a", "status": "SUCCESS", "data": {}}
    for outer, nested in PLACES[best:]:
        body |= outer
        body["data"] |= nested

    assert report(body).media.video == f"{VIDEO}?{best + 1}"


@pytest.mark.parametrize(
    "unusable",
    [
        "",
        None,
        3,
        [],
        {},
        "result.mp4",
        "/result.mp4",
        "ftp://cdn.example/result.mp4",
        "s3://bucket/result.mp4",
        "file:///etc/passwd",
        "data:video/mp4;base64,AAAA",
        "javascript:alert(1)",
        "https://",
        "https:///result.mp4",
        "https://[::1/result.mp4",
        "https://cdn.example/a\nb.mp4",
        "https://cdn.example/\x00",
        "https://cdn.example/\x7f",
        "https://cdn.example/\ud83d",
        "https://cdn.example/" + "a" * 9_000,
    ],
    ids=lambda url: ascii(url)[:40],
)
def test_a_success_without_a_usable_url_has_no_media(unusable):
    for place in ("result_url", "video_url", "url", "fail_reason", "output"):
        body = {"task_id": "a", "status": "SUCCESS", place: unusable, "data": {place: unusable}}

        answer = report(body)

        assert answer.state is ProviderState.SUCCEEDED
        assert answer.media is None


def test_an_unusable_url_does_not_hide_a_usable_one():
    body = {"task_id": "a", "status": "SUCCESS", "result_url": "pending", "video_url": VIDEO}

    assert report(body).media.video == VIDEO


@pytest.mark.parametrize("url", ["http://cdn.example/a.mp4", "HTTPS://cdn.example/ü.mp4", VIDEO])
def test_any_http_url_is_usable(url):
    body = {"task_id": "a", "status": "SUCCESS", "result_url": f" {url}\n"}

    assert report(body).media.video == url


@pytest.mark.parametrize("word", ["RUNNING", "QUEUED", "FAILURE", "AWAITING_REVIEW", ""])
def test_only_a_success_has_media(word):
    body = {"task_id": "a", "status": word, "result_url": VIDEO, "fail_reason": VIDEO}

    assert report(body).media is None


@pytest.mark.parametrize("nest", [{}, {"data": {"raw_video_url": VIDEO}}])
def test_the_raw_video_is_never_taken(nest):
    body = {"task_id": "a", "status": "SUCCESS", "raw_video_url": VIDEO, **nest}

    assert report(body).media is None


def test_images_without_a_usable_url_are_left_out():
    body = {"task_id": "a", "status": "3", "video_url": VIDEO, "poster": "", "last_frame": 4}

    media = report(body).media

    assert (media.poster, media.last_frame) == (None, None)


# ── The failure ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fail_reason": "one", "msg": "two", "failure": "three"}, "one"),
        ({"fail_reason": "", "msg": "two", "failure": "three"}, "two"),
        ({"failure": "three", "data": {"failure": "four", "msg": "five"}}, "three"),
        ({"data": {"failure": "four", "msg": "five"}}, "four"),
        ({"data": {"msg": "five"}}, "five"),
        ({"fail_reason": "one", "failureCode": "CODE"}, "one (CODE)"),
        ({"fail_reason": "one", "data": {"failureCode": "CODE"}}, "one (CODE)"),
        ({}, "the provider gave no reason"),
        ({"fail_reason": None, "msg": {}}, "the provider gave no reason"),
    ],
)
def test_a_failure_has_the_first_given_reason(fields, message):
    failure = report({"task_id": "a", "status": "FAILURE", **fields}).failure

    assert (failure.code, failure.message) == ("provider_failed", message)


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("FAILURE", "provider_failed"),
        ("2", "provider_failed"),
        ("CANCELED", "provider_canceled"),
        ("cancelled", "provider_canceled"),
        ("EXPIRED", "provider_expired"),
        ("timeout", "provider_expired"),
    ],
)
def test_a_failures_code_tells_how_the_task_ended(word, code):
    assert report({"task_id": "a", "status": word}).failure.code == code


@pytest.mark.parametrize("word", ["SUCCESS", "RUNNING", "QUEUED", "AWAITING_REVIEW"])
def test_only_a_failure_has_a_failure(word):
    assert report({"task_id": "a", "status": word, "fail_reason": "no"}).failure is None


def test_a_lone_surrogate_in_a_reason_is_made_encodable():
    body = b'{"task_id": "a", "status": "FAILED", "fail_reason": "no face \\ud83d"}'

    failure = read_feed_reply(reply(body)).failure

    assert failure.message.encode().startswith(b"no face")


# ── No answer ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        {"code": "task_not_exist", "message": "", "data": None},
        {"code": "", "message": "task_not_exist"},
        {"code": 400, "msg": "task_not_exist", "data": None},
        {"status": "task_not_exist"},
        {"status": "TASK_NOT_EXIST"},
        {"error": {"message": "no such task", "code": "task_not_exist"}},
        {"error": {"message": "task_not_exist (request id: 7)", "type": "comet_api_error"}},
        {"message": "error: task_not_exist (request id: 1)"},
    ],
)
def test_task_not_exist_is_read_in_each_place_at_any_status(body):
    for status in (200, 400, 401, 404, 500, 503):
        assert read_feed_reply(reply(body, status)) == NotKnown()


def test_task_not_exist_inside_a_task_is_ignored():
    body = {"data": {"task_id": "a", "status": "RUNNING", "prompt": "task_not_exist"}}

    assert report(body).state is ProviderState.RUNNING


@pytest.mark.parametrize("status", [301, 400, 404, 408, 429, 500, 502, 503, 504, 524])
def test_an_error_status_is_no_answer_even_with_a_success(status):
    answer = read_feed_reply(reply(body_of("feed_flat_succeeded"), status))

    assert answer == NoAnswer(reason=f"HTTP {status}")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_no_answer(status):
    answer = read_feed_reply(reply(body_of("feed_flat_failed"), status))

    assert answer == NoAnswer(reason=f"HTTP {status}", key_refused=True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"SUCCESS"',
        b"3",
        b"<html>200 OK</html>",
        b'{"task_id": "a", "status": "SUCC',
        b'\xff{"task_id": "a"}',
        b"[" * 100_000,
        b'{"code": 200, "msg": "success", "data": null}',
        b'{"code": "success", "data": []}',
        b'{"code": "success", "data": {"data": {}}}',
        b'{"code": "fail_to_fetch_task", "message": "try again", "data": null}',
        b'{"status": "error", "message": "upstream timed out"}',
        b'{"code": "success", "data": {"status": "FAILURE", "fail_reason": "x"}}',
    ],
)
def test_a_2xx_without_a_task_is_no_answer(body):
    assert read_feed_reply(reply(body)) == NoAnswer(reason="the reply holds no task")


@pytest.mark.parametrize("body", ["", "null", "ok", "task_id=1&status=3", "\x00", "<xml/>", "{}"])
def test_a_callback_without_a_task_is_read_as_none(body):
    assert read_callback(body) is None


def test_a_callback_may_come_in_an_envelope():
    bare = FORMS["callback_legacy"]["body"]
    wrapped = {"code": 200, "msg": "success", "data": bare}

    assert read_callback(json.dumps(wrapped)) == read_callback(json.dumps(bare))
