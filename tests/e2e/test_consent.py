"""A stack that requires consent: each way in carries it to the result, or pays for nothing."""

import json
from email.header import decode_header, make_header
from urllib.parse import urlsplit

import pytest

from tests.e2e.caller import Bus
from tests.e2e.drops import Dropper, image, video
from tests.endpoints import endpoint
from tests.schemas import faults_of

CONSENT = "release 2026/114, signed by Zoë"


@pytest.fixture(scope="module")
def dropper(guarded_stack):
    return Dropper(guarded_stack)


@pytest.fixture(scope="module")
def bus(dropper):
    with Bus(dropper.stack) as listening:
        yield listening


def assert_on_record(dropper, bus, task_id):
    """Check that everything that tells of a task tells its consent and what its result is."""
    dropper.wait(task_id, {"succeeded"})
    heard = bus.of(task_id, "Task Succeeded")
    shown = dropper.read(task_id)
    prefix = shown["output"]["video"]["s3_uri"].rpartition("/")[0]
    documents = [
        shown,
        json.loads(dropper.object(f"{prefix}/task.json")),
        *(event["detail"] for event in heard),
    ]

    assert [(one["consent"], one["disclosure"]) for one in documents] == [
        (CONSENT, "ai-generated")
    ] * len(documents)
    assert [faults_of(event) for event in heard] == [[]] * len(heard)
    assert shown["output"]["video"]["c2pa"] is False
    names = {key.rpartition("/")[2] for key in dropper.result_keys() if f"/{task_id}/" in key}
    assert {name.partition(".")[0] for name in names} == {"video", "poster", "last_frame", "task"}
    place = urlsplit(prefix)
    for name in names:
        metadata = dropper.s3.head_object(
            Bucket=place.netloc, Key=f"{place.path.lstrip('/')}/{name}"
        )["Metadata"]
        consent = str(make_header(decode_header(metadata["consent"])))
        assert (metadata["task-id"], metadata["disclosure"], consent) == (
            *(task_id, "ai-generated", CONSENT),
        )


def test_consent_by_http_is_on_record(dropper, bus):
    with endpoint() as called:
        task_id = dropper.submit("seconds=1", consent=CONSENT, webhook={"url": called.url})
        (received,) = called.wait(1)

    assert_on_record(dropper, bus, task_id)
    data = json.loads(received.body)["data"]
    assert (data["consent"], data["disclosure"]) == (CONSENT, "ai-generated")


def test_consent_by_event_and_by_message_is_on_record(dropper, bus):
    body = dropper.body("seconds=1", consent=CONSENT)
    event_id = dropper.event(body)
    dropper.message({**body, "idempotency_key": "consent by message"})

    for key in (event_id, "consent by message"):
        assert_on_record(dropper, bus, dropper.requested(key).task_id)


def test_consent_by_folder_is_on_record(dropper, bus):
    dropper.put("consented", "task.json", {"consent": CONSENT})
    dropper.put("consented", "performance.mp4", video("consented"))
    dropper.put("consented", "character.png", image("consented"))

    assert_on_record(dropper, bus, dropper.task_of("consented").task_id)
    result = dropper.written("consented", "result.json")
    assert (result["consent"], result["disclosure"]) == (CONSENT, "ai-generated")


def test_a_request_without_consent_is_refused_and_not_paid_for(dropper):
    rows, creates = dropper.rows(), dropper.simulator("bill")["creates_seen"]

    answer = dropper.post(dropper.body("seconds=1"))

    assert (answer.status_code, answer.json()["code"]) == (400, "consent-missing")
    assert answer.json()["field"] == "consent"
    assert (dropper.rows(), dropper.simulator("bill")["creates_seen"]) == (rows, creates)


def test_an_event_without_consent_is_rejected(dropper, bus):
    event_id = dropper.event(dropper.body("seconds=1"))

    [rejected] = bus.of(event_id, "Task Rejected")

    assert rejected["detail"]["problem"]["code"] == "consent-missing"
    assert rejected["detail"]["consent"] is None
    assert faults_of(rejected) == []


def test_a_folder_without_consent_says_so_and_starts_once_task_json_is_put(dropper, bus):
    dropper.put("waiting", "performance.mp4", video("waiting"))
    dropper.put("waiting", "character.png", image("waiting"))

    problem = dropper.written("waiting", "problem.json")
    assert (problem["code"], problem["field"]) == ("consent-missing", "consent")
    assert "task.json" in problem["detail"]
    assert "put both files" not in problem["detail"]
    assert dropper.tasks_of("waiting") == []

    dropper.put("waiting", "task.json", {"consent": CONSENT})
    task = dropper.task_of("waiting")

    assert_on_record(dropper, bus, task.task_id)
    assert dropper.written("waiting", "result.json")["consent"] == CONSENT
    assert "problem.json" not in dropper.names("waiting")
    assert dropper.creates_paid(task.task_id) == 1


def test_the_same_key_with_another_consent_is_another_request(dropper):
    key = {"Idempotency-Key": "consent"}
    first = dropper.post(dropper.body("seconds=1", consent=CONSENT), key)

    again = dropper.post(dropper.body("seconds=1", consent=CONSENT), key)
    other = dropper.post(dropper.body("seconds=1", consent="another"), key)

    assert again.json()["id"] == first.json()["id"]
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
