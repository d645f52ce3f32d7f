"""Our tasks and problems in the provider's forms: what its clients read from them."""

import json
from dataclasses import fields, replace
from itertools import product

import pytest
from hypothesis import given

from act_one.net.exchange import Reply
from act_one.problems import ProblemError
from act_one.provider.documents import FeedForm, callback, created, failure, failure_status, feed
from act_one.provider.outcomes import Created, NotKnown, ProviderState
from act_one.provider.replies import (
    read_callback,
    read_create_reply,
    read_created,
    read_feed_reply,
)
from act_one.tasks.links import Links, links_of
from act_one.tasks.task import SETTLED, Billing, Notice, Output, Stage, StoredMedia
from local.simulator import forms
from local.simulator.media import MediaUrls
from local.simulator.report import Report
from tests.unit.examples import TASK, task, tasks
from tests.unit.fakes import BEGINNING, settings

LINKS = Links(
    video="https://results.example/v.mp4?X-Amz-Signature=1",
    poster="https://results.example/p.png?X-Amz-Signature=2",
    last_frame="https://results.example/l.png?X-Amz-Signature=3",
)
NONE = Links()
STATES = {
    Stage.ACCEPTED: ProviderState.QUEUED,
    Stage.SUBMITTING: ProviderState.QUEUED,
    Stage.UNCONFIRMED: ProviderState.RUNNING,
    Stage.SUBMITTED: ProviderState.RUNNING,
    Stage.RUNNING: ProviderState.RUNNING,
    Stage.STORING: ProviderState.RUNNING,
    Stage.SUCCEEDED: ProviderState.SUCCEEDED,
    Stage.FAILED: ProviderState.FAILED,
    Stage.CANCELED: ProviderState.FAILED,
    Stage.EXPIRED: ProviderState.FAILED,
}


def linked(stage):
    return LINKS if stage is Stage.SUCCEEDED else NONE


def as_reply(document, status=200):
    return Reply(status=status, headers={}, body=json.dumps(document).encode())


def simulated(state):
    """What the simulator reports of a task in a state."""
    ended = state in {"succeeded", "failed"}
    return Report(
        task_id="1",
        nested_id="1",
        state=state,
        nested_state=state,
        progress=1.0 if ended else 0.5,
        reason="no face" if state == "failed" else "",
        urls=MediaUrls(LINKS.video, LINKS.poster, LINKS.last_frame)
        if state == "succeeded"
        else MediaUrls(None, None, None),
        submitted=1,
        started=2,
        finished=3 if ended else 0,
    )


def kinds(document):
    """The names of a document's members and the types of their values."""
    return {
        name: kinds(value) if isinstance(value, dict) else type(value)
        for name, value in document.items()
        if name not in forms.INTERNAL_FIELDS and name != "platform"
    }


ENDS = {"queued": Stage.ACCEPTED, "running": Stage.RUNNING, "succeeded": Stage.SUCCEEDED}
ENDS |= {"failed": Stage.FAILED}


def ended(stage):
    error = Notice(code="provider_failed", message="no face") if stage is Stage.FAILED else None
    return task(stage, billing=Billing.CHARGED, error=error)


@pytest.mark.parametrize(("form", "stage"), [*product(FeedForm, Stage)])
def test_a_client_reads_the_state_of_every_stage(form, stage):
    report = read_feed_reply(as_reply(feed(task(stage), linked(stage), form)))

    assert report.state is STATES[stage]
    assert report.provider_task_id == TASK.task_id
    assert report.created_at == TASK.created_at
    assert (report.media is not None) == (stage is Stage.SUCCEEDED)


@pytest.mark.parametrize("form", FeedForm)
def test_a_client_reads_the_links_of_a_result(form):
    report = read_feed_reply(as_reply(feed(task(Stage.SUCCEEDED), LINKS, form)))

    assert report.media.video == LINKS.video
    if form is FeedForm.LEGACY:
        assert (report.media.poster, report.media.last_frame) == (LINKS.poster, LINKS.last_frame)


@pytest.mark.parametrize("form", FeedForm)
def test_a_client_reads_why_a_task_failed(form):
    report = read_feed_reply(as_reply(feed(ended(Stage.FAILED), NONE, form)))

    assert report.failure.message == "no face (provider_failed)"


@pytest.mark.parametrize("state", ENDS)
def test_the_legacy_feed_has_the_members_and_types_that_the_provider_publishes(state):
    stage = ENDS[state]
    ours = feed(ended(stage), linked(stage), FeedForm.LEGACY)
    theirs = forms.feed_form("legacy", "legacy", simulated(state))

    assert kinds(ours) | {"exec_time": int} == kinds(theirs)
    assert (ours["data"]["state"], ours["data"]["status"]) == forms.LEGACY_STATUSES[state]


@pytest.mark.parametrize("state", ENDS)
def test_the_wrapped_feed_has_what_the_gateway_and_its_nested_object_have(state):
    stage = ENDS[state]
    ours = kinds(feed(ended(stage), linked(stage), FeedForm.WRAPPED))
    theirs = kinds(forms.feed_form("wrapped", "upstream", simulated(state)))

    optional = {"progress"}  # of the nested object
    nested = theirs["data"].pop("data")
    assert {name: kind for name, kind in nested.items() if name not in optional} == {
        name: kind for name, kind in ours["data"].pop("data").items() if name in nested
    }
    assert theirs["data"].items() <= ours["data"].items()
    assert (theirs["code"], theirs["message"]) == (ours["code"], ours["message"])


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_a_callback_has_the_members_and_types_of_the_published_one(state):
    stage = ENDS[state]
    ours = callback(ended(stage), linked(stage))

    assert kinds(ours) == kinds(forms.callback_form("legacy", simulated(state)))
    assert read_callback(json.dumps(ours).encode()).state is STATES[stage]


def test_a_reply_to_a_create_is_that_of_the_provider():
    reply = as_reply(created(TASK))

    assert kinds(created(TASK)) | {"exec_time": float} == kinds(forms.create_accepted("1", "1"))
    assert read_created(reply) == Created(provider_task_id=TASK.task_id)


@pytest.mark.parametrize(("form", "stage"), [*product(FeedForm, sorted(SETTLED - {"succeeded"}))])
def test_whatever_ends_without_a_result_gives_a_reason(form, stage):
    error = None if stage is Stage.CANCELED else Notice(code="no_result_in_time", message="late")
    said = feed(task(stage, error=error), NONE, form)["data"]

    assert said["msg" if form is FeedForm.LEGACY else "fail_reason"]


def test_a_result_that_has_expired_in_the_bucket_is_said_to_have():
    said = feed(task(Stage.SUCCEEDED), NONE, FeedForm.LEGACY)["data"]

    assert (said["status"], said["video_url"]) == ("3", None)
    assert "expired" in said["msg"]


@pytest.mark.parametrize(
    ("billing", "point"), [(Billing.NONE, "0"), (Billing.UNKNOWN, "1"), (Billing.CHARGED, "1")]
)
def test_a_point_stands_for_a_payment(billing, point):
    assert feed(task(billing=billing), NONE, FeedForm.LEGACY)["data"]["point"] == point


@given(tasks)
def test_any_task_can_be_written_in_every_form_and_shows_no_input(any_task):
    shown = replace(any_task, video="https://in.example/SECRET", image="https://in.example/SECRET")
    shown = replace(shown, metadata={"a": "SECRET"}, claim_id="SECRET", client_id="SECRET")
    links = linked(shown.stage)
    for document in (
        created(shown),
        callback(shown, links),
        *(feed(shown, links, form) for form in FeedForm),
    ):
        text = json.dumps(document, allow_nan=False)
        assert "SECRET" not in text


def test_an_error_names_the_field_and_what_to_do():
    problem = ProblemError(
        422, "input-too-long", "Too long", "it lasts 40 s; cut it", field="video"
    )
    said = failure(problem)

    assert said == {
        "code": 422,
        "message": "video: it lasts 40 s; cut it (input-too-long)",
        "msg": "video: it lasts 40 s; cut it (input-too-long)",
        "data": None,
    }
    assert failure_status(problem) == 422
    outcome = read_create_reply(as_reply(said, 422), now=0.0)
    assert "cut it" in outcome.reason.message


def test_a_field_that_the_text_names_is_not_named_twice():
    problem = ProblemError(400, "field-missing", "Missing", "add video: its URL", field="video")

    assert failure(problem)["msg"] == "add video: its URL (field-missing)"


def test_a_task_that_is_not_there_is_what_the_provider_calls_it():
    problem = ProblemError(404, "task-not-found", "Gone", "no such task", field="task_id")
    said, status = failure(problem), failure_status(problem)

    assert (status, said["code"], said["message"]) == (400, "task_not_exist", "task_not_exist")
    assert said["msg"] == "task_not_exist: task_id: no such task"
    assert read_feed_reply(as_reply(said, status)) == NotKnown()


def stored(name):
    return StoredMedia(
        s3_uri=f"s3://results/tasks/1/{name}", size=9, sha256="00", content_type="video/mp4"
    )


def test_each_stored_file_has_a_link_until_it_expires(shipped_s3):
    made = task(
        Stage.SUCCEEDED,
        updated_at=BEGINNING,
        output=Output(video=stored("video.mp4"), last_frame=stored("last_frame.png")),
    )
    limited = settings(result_retention_days=3)

    links = links_of(made, shipped_s3, limited, BEGINNING)

    assert "/results/tasks/1/video.mp4?" in links.video
    assert "/results/tasks/1/last_frame.png?" in links.last_frame
    assert links.poster is None
    assert links_of(made, shipped_s3, limited, limited.result_expires_at(BEGINNING)) == Links()
    assert links_of(task(), shipped_s3, limited, BEGINNING) == Links()
    assert {member.name for member in fields(Links)} == {member.name for member in fields(Output)}
