"""What an object says of itself fits into S3's headers, whatever the consent is."""

from email.header import decode_header, make_header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from act_one.inputs.consent import MAX_CONSENT_CHARACTERS, readable_consent
from act_one.media.labels import header_text, object_labels
from tests.unit.examples import TASK, task

S3_BYTES = 2_048
CONSENTS = st.text(min_size=1, max_size=MAX_CONSENT_CHARACTERS).filter(readable_consent)


def decoded(text):
    return str(make_header(decode_header(text)))


def test_a_task_without_consent_has_two_labels():
    assert object_labels(TASK) == {"task-id": TASK.task_id, "disclosure": "ai-generated"}


@pytest.mark.parametrize("text", ["release-2026/114", "signed by Ada, 2 May", "100 % = yes?", "~"])
def test_plain_text_is_written_as_it_is(text):
    assert header_text(text) == text


@pytest.mark.parametrize("text", ["Zoë", " padded ", "two  spaces", "=?utf-8?q?no?=", "🎭" * 256])
def test_other_text_is_written_in_encoded_words(text):
    written = header_text(text)

    assert all(word.startswith("=?utf-8?b?") and len(word) <= 75 for word in written.split(" "))
    assert decoded(written) == text


@given(CONSENTS)
@example("🎭" * MAX_CONSENT_CHARACTERS)
@example("=?" * (MAX_CONSENT_CHARACTERS // 2))
def test_any_consent_is_read_back_from_labels_that_s3_takes(consent):
    labels = object_labels(task(consent=consent))

    assert all(value.isascii() and value.isprintable() for value in labels.values())
    assert all(value == " ".join(value.split()) for value in labels.values())
    assert decoded(labels["consent"]) == consent
    assert sum(len(name) + len(value) for name, value in labels.items()) <= S3_BYTES
