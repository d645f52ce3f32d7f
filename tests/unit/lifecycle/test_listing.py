"""Lists of a client's tasks: in pages, with filters, while tasks are being written."""

import base64
import math
from itertools import count

import pytest

from act_one.inputs.query import PageQuery, TaskQuery
from act_one.lifecycle import listing
from act_one.lifecycle.listing import list_tasks
from act_one.problems import ProblemError
from act_one.tasks import table as table_module
from act_one.tasks.rows import to_item
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Stage
from tests.sizes import size
from tests.unit.examples import task
from tests.unit.fakes import BEGINNING

MANY = size(1_500, 5_000)
AT_ONCE = 7
"""How many tasks have the same time of creation."""
IDS = count(1)


def made(number, client="client-1", **fields):
    """Make a task whose id says nothing about its place, and whose time several have."""
    scattered = number * 0x9E3779B97F4A7C15 % 2**64
    return task(
        fields.pop("stage", (Stage.SUCCEEDED, Stage.RUNNING, Stage.FAILED)[number % 3]),
        task_id=f"task_{scattered:016x}{number:016x}",
        client_id=client,
        **{
            "created_at": BEGINNING + number // AT_ONCE / 1_000,
            "metadata": {"order": str(number % 10), "number": number, "odd": number % 2 == 1},
            **fields,
        },
    )


def put(table, tasks):
    """Write many rows quickly."""
    rows = [{"PutRequest": {"Item": to_item(one)}} for one in tasks]
    for start in range(0, len(rows), 25):
        table.client.batch_write_item(RequestItems={table.name: rows[start : start + 25]})


def asked(limit=20, token=None, **query):
    return PageQuery(tasks=TaskQuery(**query), limit=limit, next_token=token)


def pages(table, client="client-1", limit=20, **query):
    token = None
    while True:
        found, token = list_tasks(asked(limit, token, **query), client, table)
        yield found
        if token is None:
            return


def listed(table, client="client-1", limit=20, **query):
    return [one.task_id for page in pages(table, client, limit, **query) for one in page]


class CountingClient:
    """A client that counts read units by DynamoDB's rules, from the sizes of what it reads."""

    def __init__(self, client):
        self._client = client
        self.queries, self.rows, self.units, self.calls = 0, 0, 0.0, []

    def query(self, **request):
        answer = self._client.query(**request)
        self.queries += 1
        # Keys only, read as the index is at the moment: half a unit for each 4 KB of the page.
        self.units += 0.5 * max(1, math.ceil(sum(map(size, answer["Items"])) / 4_096))
        self.calls.append("query")
        return answer

    def batch_get_item(self, **request):
        answer = self._client.batch_get_item(**request)
        [rows] = answer["Responses"].values()
        self.rows += len(rows)
        self.units += sum(math.ceil(size(row) / 4_096) for row in rows)
        self.calls.append("batch_get_item")
        return answer


def size(item):
    return sum(len(name) + len(str(next(iter(value.values())))) for name, value in item.items())


def counting(table):
    client = CountingClient(table.client)
    return client, TaskTable(client, table.name)


@pytest.fixture(scope="module")
def new_table(dynamodb, create_table):
    """Create a table with this many tasks of a client, and a few of another."""

    def create(number):
        table = TaskTable(dynamodb, create_table("TasksTable"))
        put(table, [made(number) for number in range(number)])
        put(table, [made(number, "client-2") for number in range(number, number + 25)])
        return table

    return create


# ── Five thousand tasks ───────────────────────────────────────────────────────────────────────


class WrittenClient:
    """A client of a table in which others write between reading the index and the rows."""

    def __init__(self, table):
        self._table, self._client = table, table.client
        self.batch_get_item = table.client.batch_get_item
        self.written = []

    def query(self, **request):
        answer = self._client.query(**request)
        number = len(self.written)
        self._table.create(new := made(MANY + 1_000 + number))
        self.written.append(new.task_id)
        listed_now = answer["Items"][len(answer["Items"]) // 2]["task_id"]["S"]
        for task_id in (listed_now, made(number * 97 % MANY).task_id):
            self._table.record(self._table.read(task_id), progress=number % 100)
        return answer


def test_pages_have_every_task_once_newest_first_while_others_are_written(new_table):
    """Rows of the same time are in some order; no page skips or repeats one of them."""
    table = new_table(MANY)
    client = WrittenClient(table)
    query = {
        "statuses": frozenset({"succeeded", "running"}),
        "metadata": (("odd", "true"),),
    }

    found = [
        one for page in pages(TaskTable(client, table.name), limit=100, **query) for one in page
    ]

    ids = [one.task_id for one in found]
    before = {made(number).task_id for number in range(MANY) if number % 2 and number % 3 != 2}
    assert len(client.written) > MANY / 100
    assert len(set(ids)) == len(ids)
    assert before <= set(ids) <= before | set(client.written)
    times = [one.created_at for one in found]
    assert times == sorted(times, reverse=True)


@pytest.fixture(scope="module")
def thousand(new_table):
    return new_table(1_100)


@pytest.mark.parametrize("limit", [1, 6, AT_ONCE, 20])
def test_small_pages_skip_no_task_of_the_same_time(thousand, limit):
    since, until = BEGINNING + 0.1, BEGINNING + 0.102

    ids = listed(thousand, limit=limit, since=since, until=until)

    expected = [made(number).task_id for number in range(100 * AT_ONCE, 103 * AT_ONCE)]
    assert len(ids) == len(expected)
    assert set(ids) == set(expected)


def test_a_call_reads_a_thousand_rows_at_most(thousand):
    client, table = counting(thousand)
    query = {"metadata": (("number", "0"),)}

    found, token = list_tasks(asked(5, **query), "client-1", table)
    rows = client.rows
    rest, last = list_tasks(asked(5, token, **query), "client-1", table)

    assert (found, rows) == ([], listing.MAX_EXAMINED)
    assert ([one.task_id for one in rest], last) == ([made(0).task_id], None)


@pytest.mark.parametrize(
    ("limit", "query", "fewest", "most"),
    [
        (1, {}, 1, 1),
        (20, {}, 20, 20),
        (100, {}, 100, 100),
        (20, {"statuses": frozenset({"succeeded"})}, 59, 100),
        (20, {"metadata": (("order", "3"),)}, 190, 330),
        (20, {"metadata": (("order", "none"),)}, 1_000, 1_000),
    ],
)
def test_a_page_costs_a_unit_for_each_row_that_it_reads(thousand, limit, query, fewest, most):
    client, table = counting(thousand)

    list_tasks(asked(limit, **query), "client-1", table)

    print(f"limit {limit} {query}: {client.queries} queries, {client.rows} rows, "
          f"{client.units} read units")  # fmt: skip
    assert fewest <= client.rows <= most
    assert client.queries <= 1 + client.rows // 40
    # The keys of 100 rows have 15 KB.
    assert client.rows < client.units <= client.rows + 2 * client.queries
    assert set(client.calls) == {"query", "batch_get_item"}


# ── Clients and tokens ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def few(table):
    for number in range(30):
        table.create(made(number))
    return table


def test_a_client_sees_its_own_tasks_only(few):
    few.create(made(100, "client-2"))
    few.create(made(101, "uploads"))

    assert listed(few, "client-2") == [made(100).task_id]
    assert len(listed(few)) == 30
    assert listed(few, "client-3") == []


def refusal(query, client, table):
    with pytest.raises(ProblemError) as caught:
        list_tasks(query, client, table)
    return caught.value.status, caught.value.code, caught.value.field


INVALID = (400, "next-token-invalid", "next_token")
RUNNING = frozenset({"running"})


@pytest.mark.parametrize(
    "other",
    [
        {"statuses": RUNNING},
        {"statuses": frozenset({"running", "succeeded"}), "metadata": (("order", "1"),)},
        {"statuses": frozenset({"running", "succeeded"}), "since": BEGINNING},
        {"statuses": frozenset({"running", "succeeded"}), "until": BEGINNING + 9},
        {},
    ],
)
def test_a_token_of_another_query_is_refused(few, other):
    query = {"statuses": frozenset({"running", "succeeded"})}
    _, token = list_tasks(asked(3, **query), "client-1", few)

    assert refusal(asked(3, token, **other), "client-1", few) == INVALID
    assert list_tasks(asked(7, token, **query), "client-1", few)[0]


def test_a_token_of_another_client_is_refused(few):
    put(few, [made(number, "client-2") for number in range(100, 130)])
    _, token = list_tasks(asked(3), "client-1", few)

    assert refusal(asked(3, token), "client-2", few) == INVALID


def spoilt(token):
    place = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    milliseconds, task_id, digest = place.split(".")
    yield from ("", "made-up", "====", "é", token[:-2], token + "A", token * 2, "\x00")
    for text in (
        f"{int(milliseconds) + 1}.{task_id}.{digest}",
        f"{milliseconds}.{task_id[:-1]}f.{digest}",
        f"{milliseconds}.{task_id}.{digest[:-1]}",
        f"{milliseconds}.{task_id}.",
        f"{milliseconds}.{task_id}",
        f"{'9' * 400}.{task_id}.{digest}",
        f"nan.{task_id}.{digest}",
    ):
        yield base64.urlsafe_b64encode(text.encode()).decode()


def test_a_token_that_was_changed_is_refused(few):
    _, token = list_tasks(asked(3), "client-1", few)

    for other in spoilt(token):
        assert refusal(asked(3, other), "client-1", few) == INVALID, other


def test_a_forged_place_outside_the_query_is_refused(few):
    """The digest is no secret: whoever computes it moves about in their own tasks only."""
    query = TaskQuery(since=BEGINNING)
    for place in (
        table_module.Place(made(1).task_id, BEGINNING - 1),
        table_module.Place("x" * 40, BEGINNING + 1),
    ):
        token = listing._token(place, "client-1", query)  # noqa: SLF001
        assert refusal(PageQuery(tasks=query, next_token=token), "client-1", few) == INVALID


# ── What changes between reading the index and the rows ───────────────────────────────────────


def test_a_row_that_is_gone_is_left_out(few, monkeypatch):
    gone = made(25).task_id
    places = few.of_client

    def then_gone(_self, *arguments, **more):
        found = places(*arguments, **more)
        few.client.delete_item(TableName=few.name, Key={"task_id": {"S": gone}})
        return found

    monkeypatch.setattr(TaskTable, "of_client", then_gone)

    assert len(listed(few, limit=10)) == 29


def test_the_place_of_a_row_that_is_gone_is_good(few):
    first, token = list_tasks(asked(10), "client-1", few)
    few.client.delete_item(TableName=few.name, Key={"task_id": {"S": first[-1].task_id}})
    rest, _ = list_tasks(asked(100, token), "client-1", few)

    assert len({one.task_id for one in (*first, *rest)}) == len(first) + len(rest) == 30


def test_an_unreadable_row_is_left_out(few):
    key = {"task_id": {"S": made(3).task_id}}
    few.client.update_item(
        TableName=few.name,
        Key=key,
        UpdateExpression="SET stage = :new",
        ExpressionAttributeValues={":new": {"S": "of newer code"}},
    )

    assert len(listed(few)) == 29


class BusyClient:
    """A client of a table that reads only some rows of each batch."""

    def __init__(self, client, reads):
        self._client, self._reads = client, reads
        self.query = client.query
        self.batches = []

    def batch_get_item(self, RequestItems):  # noqa: N803 - boto3's name
        [(name, wanted)] = RequestItems.items()
        keys = wanted["Keys"]
        self.batches.append(len(keys))
        now, later = keys[: self._reads], keys[self._reads :]
        answer = {"Responses": {name: []}}
        if now:
            answer = self._client.batch_get_item(RequestItems={name: {**wanted, "Keys": now}})
        return {**answer, "UnprocessedKeys": {name: {**wanted, "Keys": later}} if later else {}}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(table_module, "_BATCH_SECONDS", 0.0)


@pytest.mark.usefixtures("quick")
def test_rows_that_were_not_read_are_asked_for_again(few):
    busy = BusyClient(few.client, 6)

    assert sorted(listed(TaskTable(busy, few.name), limit=30)) == sorted(listed(few))
    assert busy.batches == [30, 24, 18, 12, 6]


@pytest.mark.usefixtures("quick")
def test_a_page_ends_before_the_first_row_that_cannot_be_read(few):
    busy = TaskTable(BusyClient(few.client, 2), few.name)

    assert [len(page) for page in pages(busy, limit=30)] == [10, 10, 10]
    assert sorted(listed(busy, limit=30)) == sorted(listed(few))


@pytest.mark.usefixtures("quick")
def test_a_table_too_busy_for_one_row_is_said_to_be(few):
    busy = TaskTable(BusyClient(few.client, 0), few.name)

    with pytest.raises(ProblemError) as caught:
        list_tasks(asked(), "client-1", busy)

    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (
        503,
        "too-busy",
        1,
    )


def test_an_erased_task_is_not_listed(table):
    put(table, [made(number, stage=Stage.FAILED) for number in range(3)])
    gone, begun = made(1).task_id, made(2).task_id
    table.end_erasure(table.begin_erasure(table.read(gone), BEGINNING), BEGINNING)
    table.begin_erasure(table.read(begun), BEGINNING)

    [listed] = pages(table)

    assert [one.task_id for one in listed] == [made(0).task_id]
