"""The provider's envelope around replies, and what its clients may ask of the feed."""

import json

import pytest

from act_one.problems import ProblemError
from act_one.provider.documents import FeedForm
from act_one.provider.serving import answer_as_provider, feed_form, feed_task_id


def test_a_reply_says_how_long_it_took():
    reply = answer_as_provider(lambda: ({"code": 200}, {"Idempotent-Replayed": "true"}))

    body = json.loads(reply["body"])
    assert reply["statusCode"] == 200
    assert reply["headers"] == {"Content-Type": "application/json", "Idempotent-Replayed": "true"}
    assert body.pop("exec_time") >= 0
    assert body == {"code": 200}


def test_a_problem_becomes_an_error_of_the_providers_form():
    def answer():
        raise ProblemError(503, "busy", "Busy", "wait", retry_after=7)

    reply = answer_as_provider(answer)

    body = json.loads(reply["body"])
    assert reply["statusCode"] == 503
    assert reply["headers"] == {"Content-Type": "application/json", "Retry-After": "7"}
    assert set(body) == {"code", "message", "msg", "data", "exec_time"}
    assert (body["code"], body["data"]) == (503, None)


def test_a_feed_request_names_a_task():
    assert feed_task_id(b'{"task_id": "task_1", "key": "ignored"}') == "task_1"


@pytest.mark.parametrize(
    "body",
    [None, b"", b"{", b"[]", b"{}", b'{"task_id": 7}', b'{"task_id": ""}', b"\xff", b"[" * 99_999],
)
def test_a_feed_request_without_an_id_is_told_what_to_send(body):
    with pytest.raises(ProblemError) as caught:
        feed_task_id(body)

    assert (caught.value.status, caught.value.code) == (400, "task-id-missing")


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        (None, FeedForm.LEGACY),
        ("legacy", FeedForm.LEGACY),
        (" Wrapped", FeedForm.WRAPPED),
    ],
)
def test_a_client_chooses_the_form_of_the_feed(asked, form):
    assert feed_form(asked) is form


@pytest.mark.parametrize("asked", ["flat", "", " "])
def test_a_form_that_there_is_not_is_refused(asked):
    with pytest.raises(ProblemError) as caught:
        feed_form(asked)

    assert (caught.value.status, caught.value.field) == (400, "X-Feed-Form")
