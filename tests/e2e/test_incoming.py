"""Files dropped into the uploads bucket: one task for each pair, whatever order and haste."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.stack import LocalStack
from tests.e2e.drops import Dropper, image, sha256, video

MANY = 50
LATER = 1.1
"""S3 tells times to the second: files put after this are newer."""


@pytest.fixture(scope="module")
def dropper(stack: LocalStack):
    return Dropper(stack)


def drop(dropper, folder, name=None, *, reverse=False):
    """Put a pair into a folder; what is in them."""
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
    assert dropper.object(result["output"]["video"]["s3_uri"])
    assert "http" not in json.dumps(result)
    assert dropper.creates_paid(task.task_id) == 1
    assert dropper.provider_got(task.task_id) == put
    ended = bus.of(task.task_id, "Task Succeeded")[-1]["detail"]
    assert ended["origin"] == result["origin"]
    assert dropper.names("one") == {"performance.mp4", "character.png", "result.json"}


def test_fifty_pairs_at_once_in_any_order_are_fifty_tasks_and_fifty_creates(dropper):
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
    tasks = {folder: dropper.task_of(folder, seconds=120) for folder in folders}
    dropper.settle(120)

    for folder, task in tasks.items():
        done = dropper.wait(task.task_id, {"succeeded"}, 120)
        assert dropper.creates_paid(done.task_id) == 1
        assert dropper.provider_got(done.task_id) == {
            "video": sha256(video(folder)),
            "image": sha256(image(folder)),
        }
        assert dropper.written(folder, "result.json")["id"] == done.task_id
    assert dropper.simulator("bill")["creates_accepted"] == paid + MANY
    assert [len(dropper.tasks_of(folder)) for folder in folders] == [1] * MANY


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
