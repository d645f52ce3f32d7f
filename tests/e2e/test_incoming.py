"""Files put into the uploads bucket: one task for each pair, in any order and at any speed."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.stack import LocalStack
from tests.e2e.drops import Dropper, image, sha256, video
from tests.endpoints import endpoint
from tests.sizes import size

MANY = size(12, 50)
LATER = 1.1
"""S3 tells times to the second: files put after this are newer."""


@pytest.fixture(scope="module")
def dropper(stack: LocalStack):
    return Dropper(stack)


def drop(dropper, folder, name=None, *, reverse=False):
    """Put a pair into a folder; return the SHA-256 of both."""
    name = name or folder
    files = [("performance.mp4", video(name)), ("character.png", image(name))]
    for file, data in reversed(files) if reverse else files:
        dropper.put(folder, file, data)
    return {"video": sha256(video(name)), "image": sha256(image(name))}


def test_a_pair_becomes_one_task_whose_result_is_written_beside_it(dropper, bus):
    put = drop(dropper, "one")

    result = dropper.written("one", "result.json")
    task = dropper.task_of("one")

    assert (result["id"], result["status"]) == (task.task_id, "succeeded")
    assert result["origin"] == {"upload": dropper.uri("one")}
    assert result["input"] == {
        "video": dropper.uri("one") + "performance.mp4",
        "image": dropper.uri("one") + "character.png",
    }
    stored = dropper.object(result["output"]["video"]["s3_uri"])
    assert result["video_copy"] == dropper.uri("one").replace("incoming", "outgoing") + "result.mp4"
    assert dropper.object(result["video_copy"]) == stored
    kept = dropper.object(result["video_copy"].replace("result.mp4", "result.json"))
    assert json.loads(kept) == result
    assert "http" not in json.dumps(result)
    assert dropper.creates_paid(task.task_id) == 1
    assert dropper.provider_got(task.task_id) == put
    ended = bus.of(task.task_id, "Task Succeeded")[-1]["detail"]
    assert ended["origin"] == result["origin"]
    assert dropper.names("one") == {"performance.mp4", "character.png", "result.json"}


def test_many_pairs_at_once_in_any_order_are_as_many_tasks_and_creates(dropper):
    paid = dropper.simulator("bill")["creates_accepted"]
    folders = [f"many-{number}" for number in range(MANY)]
    puts = [
        (folder, name, data)
        for folder in folders
        for name, data in (("a file", video(folder)), ("another", image(folder)))
    ]
    puts.sort(key=lambda put: sha256(put[2]))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda put: dropper.put(*put), puts))
    tasks = {folder: dropper.task_of(folder, seconds=240) for folder in folders}
    dropper.settle(240)

    for folder, task in tasks.items():
        done = dropper.wait(task.task_id, {"succeeded"}, 240)
        assert dropper.creates_paid(done.task_id) == 1
        assert dropper.provider_got(done.task_id) == {
            "video": sha256(video(folder)),
            "image": sha256(image(folder)),
        }
        assert dropper.written(folder, "result.json")["id"] == done.task_id
    assert dropper.simulator("bill")["creates_accepted"] == paid + MANY
    assert [len(dropper.tasks_of(folder)) for folder in folders] == [1] * MANY


def test_a_folder_may_name_a_webhook(dropper):
    with endpoint() as called:
        wishes = {"webhook": {"url": called.url}, "metadata": {"order": "42"}}
        dropper.put("calling", "task.json", wishes)
        drop(dropper, "calling")

        (received,) = called.wait(1)

    call = json.loads(received.body)
    assert call["type"] == "task.succeeded"
    assert call["data"]["origin"] == {"upload": dropper.uri("calling")}
    assert call["data"]["metadata"] == {"order": "42"}


def test_the_same_bytes_again_start_nothing(dropper):
    drop(dropper, "again")
    first = dropper.written("again", "result.json")

    time.sleep(LATER)
    drop(dropper, "again", reverse=True)
    dropper.settle()

    assert dropper.task_of("again").task_id == first["id"]
    assert dropper.creates_paid(first["id"]) == 1
    assert dropper.written("again", "result.json") == first


@pytest.mark.parametrize("reverse", [False, True], ids=["video first", "image first"])
def test_a_replaced_pair_is_one_more_task_and_never_a_mixed_one(dropper, reverse):
    folder = f"replaced-{reverse}"
    drop(dropper, folder, "old")
    first = dropper.task_of(folder)

    time.sleep(LATER)
    files = [("performance.mp4", video("new")), ("character.png", image("new"))]
    files = files[::-1] if reverse else files
    dropper.put(folder, *files[0])
    dropper.settle()
    assert dropper.tasks_of(folder) == [dropper.row(first.task_id)]
    dropper.put(folder, *files[1])
    second = dropper.task_of(folder, 2)

    assert dropper.provider_got(first.task_id)["video"] == sha256(video("old"))
    assert dropper.provider_got(second.task_id) == {
        "video": sha256(video("new")),
        "image": sha256(image("new")),
    }
    dropper.wait(second.task_id, {"succeeded"})
    dropper.settle()
    assert dropper.written(folder, "result.json")["id"] == second.task_id


# ── Events that come twice, late, for nothing ─────────────────────────────────────────────────


def test_events_that_come_twice_and_late_change_nothing(dropper):
    drop(dropper, "doubled")
    task = dropper.task_of("doubled")
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": dropper.stack.uploads_bucket},
            "object": {"key": "incoming/doubled/performance.mp4"},
        },
    }

    for _ in range(4):
        dropper.message(event)
    dropper.wait(task.task_id, {"succeeded"})
    dropper.message(event)
    dropper.settle()

    assert dropper.task_of("doubled").task_id == task.task_id
    assert dropper.creates_paid(task.task_id) == 1
    assert dropper.written("doubled", "result.json")["id"] == task.task_id
    assert "problem.json" not in dropper.names("doubled")


def test_our_own_files_start_nothing(dropper):
    dropper.put("ours", "problem.json", {"title": "not ours"})
    dropper.put("ours", "result.json", {"title": "not ours"})
    dropper.settle()

    assert dropper.names("ours") == {"problem.json", "result.json"}
    assert json.loads(dropper.object(dropper.uri("ours") + "problem.json"))["title"] == "not ours"


def test_one_file_alone_starts_nothing_and_is_told_what_it_waits_for(dropper):
    dropper.put("alone", "performance.mp4", video("alone"))

    problem = dropper.written("alone", "problem.json")

    assert problem["code"] == "upload-incomplete"
    assert "character image" in problem["detail"]
    assert dropper.tasks_of("alone") == []


def test_a_problem_leads_to_a_task_when_its_words_are_followed(dropper):
    """A refused pair: one new file is not enough, and problem.json says so."""
    dropper.put("followed", "performance.mp4", video("followed")[:90_000])
    dropper.put("followed", "character.png", image("followed"))
    refused = dropper.written("followed", "problem.json")
    assert "put both files" in refused["detail"]

    time.sleep(LATER)
    dropper.put("followed", "performance.mp4", video("followed"))
    dropper.settle()
    assert dropper.written("followed", "problem.json")["code"] == "upload-incomplete"
    dropper.put("followed", "character.png", image("followed"))

    task = dropper.task_of("followed")
    dropper.wait(task.task_id, {"succeeded"})
    dropper.settle()
    assert "problem.json" not in dropper.names("followed")


def test_a_pair_whose_task_failed_is_another_task_when_it_is_put_again(dropper):
    dropper.faults(create="rejected")
    try:
        drop(dropper, "asked again")
        failed = dropper.written("asked again", "result.json")
    finally:
        dropper.faults(create="none")
    assert "put both files" in failed["ask_again"]

    time.sleep(LATER)
    drop(dropper, "asked again")
    task = dropper.task_of("asked again", 2)

    dropper.wait(task.task_id, {"succeeded"})


def test_files_may_have_the_names_that_computers_give_them(dropper):
    dropper.put("named", "Screen Recording at 9.41\u202fAM.mp4", video("named"))
    dropper.put("named", "👩\u200d🎤.png", image("named"))

    task = dropper.task_of("named")

    dropper.wait(task.task_id, {"succeeded"})
    assert dropper.provider_got(task.task_id)["video"] == sha256(video("named"))


# ── task.json ─────────────────────────────────────────────────────────────────────────────────


def test_task_json_says_what_the_request_would_have_said(dropper):
    dropper.put("wishes", "task.json", {"metadata": {"order": "42"}, "preflight": "off"})
    drop(dropper, "wishes")

    task = dropper.task_of("wishes")

    assert task.metadata == {"order": "42"}
    assert task.warnings == ()


def test_a_task_json_that_comes_late_is_for_the_next_pair(dropper):
    drop(dropper, "late", "old")
    first = dropper.task_of("late")
    dropper.put("late", "task.json", {"metadata": {"order": "43"}})
    dropper.settle()
    assert dropper.task_of("late").metadata == {}

    time.sleep(LATER)
    drop(dropper, "late", "new")

    assert dropper.task_of("late", 2).metadata == {"order": "43"}
    assert dropper.row(first.task_id).metadata == {}


# ── What is wrong ─────────────────────────────────────────────────────────────────────────────

PAIR = {"performance.mp4": video("wrong"), "character.png": image("wrong")}
WRONG = {
    "two-videos": ({"take 2.mp4": video("other"), **PAIR}, "upload-ambiguous"),
    # Both images first: with one of them and the video it would be a pair.
    "two-images": ({"b.png": image("other"), **dict(reversed(PAIR.items()))}, "upload-ambiguous"),
    "a-note": ({"note.txt": b"smile more, please", **PAIR}, "input-wrong-type"),
    "empty": ({"performance.mp4": b""}, "input-wrong-type"),
    "many": ({f"{n}.png": image(str(n)) for n in range(21)}, "upload-ambiguous"),
    "wishes-not-json": ({"task.json": b"{", **PAIR}, "task-json-invalid"),
    "wishes-no-object": ({"task.json": b"[]", **PAIR}, "task-json-invalid"),
    "wishes-inputs": ({"task.json": {"video": "https://a.example/v"}, **PAIR}, "task-json-invalid"),
    "wishes-unknown": ({"task.json": {"prompt": "smile"}, **PAIR}, "unknown-field"),
    "wishes-long": ({"task.json": {"metadata": {"a": "b" * 2048}}, **PAIR}, "metadata-too-large"),
    "cut-off": ({**PAIR, "performance.mp4": video("")[:90_000]}, "input-cut-off"),
}


@pytest.mark.parametrize("folder", WRONG)
def test_a_problem_is_written_beside_the_files_and_published(folder, dropper, bus):
    files, code = WRONG[folder]
    creates = dropper.simulator("bill")["creates_seen"]

    for name, data in files.items():
        dropper.put(folder, name, data)
    dropper.written(folder, "problem.json")
    dropper.settle()
    problem = dropper.written(folder, "problem.json")

    assert (problem["code"], problem["type"]) == (code, f"/v1/docs/problems#{code}")
    assert problem["title"]
    assert problem["detail"]
    # Of files too many, the first are reported; two looks at the same time may both report them.
    [rejected, *more] = bus.of(dropper.uri(folder), "Task Rejected")
    assert len(more) <= 1
    assert rejected["detail"]["problem"]["code"] == code
    if code != "upload-ambiguous":
        assert rejected["detail"]["problem"] == problem
    assert rejected["detail"]["origin"] == {"upload": dropper.uri(folder)}
    assert "X-Amz" not in json.dumps(rejected)
    assert dropper.tasks_of(folder) == []
    assert dropper.simulator("bill")["creates_seen"] == creates


def test_a_file_in_no_folder_gets_a_problem(dropper):
    dropper.s3.put_object(
        Bucket=dropper.stack.uploads_bucket, Key="incoming/lost.mp4", Body=video("lost")
    )

    dropper.settle()
    problem = json.loads(
        dropper.object(f"s3://{dropper.stack.uploads_bucket}/incoming/problem.json")
    )

    assert problem["code"] == "upload-without-folder"


def test_removing_what_was_too_much_starts_the_task_and_takes_the_problem_away(dropper):
    dropper.put("repaired", "take 2.mp4", video("take 2"))
    drop(dropper, "repaired")
    dropper.written("repaired", "problem.json")

    dropper.remove("repaired", "take 2.mp4")
    task = dropper.task_of("repaired")
    dropper.wait(task.task_id, {"succeeded"})
    dropper.written("repaired", "result.json")

    assert dropper.provider_got(task.task_id)["video"] == sha256(video("repaired"))
    assert "problem.json" not in dropper.names("repaired")


def test_a_corrected_task_json_starts_the_task(dropper):
    dropper.put("corrected", "task.json", b"{")
    drop(dropper, "corrected")
    dropper.written("corrected", "problem.json")

    dropper.put("corrected", "task.json", {"metadata": {"order": "44"}})

    assert dropper.task_of("corrected").metadata == {"order": "44"}
    dropper.settle()
    assert "problem.json" not in dropper.names("corrected")


def test_a_replaced_file_never_reaches_a_task_that_is_waiting_to_be_sent(dropper):
    dropper.faults(create="saturated")
    try:
        drop(dropper, "waiting")
        task = dropper.task_of("waiting")
        dropper.wait(task.task_id, {"accepted"})
        dropper.put("waiting", "performance.mp4", video("replaced"))
        dropper.settle()
    finally:
        dropper.faults(create="none")
    dropper.table.record(dropper.row(task.task_id), due_at=time.time())
    dropper.wait(task.task_id, {"succeeded"}, 240)

    assert dropper.provider_got(task.task_id) == {
        "video": sha256(video("waiting")),
        "image": sha256(image("waiting")),
    }
    assert dropper.creates_paid(task.task_id) == 1


def test_a_task_that_the_provider_refuses_is_written_down_too(dropper):
    dropper.faults(create="rejected")
    try:
        drop(dropper, "refused")
        result = dropper.written("refused", "result.json")
    finally:
        dropper.faults(create="none")

    assert (result["status"], result["error"]["code"]) == ("failed", "provider_rejected")
