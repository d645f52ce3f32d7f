"""The body of a batch, and the dry run's field."""

import json

import pytest

from act_one.inputs.batch import MAX_BATCH, MAX_BATCH_BYTES, read_batch
from act_one.inputs.request import read_request
from act_one.problems import ProblemError

BODY = {"video": "https://media.example/a.mp4", "image": "https://media.example/b.png"}


def test_a_batch_may_be_larger_than_a_request():
    tasks = [{"metadata": "x" * 10_000}] * MAX_BATCH

    assert read_batch(json.dumps({"tasks": tasks}).encode()) == tasks


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "batch-size"),
        ({"tasks": []}, "batch-size"),
        ({"tasks": {"video": "…"}}, "batch-size"),
        ({"tasks": [{}] * (MAX_BATCH + 1)}, "batch-size"),
        ({"tasks": [{}], "dry_run": True}, "unknown-field"),
        ({"tasks": ["x" * MAX_BATCH_BYTES]}, "body-too-large"),
        ([], "body-not-object"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(body, code):
    with pytest.raises(ProblemError) as caught:
        read_batch(json.dumps(body).encode())
    assert caught.value.code == code


@pytest.mark.parametrize(("flag", "dry"), [({}, False), ({"dry_run": False}, False)])
def test_a_request_is_no_dry_run_unless_it_says_so(flag, dry):
    request = read_request(json.dumps(BODY | flag).encode(), None, allow_addresses=False)

    assert request.dry_run is dry


def test_a_dry_run_is_the_same_request():
    dry = read_request(json.dumps(BODY | {"dry_run": True}).encode(), None, allow_addresses=False)
    real = read_request(json.dumps(BODY).encode(), None, allow_addresses=False)

    assert dry.dry_run
    assert dry.fingerprint() == real.fingerprint()


@pytest.mark.parametrize("flag", ["true", 1, None])
def test_a_dry_run_is_true_or_false(flag):
    with pytest.raises(ProblemError) as caught:
        read_request(json.dumps(BODY | {"dry_run": flag}).encode(), None, allow_addresses=False)
    assert (caught.value.code, caught.value.field) == ("field-not-boolean", "dry_run")
