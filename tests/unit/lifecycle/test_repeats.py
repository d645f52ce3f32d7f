"""A repeated key with another request: the refusal names the fields that differ."""

from dataclasses import replace
from itertools import count

import pytest

from act_one.inputs.bucket import UploadsBucket
from act_one.inputs.request import TransferRequest
from act_one.problems import KeyReusedError, ProblemError
from act_one.provider.outcomes import Rejected
from act_one.tasks.task import Notice, Stage, Webhook
from tests.unit.fakes import make_services, submitted
from tests.unit.inputs.test_bucket import MP4, PNG

REQUEST = TransferRequest(
    video="https://media.example/a.mp4",
    image="https://media.example/b.png",
    metadata={"order": 1},
    idempotency_key="order-42",
)
HOOK = Webhook(url="https://shop.example/hook", events=("task.succeeded",))
BUCKETS = count(1)
FILES = {"video": MP4, "image": PNG}


def differing(services, first, second):
    """Send two requests under one key; return what the second one's refusal says of them."""
    submitted(services, first)
    with pytest.raises(KeyReusedError) as caught:
        submitted(services, second)
    document = caught.value.document()
    assert all(name in document["detail"] for name in document["differs"])
    return document["differs"]


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({"video": "https://media.example/c.mp4"}, ["video"]),
        ({"image": "https://media.example/c.png"}, ["image"]),
        ({"metadata": {"order": 1.0}}, ["metadata"]),
        ({"metadata": {"order": True}}, ["metadata"]),
        ({"consent": "release-1"}, ["consent"]),
        ({"webhook": HOOK}, ["webhook"]),
        ({"metadata": {}, "webhook": HOOK}, ["metadata", "webhook"]),
    ],
)
def test_a_mismatch_names_the_fields_that_differ(services, changed, differs):
    assert differing(services, REQUEST, replace(REQUEST, **changed)) == differs


@pytest.mark.parametrize(
    ("hook", "differs"),
    [
        (replace(HOOK, url="https://shop.example/other"), ["webhook"]),
        (replace(HOOK, events=("task.failed",)), ["webhook"]),
        (None, ["webhook"]),
        (HOOK, []),
    ],
)
def test_a_webhook_is_compared_with_the_requests_own(services, hook, differs):
    first = replace(REQUEST, webhook=HOOK)
    second = replace(REQUEST, webhook=hook, consent="release-1")

    assert differing(services, first, second) == [*["consent"], *differs]


def test_the_stacks_default_webhook_is_no_difference(table, provider, clock):
    services = make_services(table, provider, clock, webhook_url="https://shop.example/default")

    assert differing(services, REQUEST, replace(REQUEST, metadata={})) == ["metadata"]


def test_a_row_whose_hash_nothing_explains_names_no_field(services, table, dynamodb):
    task, _ = submitted(services, REQUEST)
    dynamodb.update_item(
        TableName=table.name,
        Key={"task_id": {"S": task.task_id}},
        UpdateExpression="SET request_hash = :other",
        ExpressionAttributeValues={":other": {"S": "of an older version"}},
    )

    with pytest.raises(KeyReusedError) as caught:
        submitted(services, REQUEST)
    assert caught.value.document()["differs"] == []


@pytest.fixture
def uploaded(aws, table, provider, clock):
    """Submit two uploads under the key ``order-42``; ``upload_id`` names both."""
    bucket = UploadsBucket(f"repeated-{next(BUCKETS)}", s3=aws("s3"))
    bucket.client().create_bucket(Bucket=bucket.bucket)
    services = replace(make_services(table, provider, clock), uploads=bucket)

    def submit(upload_id, files, **fields):
        folder = f"uploads/client-1/{upload_id}/"
        for name, content in files.items():
            bucket.client().put_object(Bucket=bucket.bucket, Key=folder + name, Body=content)
        uris = {name: bucket.uri(folder + name) for name in ("video", "image")}
        return submitted(services, replace(REQUEST, **uris, **fields))

    return submit


@pytest.mark.parametrize(
    ("files", "fields", "differs"),
    [
        ({"video": MP4 + b"b"}, {}, ["video"]),
        ({"image": PNG + b"b"}, {}, ["image"]),
        ({}, {"consent": "release-1"}, ["consent"]),
        ({"image": PNG + b"b"}, {"metadata": {}}, ["image", "metadata"]),
    ],
)
def test_uploads_differ_by_their_bytes(uploaded, files, fields, differs):
    uploaded("1" * 16, FILES)

    with pytest.raises(KeyReusedError) as caught:
        uploaded("2" * 16, FILES | files, **fields)
    assert caught.value.document()["differs"] == differs


# ── The rules of idempotency, as docs/api.md has them ─────────────────────────────────────────


def test_the_same_key_and_request_return_the_same_task(services, provider):
    first, _ = submitted(services, REQUEST)

    assert submitted(services, REQUEST) == (first, True)
    assert len(provider.creates) == 1


def test_a_refused_request_does_not_use_its_key_up(services, provider):
    def refuse(_request):
        raise ProblemError(422, "input-too-long", "too long", "too long")

    with pytest.raises(ProblemError):
        submitted(services, REQUEST, check_inputs=refuse)
    _, replayed = submitted(services, replace(REQUEST, metadata={"order": 2}))

    assert not replayed
    assert len(provider.creates) == 1


def test_a_settled_task_keeps_its_key(services, provider):
    provider.outcome = Rejected(reason=Notice(code="provider_rejected", message="no"))
    failed, _ = submitted(services, REQUEST)
    assert failed.stage is Stage.FAILED

    assert submitted(services, REQUEST) == (failed, True)
    assert len(provider.creates) == 1


def test_keys_of_two_clients_are_two_keys(services):
    first, _ = submitted(services, REQUEST, "client-1")
    second, replayed = submitted(services, REQUEST, "client-2")

    assert not replayed
    assert first.task_id != second.task_id
