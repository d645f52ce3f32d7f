"""The durations of recent tasks, one item for all."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from act_one.tasks.durations import KEPT, Durations, DurationTable
from tests.unit.fakes import FakeClock


def task_id(number):
    return f"task_{number:08x}{'0' * 24}"


@pytest.fixture
def stats(dynamodb, create_table):
    return DurationTable(dynamodb, create_table("StatsTable"), FakeClock())


def kept(stats):
    """Return what a function that has just started reads."""
    return DurationTable(stats._client, stats._name, FakeClock()).recent().seconds  # noqa: SLF001


@pytest.mark.parametrize(
    ("seconds", "median", "p90"),
    [
        ((), None, None),
        ((9, 9, 9, 9), None, None),
        ((5, 1, 4, 2, 3), 3, 5),
        (range(1, 11), 5, 9),
        (range(1, 101), 50, 90),
    ],
)
def test_a_share_of_the_durations_is_known_from_five_on(seconds, median, p90):
    durations = Durations(tuple(map(float, seconds)))

    assert (durations.share(0.5), durations.share(0.9)) == (median, p90)


def test_durations_are_kept_in_tenths_of_seconds(stats):
    for number, seconds in enumerate((120.04, 7.0, 1_234.56)):
        assert stats.add(task_id(number), seconds)

    assert kept(stats) == (120.0, 7.0, 1_234.6)


def test_only_the_latest_hundred_are_kept(stats):
    for number in range(KEPT + 3):
        stats.add(task_id(number), float(number))

    assert kept(stats) == tuple(float(number) for number in range(3, KEPT + 3))
    item = stats._client.get_item(TableName=stats._name, Key={"kind": {"S": "act_one"}})["Item"]  # noqa: SLF001
    assert sum(len(entry["S"]) for entry in item["durations"]["L"]) < 4_096


def test_a_task_counts_once(stats):
    assert stats.add(task_id(1), 10.0)
    assert stats.add(task_id(1), 99.0)

    assert kept(stats) == (10.0,)


class LosingClient:
    """A client whose first put succeeds, but is repeated as if its reply were lost."""

    def __init__(self, client):
        self._client = client
        self.exceptions = client.exceptions
        self.get_item = client.get_item

    def put_item(self, **request):
        self._client.put_item(**request)
        return self._client.put_item(**request)


def test_a_write_whose_reply_was_lost_counts_once(stats):
    losing = DurationTable(LosingClient(stats._client), stats._name, FakeClock())  # noqa: SLF001

    assert losing.add(task_id(1), 10.0)
    assert losing.add(task_id(2), 20.0)
    assert kept(stats) == (10.0, 20.0)


def test_writers_at_once_lose_durations_but_write_no_wrong_ones(stats):
    with ThreadPoolExecutor(8) as pool:
        added = [*pool.map(lambda n: stats.add(task_id(n), float(n)), range(24))]

    there = kept(stats)
    assert sorted(there) == sorted({float(n) for n, is_there in enumerate(added) if is_there})
    assert len(there) >= 3


class FasterClient:
    """A client before each of whose puts another writer is faster."""

    def __init__(self, client, other):
        self._client, self._other = client, other
        self.exceptions = client.exceptions
        self.get_item = client.get_item
        self.puts = 0

    def put_item(self, **request):
        self.puts += 1
        self._other.add(task_id(100 + self.puts), 1.0)
        return self._client.put_item(**request)


def test_a_duration_is_left_out_after_three_tries(stats):
    faster = FasterClient(stats._client, stats)  # noqa: SLF001
    beaten = DurationTable(faster, stats._name, FakeClock())  # noqa: SLF001

    assert not beaten.add(task_id(1), 10.0)
    assert faster.puts == 3
    assert kept(stats) == (1.0, 1.0, 1.0)


class CountingClient:
    def __init__(self, *answers):
        self.answers, self.reads = list(answers), 0

    def get_item(self, **_):
        self.reads += 1
        answer = self.answers[min(self.reads, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


ITEM = {"Item": {"version": {"N": "1"}, "durations": {"L": [{"S": "00000001 10.0"}]}}}


def test_what_was_read_is_good_for_a_minute():
    clock, client = FakeClock(), CountingClient({}, ITEM)
    stats = DurationTable(client, "stats", clock)

    read = [stats.recent().seconds for _ in range(3)]
    clock.pass_by(61)

    assert read == [(), (), ()]
    assert stats.recent().seconds == (10.0,)
    assert client.reads == 2


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://dynamodb.example"),
        ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem"),
    ],
)
def test_while_the_table_cannot_be_read_the_last_durations_are_good(error):
    clock, client = FakeClock(), CountingClient(ITEM, error)
    stats = DurationTable(client, "stats", clock)
    stats.recent()
    clock.pass_by(61)

    assert stats.recent().seconds == (10.0,)
    assert stats.recent().seconds == (10.0,)
    assert client.reads == 2
