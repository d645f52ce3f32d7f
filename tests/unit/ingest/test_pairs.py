"""A pair is taken once, and the next one only when both of its files are newer."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_one.ingest.pairs import (
    REJECTION_SECONDS,
    Content,
    Pair,
    PairTakenError,
    Taken,
    Verdict,
    judge,
)
from act_one.tasks import schema
from act_one.tasks.schema import NewerRowError

FOLDER = "incoming/a/"
NUMBERS = count(1)


def pair(video="v1", video_at=100.0, image="i1", image_at=100.0):
    return Pair(
        folder=FOLDER,
        video=Content(etag=video, modified=video_at),
        image=Content(etag=image, modified=image_at),
    )


def taken(last):
    return Taken(pair=last, task_id="task_1", claim_id="c", expires_at=None)


LAST = taken(pair())


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (pair(), Verdict.SAME),
        (pair("v2", 200.0, "i2", 200.0), Verdict.NEW),
        (pair("v2", 200.0), Verdict.MIXED),
        (pair(image="i2", image_at=200.0), Verdict.MIXED),
        # Within the second of the last pair only another content tells.
        (pair("v2", 100.0, "i2", 100.0), Verdict.NEW),
        (pair("v2", 100.0, "i1", 100.0), Verdict.MIXED),
        # An older file that came to light again is no replacement.
        (pair("v0", 99.0, "i2", 200.0), Verdict.MIXED),
        # The same bytes, put again: one of them, then both.
        (pair("v1", 200.0), Verdict.SAME),
        (pair("v1", 200.0, "i1", 200.0), Verdict.NEW),
        # One file put again as it was, the other replaced: both are newer.
        (pair("v1", 200.0, "i2", 200.0), Verdict.NEW),
    ],
)
def test_a_pair_is_judged_by_the_last_one(now, verdict):
    assert judge(now, LAST) is verdict


def test_the_first_pair_is_new():
    assert judge(pair(), None) is Verdict.NEW


contents = st.builds(Content, etag=st.sampled_from("abc"), modified=st.sampled_from([1.0, 2.0]))
pairs = st.builds(Pair, folder=st.just(FOLDER), video=contents, image=contents)


@given(pairs, pairs)
def test_nothing_of_the_last_pair_is_ever_in_a_new_one(now, last):
    if judge(now, taken(last)) is Verdict.NEW:
        assert now.video != last.video
        assert now.image != last.image


@given(pairs, pairs)
def test_a_key_is_that_of_the_bytes_in_their_folder(one, other):
    same = (one.video.etag, one.image.etag) == (other.video.etag, other.image.etag)

    assert (one.key == other.key) is same
    assert one.key != Pair(folder="incoming/b/", video=one.video, image=one.image).key


@pytest.fixture
def table(pairs):
    return pairs


def test_what_was_claimed_is_read_again(table):
    table.claim(pair(), "task_1", None, 1_900_000_000.5)

    found = table.read(FOLDER)

    assert (found.pair, found.task_id) == (pair(), "task_1")
    assert table.read("incoming/b/") is None


def test_a_claim_without_an_end_stays(table):
    table.claim(pair(), "task_1", None, None, run=2, created=True)

    found = table.read(FOLDER)

    assert (found.expires_at, found.run, found.created) == (None, 2, True)


def test_a_claim_of_a_newer_release_is_neither_read_nor_replaced(table):
    seen = table.claim(pair(), "task_1", None, None)
    item = table.client.get_item(TableName=table.name, Key={"folder": {"S": FOLDER}})["Item"]
    assert item["schema"] == {"N": str(schema.PAIRS.written)}
    newer = item | {"schema": {"N": str(schema.PAIRS.read + 1)}, "claim_id": {"S": "another"}}
    table.client.put_item(TableName=table.name, Item=newer)

    with pytest.raises(NewerRowError):
        table.read(FOLDER)
    with pytest.raises(PairTakenError):
        table.claim(pair("v2", 200.0, "i2", 200.0), "task_2", seen, None)


def test_the_secret_of_ids_is_made_once(table):
    with ThreadPoolExecutor(4) as pool:
        found = {*pool.map(lambda _: table.id_secret(), range(8))}

    assert found == {table.id_secret()}
    assert len(table.id_secret()) == 32


def test_of_two_that_saw_the_same_one_takes_the_pair(table):
    table.claim(pair(), "task_1", None, 1.0)
    with pytest.raises(PairTakenError):
        table.claim(pair("v2", 200.0), "task_2", None, 1.0)
    seen = table.read(FOLDER)

    table.claim(pair("v3", 300.0, "i3", 300.0), "task_3", seen, 1.0)
    with pytest.raises(PairTakenError):
        table.claim(pair("v4", 400.0, "i4", 400.0), "task_4", seen, 1.0)

    assert table.read(FOLDER).task_id == "task_3"


def test_a_rejection_is_sent_by_one_at_a_time(table):
    with table.rejecting("incoming/a/", 100.0) as ours:
        with table.rejecting("incoming/a/", 100.0 + REJECTION_SECONDS - 1) as meanwhile:
            assert (ours, meanwhile) == (True, False)
        with table.rejecting("incoming/b/", 101.0) as other:
            assert other

    with table.rejecting("incoming/a/", 102.0) as next_one:
        assert next_one


def test_a_lease_that_ran_out_is_not_given_back_by_its_first_holder(table):
    later = 100.0 + REJECTION_SECONDS
    with ExitStack() as second:
        with table.rejecting("incoming/a/", 100.0):
            assert second.enter_context(table.rejecting("incoming/a/", later))

        with table.rejecting("incoming/a/", later + 1) as third:
            assert not third


def test_a_rejection_leaves_the_folders_pair_alone(table):
    with table.rejecting("incoming/a/", 100.0):
        assert table.read("incoming/a/") is None
