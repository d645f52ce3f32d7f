"""Erasing an ended task: nothing brings it back, and each of its steps may be repeated."""

import json
from dataclasses import replace

import pytest

from act_one.clients.client import Client
from act_one.inputs.request import TransferRequest
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.erasure import STRAGGLER_SECONDS, TaskFiles, erase, own
from act_one.lifecycle.read import own_task
from act_one.lifecycle.relay import publish
from act_one.lifecycle.storing import store_result
from act_one.lifecycle.submission import resend
from act_one.problems import ProblemError
from act_one.provider.outcomes import ProviderState, Report
from act_one.tasks import moves
from act_one.tasks.accounts import LedgerTable
from act_one.tasks.attributes import attribute
from act_one.tasks.events import detail_of_erasure, event_of
from act_one.tasks.links import result_prefix
from act_one.tasks.rows import to_item
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import (
    Billing,
    Delivery,
    Evidence,
    MediaUrls,
    Notice,
    Output,
    SettledBy,
    Stage,
    StoredMedia,
    Webhook,
)
from tests.unit.examples import TASK, task
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    FakeClock,
    make_services,
    no_warnings,
    plenty,
    submitted,
)

NOW = BEGINNING + 1_000.0
RESULTS, UPLOADS = "erased-results", "erased-uploads"
SECRETS = ("SECRET", "order-42", "release-9", "hook", "body-of-callback", "reply-of-hook")
ENDED = [Stage.SUCCEEDED, Stage.FAILED, Stage.CANCELED, Stage.EXPIRED]
OPEN = [stage for stage in Stage if stage not in ENDED]


@pytest.fixture
def s3(shipped_s3):
    """The shipped S3 client, with an empty bucket of results and a versioned one of uploads."""
    for bucket in (RESULTS, UPLOADS):
        shipped_s3.create_bucket(Bucket=bucket)
    shipped_s3.put_bucket_versioning(Bucket=UPLOADS, VersioningConfiguration={"Status": "Enabled"})
    yield shipped_s3
    for bucket in (RESULTS, UPLOADS):
        for key, version in versions(shipped_s3, bucket):
            shipped_s3.delete_object(Bucket=bucket, Key=key, VersionId=version)


def versions(s3, bucket):
    listed = s3.list_object_versions(Bucket=bucket)
    found = (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))
    return [(one["Key"], one["VersionId"]) for one in found]


def keys(s3, bucket):
    return sorted({key for key, _ in versions(s3, bucket)})


def put(s3, bucket, *names, body=b"SECRET"):
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=body)


@pytest.fixture
def files(s3):
    return TaskFiles(s3=s3, results=RESULTS, uploads=UPLOADS)


@pytest.fixture
def clock():
    return FakeClock(NOW)


def ended(stage=Stage.SUCCEEDED, **fields):
    """An ended task with something in each field that tells of a person or a caller."""
    prefix = result_prefix(TASK)
    stored = StoredMedia(
        s3_uri=f"s3://{RESULTS}/{prefix}video.mp4",
        size=6,
        sha256="SECRET",
        content_type="video/mp4",
    )
    told = Evidence(received_at=BEGINNING, body="body-of-callback")
    delivery = Delivery(
        webhook_id="w",
        event="task.succeeded",
        attempt=1,
        at=BEGINNING,
        milliseconds=1,
        reply="reply-of-hook",
    )
    full = {
        "content_hash": "SECRET",
        "metadata": {"order": "order-42"},
        "consent": "release-9",
        "billing": Billing.NONE if stage is Stage.CANCELED else Billing.CHARGED,
        "price": 400_000,
        "accounts": ("client#client-1",),
        "provider_task_id": "provider-1",
        "evidence": told,
        "success_callback": told,
        "callback_task_id": "SECRET",
        "source": MediaUrls(video="https://cdn.example/SECRET.mp4"),
        "output": Output(video=stored) if stage is Stage.SUCCEEDED else None,
        "error": None if stage is Stage.SUCCEEDED else Notice(code="a", message="SECRET"),
        "warnings": (Notice(code="b", message="SECRET"),),
        "settled_by": SettledBy.CALLBACK,
        "webhook": Webhook(url="https://hook.example/", events=("task.succeeded",)),
        "deliveries": (delivery,),
        "due_at": BEGINNING if stage in {Stage.FAILED, Stage.EXPIRED} else None,
        "expires_at": NOW + 10_000.0,
        "copy_attempts": 1 if stage is Stage.SUCCEEDED else 0,
    }
    return task(stage, **full | fields)


def stored_row(table):
    return table.client.get_item(TableName=table.name, Key={"task_id": {"S": TASK.task_id}})["Item"]


def ledger_of(table):
    return {
        name: amount
        for day in LedgerTable(table.client, table.ledger_name)
        .days("client#client-1", "0", "9")
        .values()
        for name, amount in day.items()
        if amount
    }


# ── What goes and what stays ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", ENDED)
def test_nothing_that_tells_of_a_person_or_a_caller_stays_in_the_row(table, files, clock, stage):
    table.create(ended(stage))

    erased = erase(table.read(TASK.task_id), table, files, clock)

    assert erased == table.read(TASK.task_id)
    assert (erased.erased_at, erased.stage, erased.version) == (NOW, stage, 3)
    assert (erased.client_id, erased.expires_at) == ("client-1", NOW + 10_000.0)
    assert (erased.price, erased.provider_task_id) == (400_000, "provider-1")
    assert erased.due_at is None
    row = json.dumps(stored_row(table))
    assert [secret for secret in (*SECRETS, "media.example") if secret in row] == []


def test_attributes_that_this_code_does_not_know_go_too(table, files, clock):
    table.client.put_item(
        TableName=table.name, Item=to_item(ended()) | {"later": attribute("SECRET")}
    )

    erase(table.read(TASK.task_id), table, files, clock)

    assert "later" not in stored_row(table)


def test_the_ledger_keeps_what_the_task_cost_and_loses_the_bytes_that_it_stored(
    table, files, clock
):
    table.create(ended())
    before = ledger_of(table)

    erase(table.read(TASK.task_id), table, files, clock)

    assert before["stored_bytes"] == 6
    assert ledger_of(table) == {
        name: amount for name, amount in before.items() if name != "stored_bytes"
    }


def test_results_go_and_those_of_other_tasks_stay(table, files, clock, s3):
    table.create(ended())
    prefix = result_prefix(TASK)
    other = prefix.replace(TASK.task_id, TASK.task_id + "0")
    put(s3, RESULTS, *(prefix + name for name in ("video.mp4", "poster.png", "task.json")))
    put(s3, RESULTS, other + "video.mp4")

    erase(table.read(TASK.task_id), table, files, clock)

    assert keys(s3, RESULTS) == [other + "video.mp4"]


def test_its_uploads_go_in_all_versions_and_no_others(table, files, clock, s3):
    mine = "uploads/client-1/5f2b8c0d9e4a7163/"
    others = ["uploads/client-1/5f2b8c0d9e4a7163/video2", "uploads/client-2/a/image"]
    table.create(ended(video=f"s3://{UPLOADS}/{mine}video", image=f"s3://{UPLOADS}/{others[1]}"))
    put(s3, UPLOADS, mine + "video", mine + "video", *others)
    s3.delete_object(Bucket=UPLOADS, Key=mine + "video")

    erase(table.read(TASK.task_id), table, files, clock)

    assert keys(s3, UPLOADS) == others


def from_folder(**fields):
    folder = f"s3://{UPLOADS}/incoming/shot/"
    return ended(
        client_id="uploads", origin=folder, video=folder + "v.mp4", image=folder + "i.png", **fields
    )


def result_json(task_id):
    return json.dumps({"id": task_id}).encode()


def test_the_copies_of_a_folders_result_go_and_its_inputs_stay(table, files, clock, s3):
    table.create(from_folder())
    inputs = ["incoming/shot/i.png", "incoming/shot/v.mp4"]
    others = ["outgoing/shot/result.json/result.mp4", "outgoing/shot/sub/result.mp4"]
    put(s3, UPLOADS, *inputs, *others, "outgoing/shot/result.mp4", "outgoing/shot/result.mov")
    written = ("outgoing/shot/result.json", "incoming/shot/result.json")
    put(s3, UPLOADS, *written, *written, body=result_json(TASK.task_id))

    erase(table.read(TASK.task_id), table, files, clock)

    assert keys(s3, UPLOADS) == sorted([*inputs, *others])


def test_the_result_of_a_newer_task_of_the_folder_stays_and_what_it_replaced_goes(
    table, files, clock, s3
):
    table.create(from_folder())
    put(s3, UPLOADS, "outgoing/shot/result.mp4", "outgoing/shot/result.mp4")
    put(s3, UPLOADS, "outgoing/shot/result.json", body=result_json(TASK.task_id))
    put(s3, UPLOADS, "outgoing/shot/result.json", body=result_json("task_newer"))

    erase(table.read(TASK.task_id), table, files, clock)

    assert sorted(key for key, _ in versions(s3, UPLOADS)) == [
        "outgoing/shot/result.json",
        "outgoing/shot/result.mp4",
    ]
    answer = s3.get_object(Bucket=UPLOADS, Key="outgoing/shot/result.json")
    assert json.loads(answer["Body"].read())["id"] == "task_newer"


# ── Who, and when ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", OPEN)
def test_an_open_task_is_refused_and_not_changed(table, files, clock, stage):
    seen = table.create(task(stage))

    with pytest.raises(ProblemError) as caught:
        erase(seen, table, files, clock)

    assert (caught.value.status, caught.value.code) == (409, "not-erasable")
    assert stage in caught.value.detail
    assert table.read(TASK.task_id) == seen
    with pytest.raises(ValueError, match="can't be erased"):
        table.begin_erasure(seen, NOW)


@pytest.mark.parametrize(
    ("stage", "attempts"), [(Stage.SUCCEEDED, 2), (Stage.FAILED, 1), (Stage.EXPIRED, 1)]
)
def test_what_a_failed_copy_sent_may_arrive_before_the_task_is_erased(
    table, files, clock, stage, attempts
):
    seen = table.create(ended(stage, copy_attempts=attempts, updated_at=NOW - 10))

    with pytest.raises(ProblemError) as caught:
        erase(seen, table, files, clock)

    assert (caught.value.status, caught.value.retry_after) == (409, STRAGGLER_SECONDS - 10)
    clock.pass_by(STRAGGLER_SECONDS)
    assert erase(seen, table, files, clock).erased_at == clock()


def test_only_its_own_client_erases_a_task():
    reader = Client(name="a", may_read=frozenset({"events"}), former_ids=frozenset({"0" * 16}))

    assert own(task(client_id="a"), reader)
    assert own(task(client_id="0" * 16), reader)
    with pytest.raises(ProblemError) as caught:
        own(task(client_id="events"), reader)
    assert (caught.value.status, caught.value.code) == (403, "task-not-yours")


# ── Again ─────────────────────────────────────────────────────────────────────────────────────


class DyingError(Exception):
    """The process is gone."""


def dies_at(count, s3):
    """Wrap an S3 client so that its ``count``-th deletion is its last."""

    class Dying:
        left = count

        def __getattr__(self, name):
            return getattr(s3, name)

        def delete_object(self, **asked):
            if self.left == 0:
                raise DyingError
            self.left -= 1
            return s3.delete_object(**asked)

    return Dying()


@pytest.mark.parametrize("deletions", range(7))
def test_an_erasure_that_died_at_any_file_is_finished_by_the_next(
    table, files, clock, s3, deletions
):
    folder = f"s3://{UPLOADS}/incoming/shot/"
    upload = f"s3://{UPLOADS}/uploads/client-1/5f/"
    table.create(ended(origin=folder, video=f"{upload}video", image=f"{upload}image"))
    put(s3, UPLOADS, "uploads/client-1/5f/video", "uploads/client-1/5f/image")
    put(s3, UPLOADS, "outgoing/shot/result.mp4")
    for place in ("outgoing/shot/", "incoming/shot/"):
        put(s3, UPLOADS, f"{place}result.json", body=result_json(TASK.task_id))
    put(s3, RESULTS, result_prefix(TASK) + "video.mp4", result_prefix(TASK) + "task.json")

    with pytest.raises(DyingError):
        erase(
            table.read(TASK.task_id),
            table,
            replace(files, s3=dies_at(deletions, s3)),
            clock,
        )
    begun = table.read(TASK.task_id)
    assert (begun.erasing_since, begun.erased_at) == (NOW, None)
    clock.pass_by(5)
    erased = erase(begun, table, files, clock)

    assert (erased.erasing_since, erased.erased_at) == (NOW, NOW + 5)
    assert keys(s3, RESULTS) == keys(s3, UPLOADS) == []


def test_an_erased_task_stays_as_it_is_when_it_is_erased_again(table, files, clock):
    table.create(ended())
    first = erase(table.read(TASK.task_id), table, files, clock)

    clock.pass_by(60)

    assert erase(first, table, files, clock) == first == table.read(TASK.task_id)


def test_two_erasures_at_once_both_end_with_the_same_tombstone(table, files, clock):
    seen = table.create(ended())
    first = table.begin_erasure(seen, NOW)
    done = erase(seen, table, files, clock)

    assert erase(first, table, files, clock) == done == table.read(TASK.task_id)


@pytest.mark.parametrize("name", ["update_item", "put_item", "transact_write_items"])
def test_a_write_whose_reply_is_lost_is_recognised(table, files, clock, name):
    """The SDK sends a request again when its reply is lost."""
    table.create(ended(accounts=("client#client-1",) if name == "transact_write_items" else ()))

    class Twice:
        exceptions = table.client.exceptions

        def __getattr__(self, method):
            real = getattr(table.client, method)

            def call(**asked):
                if method == name:
                    real(**asked)
                return real(**asked)

            return call

    erased = erase(table.read(TASK.task_id), replace(table, client=Twice()), files, clock)

    assert erased == table.read(TASK.task_id)
    assert erased.version == 3
    assert ledger_of(table).get("stored_bytes", 0) == 0


# ── Nothing brings it back ────────────────────────────────────────────────────────────────────


def begun(table, files, clock):
    del files, clock
    return table.begin_erasure(table.read(TASK.task_id), NOW)


def finished(table, files, clock):
    return erase(table.read(TASK.task_id), table, files, clock)


RESULT = Report(
    provider_task_id="provider-1",
    state=ProviderState.SUCCEEDED,
    media=MediaUrls(video="https://cdn.example/v.mp4"),
)


@pytest.mark.parametrize("state", [begun, finished])
@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.EXPIRED, Stage.SUCCEEDED])
def test_a_late_result_brings_no_erased_task_back(table, provider, files, clock, stage, state):
    table.create(ended(stage, evidence=None, success_callback=None))
    services = make_services(table, provider, clock)
    provider.answers["provider-1"] = RESULT
    row = state(table, files, clock)

    handle_callback(TASK.task_id, b'{"status": "SUCCEEDED"}', services)

    assert table.read(TASK.task_id) == row
    assert provider.polls == []


@pytest.mark.parametrize("state", [begun, finished])
def test_no_write_changes_an_erased_row(table, files, clock, state):
    seen = table.create(ended(Stage.FAILED, provider_task_id=None))
    row = state(table, files, clock)
    current = replace(seen, version=row.version)
    storing = moves.to_storing(
        current, MediaUrls(video="v"), SettledBy.CALLBACK, NOW, make_services().settings
    )
    delivery = Delivery(webhook_id="w", event="e", attempt=1, at=NOW, milliseconds=1)
    writes = [
        lambda: table.apply(current, storing, NOW),
        lambda: table.record(current, due_at=NOW),
        lambda: table.learn_id(current, "provider-9"),
        lambda: table.claim_due(TASK.task_id, BEGINNING, NOW, 60.0),
        lambda: table.claim_copy(TASK.task_id, NOW, 60.0),
        lambda: table.claim_webhook(TASK.task_id, NOW, 10.0),
        lambda: table.record_delivery(current, delivery),
        lambda: table.release_copy(current, NOW, due_at=NOW),
        lambda: table.begin_erasure(current, NOW),
    ]

    for write in writes:
        with pytest.raises(MovedOnError):
            write()

    assert table.read(TASK.task_id) == row


def test_a_create_that_ends_after_the_erasure_writes_nothing(table, provider, files, clock):
    """Its sender was given up long ago, and its task has expired and is erased meanwhile."""
    services = make_services(table, provider, clock)
    table.create(task(Stage.ACCEPTED, billing=Billing.NONE, due_at=NOW))

    def erased_meanwhile():
        row = table.read(TASK.task_id)
        row = table.move(row, Stage.UNCONFIRMED, NOW, billing=Billing.UNKNOWN)
        row = table.move(row, Stage.EXPIRED, NOW)
        erase(row, table, files, clock)

    provider.during_create = erased_meanwhile
    resend(table.read(TASK.task_id), CALLBACK_KEYS, services, plenty, no_warnings)

    row = table.read(TASK.task_id)
    assert (row.erased_at, row.provider_task_id) == (NOW, None)


def test_a_copy_message_of_an_erased_task_is_dropped(table, files, clock):
    table.create(ended())
    row = finished(table, files, clock)

    assert store_result(TASK.task_id, make_services(table, clock=clock), None) is None
    assert table.read(TASK.task_id) == row


# ── What callers and subscribers see ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(("state", "at"), [(begun, None), (finished, "2027-01-15T08:16:40.000Z")])
def test_an_erased_task_is_gone_to_its_client_and_missing_to_others(table, files, clock, state, at):
    table.create(ended())
    state(table, files, clock)

    with pytest.raises(ProblemError) as caught:
        own_task(TASK.task_id, Client(name="client-1"), table)
    assert (caught.value.status, caught.value.code) == (410, "task-erased")
    assert caught.value.extensions == {"id": TASK.task_id, "erased_at": at}
    with pytest.raises(ProblemError) as caught:
        own_task(TASK.task_id, Client(name="client-2"), table)
    assert caught.value.status == 404


@pytest.mark.parametrize("video", ["https://client.example/a.mp4", "https://client.example/b.mp4"])
def test_its_idempotency_key_never_pays_again(table, provider, files, clock, video):
    services = make_services(table, provider, clock)
    request = TransferRequest(
        video="https://client.example/a.mp4",
        image="https://client.example/face.png",
        idempotency_key="order-42",
    )
    first, _ = submitted(services, request)
    row = table.move(table.read(first.task_id), Stage.FAILED, NOW)
    erase(row, table, files, clock)

    with pytest.raises(ProblemError) as caught:
        submitted(services, replace(request, video=video))

    assert (caught.value.status, caught.value.code) == (410, "task-erased")
    assert len(provider.creates) == 1


def test_its_event_says_only_which_task_and_when(table, files, clock):
    table.create(ended())
    begun_row = table.begin_erasure(table.read(TASK.task_id), NOW)
    row = finished(table, files, clock)

    assert event_of(begun_row, "bus") is None
    entry = event_of(row, "bus")
    assert entry["DetailType"] == "Task Erased"
    assert (
        json.loads(entry["Detail"])
        == detail_of_erasure(row)
        == {
            "id": TASK.task_id,
            "version": 3,
            "erased_at": "2027-01-15T08:16:40.000Z",
            "event_id": f"{TASK.task_id}#3",
        }
    )


def test_the_relay_passes_an_erasure_that_the_bus_refuses(table, files, clock):
    table.create(ended())
    old, new = table.read(TASK.task_id), finished(table, files, clock)

    class Bus:
        def put_events(self, **_):
            return {"Entries": [{"ErrorCode": "MalformedDetail"}]}

    change = {"OldImage": to_item(old), "NewImage": to_item(new), "SequenceNumber": "1"}

    assert publish([{"dynamodb": change}], Bus(), "bus") is None
