"""Each pair in a folder is submitted once and never mixed, whatever happens meanwhile."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from act_one.ingest.context import IngestContext
from act_one.ingest.folders import (
    UnsettledError,
    is_trigger,
    take_folder,
    write_result,
)
from act_one.ingest.messages import take
from act_one.ingest.pairs import PairTable
from act_one.inputs.bucket import UploadsBucket
from act_one.lifecycle.services import Services
from act_one.problems import ProblemError
from act_one.tasks.task import Stage
from local.emulator import ROOT
from local.expand import expand
from tests.unit.fakes import FakeClock, FakeProvider, key_ring, settings, submitted
from tests.unit.inputs.test_bucket import MP4, PNG

NUMBERS = count(1)
FOLDER = "incoming/a/"
VIDEO, IMAGE = "take.mp4", "face.png"


class FakeBus:
    def __init__(self):
        self.heard = []
        self.refuses = False

    def put_events(self, *, Entries):  # noqa: N803 - boto3's name
        if self.refuses:
            return {"Entries": [{"ErrorCode": "ThrottlingException"}]}
        self.heard += Entries
        return {"Entries": [{}]}


class Killed(BaseException):
    """The function is gone, at once."""


class Drop:
    """A folder, what stands behind it, and what the provider was sent."""

    def __init__(self, aws, table, dynamodb):
        s3, number = aws("s3"), next(NUMBERS)
        self.s3, self.bucket = s3, f"context-{number}"
        s3.create_bucket(Bucket=self.bucket)
        s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        written = expand(ROOT / "template.yaml")["Resources"]["PairsTable"]["Properties"]
        asked = ("BillingMode", "AttributeDefinitions", "KeySchema")
        dynamodb.create_table(TableName=f"taken-{number}", **{key: written[key] for key in asked})
        self.provider, self.bus, self.clock = FakeProvider(), FakeBus(), FakeClock()
        self.services = Services(
            table, self.provider, settings(), self.clock, UploadsBucket(self.bucket, s3=s3)
        )
        self.context = IngestContext(
            table,
            self.services.uploads,
            self.services.settings,
            self.clock,
            PairTable(dynamodb, f"taken-{number}"),
            self.bus,
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
        key = urlsplit(url).path.split("/", 2)[2]
        answer = self.s3.get_object(Bucket=self.bucket, Key=key, VersionId=version)
        return answer["Body"].read()[-2:].decode().strip("\0")

    def document(self, name):
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=FOLDER + name)
        except self.s3.exceptions.NoSuchKey:
            return None
        return json.loads(answer["Body"].read())


@pytest.fixture
def folder(aws, table, dynamodb):
    return Drop(aws, table, dynamodb)


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
    assert folder.document("problem.json")["code"] == "input-too-long"
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


def test_a_file_of_another_bucket_and_our_own_files_are_ignored(folder):
    folder.context.uploads.client = SimpleNamespace  # any call of S3 fails

    for bucket, key in ((folder.bucket, FOLDER + "result.json"), ("other", FOLDER + VIDEO)):
        event = {
            "source": "aws.s3",
            "detail": {"bucket": {"name": bucket}, "object": {"key": key}},
        }
        take(json.dumps(event), "m", folder.context, folder.submit)

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
