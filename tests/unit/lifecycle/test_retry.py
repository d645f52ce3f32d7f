"""A retry: one new task for a task without a result, and never one that is paid for unasked."""

from dataclasses import replace
from itertools import count

import pytest

from act_one.clients.client import Client
from act_one.clock import HOUR
from act_one.inputs.bucket import UploadsBucket
from act_one.inputs.request import TransferRequest
from act_one.inputs.retry import RetryOptions, read_retry
from act_one.lifecycle.advance import advance
from act_one.lifecycle.retry import retry
from act_one.lifecycle.submission import row_of
from act_one.problems import ProblemError
from act_one.provider.outcomes import ProviderState, Report
from act_one.tasks import moves
from act_one.tasks.documents import api_document
from act_one.tasks.task import SETTLED, Billing, Notice, Stage, Webhook
from tests.unit.examples import SOURCE, TASK
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    FakeClients,
    make_services,
    no_warnings,
    plenty,
    submitted,
)
from tests.unit.inputs.test_bucket import MP4, PNG

CLIENT = Client(name="client-1")
REQUEST = TransferRequest(
    video="https://media.example/a.mp4?sig=1",
    image="https://media.example/b.png",
    metadata={"order": "42"},
    consent="release-1",
    webhook=Webhook(url="https://shop.example/hook", events=("task.succeeded",)),
    idempotency_key="order-42",
)
FAILED = Notice(code="provider_failed", message="no face found (INTERNAL)")
ANYWAY = RetryOptions(may_be_billed_twice=True)
BUCKETS = count(1)


def again(services, parent, options=None, client=CLIENT, check_inputs=no_warnings):
    return retry(
        parent,
        options or RetryOptions(),
        client,
        CALLBACK_KEYS,
        services,
        plenty,
        check_inputs,
    )


@pytest.fixture
def ended(services, clock):
    """Submit the request and end its task in a stage."""

    def end(stage, error=FAILED, request=REQUEST, **changes):
        task, _ = submitted(services, request)
        now = clock()
        match stage:
            case Stage.FAILED:
                step = moves.to_failed(error, now, services.settings)
            case Stage.EXPIRED:
                step = moves.to_expired(now, services.settings)
        return services.table.apply(task, step, now, **changes)

    return end


def refused(services, parent, options=None, **named):
    with pytest.raises(ProblemError) as caught:
        again(services, parent, options, **named)
    assert caught.value.status == 409
    return caught.value.code


# ── The new task ──────────────────────────────────────────────────────────────────────────────


def test_a_failed_task_is_repeated_as_a_new_one_linked_both_ways(services, table, ended, provider):
    parent = ended(Stage.FAILED)

    child, existed = again(services, parent)

    assert not existed
    assert child.task_id != parent.task_id
    assert (child.stage, len(provider.creates)) == (Stage.SUBMITTED, 2)
    for name in ("video", "image", "metadata", "consent", "webhook", "client_id"):
        assert getattr(child, name) == getattr(parent, name)
    linked = table.read(parent.task_id)
    assert (child.retry_of, linked.retried_by) == (parent.task_id, child.task_id)
    assert linked.version == parent.version
    assert api_document(child)["links"]["retry_of"] == f"/v1/tasks/{parent.task_id}"
    assert api_document(linked)["links"]["retried_by"] == f"/v1/tasks/{child.task_id}"


def test_a_second_retry_returns_the_same_task(services, table, ended, provider):
    parent = ended(Stage.FAILED)
    child, _ = again(services, parent)

    assert again(services, parent) == (child, True)
    assert again(services, table.read(parent.task_id)) == (child, True)
    assert len(provider.creates) == 2


def test_a_link_that_was_not_written_is_written_by_the_next_retry(services, table, ended, dynamodb):
    parent = ended(Stage.FAILED)
    child, _ = again(services, parent)
    dynamodb.update_item(
        TableName=table.name,
        Key={"task_id": {"S": parent.task_id}},
        UpdateExpression="REMOVE retried_by",
    )

    again(services, table.read(parent.task_id))

    assert table.read(parent.task_id).retried_by == child.task_id


def test_a_parent_that_moved_meanwhile_is_linked_too(services, table, ended, clock):
    parent = ended(Stage.EXPIRED)
    clock.pass_by(25 * HOUR)
    table.apply(parent, moves.to_failed(FAILED, clock(), services.settings), clock())

    child, _ = again(services, parent)

    assert table.read(parent.task_id).retried_by == child.task_id


def test_a_retry_can_be_retried(services, ended, clock):
    parent = ended(Stage.FAILED)
    child, _ = again(services, parent)
    failed = services.table.apply(
        child, moves.to_failed(FAILED, clock(), services.settings), clock()
    )

    grandchild, existed = again(services, failed)

    assert not existed
    assert grandchild.retry_of == child.task_id


def test_a_canceled_task_can_be_repeated(services, table):
    row, _ = row_of(REQUEST, CLIENT, services, None)
    canceled = table.create(replace(row, stage=Stage.CANCELED, billing=Billing.NONE))

    assert not again(services, canceled)[1]


def test_no_idempotency_key_leads_to_the_id_of_a_retry(services, ended):
    parent = ended(Stage.FAILED)
    child, _ = again(services, parent)

    for name in ("retry", "client-1"):
        for key in (parent.task_id, f"retry:{parent.task_id}", f"retry of\n{parent.task_id}"):
            other, replayed = submitted(services, replace(REQUEST, idempotency_key=key), name)
            assert (other.task_id != child.task_id, replayed) == (True, False)


def test_a_retry_is_checked_and_limited_like_a_new_request(services, ended, provider):
    parent = ended(Stage.FAILED)

    def refuse(_request):
        raise ProblemError(422, "input-unreachable", "gone", "gone")

    with pytest.raises(ProblemError) as caught:
        again(services, parent, check_inputs=refuse)
    assert caught.value.code == "input-unreachable"
    with pytest.raises(ProblemError) as caught:
        again(services, parent, client=replace(CLIENT, daily_budget=1))
    assert caught.value.code == "budget-exceeded"
    assert len(provider.creates) == 1

    assert not again(services, parent, RetryOptions(preflight=False), check_inputs=refuse)[1]


# ── What is refused ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", sorted({*Stage} - SETTLED - {Stage.UNCONFIRMED}))
def test_an_open_task_is_not_repeated(services, create_task, stage):
    assert refused(services, create_task(stage), ANYWAY) == "not-retryable"


def test_a_succeeded_task_is_not_repeated(services, create_task):
    assert refused(services, create_task(Stage.SUCCEEDED), ANYWAY) == "not-retryable"


def test_a_task_that_may_be_billed_is_repeated_on_the_callers_word_only(
    services, create_task, provider
):
    parent = create_task(Stage.UNCONFIRMED, request_hash=TASK.request_hash)

    assert refused(services, parent) == "retry-may-bill-twice"
    assert provider.creates == []
    assert not again(services, parent, ANYWAY)[1]


def test_an_expired_task_is_repeated_freely_only_when_no_late_result_can_come(
    services, ended, clock, provider
):
    parent = ended(Stage.EXPIRED)
    clock.now = BEGINNING + 24 * HOUR - 1
    assert refused(services, parent) == "retry-may-bill-twice"
    assert len(provider.creates) == 1

    clock.pass_by(1)
    assert not again(services, parent)[1]


def test_a_young_expired_task_is_repeated_on_the_callers_word(services, ended):
    assert not again(services, ended(Stage.EXPIRED), ANYWAY)[1]


@pytest.mark.parametrize(
    "message",
    [
        "Content was moderated (SAFETY.INPUT.IMAGE)",
        "SAFETY.OUTPUT.VIDEO",
        "refused (INPUT_PREPROCESSING.SAFETY.TEXT)",
    ],
)
def test_what_moderation_refused_is_never_repeated(services, ended, message, provider):
    parent = ended(Stage.FAILED, Notice(code="provider_failed", message=message))

    assert refused(services, parent, ANYWAY) == "not-retryable"
    assert len(provider.creates) == 1


@pytest.mark.parametrize("message", ["safety first. Try again", "UNSAFETY.X", "SAFETY belt"])
def test_other_failures_are_not_taken_for_moderation(services, ended, message):
    parent = ended(Stage.FAILED, Notice(code="provider_failed", message=message))

    assert not again(services, parent)[1]


def test_a_folders_task_is_repeated_by_its_folder(services, create_task):
    parent = create_task(Stage.FAILED, origin="s3://uploads/incoming/a/", client_id="uploads")

    assert refused(services, parent) == "not-retryable"


def test_a_retry_that_is_gone_is_not_made_again(services, create_task):
    parent = create_task(Stage.FAILED, retried_by="task_" + "1" * 32)

    assert refused(services, parent) == "not-retryable"


# ── Whose it is ───────────────────────────────────────────────────────────────────────────────


def test_a_shared_task_has_one_retry_whoever_asks(table, provider, clock):
    limited = Client(name="events", daily_budget=800_000)
    services = make_services(table, provider, clock, FakeClients(limited))
    task, _ = submitted(services, REQUEST, limited)
    parent = table.apply(task, moves.to_failed(FAILED, clock(), services.settings), clock())

    child, existed = again(services, parent, client=Client(name="reader-1"))

    assert (child.client_id, existed) == ("events", False)
    assert again(services, parent, client=Client(name="reader-2")) == (child, True)


def test_the_retry_of_a_task_of_before_clients_had_names_is_its_clients(services, create_task):
    parent = create_task(Stage.FAILED, client_id="0123456789abcdef")

    child, _ = again(services, parent)

    assert child.client_id == "client-1"


# ── A result that could not be fetched ────────────────────────────────────────────────────────

GIVEN_UP = Notice(code="media_unavailable", message="not fetched within 24 hours")


def test_a_result_that_could_not_be_fetched_is_copied_again_and_costs_nothing(
    services, table, create_task, provider
):
    parent = create_task(
        Stage.FAILED,
        error=GIVEN_UP,
        provider_task_id="p",
        billing=Billing.CHARGED,
        due_at=None,
        sent_at=BEGINNING - 30 * HOUR,
    )
    provider.answers["p"] = Report(
        provider_task_id="p", state=ProviderState.SUCCEEDED, media=SOURCE
    )

    same, existed = again(services, parent)

    assert (same.task_id, existed, same.due_at) == (parent.task_id, False, BEGINNING)
    assert [warning.code for warning in same.warnings] == ["copy_requested"]
    advance(parent.task_id, CALLBACK_KEYS, services, plenty, no_warnings)
    assert table.read(parent.task_id).stage is Stage.STORING
    assert provider.creates == []


def test_a_lost_result_is_paid_for_again_on_the_callers_word(services, ended, provider):
    parent = ended(Stage.FAILED, GIVEN_UP)

    child, existed = again(services, parent, ANYWAY)

    assert (child.retry_of, existed) == (parent.task_id, False)
    assert len(provider.creates) == 2


# ── Uploads ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def uploads(aws):
    bucket = UploadsBucket(f"retried-{next(BUCKETS)}", s3=aws("s3"))
    bucket.client().create_bucket(Bucket=bucket.bucket)
    bucket.client().put_bucket_versioning(
        Bucket=bucket.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    return bucket


def put(uploads, name, content):
    key = f"uploads/client-1/{'1' * 16}/{name}"
    return uploads.client().put_object(Bucket=uploads.bucket, Key=key, Body=content)["VersionId"]


def test_a_retry_uses_the_versions_of_its_parent(uploads, services, clock):
    services = replace(services, uploads=uploads)
    versions = {"video": put(uploads, "video", MP4), "image": put(uploads, "image", PNG)}
    uris = {name: uploads.uri(f"uploads/client-1/{'1' * 16}/{name}") for name in versions}
    task, _ = submitted(services, replace(REQUEST, **uris))
    parent = services.table.apply(
        task, moves.to_failed(FAILED, clock(), services.settings), clock()
    )
    put(uploads, "video", MP4 + b"another")

    child, _ = again(services, parent)

    assert child.video_file == parent.video_file
    assert child.video_file.version == versions["video"]
    assert child.content_hash == parent.content_hash


def test_a_retry_of_uploads_that_are_gone_is_refused_as_a_new_request_is(uploads, services, clock):
    services = replace(services, uploads=uploads)
    version = put(uploads, "video", MP4)
    put(uploads, "image", PNG)
    uris = {name: uploads.uri(f"uploads/client-1/{'1' * 16}/{name}") for name in ("video", "image")}
    task, _ = submitted(services, replace(REQUEST, **uris))
    parent = services.table.apply(
        task, moves.to_failed(FAILED, clock(), services.settings), clock()
    )
    key = f"uploads/client-1/{'1' * 16}/video"
    uploads.client().delete_object(Bucket=uploads.bucket, Key=key, VersionId=version)

    with pytest.raises(ProblemError) as caught:
        again(services, parent)
    assert (caught.value.status, caught.value.code) == (422, "input-not-there")


# ── The body ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("body", [None, b"", b" ", b"{}"])
def test_a_retrys_body_may_be_empty(body):
    assert read_retry(body) == RetryOptions()


def test_a_retrys_options_are_read():
    assert read_retry(b'{"may_be_billed_twice": true, "preflight": "off"}') == RetryOptions(
        may_be_billed_twice=True, preflight=False
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"may_be_billed_twice": "true"}', "field-not-boolean"),
        (b'{"may_be_billed_twice": 1}', "field-not-boolean"),
        (b'{"preflight": true}', "preflight-unknown"),
        (b'{"metadata": {}}', "unknown-field"),
        (b"[]", "body-not-object"),
        (b"{", "body-not-json"),
    ],
)
def test_a_retrys_body_is_checked(body, code):
    with pytest.raises(ProblemError) as caught:
        read_retry(body)
    assert caught.value.code == code
