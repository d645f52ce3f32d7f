"""A request is written as a row and sent once; the create's outcome moves the row."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Barrier
from urllib.parse import urlsplit

import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from act_one.clients.client import Client
from act_one.clock import DAY, HOUR
from act_one.correlation import begin
from act_one.inputs.bucket import UploadsBucket
from act_one.inputs.request import TransferRequest
from act_one.lifecycle.callback import handle_callback
from act_one.lifecycle.submission import resend
from act_one.problems import ProblemError
from act_one.provider.callback_token import verify
from act_one.provider.outcomes import Ambiguous, Created, ProviderState, Rejected, Report, Retryable
from act_one.tasks.events import DEFAULT_WEBHOOK_EVENTS
from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.moves import RESEND_MAX_SECONDS
from act_one.tasks.table import MovedOnError
from act_one.tasks.task import Billing, Evidence, Notice, Stage, Webhook
from tests.unit.examples import SOURCE, TASK, task
from tests.unit.fakes import (
    BEGINNING,
    CALLBACK_KEYS,
    FakeClients,
    FakeProvider,
    key_ring,
    make_services,
    no_warnings,
    plenty,
    submitted,
)
from tests.unit.inputs.test_bucket import MP4, PNG
from tests.unit.keyed import encrypt_by_key, keyed_s3

REQUEST = TransferRequest(
    video="https://media.example/a.mp4?sig=1",
    image="https://media.example/b.png",
    metadata={"order": "42"},
    idempotency_key="order-42",
)
logger = Logger(child=True)
REASON = Notice(code="provider_rejected", message="the video must be 16:9")
REFUSED = Retryable(reason=Notice(code="provider_unreachable", message="TimeoutError"))
AMBIGUOUS = Ambiguous(reason=Notice(code="no_reply", message="TimeoutError"))


def send(services, request=REQUEST, client="client-1", **named):
    return submitted(services, request, client, **named)


# ── Consent ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def strict(table, provider):
    """A stack that requires consent, with the same table as ``services``."""
    return make_services(table, provider, require_consent=True)


def test_a_requests_consent_is_stored(strict, table):
    created, _ = send(strict, replace(REQUEST, consent="release-114"))

    assert table.read(created.task_id).consent == "release-114"


@pytest.mark.parametrize("key", [None, "order-42"])
def test_a_request_without_required_consent_is_not_written_and_not_sent(
    key, strict, table, provider
):
    with pytest.raises(ProblemError) as caught:
        send(strict, replace(REQUEST, idempotency_key=key))

    problem = caught.value
    assert (problem.status, problem.code, problem.field) == (400, "consent-missing", "consent")
    assert not problem.retryable
    assert provider.creates == []
    assert table.read(derive_task_id("client-1", "order-42")) is None


def test_consent_may_be_required_of_one_client_only(services, provider):
    strict = Client(name="studio", consent_required=True)

    with pytest.raises(ProblemError) as caught:
        send(services, client=strict)
    send(services, client="another")
    send(services, replace(REQUEST, consent="release-114"), strict)

    assert caught.value.code == "consent-missing"
    assert len(provider.creates) == 2


def test_a_repeat_gets_its_task_when_consent_has_become_required_since(services, strict, provider):
    created, _ = send(services)

    assert send(strict) == (created, True)
    with pytest.raises(ProblemError) as caught:
        send(strict, replace(REQUEST, metadata={}))
    assert caught.value.code == "idempotency-key-reused"
    assert len(provider.creates) == 1


# ── The correlation id ────────────────────────────────────────────────────────────────────────


def test_a_task_keeps_the_id_of_the_request_that_made_it(services, table, log_lines):
    begin("request-1")
    created, _ = send(services)
    begin("request-2")
    again, replayed = send(services)

    assert replayed
    assert table.read(created.task_id).correlation_id == again.correlation_id == "request-1"
    ids = {"task_id": created.task_id, "correlation_id": "request-1"}
    assert log_lines
    assert [line for line in log_lines if not ids.items() <= line.items()] == []


def test_a_refused_request_is_logged_under_its_own_id_whatever_was_read_before(
    services, table, log_lines
):
    table.create(task(Stage.FAILED, correlation_id="request-1"))
    begin("request-2")
    table.read(TASK.task_id)

    def look_at_inputs(_request):
        logger.info("look at inputs")
        return ()

    send(services, check_inputs=look_at_inputs)

    [line] = [line for line in log_lines if line["message"] == "look at inputs"]
    assert (line.get("task_id"), line["correlation_id"]) == (None, "request-2")


# ── Webhooks ──────────────────────────────────────────────────────────────────────────────────

WEBHOOK = Webhook(url="https://user.example/hook?token=1", events=("task.running",))


def test_a_requests_webhook_is_stored(services, table):
    created, _ = send(services, replace(REQUEST, webhook=WEBHOOK))

    assert table.read(created.task_id).webhook == WEBHOOK


def test_a_request_without_a_webhook_gets_the_stacks_default(table, provider):
    services = make_services(table, provider, webhook_url="https://house.example/hook")

    created, _ = send(services)
    named, _ = send(services, replace(REQUEST, webhook=WEBHOOK, idempotency_key="other"))

    assert created.webhook == Webhook(
        url="https://house.example/hook", events=DEFAULT_WEBHOOK_EVENTS
    )
    assert named.webhook == WEBHOOK


def test_without_a_default_a_task_has_no_webhook(services):
    created, _ = send(services)

    assert created.webhook is None


def test_a_repeat_with_another_webhook_is_a_conflict(services):
    send(services, replace(REQUEST, webhook=WEBHOOK))

    with pytest.raises(ProblemError) as caught:
        send(services, REQUEST)

    assert caught.value.code == "idempotency-key-reused"


def test_a_new_default_webhook_makes_no_repeat_a_conflict(services, table, provider):
    created, _ = send(services)

    other = make_services(table, provider, webhook_url="https://house.example/hook")

    assert send(other) == (created, True)


# ── Before the create ─────────────────────────────────────────────────────────────────────────


def invalid(_request):
    raise ProblemError(422, "input-invalid-type", "The provider would fail", "…", field="video")


def test_an_invalid_input_writes_no_row_and_sends_nothing(services, table, provider):
    with pytest.raises(ProblemError) as caught:
        send(services, check_inputs=invalid)

    assert caught.value.status == 422
    assert table.read(derive_task_id("client-1", "order-42")) is None
    assert provider.creates == []


def test_input_warnings_are_stored_on_the_task(services, table):
    warnings = (Notice(code="input_not_checked", message="video: …"),)

    created, _ = send(services, check_inputs=lambda _: warnings)

    assert created.warnings == warnings
    assert table.read(created.task_id).warnings == warnings


def test_a_repeat_returns_its_task_without_checking_inputs(services, provider):
    created, _ = send(services)

    assert send(services, check_inputs=invalid) == (created, True)
    assert len(provider.creates) == 1


def test_a_conflicting_repeat_is_refused_without_checking_inputs(services):
    send(services)

    with pytest.raises(ProblemError) as caught:
        send(services, replace(REQUEST, image="https://media.example/c.png"), check_inputs=invalid)

    assert caught.value.code == "idempotency-key-reused"


@pytest.mark.parametrize("key", ["order-42", None])
def test_without_preflight_no_input_is_checked(services, provider, key):
    created, replayed = send(
        services, replace(REQUEST, preflight=False, idempotency_key=key), check_inputs=invalid
    )

    assert (created.stage, replayed) == (Stage.SUBMITTED, False)
    assert len(provider.creates) == 1


def test_the_row_is_written_before_the_provider_is_called(services, table, provider):
    rows = []
    provider.during_create = lambda: rows.append(table.read(next(table.due(BEGINNING + 60))[0]))

    created, _ = send(services)

    (row,) = rows
    assert row.task_id == created.task_id
    assert (row.stage, row.billing, row.attempt) == (Stage.SUBMITTING, Billing.UNKNOWN, 1)
    assert (row.sent_at, row.due_at) == (BEGINNING, BEGINNING + 60)
    assert (row.video, row.image, row.metadata) == (
        *(REQUEST.video, REQUEST.image, REQUEST.metadata),
    )


def test_the_provider_gets_the_given_urls_and_a_callback_url(services, provider):
    created, replayed = send(services)

    ((call),) = provider.creates
    assert not replayed
    assert (call["video"], call["image"]) == (REQUEST.video, REQUEST.image)
    assert call["callback_url"].startswith("https://callback.example/callbacks/")
    path = urlsplit(call["callback_url"]).path
    assert verify(path, key_ring(CALLBACK_KEYS.current)) == created.task_id


@pytest.mark.parametrize("secret", [None, "", "{}"])
def test_without_a_provider_key_nothing_is_written_or_sent(table, secret):
    provider = FakeProvider(key_ring=key_ring(secret))

    with pytest.raises(ProblemError) as caught:
        send(make_services(table, provider))

    assert (caught.value.status, caught.value.code) == (503, "provider-key-not-set")
    assert provider.creates == []
    assert list(table.due(BEGINNING + DAY)) == []


def test_a_sender_that_dies_leaves_a_row_due_in_a_minute(services, table, provider):
    def die():
        raise KeyboardInterrupt

    provider.during_create = die
    with pytest.raises(KeyboardInterrupt):
        send(services)

    ((task_id, due_at),) = table.due(BEGINNING + DAY)
    assert due_at == BEGINNING + 60
    assert table.read(task_id).stage is Stage.SUBMITTING


# ── Outcomes ──────────────────────────────────────────────────────────────────────────────────


def test_an_accepted_create_is_charged_and_waits_for_its_callback(services, table):
    created, _ = send(services)

    assert created.stage is Stage.SUBMITTED
    assert created.billing is Billing.CHARGED
    assert created.provider_task_id == "provider-1"
    assert created.due_at == BEGINNING + 900
    assert created.version == 2
    assert created == table.read(created.task_id)


@pytest.mark.parametrize(("days", "expires_at"), [(0, None), (1, 15), (14, 15), (90, 91)])
def test_a_rejected_create_fails_and_costs_nothing(table, provider, clock, days, expires_at):
    provider.outcome = Rejected(reason=REASON)
    services = make_services(table, provider, clock, result_retention_days=days)

    created, _ = send(services)

    assert created.stage is Stage.FAILED
    assert created.billing is Billing.NONE
    assert created.error == REASON
    assert created.due_at is None
    assert created.expires_at == (None if expires_at is None else BEGINNING + expires_at * DAY)


def test_a_refused_create_costs_nothing_and_is_sent_again_later(services, provider):
    provider.outcome = REFUSED

    created, _ = send(services)

    assert created.stage is Stage.ACCEPTED
    assert created.billing is Billing.NONE
    assert BEGINNING + 24 <= created.due_at <= BEGINNING + 36
    assert created.error is None
    assert created.warnings == (Notice(code="provider_refused", message="TimeoutError"),)


@pytest.mark.parametrize(("retry_after", "least", "most"), [(7.0, 24, 36), (400.0, 400, 400)])
def test_retry_after_delays_the_resend(services, provider, retry_after, least, most):
    provider.outcome = replace(REFUSED, retry_after_seconds=retry_after)

    created, _ = send(services)

    assert BEGINNING + least <= created.due_at <= BEGINNING + most


def test_a_refused_key_is_a_warning_on_the_task(services, provider):
    provider.outcome = Retryable(reason=REASON, key_refused=True)

    created, _ = send(services)

    assert created.stage is Stage.ACCEPTED
    assert [warning.code for warning in created.warnings] == ["provider_key_refused"]


def test_an_ambiguous_create_may_be_charged_and_is_not_due_before_its_deadline(services, provider):
    provider.outcome = AMBIGUOUS

    created, _ = send(services)

    assert created.stage is Stage.UNCONFIRMED
    assert created.billing is Billing.UNKNOWN
    assert created.due_at == BEGINNING + 3_600
    assert [warning.code for warning in created.warnings] == ["create_unconfirmed"]


# ── Repeated requests ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "outcome", [Created(provider_task_id="p"), Rejected(reason=REASON), REFUSED, AMBIGUOUS]
)
def test_a_repeated_request_returns_the_task_without_a_second_create(services, provider, outcome):
    provider.outcome = outcome
    created, first = send(services)

    again, second = send(services)

    assert (first, second) == (False, True)
    assert again == created
    assert len(provider.creates) == 1


def test_a_key_with_another_body_is_a_conflict(services, provider):
    send(services)

    for other in (
        replace(REQUEST, video="https://media.example/other.mp4"),
        replace(REQUEST, metadata={}),
    ):
        with pytest.raises(ProblemError) as caught:
            send(services, other)
        assert (caught.value.status, caught.value.code) == (409, "idempotency-key-reused")
        assert caught.value.field == "Idempotency-Key"
    assert len(provider.creates) == 1


def test_two_clients_may_use_the_same_key(services, provider):
    one, _ = send(services, client="client-1")
    two, replayed = send(services, replace(REQUEST, metadata={}), client="client-2")

    assert one.task_id != two.task_id
    assert not replayed
    assert len(provider.creates) == 2


def test_without_a_key_every_request_makes_a_task(services, provider):
    request = replace(REQUEST, idempotency_key=None)

    assert send(services, request)[0].task_id != send(services, request)[0].task_id
    assert len(provider.creates) == 2


def test_concurrent_equal_requests_make_one_create(services, provider):
    barrier = Barrier(3)

    def at_once(_):
        barrier.wait(5)
        return send(services)

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(at_once, range(3)))

    assert sorted(replayed for _, replayed in results) == [False, True, True]
    assert len({created.task_id for created, _ in results}) == 1
    assert len(provider.creates) == 1


# ── Callbacks before the create's reply ───────────────────────────────────────────────────────

RUNNING = Report(provider_task_id="provider-1", state=ProviderState.RUNNING)
DONE = Report(provider_task_id="provider-1", state=ProviderState.SUCCEEDED, media=SOURCE)


def call_back_during_create(services, body):
    """Make a callback arrive during the create."""

    def call_back():
        ((task_id, _),) = services.table.due(BEGINNING + DAY)
        handle_callback(task_id, body, services)

    services.provider.during_create = call_back


def test_an_empty_callback_makes_a_submitted_task_due_at_once(services):
    call_back_during_create(services, b"")

    created, _ = send(services)

    assert created.stage is Stage.SUBMITTED
    assert created.provider_task_id == "provider-1"
    assert created.due_at == BEGINNING
    assert created.evidence is not None


@pytest.mark.parametrize(
    ("answer", "stage"), [(RUNNING, Stage.RUNNING), (DONE, Stage.STORING)], ids=["running", "done"]
)
def test_the_creates_reply_keeps_what_a_callback_recorded(services, provider, answer, stage):
    call_back_during_create(services, b'{"task_id": "provider-1", "status": "3"}')
    provider.answers["provider-1"] = answer

    created, _ = send(services)

    assert created.stage is stage
    assert created.provider_task_id == "provider-1"
    assert created.billing is Billing.CHARGED
    assert len(provider.creates) == 1


def test_the_creates_reply_adds_its_id_to_a_moved_row(services, table, provider):
    def move_on():
        ((task_id, _),) = table.due(BEGINNING + DAY)
        table.move(table.read(task_id), Stage.UNCONFIRMED, BEGINNING, billing=Billing.UNKNOWN)

    provider.during_create = move_on

    created, _ = send(services)

    assert created.stage is Stage.SUBMITTED
    assert created.provider_task_id == "provider-1"
    assert created.billing is Billing.CHARGED


def test_nothing_is_sent_without_time_to_record_the_outcome(services, provider):
    created, _ = send(services, seconds_left=lambda: 19.9)

    assert provider.creates == []
    assert created.stage is Stage.ACCEPTED
    assert created.billing is Billing.NONE
    assert created.due_at == BEGINNING
    assert created.attempt == 0


def test_an_empty_callback_makes_an_ambiguous_create_due_at_once(services, provider):
    call_back_during_create(services, b"")
    provider.outcome = AMBIGUOUS

    created, _ = send(services)

    assert (created.stage, created.due_at) == (Stage.UNCONFIRMED, BEGINNING)


class Outage:
    """A DynamoDB client whose first updates fail."""

    def __init__(self, client, times):
        self._client = client
        self.times = times
        self.exceptions = client.exceptions

        self.get_item, self.transact_write_items = client.get_item, client.transact_write_items

    def update_item(self, **request):
        self.times -= 1
        if self.times >= 0:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "UpdateItem")
        return self._client.update_item(**request)


def test_recording_a_paid_create_is_retried_during_an_outage(table, provider):
    services = make_services(replace(table, client=Outage(table.client, 2)), provider)

    created, _ = send(services)

    assert created.stage is Stage.SUBMITTED
    assert created == table.read(created.task_id)
    assert len(provider.creates) == 1


def test_recording_is_retried_only_while_time_is_left(table, provider):
    services = make_services(replace(table, client=Outage(table.client, 99)), provider)
    left = iter([28.0, 5.0, 1.9])

    with pytest.raises(ClientError):
        send(services, seconds_left=lambda: next(left))

    ((task_id, due_at),) = table.due(BEGINNING + DAY)
    assert (table.read(task_id).stage, due_at) == (Stage.SUBMITTING, BEGINNING + 60)
    assert len(provider.creates) == 1


@pytest.mark.parametrize("outcome", [Rejected(reason=REASON), REFUSED, AMBIGUOUS])
def test_no_outcome_undoes_what_a_callback_recorded(services, provider, outcome):
    call_back_during_create(services, b'{"task_id": "provider-1"}')
    provider.answers["provider-1"] = DONE
    provider.outcome = outcome

    created, _ = send(services)

    assert created.stage is Stage.STORING
    assert created.billing is Billing.CHARGED


# ── Sending again ─────────────────────────────────────────────────────────────────────────────

WAITING = task(Stage.ACCEPTED, billing=Billing.NONE, attempt=1)


def test_a_refused_task_is_sent_again(services, table, provider, clock):
    table.create(WAITING)
    clock.pass_by(30)

    sent = resend(WAITING, CALLBACK_KEYS, services, plenty, no_warnings)

    assert (sent.stage, sent.attempt) == (Stage.SUBMITTED, 2)
    assert sent.sent_at == BEGINNING + 30
    assert sent.deadline(3_600) == BEGINNING + 30 + 3_600
    assert len(provider.creates) == 1


def test_billing_is_unknown_while_a_task_is_sent_again(services, table, provider):
    rows = []
    table.create(WAITING)
    provider.during_create = lambda: rows.append(table.read(WAITING.task_id))

    resend(WAITING, CALLBACK_KEYS, services, plenty, no_warnings)

    assert (rows[0].stage, rows[0].billing) == (Stage.SUBMITTING, Billing.UNKNOWN)
    assert rows[0].due_at == BEGINNING + 60


def test_each_refusal_doubles_the_wait_up_to_a_quarter_of_an_hour(services, table, provider, clock):
    provider.outcome = REFUSED
    waiting, waits = table.create(WAITING), []
    for _ in range(8):
        waiting = resend(waiting, CALLBACK_KEYS, services, plenty, no_warnings)
        waits.append(waiting.due_at - clock.now)
        clock.now = waiting.due_at

    assert waiting.attempt == 9
    for attempt, wait in enumerate(waits, start=2):
        backoff = min(RESEND_MAX_SECONDS, 30 * 2 ** (attempt - 1))
        assert 0.8 * backoff - 0.001 <= wait <= 1.2 * backoff + 0.001
    assert len(waiting.warnings) == 1


def test_a_task_with_a_callback_is_not_sent_again(services, table, provider):
    called = table.create(replace(WAITING, evidence=Evidence(received_at=BEGINNING, body="")))

    row = resend(called, CALLBACK_KEYS, services, plenty, no_warnings)

    assert provider.creates == []
    assert (row.stage, row.billing) == (Stage.UNCONFIRMED, Billing.UNKNOWN)
    assert row.due_at == BEGINNING
    assert [warning.code for warning in row.warnings] == ["create_unconfirmed"]


def test_a_task_that_another_call_sends_is_left_alone(services, table, provider):
    table.create(WAITING)
    table.move(WAITING, Stage.SUBMITTING, BEGINNING)

    with pytest.raises(MovedOnError):
        resend(WAITING, CALLBACK_KEYS, services, plenty, no_warnings)

    assert provider.creates == []


def test_concurrent_resends_send_once(services, table, provider):
    table.create(WAITING)
    barrier = Barrier(3)

    def at_once(_):
        barrier.wait(5)
        try:
            resend(WAITING, CALLBACK_KEYS, services, plenty, no_warnings)
        except MovedOnError:
            return "moved on"
        return "sent"

    with ThreadPoolExecutor(3) as pool:
        results = sorted(pool.map(at_once, range(3)))

    assert results == ["moved on", "moved on", "sent"]
    assert len(provider.creates) == 1


def test_a_task_refused_for_six_hours_fails(services, table, provider, clock):
    table.create(WAITING)
    clock.pass_by(6 * HOUR)
    provider.outcome = REFUSED
    waiting = resend(WAITING, CALLBACK_KEYS, services, plenty, no_warnings)
    assert waiting.stage is Stage.ACCEPTED

    clock.pass_by(1)
    given_up = resend(waiting, CALLBACK_KEYS, services, plenty, no_warnings)

    assert given_up.stage is Stage.FAILED
    assert given_up.error.code == "provider_unavailable"
    assert given_up.billing is Billing.NONE
    assert given_up.due_at is None
    assert len(provider.creates) == 1


# ── Uploads ───────────────────────────────────────────────────────────────────────────────────

BUCKETS = count(1)
UPLOADS = "uploads/client-1/"


@pytest.fixture
def uploaded(aws, table, provider, clock):
    """Submit two uploads under the key ``order-42``; ``upload_id`` names both."""
    return uploading(aws("s3"), table, provider, clock)


def uploading(s3, table, provider, clock):
    bucket = UploadsBucket(f"submitted-{next(BUCKETS)}", s3=s3)
    bucket.client().create_bucket(Bucket=bucket.bucket)
    stack = replace(make_services(table, provider, clock), uploads=bucket)

    def submit(upload_id, files=None, **fields):
        folder = f"{UPLOADS}{upload_id}/"
        for name, content in (files or {}).items():
            bucket.client().put_object(Bucket=bucket.bucket, Key=folder + name, Body=content)
        uris = {name: bucket.uri(folder + name) for name in ("video", "image")}
        return send(stack, replace(REQUEST, **uris, **fields))

    submit.delete = lambda upload_id, name: bucket.delete(f"{UPLOADS}{upload_id}/{name}")
    submit.bucket = bucket.bucket
    return submit


FILES = {"video": MP4, "image": PNG}


def test_the_same_bytes_under_a_new_upload_id_are_the_same_request(uploaded, provider):
    first, _ = uploaded("1" * 16, FILES)

    assert uploaded("2" * 16, FILES) == (first, True)
    assert uploaded("3" * 16, FILES, preflight=False) == (first, True)
    assert len(provider.creates) == 1


@pytest.mark.parametrize("changed", [{"video": MP4 + b"b"}, {"image": PNG + b"b"}])
def test_other_bytes_under_a_new_upload_id_are_another_request(uploaded, changed):
    uploaded("1" * 16, FILES)

    with pytest.raises(ProblemError) as caught:
        uploaded("2" * 16, FILES | changed)
    assert caught.value.code == "idempotency-key-reused"


def test_the_same_bytes_are_the_same_request_under_a_kms_key_too(aws, table, provider, clock):
    s3 = keyed_s3(aws("s3"))
    uploaded = uploading(s3, table, provider, clock)
    encrypt_by_key(s3, uploaded.bucket)
    s3.put_bucket_versioning(Bucket=uploaded.bucket, VersioningConfiguration={"Status": "Enabled"})
    first, _ = uploaded("1" * 16, FILES)

    assert uploaded("2" * 16, FILES) == (first, True)
    with pytest.raises(ProblemError) as caught:
        uploaded("3" * 16, FILES | {"video": MP4 + b"b"})
    assert caught.value.document()["differs"] == ["video"]


def test_the_same_bytes_with_other_metadata_are_another_request(uploaded):
    uploaded("1" * 16, FILES)

    with pytest.raises(ProblemError) as caught:
        uploaded("2" * 16, FILES, metadata={"order": "43"})
    assert caught.value.code == "idempotency-key-reused"


def test_a_repeat_gets_its_task_after_its_upload_is_gone(uploaded):
    first, _ = uploaded("1" * 16, FILES)
    uploaded.delete("1" * 16, "video")

    assert uploaded("1" * 16) == (first, True)


def test_a_row_without_a_content_hash_is_replayed_by_its_upload_id_only(uploaded, table, dynamodb):
    first, _ = uploaded("1" * 16, FILES)
    dynamodb.update_item(
        TableName=table.name,
        Key={"task_id": {"S": first.task_id}},
        UpdateExpression="REMOVE content_hash",
    )

    assert uploaded("1" * 16)[1]
    with pytest.raises(ProblemError) as caught:
        uploaded("2" * 16, FILES)
    assert caught.value.code == "idempotency-key-reused"


# ── Clients, their limits, and the pause ──────────────────────────────────────────────────────


def test_a_request_is_one_task_of_its_client_whichever_key_it_came_with(services):
    first, _ = send(services, client=Client(name="acme"))
    again, replayed = send(services, client=Client(name="acme", former_ids=frozenset({"0" * 16})))
    other, _ = send(services, client=Client(name="other"))

    assert (again.task_id, replayed) == (first.task_id, True)
    assert other.task_id != first.task_id


@pytest.mark.parametrize(
    ("chosen", "client", "code"),
    [
        ({"daily_budget_usd": 0.5}, Client(name="acme"), "budget-exceeded"),
        ({}, Client(name="acme", daily_budget=500_000), "budget-exceeded"),
        ({}, Client(name="acme", max_open=1), "too-many-open-tasks"),
    ],
)
def test_what_exceeds_a_limit_is_not_sent(table, provider, clock, chosen, client, code):
    services = make_services(table, provider, clock, **chosen)
    send(services, replace(REQUEST, idempotency_key="1"), client)

    with pytest.raises(ProblemError) as caught:
        send(services, replace(REQUEST, idempotency_key="2"), client)

    problem = caught.value
    assert (problem.status, problem.code) == (429, code)
    assert problem.retry_after == (30 if client.max_open else DAY - BEGINNING % DAY)
    assert len(provider.creates) == 1
    assert table.read(derive_task_id("acme", "2")) is None
    # The key was not used up, and the first task can still be asked for.
    again, replayed = send(services, replace(REQUEST, idempotency_key="1"), client)
    assert (again.stage, replayed) == (Stage.SUBMITTED, True)


def test_a_budget_starts_anew_with_the_day(table, provider, clock):
    client = Client(name="acme", daily_budget=400_000)
    services = make_services(table, provider, clock)
    send(services, replace(REQUEST, idempotency_key="1"), client)
    clock.pass_by(DAY)

    created, _ = send(services, replace(REQUEST, idempotency_key="2"), client)

    assert created.stage is Stage.SUBMITTED


def test_a_refusal_keeps_its_reservation_and_a_rejection_returns_it(table, provider, clock):
    client = Client(name="acme", daily_budget=400_000)
    services = make_services(table, provider, clock)
    provider.outcome = REFUSED
    waiting, _ = send(services, replace(REQUEST, idempotency_key="1"), client)
    with pytest.raises(ProblemError):
        send(services, replace(REQUEST, idempotency_key="2"), client)

    provider.outcome = Rejected(reason=REASON)
    resend(waiting, CALLBACK_KEYS, services, plenty, no_warnings)
    provider.outcome = Created(provider_task_id="provider-2")
    created, _ = send(services, replace(REQUEST, idempotency_key="2"), client)

    assert created.stage is Stage.SUBMITTED


def test_a_task_waits_while_sending_is_paused(table, provider, clock):
    clients = FakeClients(paused=True)
    services = make_services(table, provider, clock, clients)
    held, replayed = send(services)

    assert (held.stage, held.billing, held.version, replayed) == (
        *(Stage.ACCEPTED, Billing.NONE, 1, False),
    )
    assert (held.attempt, held.sent_at) == (0, None)
    assert [warning.code for warning in held.warnings] == ["sending_paused"]
    assert (provider.creates, list(table.due(clock.now + 400 * DAY))) == ([], [])

    clock.pass_by(2 * DAY)  # a pause is no fault of the provider's
    released = table.release_held(held.task_id, held.due_at, clock.now)
    clients.paused = False
    sent = resend(released, CALLBACK_KEYS, services, plenty, no_warnings)

    assert (sent.stage, len(provider.creates)) == (Stage.SUBMITTED, 1)


def test_a_refused_task_is_held_when_it_is_due_during_a_pause(table, provider, clock):
    clients = FakeClients()
    services = make_services(table, provider, clock, clients)
    provider.outcome = REFUSED
    waiting, _ = send(services)
    clients.paused = True

    held = resend(waiting, CALLBACK_KEYS, services, plenty, no_warnings)

    assert (held.stage, len(provider.creates)) == (Stage.ACCEPTED, 1)
    assert [task_id for task_id, _ in table.held()] == [held.task_id]
