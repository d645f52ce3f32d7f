"""Mangled forms of the provider: reading one never raises and never invents a result."""

import copy
import json
import math
from dataclasses import asdict
from urllib.parse import urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st

from act_one.net.exchange import Reply
from act_one.provider.outcomes import (
    Ambiguous,
    Created,
    NoAnswer,
    NotKnown,
    ProviderState,
    Rejected,
    Report,
    Retryable,
)
from act_one.provider.replies import read_callback, read_create_reply, read_feed_reply, scrub
from tests.sizes import size
from tests.unit.forms import FORMS, NOW, reply

SUCCESS_WORDS = {"success", "succeeded", "succeed", "completed", "finished", "3"}
FAILURE_WORDS = {"failure", "failed", "fail", "error", "2"} | {
    *("canceled", "cancelled", "expired", "timeout")
}
VIDEO_KEYS = {"result_url", "video_url", "output", "url", "fail_reason"}
SECRET = "SeCrEt"
LEAKY = (f"see https://cdn.example/a.mp4?sig={SECRET}", f"key Bearer sk-{SECRET} is no good")

# ── Mangling ──────────────────────────────────────────────────────────────────────────────────

PUBLISHED = [form["body"] for form in FORMS.values() if "body" in form]
OF_CREATES = [form["body"] for name, form in FORMS.items() if name.startswith("create")]
OF_TASKS = [form["body"] for name, form in FORMS.items() if name.startswith(("feed", "callback"))]


def places(value, path=()):
    """Yield the path of every member of a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        yield (*path, key)
        if isinstance(member, dict | list):
            yield from places(member, (*path, key))


KEYS = sorted(
    {"raw_video_url", "url"}
    | {path[-1] for body in PUBLISHED for path in places(body) if isinstance(path[-1], str)}
)

# Members with a meaning; changes of others have no effect.
MEANINGFUL = {
    *("task_id", "id", "code", "status", "state", "progress", "data", "result", "error"),
    *("result_url", "video_url", "raw_video_url", "output", "url", "fail_reason", "failure"),
}

WORDS = ["QUEUED", "IN_PROGRESS", "SUCCESS", "FAILURE", "0", "1", "2", "3", "", "ftp://x/y"]

texts = st.one_of(
    st.sampled_from(sorted(SUCCESS_WORDS | FAILURE_WORDS)),
    st.sampled_from(["RUNNING", " Success ", "task_not_exist", "30%", "1e999", "-0", "٣"]),
    st.sampled_from(["https://cdn.example/other.mp4", "http://[::1", "https:// /", "ftp://x/y"]),
    st.sampled_from(WORDS),
    st.sampled_from(LEAKY),
    st.text(max_size=12),
    st.text(st.characters(categories=["Cs", "Cc", "Lo"]), max_size=4),
)
numbers = st.one_of(
    st.integers(-5, 500),
    st.sampled_from([10**400, -(10**400), 2**63, 1773366766, -1.5e308, 1.5e308]),
    st.floats(),
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


def edit(draw, body):
    """Drop, rename, retype, nest, or add one member somewhere."""
    paths = list(places(body))
    if draw(st.integers(0, 3)):
        paths = [path for path in paths if path[-1] in MEANINGFUL] or paths
    kind = draw(st.sampled_from(["drop", "rename", "retype", "nest", "add"]))
    if kind == "add" or not paths:
        body[draw(st.sampled_from(KEYS))] = draw(values)
        return
    *path, key = draw(st.sampled_from(paths))
    holder = body
    for step in path:
        holder = holder[step]
    match kind:
        case "drop":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            holder[draw(st.sampled_from(KEYS))] = holder.pop(key)
        case "nest":
            holder[key] = {draw(st.sampled_from(["data", "result", "error"])): holder[key]}
        case _:
            wrapped = [str(holder[key]), [holder[key]]]
            holder[key] = draw(st.sampled_from(WORDS) | st.sampled_from(wrapped) | values)


@st.composite
def mangled(draw, published):
    body = copy.deepcopy(draw(st.sampled_from(published)))
    for holder in (body, body.get("data")):
        if isinstance(holder, dict):
            holder["raw_video_url"] = "https://raw.example/raw.mp4"
    for _ in range(draw(st.integers(1, 3))):
        edit(draw, body)
    return body


@st.composite
def scrambled(draw):
    """Draw a form as bytes, truncated, altered or nested too deep."""
    content = bytearray(
        json.dumps(draw(mangled(PUBLISHED)), ensure_ascii=False), "utf-8", "surrogatepass"
    )
    for _ in range(draw(st.integers(0, 6))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    wrap = draw(st.sampled_from([0, 0, 0, 1, 300, 100_000]))
    cut = draw(st.integers(0, len(content)) | st.just(len(content)))
    return b'{"data":' * wrap + bytes(content[:cut]) + b"}" * wrap


anything = st.one_of(
    mangled(PUBLISHED).map(json.dumps).map(str.encode),
    scrambled(),
    values.map(json.dumps).map(str.encode),
    st.binary(max_size=200),
)
statuses = st.sampled_from([200, 200, 200, 201, 301, 400, 401, 403, 404, 408, 429, 500, 502, 503])
replies = st.builds(
    Reply,
    status=statuses,
    headers=st.fixed_dictionaries({"retry-after": st.text(max_size=30)}),
    body=anything,
)


def parsed(body):
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_text(value):
    if isinstance(value, float):
        return math.isfinite(value)
    return bool(value.strip()) if isinstance(value, str) else type(value) is int


def scalars(value, key=None):
    """Yield every (key, scalar) of a JSON value; members of a list have the list's key."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from scalars(member, name)
    elif isinstance(value, list):
        for member in value:
            yield from scalars(member, key)
    else:
        yield key, value


def words_in(body):
    return {str(value).strip().lower() for _, value in scalars(body) if is_text(value)}


def assert_is_serializable(answer):
    """Rows, events and logs take UTF-8 and finite numbers."""
    json.dumps(asdict(answer), ensure_ascii=False, allow_nan=False).encode()


# ── Properties ────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=size(40, 120))
@given(replies)
@example(reply({"data": {"task_id": float("nan")}}))
@example(reply(b'{"data": {"task_id": "\\ud800"}}'))
def test_any_create_reply_has_one_of_the_four_outcomes(any_reply):
    assert_is_a_true_outcome(any_reply)


@settings(max_examples=size(40, 120))
@given(mangled(OF_CREATES), st.sampled_from([200, 201, 299]))
def test_a_mangled_2xx_is_accepted_exactly_if_it_has_an_id(body, status):
    assert_is_a_true_outcome(reply(body, status))


def assert_is_a_true_outcome(any_reply):
    outcome = read_create_reply(any_reply, now=NOW)

    assert isinstance(outcome, Created | Rejected | Retryable | Ambiguous)
    assert_is_serializable(outcome)
    body = parsed(any_reply.body)
    data = body["data"] if isinstance(body.get("data"), dict) else {}
    made = is_text(data.get("task_id")) or is_text(body.get("task_id"))
    success = 200 <= any_reply.status < 300
    if isinstance(outcome, Created):
        assert success
        named = (body.get("id"), body.get("data"), data.get("id"), data.get("taskId"))
        nested = data["data"] if isinstance(data.get("data"), dict) else {}
        cut_off = not body and b'"task_id"' in any_reply.body
        ids = (*named, nested.get("id"), nested.get("task_id"))
        assert made or cut_off or any(map(is_text, ids))
        assert outcome.provider_task_id.strip()
    if success:
        assert not made or isinstance(outcome, Created)
        says_balance = "insufficient_user_quota" in any_reply.body.decode("utf-8", "replace")
        assert not isinstance(outcome, Retryable) or says_balance
    if isinstance(outcome, Retryable) and outcome.retry_after_seconds is not None:
        assert 0 <= outcome.retry_after_seconds <= 3600


@settings(max_examples=size(40, 120))
@given(replies)
def test_a_report_from_any_feed_reply_is_backed_by_its_body(any_reply):
    answer = read_feed_reply(any_reply)

    assert isinstance(answer, Report | NotKnown | NoAnswer)
    if isinstance(answer, Report):
        assert 200 <= any_reply.status < 300
        assert_is_backed(answer, parsed(any_reply.body))


@settings(max_examples=size(100, 300))
@given(mangled(OF_TASKS))
@example({"task_id": "a", "progress": -1.5e308})
def test_a_report_of_a_mangled_task_is_backed_by_its_body(body):
    content = json.dumps(body)

    for answer in (read_feed_reply(reply(content.encode())), read_callback(content)):
        if isinstance(answer, Report):
            assert_is_backed(answer, body)


@settings(max_examples=size(40, 120))
@given(anything)
def test_a_report_from_any_callback_is_backed_by_its_body(content):
    text = content.decode("utf-8", "replace")

    report = read_callback(text)

    if report is not None:
        assert_is_backed(report, parsed(text))


def assert_is_backed(report, body):
    """Check that the body contains everything that the report says."""
    assert_is_serializable(report)
    words = words_in(body)
    if report.state is ProviderState.SUCCEEDED:
        assert words & SUCCESS_WORDS
    if report.state is ProviderState.FAILED:
        assert words & FAILURE_WORDS
    assert (report.failure is not None) == (report.state is ProviderState.FAILED)
    if report.media is not None:
        assert report.state is ProviderState.SUCCEEDED
        texts = {(key, value.strip()) for key, value in scalars(body) if isinstance(value, str)}
        assert any((key, report.media.video) in texts for key in VIDEO_KEYS)
        for url in filter(None, (report.media.video, report.media.poster, report.media.last_frame)):
            assert url in {value for _, value in texts}
            assert urlsplit(url).scheme in {"http", "https"}
            assert urlsplit(url).hostname
    assert report.progress is None or report.progress in range(101)
    assert report.created_at is None or report.created_at > 0


@settings(max_examples=size(40, 120))
@given(mangled(PUBLISHED), statuses)
def test_no_reason_contains_a_query_or_a_key(body, status):
    outcome = read_create_reply(reply(body, status), now=NOW)
    answer = read_feed_reply(reply(body, status))

    if isinstance(outcome, Rejected | Retryable | Ambiguous):
        assert_is_scrubbed(outcome.reason.message)
    if isinstance(answer, Report) and answer.failure:
        assert_is_scrubbed(answer.failure.message)
    if isinstance(answer, NoAnswer):
        assert_is_scrubbed(answer.reason)


def assert_is_scrubbed(text):
    assert SECRET not in text
    assert len(text) <= 500


# ── Scrubbing ─────────────────────────────────────────────────────────────────────────────────

words = st.text(st.characters(codec="utf-8", exclude_characters="?#"), max_size=30)
queries = st.text("abcXYZ019-._~!$&()*+,;=:@/?%[]", min_size=1, max_size=60)


@given(
    before=words,
    scheme=st.sampled_from(["http://", "https://", "HTTPS://", "Http://"]),
    mark=st.sampled_from("?#"),
    query=queries,
    after=st.sampled_from(["", " and more", '"', "'}", "\n", ">"]),
)
def test_scrubbing_removes_url_queries(before, scheme, mark, query, after):
    text = scrub(f"{before}{scheme}cdn.example/a.mp4{mark}{query}{after}")

    assert text == f"{before}{scheme}cdn.example/a.mp4{after}"


@given(
    before=st.sampled_from(["", "invalid token ", "(", "key="]),
    form=st.sampled_from(
        [("Bearer ", ""), ("bearer   ", ""), ("BEARER ", "sk-"), ("sk-", ""), ("Sk-", "")]
    ),
    key=st.text("abcXYZ019-._~+/=*", min_size=1, max_size=60),
    after=st.sampled_from(["", ")", " is no good", '"']),
)
def test_scrubbing_removes_keys(before, form, key, after):
    text = scrub(f"{before}{''.join(form)}{key}{after}")

    assert text == f"{before}{form[0]}…{after}"


@given(st.text(max_size=20), st.integers(0, 200))
def test_scrubbing_limits_a_text_to_500_characters(text, times):
    assert len(scrub(text * times)) <= 500


def test_scrubbing_keeps_the_rest_of_a_text():
    text = "no face in https://cdn.example/a.mp4 (request id: 2026-X)"

    assert scrub(text) == text
