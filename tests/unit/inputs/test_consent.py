"""A reference to a consent: which is taken, and what becomes of the others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_one.inputs.consent import MAX_CONSENT_CHARACTERS, read_consent, readable_consent
from act_one.inputs.request import read_request
from act_one.problems import ProblemError

GOOD = {"video": "https://media.example/a.mp4", "image": "https://media.example/b.png"}
REFUSED = {
    "nothing": None,
    "a number": 7,
    "an object": {"id": "1"},
    "empty": "",
    "blank": "  ",
    "too long": "x" * (MAX_CONSENT_CHARACTERS + 1),
    "two lines": "release\n114",
    "NUL": "release\x00",
    "half a surrogate pair": "release\ud800",
    "another direction of writing": "release \u202e114",
    "a line separator": "release\u2028114",
}


def read(body):
    return read_request(json.dumps(body).encode(), None, allow_addresses=False)


@pytest.mark.parametrize(
    "value", ["release-2026/114", "Zoë, 2. Mai", "同意書 12", "🎭", "x" * MAX_CONSENT_CHARACTERS]
)
def test_a_line_of_text_is_taken_as_it_is(value):
    assert read(GOOD | {"consent": value}).consent == value
    assert readable_consent(value) == value


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused_and_named(case):
    with pytest.raises(ProblemError) as caught:
        read(GOOD | {"consent": REFUSED[case]})

    document = caught.value.document()
    assert (document["status"], document["code"], document["field"]) == (
        *(400, "consent-invalid", "consent"),
    )
    assert "consent" in document["detail"]
    json.dumps(document, ensure_ascii=False).encode()
    assert readable_consent(REFUSED[case]) is None


def test_a_request_may_be_without():
    assert read(GOOD).consent is None


@given(st.text(max_size=300))
def test_what_is_taken_is_one_line_that_any_document_can_hold(text):
    taken = readable_consent(text)

    if taken is not None:
        assert taken == text
        assert 0 < len(taken) <= MAX_CONSENT_CHARACTERS
        assert taken.splitlines() == [taken]
        taken.encode()


def test_another_consent_is_another_request():
    plain, asked = read(GOOD), read(GOOD | {"consent": "a"})

    assert asked.fingerprint() == read(GOOD | {"consent": "a"}).fingerprint()
    assert len({one.fingerprint() for one in (plain, asked, read(GOOD | {"consent": "b"}))}) == 3


def test_read_consent_raises_what_it_says():
    with pytest.raises(ProblemError, match="is empty"):
        read_consent("")
