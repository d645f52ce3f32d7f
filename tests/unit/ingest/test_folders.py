"""Each pair in a folder is submitted once and never mixed, whatever happens meanwhile."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Barrier
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from act_one.clock import DAY
from act_one.ingest.context import IngestContext
from act_one.ingest.folders import WAIT_SECONDS, UnsettledError, is_trigger, take_folder
from act_one.ingest.messages import take
from act_one.ingest.pairs import PairTable
from act_one.ingest.results import write_result
from act_one.inputs.bucket import UploadsBucket
from act_one.lifecycle.services import Services
from act_one.problems import ProblemError
from act_one.tasks.task import Output, Stage, StoredMedia
from tests.unit.fakes import (
    FakeClients,
    FakeClock,
    FakeProvider,
    key_ring,
    never,
    settings,
    submitted,
)
from tests.unit.inputs.test_bucket import MP4, PNG

NUMBERS = count(1)
FOLDER = "incoming/a/"
VIDEO, IMAGE = "take.mp4", "face.png"


class FakeBus:
    def __init__(self):
        self.heard = []
        self.refuses = False
        self.before = lambda: None

    def put_events(self, *, Entries):  # noqa: N803 - boto3's name
        self.before()
        if self.refuses:
            return {"Entries": [{"ErrorCode": "ThrottlingException"}]}
        self.heard += Entries
        return {"Entries": [{}]}


class FakeQueue:
    def __init__(self):
        self.messages = []

    def send_message(self, **asked):
        self.messages.append(asked)


class Killed(BaseException):
    """The function is gone, at once."""


class Drop:
    """A folder, what stands behind it, and what the provider was sent."""

    def __init__(self, aws, table, pairs):
        s3, number = aws("s3"), next(NUMBERS)
        self.s3, self.bucket = s3, f"context-{number}"
        s3.create_bucket(Bucket=self.bucket)
        s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.provider, self.bus, self.clock = FakeProvider(), FakeBus(), FakeClock(time.time())
        self.queue, self.results = FakeQueue(), f"results-{number}"
        s3.create_bucket(Bucket=self.results)
        self.settings = settings(ingest_queue_url="https://queue.example", input_retention_days=1)
        self.services = Services(
            table,
            self.provider,
            self.settings,
            self.clock,
            FakeClients(),
            UploadsBucket(self.bucket, s3=s3),
        )
        self.context = IngestContext(
            table,
            self.services.uploads,
            self.services.settings,
            self.clock,
            self.services.clients,
            pairs,
            self.bus,
            self.queue,
        )
        self.before_submit = lambda: None

    def put(self, name, data):
        self.s3.put_object(Bucket=self.bucket, Key=FOLDER + name, Body=data)

    def submit(self, request, client_id):
        self.before_submit()
        task, _ = submitted(self.services, request, client_id)
        return task

    def look(self, name=VIDEO):
        take_folder(FOLDER + name, self.context, self.submit)

    def sent(self):
        """What the provider finds at the URLs that it was given, pair by pair."""
        return [
            (self._at(call["video"]), self._at(call["image"])) for call in self.provider.creates
        ]

    def _at(self, url):
        version = parse_qs(urlsplit(url).query)["versionId"][0]
        key = unquote(urlsplit(url).path).split("/", 2)[2]
        answer = self.s3.get_object(Bucket=self.bucket, Key=key, VersionId=version)
        return answer["Body"].read()[-2:].decode().strip("\0")

    def document(self, name, folder=FOLDER):
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=folder + name)
        except self.s3.exceptions.NoSuchKey:
            return None
        return json.loads(answer["Body"].read())


@pytest.fixture
def folder(aws, table, pairs):
    return Drop(aws, table, pairs)


def videos(name):
    return MP4 + name.encode()


def images(name):
    return PNG + name.encode()


def test_two_looks_at_the_same_moment_pay_once(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    together = Barrier(4)
    folder.before_submit = lambda: together.wait(10)

    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(folder.look, name) for name in (VIDEO, IMAGE) * 2]
        for look in looks:
            look.result()

    assert folder.sent() == [("v1", "i1")]


def test_the_id_of_a_folders_task_cannot_be_computed_from_its_files(
    aws, table, dynamodb, create_table
):
    ids = set()
    for _ in range(2):
        drop = Drop(aws, table, PairTable(dynamodb, create_table("PairsTable")))
        drop.put(VIDEO, videos("v1"))
        drop.put(IMAGE, images("i1"))
        drop.look()
        ids.add(drop.context.pairs.read(FOLDER).task_id)

    assert len(ids) == 2


def test_a_retry_completes_a_pair_whose_first_attempt_stopped_between_claim_and_create(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))

    def die():
        raise Killed

    folder.before_submit = die
    with pytest.raises(Killed):
        folder.look()
    folder.before_submit = lambda: None
    folder.look()
    folder.look()

    assert folder.sent() == [("v1", "i1")]


def test_a_task_json_that_changes_between_two_looks_is_no_problem_of_the_files(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    other = [True]

    def look_too():
        if other:
            other.clear()
            folder.put("task.json", b'{"metadata": {"order": "42"}}')
            folder.look()

    folder.before_submit = look_too
    folder.look()

    assert folder.sent() == [("v1", "i1")]
    assert folder.document("problem.json") is None


@pytest.mark.parametrize("names", [(VIDEO, IMAGE), (IMAGE, VIDEO)], ids=["video", "image"])
@pytest.mark.parametrize("looks", range(1, 8))
def test_a_replaced_pair_is_never_mixed_whenever_the_folder_is_read(names, looks, folder):
    """Both within one second, which is as much as S3's times tell."""
    new = {VIDEO: videos("v2"), IMAGE: images("i2")}
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()

    for step, name in enumerate(names):
        if looks & (1 << step):
            folder.look(name)
        folder.put(name, new[name])
    folder.look()
    folder.look()

    assert folder.sent() == [("v1", "i1"), ("v2", "i2")]


def test_a_file_replaced_between_look_and_create_is_sent_as_it_was_looked_at(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.before_submit = lambda: folder.put(VIDEO, videos("v2"))

    folder.look()
    folder.before_submit = lambda: None
    folder.look()

    assert folder.sent() == [("v1", "i1")]


def test_a_file_replaced_while_it_is_looked_at_is_looked_at_again(folder, monkeypatch):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    look, left = folder.services.uploads.inspect, [1]

    def replaced_meanwhile(key, etag=None):
        if left and key.endswith(VIDEO):
            left.pop()
            folder.put(VIDEO, videos("v2"))
        return look(key, etag)

    monkeypatch.setattr(folder.services.uploads, "inspect", replaced_meanwhile)
    folder.look()

    assert folder.sent() == [("v2", "i1")]


def test_a_folder_that_never_rests_comes_back(folder, monkeypatch):
    folder.put(VIDEO, videos("v1"))
    look, number = folder.services.uploads.inspect, count(2)

    def replaced_meanwhile(key, etag=None):
        folder.put(VIDEO, videos(f"v{next(number)}"))
        return look(key, etag)

    monkeypatch.setattr(folder.services.uploads, "inspect", replaced_meanwhile)

    with pytest.raises(UnsettledError):
        folder.look()


def refuse(status, code):
    def refused(_request, _client_id):
        raise ProblemError(status, code, "title", "detail", field="video")

    return refused


def test_a_refused_pair_is_told_once_and_both_files_have_to_be_new(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    refused = refuse(422, "input-too-long")

    for _ in range(3):
        take_folder(FOLDER + VIDEO, folder.context, refused)
    folder.put(VIDEO, videos("v2"))
    folder.look()
    assert folder.sent() == []
    assert folder.document("problem.json")["code"] == "upload-incomplete"
    assert IMAGE in folder.document("problem.json")["detail"]
    folder.put(IMAGE, images("i2"))
    folder.look()

    assert len(folder.bus.heard) == 1
    assert folder.sent() == [("v2", "i2")]
    assert folder.document("problem.json") is None


def test_what_passes_by_itself_is_no_problem_of_the_files(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.services.provider.key_ring = key_ring(None)

    with pytest.raises(ProblemError):
        folder.look()
    assert folder.document("problem.json") is None
    folder.services.provider.key_ring = key_ring()
    folder.look()

    assert folder.sent() == [("v1", "i1")]


def test_a_problem_is_written_after_its_event_was_taken(folder):
    folder.put(VIDEO, b"smile more, please")
    folder.bus.refuses = True
    with pytest.raises(Exception, match="Throttling"):
        folder.look()
    assert folder.document("problem.json") is None

    folder.bus.refuses = False
    folder.look()

    assert folder.document("problem.json")["code"] == "input-wrong-type"
    assert json.loads(folder.bus.heard[0]["Detail"])["problem"]["file"] == VIDEO


def end(folder, stage=Stage.FAILED):
    [(task_id, _)] = folder.services.table.due(folder.clock() + 1e6)
    task = folder.services.table.read(task_id)
    return folder.services.table.move(task, stage, folder.clock(), due_at=None)


def test_the_end_of_an_older_pair_does_not_stand_for_the_newer(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    first = end(folder)
    write_result(first.task_id, folder.context)
    assert folder.document("result.json")["id"] == first.task_id
    folder.put(VIDEO, videos("v2"))
    folder.put(IMAGE, images("i2"))
    folder.look()
    assert folder.document("result.json") is None

    write_result(first.task_id, folder.context)  # an event that came late
    assert folder.document("result.json") is None
    second = end(folder)
    write_result(second.task_id, folder.context)

    assert folder.document("result.json")["id"] == second.task_id


def test_of_two_who_write_a_result_the_newer_state_stays(folder, monkeypatch):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    failed = end(folder)
    put_object, moves = folder.s3.put_object, [Stage.STORING, Stage.SUCCEEDED]

    def overtaken(**asked):
        while moves:
            current = folder.services.table.read(failed.task_id)
            folder.services.table.move(current, moves.pop(0), folder.clock(), due_at=1.0)
        return put_object(**asked)

    monkeypatch.setattr(folder.s3, "put_object", overtaken)
    write_result(failed.task_id, folder.context)

    assert folder.document("result.json")["status"] == "succeeded"


def erased(folder, task_id):
    table = folder.services.table
    row = table.begin_erasure(table.read(task_id), folder.clock())
    return table.end_erasure(row, folder.clock())


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_result_that_is_written_while_its_task_is_erased_does_not_stay(
    folder, monkeypatch, after
):
    """The erasure, which deletes what it finds, comes before or after either of the files."""
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    failed = end(folder)
    put_object, written = folder.s3.put_object, []

    def erased_meanwhile(**asked):
        if len(written) == after:
            erased(folder, failed.task_id)
        written.append(asked["Key"])
        answer = put_object(**asked)
        if len(written) == after == 2:
            erased(folder, failed.task_id)
        return answer

    monkeypatch.setattr(folder.s3, "put_object", erased_meanwhile)
    write_result(failed.task_id, folder.context)

    assert written == ["outgoing/a/result.json", "incoming/a/result.json"]
    assert folder.document("result.json") is None
    assert folder.document("result.json", "outgoing/a/") is None


def test_an_erased_tasks_folder_is_not_written_and_its_pair_not_paid_again(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    storing = end(folder, Stage.STORING)
    succeeded = folder.services.table.move(storing, Stage.SUCCEEDED, folder.clock(), due_at=None)
    erased(folder, succeeded.task_id)

    write_result(succeeded.task_id, folder.context)
    folder.put(VIDEO, videos("v1"))
    folder.look()

    assert folder.document("result.json") is None
    assert folder.sent() == [("v1", "i1")]


def test_an_older_pair_is_not_paid_again_when_its_row_is_gone(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    forget(folder)

    folder.look()
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()

    assert folder.sent() == [("v1", "i1")]
    assert folder.document("problem.json") is None


def test_a_retry_remembers_a_pair_whose_first_attempt_stopped_after_the_create(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))

    def submit_and_die(request, client_id):
        folder.submit(request, client_id)
        raise Killed

    with pytest.raises(Killed):
        take_folder(FOLDER + VIDEO, folder.context, submit_and_die)
    folder.look()
    forget(folder)
    folder.look()

    assert folder.sent() == [("v1", "i1")]


def forget(folder):
    """Delete the rows of tasks, as their TTL does."""
    client, name = folder.services.table.client, folder.services.table.name
    for item in client.scan(TableName=name)["Items"]:
        client.delete_item(TableName=name, Key={"task_id": item["task_id"]})


def test_a_claim_outlives_the_files_however_often_they_are_put_again(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    first = folder.context.pairs.read(FOLDER).expires_at
    assert first > folder.clock() + 400 * DAY

    folder.clock.pass_by(300 * DAY)
    folder.look()

    assert folder.context.pairs.read(FOLDER).expires_at == first + 300 * DAY


def test_a_pair_whose_task_failed_is_submitted_again_when_both_files_are_put_again(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    first = end(folder)
    write_result(first.task_id, folder.context)
    assert "put both files" in folder.document("result.json")["ask_again"]

    put_later(folder, VIDEO, videos("v1"))
    folder.look()
    assert len(folder.sent()) == 1
    put_later(folder, IMAGE, images("i1"))
    folder.look()
    folder.look()

    assert folder.sent() == [("v1", "i1")] * 2
    second = folder.context.pairs.read(FOLDER).task_id
    assert second != first.task_id
    assert folder.document("result.json") is None
    write_result(second, folder.context)
    write_result(first.task_id, folder.context)
    assert folder.document("result.json") is None


def put_later(folder, name, data):
    """Put a file so much later that S3's time of it is another."""
    time.sleep(1.1)
    folder.put(name, data)


def test_a_pair_whose_task_succeeded_is_never_submitted_again(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    succeed(folder)

    put_later(folder, VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()

    assert len(folder.sent()) == 1


def succeed(folder):
    task = end(folder, Stage.STORING)
    folder.s3.put_object(Bucket=folder.results, Key="tasks/1/video.mp4", Body=b"the video")
    stored = StoredMedia(
        s3_uri=f"s3://{folder.results}/tasks/1/video.mp4",
        size=9,
        sha256="00",
        content_type="video/mp4",
    )
    return folder.services.table.move(
        task, Stage.SUCCEEDED, folder.clock(), output=Output(video=stored), due_at=None
    )


def test_the_video_and_its_result_are_copied_to_where_they_stay(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    task = succeed(folder)

    write_result(task.task_id, folder.context)
    write_result(task.task_id, folder.context)

    result = folder.document("result.json", "outgoing/a/")
    assert result == folder.document("result.json")
    assert result["video_copy"] == f"s3://{folder.bucket}/outgoing/a/result.mp4"
    copied = folder.s3.get_object(Bucket=folder.bucket, Key="outgoing/a/result.mp4")
    assert copied["Body"].read() == b"the video"


def test_the_video_of_an_older_pair_does_not_stay_beside_a_newer_result(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    write_result(succeed(folder).task_id, folder.context)
    folder.put(VIDEO, videos("v2"))
    folder.put(IMAGE, images("i2"))
    folder.look()

    write_result(end(folder).task_id, folder.context)

    assert folder.document("result.json", "outgoing/a/")["status"] == "failed"
    names = folder.services.uploads.list_files("outgoing/a/")
    assert [*names] == ["result.json"]


# ── problem.json is true ──────────────────────────────────────────────────────────────────────


def test_a_lone_file_is_told_what_it_waits_for_after_a_while(folder):
    folder.put(VIDEO, videos("v1"))

    folder.look()
    assert folder.document("problem.json") is None
    [later] = folder.queue.messages
    folder.clock.pass_by(later["DelaySeconds"] + 2)
    take(later["MessageBody"], "m", folder.context, folder.submit, never)

    problem = folder.document("problem.json")
    assert (problem["code"], later["DelaySeconds"]) == ("upload-incomplete", WAIT_SECONDS)
    assert "character image" in problem["detail"]
    assert folder.bus.heard == []
    folder.put(IMAGE, images("i1"))
    folder.look()
    assert folder.document("problem.json") is None
    assert folder.sent() == [("v1", "i1")]


def test_a_problem_goes_when_its_files_go(folder):
    folder.put("note.txt", b"smile more, please")
    folder.look("note.txt")
    assert folder.document("problem.json")["code"] == "input-wrong-type"

    folder.s3.delete_object(Bucket=folder.bucket, Key=FOLDER + "note.txt")
    folder.look("note.txt")

    assert folder.document("problem.json") is None


def test_a_problem_that_is_written_late_does_not_outlive_its_state(folder, monkeypatch):
    folder.put(VIDEO, b"smile more, please")
    write, left = folder.services.uploads.write_json, [1]

    def repaired_meanwhile(key, body):
        if left:
            left.pop()
            folder.put(VIDEO, videos("v1"))
            folder.put(IMAGE, images("i1"))
            folder.look()
        write(key, body)

    monkeypatch.setattr(folder.services.uploads, "write_json", repaired_meanwhile)
    folder.look()

    assert folder.document("problem.json") is None
    assert folder.sent() == [("v1", "i1")]


def test_a_refused_pair_says_that_both_files_have_to_be_put_again(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))

    take_folder(FOLDER + VIDEO, folder.context, refuse(422, "input-too-long"))

    assert "put both files into the folder again" in folder.document("problem.json")["detail"]


# ── Consent ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def strict(folder):
    """A folder of a stack that requires consent."""
    folder.services = replace(
        folder.services, settings=replace(folder.settings, require_consent=True)
    )
    return folder


def consents(name):
    return json.dumps({"consent": name}).encode()


def test_a_folder_without_required_consent_starts_once_task_json_is_put(strict):
    strict.put(VIDEO, videos("v1"))
    strict.put(IMAGE, images("i1"))
    strict.look()

    problem = strict.document("problem.json")
    assert (problem["code"], problem["field"]) == ("consent-missing", "consent")
    assert 'put task.json into the folder, such as {"consent"' in problem["detail"]
    assert "both files" not in problem["detail"]
    assert strict.sent() == []
    [rejected] = strict.bus.heard
    assert json.loads(rejected["Detail"])["problem"] == problem

    strict.put("task.json", consents("release-114"))
    strict.look("task.json")

    assert strict.document("problem.json") is None
    assert strict.sent() == [("v1", "i1")]


def test_a_folder_that_names_its_consent_first_starts_at_once(strict):
    strict.put("task.json", consents("release-114"))
    strict.put(VIDEO, videos("v1"))
    strict.put(IMAGE, images("i1"))
    strict.look()

    assert strict.sent() == [("v1", "i1")]
    assert strict.document("problem.json") is None


def test_a_task_of_before_consent_was_required_stays_the_folders_task(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()

    folder.services = replace(
        folder.services, settings=replace(folder.settings, require_consent=True)
    )
    for again in (False, True):
        if again:
            folder.put(VIDEO, videos("v1"))
            folder.put(IMAGE, images("i1"))
        folder.look()

    assert folder.document("problem.json") is None
    assert folder.sent() == [("v1", "i1")]


def test_an_invalid_consent_is_told_and_rejected_without_it(folder):
    folder.put("task.json", consents("two\nlines"))
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()

    assert folder.document("problem.json")["code"] == "consent-invalid"
    [rejected] = folder.bus.heard
    assert json.loads(rejected["Detail"])["consent"] is None
    assert folder.sent() == []


def test_files_too_many_are_one_rejection(folder):
    for number in range(25):
        folder.put(f"{number}.png", images(f"i{number}"))
        folder.look(f"{number}.png")

    assert len(folder.bus.heard) == 1
    assert folder.document("problem.json")["code"] == "upload-ambiguous"


def test_a_folder_with_more_entries_than_are_read_is_one_rejection(
    folder, entries_of_a_page, monkeypatch
):
    monkeypatch.setattr("act_one.inputs.bucket.MAX_PAGES", 1)
    for number in range(entries_of_a_page + 1):
        folder.s3.put_object(Bucket=folder.bucket, Key=f"{FOLDER}{number:04}/x")
    for name, data in ((VIDEO, videos("v1")), (IMAGE, images("i1"))):
        folder.put(name, data)
        folder.look(name)

    assert len(folder.bus.heard) == 1
    problem = folder.document("problem.json")
    assert (problem["code"], "too many entries" in problem["title"]) == ("upload-ambiguous", True)
    assert folder.sent() == []

    for number in range(entries_of_a_page + 1):
        folder.s3.delete_object(Bucket=folder.bucket, Key=f"{FOLDER}{number:04}/x")
    folder.look(VIDEO)

    assert folder.sent() == [("v1", "i1")]
    assert folder.document("problem.json") is None


def once(action):
    """An action that is done the first time only."""
    left = [action]

    def act(*_):
        if left:
            left.pop()()

    return act


@pytest.mark.parametrize("more", [None, "third.png"], ids=["same files", "one more"])
def test_a_folder_read_while_its_rejection_is_sent_gets_no_second_one(folder, more):
    folder.put("first.png", images("i1"))
    folder.put("second.png", images("i2"))

    def read_meanwhile():
        if more is not None:
            folder.put(more, images("i3"))
        folder.look("second.png")
        assert folder.document("problem.json") is None

    folder.bus.before = once(read_meanwhile)
    folder.look("first.png")
    [later] = folder.queue.messages
    folder.clock.pass_by(later["DelaySeconds"])
    take(later["MessageBody"], "m", folder.context, folder.submit, never)

    assert len(folder.bus.heard) == 1
    assert folder.document("problem.json")["detail"].startswith(
        "the folder has 2 images" if more is None else "the folder has 3 images"
    )


@pytest.mark.parametrize("more", [None, "third.png"], ids=["same files", "one more"])
def test_a_folder_read_before_its_rejection_was_sent_gets_no_second_one(folder, more, monkeypatch):
    folder.put("first.png", images("i1"))
    folder.put("second.png", images("i2"))
    list_files = folder.services.uploads.list_files

    def another_invocation():
        if more is not None:
            folder.put(more, images("i3"))
        folder.look("second.png")

    after_listing = once(another_invocation)

    def listed(name):
        files = list_files(name)
        after_listing()
        return files

    monkeypatch.setattr(folder.services.uploads, "list_files", listed)
    folder.look("first.png")

    assert len(folder.bus.heard) == 1
    assert folder.queue.messages == []


def test_two_invocations_at_once_send_one_rejection(folder):
    for number in range(21):
        folder.put(f"{number}.png", images(f"i{number}"))
    begin = Barrier(2)

    def look(name):
        begin.wait()
        folder.look(name)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(look, ["0.png", "20.png"]))

    assert len(folder.bus.heard) == 1
    assert folder.document("problem.json")["code"] == "upload-ambiguous"


@pytest.mark.parametrize("sent", [False, True], ids=["before it is sent", "after it was sent"])
def test_a_rejection_whose_sender_is_stopped_is_sent_again(folder, sent, monkeypatch):
    folder.put("first.png", images("i1"))
    folder.put("second.png", images("i2"))
    put = folder.context.pairs.client.put_item

    def stopped(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        if sent:
            patch.setattr(folder.services.uploads, "write_json", stopped)
        else:
            folder.bus.before = stopped
        # Nothing is given back by a function that is gone.
        patch.setattr(
            folder.context.pairs.client,
            "put_item",
            lambda **asked: {} if asked["Item"].get("lease_until") == {"N": "0"} else put(**asked),
        )
        with pytest.raises(Killed):
            folder.look("first.png")
    folder.bus.before = lambda: None
    folder.look("first.png")
    assert len(folder.bus.heard) == sent

    [later] = folder.queue.messages
    folder.clock.pass_by(later["DelaySeconds"])
    take(later["MessageBody"], "m", folder.context, folder.submit, never)

    event_ids = [json.loads(event["Detail"])["event_id"] for event in folder.bus.heard]
    assert len(event_ids) == 1 + sent
    assert len(set(event_ids)) == 1
    assert folder.document("problem.json")["code"] == "upload-ambiguous"


def test_a_folder_that_was_repaired_meanwhile_gets_no_rejection(folder, monkeypatch):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.put("third.png", images("i3"))
    inspect = folder.services.uploads.inspect
    repair = once(lambda: folder.s3.delete_object(Bucket=folder.bucket, Key=f"{FOLDER}third.png"))

    def inspected(key, etag=None):
        found = inspect(key, etag)
        if key.endswith("third.png"):
            repair()
        return found

    monkeypatch.setattr(folder.services.uploads, "inspect", inspected)
    folder.look()

    assert folder.bus.heard == []
    assert folder.sent() == [("v1", "i1")]


def test_a_rejection_has_the_metadata_of_its_folder(folder):
    folder.put("task.json", b'\xef\xbb\xbf{"metadata": {"order": "42"}}')
    folder.put(VIDEO, b"")
    folder.look()

    [rejected] = folder.bus.heard
    detail = json.loads(rejected["Detail"])
    assert detail["metadata"] == {"order": "42"}
    assert detail["idempotency_key"] is None
    assert detail["problem"]["title"] == "The file is empty"
    assert "neither" not in detail["problem"]["detail"]


def test_an_unknown_field_of_task_json_lists_those_that_it_may_have(folder):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.put("task.json", b'{"prompt": "smile"}')
    folder.look()

    problem = folder.document("problem.json")
    assert problem["code"] == "unknown-field"
    assert "callback_url, consent, metadata, preflight, webhook" in problem["detail"]
    assert "video" not in problem["detail"]


@pytest.mark.parametrize(
    ("options", "code", "metadata"),
    [
        ('{"metadata": {"order": "42"}, "prompt": 1}', "unknown-field", {"order": "42"}),
        ('{"metadata": {"order": "42"}, "video": 1}', "task-json-invalid", {"order": "42"}),
        ('{"metadata": {"order": NaN}}', "metadata-number", {}),
        ('{"metadata": {"order": 1e400}}', "metadata-number", {}),
        ('{"metadata": {"order": "\\ud83d"}}', "metadata-not-text", {}),
        ('{"metadata": ["42"]}', "metadata-not-object", {}),
        ('["42"]', "task-json-invalid", {}),
    ],
)
def test_a_rejection_has_the_metadata_of_task_json_only_if_it_can_be_used(
    options, code, metadata, folder
):
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.put("task.json", options.encode())
    folder.look()

    [rejected] = folder.bus.heard
    detail = json.loads(rejected["Detail"])
    assert (detail["problem"]["code"], detail["metadata"]) == (code, metadata)


@pytest.mark.parametrize("name", ["Screen 9.41\u202fAM.mp4", "👩‍🎤.mp4", "é.mp4"])
def test_files_may_have_the_names_that_computers_give_them(name, folder):
    folder.put(name, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look(name)

    assert folder.sent() == [("v1", "i1")]


def test_deeply_nested_metadata_is_written_in_about_its_own_size(folder):
    nested = "[" * 30 + ",".join(["[]"] * 400) + "]" * 30
    folder.put("task.json", f'{{"metadata": {{"a": {nested}}}}}'.encode())
    folder.put(VIDEO, videos("v1"))
    folder.put(IMAGE, images("i1"))
    folder.look()
    write_result(end(folder).task_id, folder.context)

    assert folder.services.uploads.list_files(FOLDER)["result.json"].size < 10_000


def test_a_file_of_another_bucket_and_our_own_files_are_ignored(folder):
    folder.context.uploads.client = SimpleNamespace  # any call of S3 fails

    for bucket, key in ((folder.bucket, FOLDER + "result.json"), ("other", FOLDER + VIDEO)):
        event = {
            "source": "aws.s3",
            "detail": {"bucket": {"name": bucket}, "object": {"key": key}},
        }
        take(json.dumps(event), "m", folder.context, folder.submit, never)

    assert not is_trigger(FOLDER + "problem.json")
    assert not is_trigger("uploads/c/1/video")
    assert is_trigger(FOLDER + "task.json")


@pytest.mark.parametrize(
    ("metadata", "code"),
    [({"order": 2**63}, "metadata-number"), ({"a": [[[[[[[{}]]]]]]] * 5}, None)],
)
def test_metadata_in_task_json_is_checked_as_in_the_api(folder, metadata, code):
    folder.put("task.json", json.dumps({"metadata": metadata}).encode())
    folder.put(VIDEO, MP4)
    folder.put(IMAGE, PNG)

    folder.look()

    problem = folder.document("problem.json")
    assert (problem and problem["code"]) == code
    assert len(folder.provider.creates) == (code is None)
