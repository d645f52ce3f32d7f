"""What may be asked for, and what a bad request is told."""

import json
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from act_one.inputs.request import TransferRequest, read_request, readable_metadata
from act_one.problems import ProblemError
from act_one.tasks.events import DEFAULT_WEBHOOK_EVENTS
from act_one.tasks.identifiers import derive_task_id, hash_request
from act_one.tasks.task import Webhook, WebhookForm
from tests.sizes import size

GOOD = {"video": "https://media.example/a.mp4", "image": "https://media.example/b.png"}
MEMBERS = ["type", "title", "status", "detail", "code", "field"]


def read(body, key=None, *, allow_addresses=False, from_cometapi=False):
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return read_request(content, key, allow_addresses=allow_addresses, from_cometapi=from_cometapi)


def problem(body, key=None, *, allow_addresses=False):
    with pytest.raises(ProblemError) as caught:
        read(body, key, allow_addresses=allow_addresses)
    return caught.value


def nested(depth, inner=1):
    """An object that is ``depth`` levels deep, of objects and arrays in turn."""
    for level in range(depth, 0, -1):
        inner = {"a": inner} if level % 2 else [inner]
    return inner


def assert_says(found, code, field, *, status=400):
    document = found.document()
    assert list(document) == MEMBERS
    assert (document["status"], document["code"], document["field"]) == (status, code, field)
    assert document["type"] == f"/v1/docs/problems#{code}"
    assert document["title"]
    assert len(document["detail"]) > 20
    json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


# ── Good requests ─────────────────────────────────────────────────────────────────────────────


def test_two_urls_are_enough():
    assert read(GOOD) == TransferRequest(**GOOD)


def test_everything_that_may_be_given_is_kept():
    metadata = {"order": "42", "price": 1.0, "name": "Zoë 🎭", "none": None, "list": [[], {}]}

    request = read(GOOD | {"metadata": metadata}, "key-1")

    assert request == TransferRequest(**GOOD, metadata=metadata, idempotency_key="key-1")


@pytest.mark.parametrize(
    "url",
    [
        "http://media.example/a.mp4",
        "HTTPS://MEDIA.EXAMPLE/a.mp4",
        "https://media.example",
        "https://media.example:8443/a.mp4",
        "https://media.example./a.mp4",
        "https://a-b.c-d.example/a%20b.mp4?X-Amz-Signature=0a&x=1;2#t=3",
        "https://bucket_name.s3.amazonaws.com/a.mp4",
        "https://xn--bcher-kva.example/a.mp4",
        "https://1.example/a.mp4",
        "https://127.0.0.1.example/a.mp4",
        "https://" + "a" * 63 + ".example/",
        "https://media.example/" + "a" * 2_026,
    ],
)
@pytest.mark.parametrize("field", ["video", "image"])
def test_a_url_that_the_provider_could_fetch_is_taken_as_it_is(url, field):
    assert getattr(read(GOOD | {field: url}), field) == url


def test_an_idempotency_key_may_have_255_characters():
    assert read(GOOD, "k" * 255).idempotency_key == "k" * 255


def test_metadata_may_have_2_kilobytes_of_json():
    metadata = {"a": "x" * (2_048 - len('{"a": ""}'))}

    assert read(GOOD | {"metadata": metadata}).metadata == metadata


@pytest.mark.parametrize("number", [2**53, -(2**53), 1e300, 0.1])
def test_a_number_that_every_json_parser_reads_is_kept(number):
    assert read(GOOD | {"metadata": {"a": [number]}}).metadata == {"a": [number]}


def test_metadata_may_be_32_levels_deep():
    assert read(GOOD | {"metadata": nested(32)}).metadata == nested(32)


def test_a_byte_order_mark_before_the_body_is_ignored():
    assert read(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()) == TransferRequest(**GOOD)


# ── Bad requests ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("body", [None, b"", b"  \r\n\t"])
def test_a_request_without_a_body_is_told_what_to_send(body):
    found = problem(body)

    assert_says(found, "body-missing", "body")
    assert '"video"' in found.detail
    assert '"image"' in found.detail


@pytest.mark.parametrize(
    "body",
    [
        b"video=https://media.example/a.mp4",
        b"{",
        b"{'video': 1}",
        b'{"video": NaN}',
        b'{"metadata": {"a": -Infinity}}',
        b'{"video": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"metadata": {"a": ' + b"9" * 5_000 + b"}}",
    ],
    ids=lambda body: ascii(body)[:24],
)
def test_a_body_that_is_not_json_is_refused(body):
    assert_says(problem(body), "body-not-json", "body")


@pytest.mark.parametrize("body", [b"null", b"true", b"3", b'"video"', b"[]", b"[{}]"])
def test_a_body_that_is_not_an_object_is_refused(body):
    assert_says(problem(body), "body-not-object", "body")


def test_a_body_larger_than_64_kilobytes_is_refused():
    body = json.dumps(GOOD | {"metadata": {"a": "x" * 65_536}}).encode()

    assert_says(problem(body), "body-too-large", "body", status=413)


@pytest.mark.parametrize("field", ["video", "image"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "field-not-string"),
        (3, "field-not-string"),
        (True, "field-not-string"),
        (["https://media.example/a.mp4"], "field-not-string"),
        ({"url": "https://media.example/a.mp4"}, "field-not-string"),
        ("", "field-empty"),
        ("   ", "field-empty"),
        ("a.mp4", "url-invalid"),
        ("media.example/a.mp4", "url-invalid"),
        ("//media.example/a.mp4", "url-invalid"),
        ("/a.mp4", "url-invalid"),
        ("https://", "url-invalid"),
        ("https:///a.mp4", "url-invalid"),
        ("https:media.example", "url-invalid"),
        ("https://:443/a.mp4", "url-invalid"),
        ("https://media.example:0/", "url-invalid"),
        ("https://media.example:99999/", "url-invalid"),
        ("https://media.example:a/", "url-invalid"),
        ("https://media..example/", "url-invalid"),
        ("https://-media.example/", "url-invalid"),
        ("https://media-.example/", "url-invalid"),
        ("https://media%2eexample/", "url-invalid"),
        ("https://" + "a" * 64 + ".example/", "url-invalid"),
        ("https://" + "a." * 130 + "example/", "url-invalid"),
        ("https://[::1/", "url-invalid"),
        ("https://[v1.a]/", "url-invalid"),
        (" https://media.example/", "url-invalid"),
        ("https://media.example/\n", "url-invalid"),
        ("https://media.example/a b.mp4", "url-invalid"),
        ("https://media.example/\x00", "url-invalid"),
        ("https://media.example/\x7f", "url-invalid"),
        ("https://media.example/ä.mp4", "url-invalid"),
        ("https://bücher.example/", "url-invalid"),
        ("https://media.example/\ud800", "url-invalid"),
        ("https://media.example\\@other.example/", "url-invalid"),
        ('https://media.example/"', "url-invalid"),
        ("https://media.example/<a>", "url-invalid"),
        ("https://media.example/{a}", "url-invalid"),
        ("ftp://media.example/a.mp4", "url-scheme"),
        ("file:///etc/passwd", "url-scheme"),
        ("data:video/mp4;base64,AAAA", "url-scheme"),
        ("javascript:alert(1)", "url-scheme"),
        ("gopher://media.example/", "url-scheme"),
        ("https://user@media.example/a.mp4", "url-credentials"),
        ("https://user:password@media.example/a.mp4", "url-credentials"),
        ("https://:@media.example/", "url-credentials"),
        ("https://@media.example/", "url-credentials"),
        ("https://media.example/" + "a" * 2_027, "url-too-long"),
        ("https://media.example/" + "a" * 20_000, "url-too-long"),
    ],
    ids=lambda value: ascii(value)[:48],
)
def test_a_bad_url_is_named_and_told_why(field, value, code):
    assert_says(problem(GOOD | {field: value}), code, field)


@pytest.mark.parametrize("field", ["video", "image"])
def test_a_missing_url_is_named(field):
    found = problem({name: url for name, url in GOOD.items() if name != field})

    assert_says(found, "field-missing", field)
    assert field in found.detail


PRIVATE = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0X7F.1",
    "0177.0.0.1",
    "127.0.0.0x1",
    "127.0x1",
    "1.0X",
    "017700000001",
    "10.0.0.1",
    "169.254.169.254",
    "8.8.8.8",
    "1.1.1.1.",
    "0",
    "0.0.0.0",  # noqa: S104 - nobody binds it
    "256.256.256.256",
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2606:4700::1111]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "metadata",
    "intranet",
]


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("field", ["video", "image"])
def test_an_address_or_a_bare_name_is_no_public_host(host, field):
    assert_says(problem(GOOD | {field: f"https://{host}/a.mp4"}), "url-address", field)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "simulator"])
def test_a_local_stack_may_allow_addresses(host):
    url = f"http://{host}/a.mp4"

    assert read(GOOD | {"video": url}, allow_addresses=True).video == url


@pytest.mark.parametrize(
    "name", ["callback", "Video", "", "prompt", "a" * 500, "video ", "ü", "\ud800", "\n"]
)
def test_a_field_that_there_is_not_is_named(name):
    shown = name[:64].replace("\ud800", "?")
    assert_says(problem(GOOD | {name: 1}), "unknown-field", shown)


@pytest.mark.parametrize("metadata", [None, [], "a", 3, True, [{}]])
def test_metadata_that_is_not_an_object_is_refused(metadata):
    assert_says(problem(GOOD | {"metadata": metadata}), "metadata-not-object", "metadata")


@pytest.mark.parametrize("text", ["x" * 2_049, "ä" * 1_025, "🎭" * 513, "x" * 2_040])
def test_metadata_over_2_kilobytes_is_refused(text):
    assert_says(problem(GOOD | {"metadata": {"a": text}}), "metadata-too-large", "metadata")


@pytest.mark.parametrize("metadata", [{"a": "\ud83d"}, {"\udc00": 1}, {"a": [{"b": "\ud800x"}]}])
def test_metadata_that_is_no_text_in_utf_8_is_refused(metadata):
    assert_says(problem(GOOD | {"metadata": metadata}), "metadata-not-text", "metadata")


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b'[1, {"b": 9e999}]'])
def test_metadata_with_a_number_that_json_cannot_give_back_is_refused(number):
    body = json.dumps(GOOD)[:-1].encode() + b', "metadata": {"a": ' + number + b"}}"

    assert_says(problem(body), "metadata-number", "metadata")


@pytest.mark.parametrize(("value", "asked"), [("on", True), ("off", False)])
def test_a_preflight_may_be_left_out(value, asked):
    assert read(GOOD | {"preflight": value}).preflight is asked
    assert read(GOOD).preflight is True
    assert read(GOOD | {"preflight": value}).fingerprint() == read(GOOD).fingerprint()


@pytest.mark.parametrize("value", [None, True, False, "", "OFF", "no", 0, [], {}])
def test_a_preflight_is_on_or_off(value):
    assert_says(problem(GOOD | {"preflight": value}), "preflight-unknown", "preflight")


# ── Webhooks ──────────────────────────────────────────────────────────────────────────────────

HOOK = "https://user.example/hook?token=1"


def with_hook(url=HOOK, **more):
    return GOOD | {"webhook": {"url": url, **more}}


def test_a_webhook_is_told_of_the_ends_unless_it_says_otherwise():
    assert read(with_hook()).webhook == Webhook(
        url=HOOK, events=("task.succeeded", "task.failed", "task.canceled", "task.expired")
    )
    assert read(GOOD).webhook is None


def test_a_webhooks_events_are_a_set():
    asked = ["task.succeeded", "task.running", "task.succeeded"]

    assert read(with_hook(events=asked)).webhook.events == ("task.running", "task.succeeded")


def test_the_providers_callback_url_is_short_for_a_webhook():
    short = read(GOOD | {"callback_url": HOOK})

    assert short == read(with_hook())
    assert short.fingerprint() == read(with_hook()).fingerprint()


def test_a_client_of_cometapi_is_called_back_in_its_form():
    request = read(GOOD | {"callback_url": HOOK}, from_cometapi=True)

    assert request.webhook == Webhook(
        url=HOOK, events=DEFAULT_WEBHOOK_EVENTS, form=WebhookForm.COMETAPI
    )
    assert read(with_hook(), from_cometapi=True) == read(with_hook())
    assert read(GOOD, from_cometapi=True) == read(GOOD)


def test_a_request_that_asks_for_another_form_is_another_request():
    asked = GOOD | {"callback_url": HOOK}

    assert read(asked, from_cometapi=True).fingerprint() != read(asked).fingerprint()


def test_other_fields_of_a_client_of_cometapi_are_ignored():
    more = {"key": "SECRET", "model": "gen3", "options": {"seconds": 5}, "metadata": {"a": 1}}

    assert read(GOOD | more, from_cometapi=True) == read(GOOD | {"metadata": {"a": 1}})
    assert_says(problem(GOOD | more), "unknown-field", "key")


def test_a_client_of_cometapi_is_told_what_is_wrong_as_well():
    with pytest.raises(ProblemError) as caught:
        read({"video": GOOD["video"], "callback_url": "http://baidu.com"}, from_cometapi=True)
    assert_says(caught.value, "field-missing", "image")

    with pytest.raises(ProblemError) as caught:
        read(GOOD | {"callback_url": "http://baidu.com"}, from_cometapi=True)
    assert_says(caught.value, "webhook-url-refused", "callback_url")


def test_both_ways_to_name_a_webhook_are_one_too_many():
    assert_says(problem(with_hook() | {"callback_url": HOOK}), "webhook-twice", "callback_url")


@pytest.mark.parametrize("value", [None, HOOK, [], [HOOK], 3, True])
def test_a_webhook_that_is_no_object_is_refused(value):
    assert_says(problem(GOOD | {"webhook": value}), "webhook-not-object", "webhook")


@pytest.mark.parametrize("name", ["secret", "URL", "", "\ud800", "x" * 100])
def test_a_field_that_a_webhook_has_not_is_named(name):
    shown = name[:64].replace("\ud800", "?")

    assert_says(problem(with_hook(**{name: 1})), "unknown-field", f"webhook.{shown}")


@pytest.mark.parametrize(
    "events",
    [None, [], "task.succeeded", ["succeeded"], ["Task Succeeded"], ["task.accepted"], [1], [[]],
     {"task.succeeded": 1}, ["task.succeeded", "task.rejected"]],
)  # fmt: skip
def test_events_that_there_are_not_are_refused(events):
    found = problem(with_hook(events=events))

    assert_says(found, "webhook-events", "webhook.events")
    assert "task.succeeded" in found.detail


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (None, "webhook-url-missing"),
        (3, "webhook-url-missing"),
        ("", "webhook-url-missing"),
        ("http://user.example/hook?token=1", "webhook-url-refused"),
        ("https://user.example:22/?token=1", "webhook-url-refused"),
        ("https://user.example:6379/?token=1", "webhook-url-refused"),
        ("https://user.example/" + "a" * 2_048, "url-too-long"),
        ("ftp://user.example/", "url-scheme"),
        ("user.example/hook", "url-invalid"),
        ("https://user.example/a b", "url-invalid"),
        ("https://user:password@user.example/", "url-credentials"),
        ("https://127.0.0.1/hook?token=1", "url-address"),
        ("https://169.254.169.254/latest/meta-data", "url-address"),
        ("https://[::1]/hook", "url-address"),
        ("https://localhost/hook", "url-address"),
        ("https://2130706433/hook", "url-address"),
    ],
)
def test_a_webhook_that_could_not_be_called_is_refused_at_once(url, code):
    for name, body in (
        ("webhook.url", GOOD | {"webhook": {"url": url}}),
        ("callback_url", GOOD | {"callback_url": url}),
    ):
        found = problem(body)
        assert_says(found, code, name)
        assert "provider" not in found.detail
        assert "token" not in found.detail


def test_a_webhook_without_a_url_is_refused():
    found = problem(GOOD | {"webhook": {"events": ["task.failed"]}})

    assert_says(found, "webhook-url-missing", "webhook.url")


def test_a_local_stack_may_call_this_machine():
    url = "http://127.0.0.1:8080/hook"

    assert read(with_hook(url), allow_addresses=True).webhook.url == url
    assert_says(problem(with_hook(url)), "url-address", "webhook.url")


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": 10**400},
        {"a": 2**53 + 1},
        {"a": -(2**53) - 1},
        {"a": [{"b": 2**63}]},
        {"a": [[2**70]]},
    ],
    ids=str,
)
def test_an_integer_that_other_json_parsers_change_or_refuse_is_refused(metadata):
    found = problem(GOOD | {"metadata": metadata})

    assert_says(found, "metadata-number", "metadata")
    assert "as a string" in found.detail


@pytest.mark.parametrize("number", [b"1e999", b"-1e999"])
def test_a_number_too_large_for_a_float_is_refused(number):
    body = json.dumps(GOOD)[:-1].encode() + b', "metadata": {"a": ' + number + b"}}"

    assert_says(problem(body), "metadata-number", "metadata")


@pytest.mark.parametrize(
    "value",
    [
        {"a": float("nan")},
        {"a": [{"b": float("inf")}]},
        {"a": [1, -float("inf")]},
        {"a": [[2**53 + 1]]},
        {"a": 10**5_000},
        {"a": "\ud83d"},
        {"\udc00": 1},
        {"a": "x" * 2_040},
        {"ä" * 1_025: 1},
        nested(33),
        [{"a": 1}],
        None,
        "a",
    ],
    ids=lambda value: str(type(value)),
)
def test_nothing_of_metadata_that_is_refused_is_readable(value):
    assert readable_metadata(value) == {}


@pytest.mark.parametrize("value", [{}, nested(32), {"": None}, {"a": [2**53, -0.5, "🎭", True]}])
def test_metadata_that_is_taken_is_readable(value):
    assert readable_metadata(value) == value


@pytest.mark.parametrize("depth", [33, 34, 200])
def test_metadata_deeper_than_32_levels_is_refused(depth):
    found = problem(GOOD | {"metadata": nested(depth)})

    assert_says(found, "metadata-too-deep", "metadata")
    assert "32" in found.detail


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://exämple.com:99999/a.mp4", "port"),
        ("https://exämple.com:\uff18\uff10/a.mp4", "port"),
        ("https://exämple.com:8443/a.mp4", "xn--"),
        ("https://example.com:99999/ä.mp4", "port"),
        ("https://media..example/ä", "host"),
        ("https://media.example/ä.mp4", "percent-encode"),
        ("https://media.example/a b.mp4", "percent-encode"),
    ],
)
def test_a_bad_url_is_told_about_its_first_fault(url, words):
    found = problem(GOOD | {"video": url})

    assert_says(found, "url-invalid", "video")
    assert words in found.detail
    assert words == "percent-encode" or "percent-encode" not in found.detail


@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_an_empty_idempotency_key_is_refused(key):
    assert_says(problem(GOOD, key), "idempotency-key-empty", "Idempotency-Key")


def test_an_idempotency_key_over_255_characters_is_refused():
    assert_says(problem(GOOD, "k" * 256), "idempotency-key-too-long", "Idempotency-Key")


# ── Any request ───────────────────────────────────────────────────────────────────────────────

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
labels = st.text("aA0x7f.-_[]:@%ü\\ ", min_size=0, max_size=16)
urls = st.one_of(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["https://", "http://", "HTTP://", "https:/", "ftp://", "//", ""]),
        st.sampled_from(["media.example", "a:b@media.example", "[::1]", "127.1"]) | labels,
        st.sampled_from(["", ":443", ":0", ":70000", ":x"]),
        st.sampled_from(["", "/", "/a.mp4?b=c#d"]) | st.text(max_size=8).map("/{}".format),
    ),
    st.text(max_size=30),
)
bodies = st.fixed_dictionaries(
    {"video": urls | json_values, "image": st.just(GOOD["image"]) | urls},
    optional={
        "metadata": json_values,
        "extra": json_values,
        "callback_url": urls | json_values,
        "webhook": st.fixed_dictionaries(
            {"url": urls}, optional={"events": json_values, "extra": json_values}
        )
        | json_values,
    },
)


@settings(max_examples=size(83, 250))
@given(
    body=bodies.map(lambda body: json.dumps(body).encode())
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=100),
    key=st.none() | st.text(max_size=300),
    allow_addresses=st.booleans(),
)
@example(body=json.dumps(GOOD).encode(), key="\ud800", allow_addresses=False)
def test_any_request_is_taken_or_refused_with_a_problem(body, key, allow_addresses):
    try:
        request = read_request(body, key, allow_addresses=allow_addresses)
    except ProblemError as found:
        status = 413 if found.code == "body-too-large" else 400
        assert_says(found, found.code, found.field, status=status)
        return
    for url in (request.video, request.image):
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url
        assert len(url) <= 2_048
        assert urlsplit(url).scheme in {"http", "https"}
        assert urlsplit(url).hostname
        assert urlsplit(url).username is None
        assert allow_addresses or "." in urlsplit(url).hostname.rstrip(".")
    json.dumps(dict(request.metadata), ensure_ascii=False, allow_nan=False).encode()
    assert derive_task_id("client", request.idempotency_key).startswith("task_")
    assert len(request.fingerprint()) == 64


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "{:#x}", "{:#X}", "0{:o}"]))
def test_no_number_is_a_host(number, form):
    host = form.format(number)

    assert_says(problem(GOOD | {"video": f"http://{host}/a.mp4"}), "url-address", "video")


@given(st.ip_addresses())
def test_no_address_is_a_host(address):
    host = f"[{address}]" if address.version == 6 else str(address)

    assert_says(problem(GOOD | {"image": f"http://{host}/a.png"}), "url-address", "image")


# ── What makes two requests the same ──────────────────────────────────────────────────────────


def test_a_fingerprint_is_of_what_is_asked_for():
    original = read(GOOD | {"metadata": {"a": 1, "b": 2}}, "one")

    assert (
        original.fingerprint() == read(GOOD | {"metadata": {"b": 2, "a": 1}}, "two").fingerprint()
    )
    for other in (
        GOOD,
        GOOD | {"metadata": {"a": 1, "b": 3}},
        GOOD | {"metadata": {"a": 1, "b": 2}, "video": GOOD["image"]},
        GOOD | {"metadata": {"a": 1, "b": 2}, "image": GOOD["video"]},
        GOOD | {"metadata": {"a": 1, "b": 2}, "webhook": {"url": HOOK}},
    ):
        assert original.fingerprint() != read(other, "one").fingerprint()


def test_a_fingerprint_is_of_the_webhook_too_but_of_none_is_as_it_always_was():
    asked = read(with_hook())

    assert (
        asked.fingerprint()
        == read(
            with_hook(events=[*DEFAULT_WEBHOOK_EVENTS[::-1], DEFAULT_WEBHOOK_EVENTS[0]])
        ).fingerprint()
    )
    assert asked.fingerprint() != read(with_hook(events=["task.failed"])).fingerprint()
    assert asked.fingerprint() != read(with_hook(HOOK + "2")).fingerprint()
    assert read(GOOD).fingerprint() == hash_request(GOOD | {"metadata": {}})
