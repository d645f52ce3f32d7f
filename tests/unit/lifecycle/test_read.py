"""A client reads its own tasks."""

from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from act_one.clients.client import Client
from act_one.clock import DAY
from act_one.lifecycle.read import own_task, with_links
from act_one.problems import ProblemError
from act_one.tasks.documents import api_document
from act_one.tasks.task import Output, Stage, StoredMedia
from tests.unit.examples import TASK, task
from tests.unit.fakes import BEGINNING, settings

MIDNIGHT = DAY - BEGINNING % DAY
"""Seconds from the beginning until midnight UTC, when S3 removes what has expired."""
OWNER = Client(name="client-1")
VIDEO = StoredMedia(
    s3_uri="s3://results/tasks/1/video.mp4", size=9, sha256="00", content_type="video/mp4"
)


def test_a_task_is_shown_to_its_client(table, shipped_s3):
    table.create(TASK)

    assert with_links(
        own_task(TASK.task_id, OWNER, table), shipped_s3, settings(), BEGINNING
    ) == api_document(TASK)


def test_another_clients_task_looks_like_a_missing_one(table):
    table.create(TASK)
    problems = []
    for task_id, client in ((TASK.task_id, Client(name="client-2")), ("gone", OWNER)):
        with pytest.raises(ProblemError) as caught:
            own_task(task_id, client, table)
        problems.append(caught.value.document())

    assert problems[0] == problems[1]
    assert (problems[0]["status"], problems[0]["code"]) == (404, "task-not-found")


@pytest.mark.parametrize(
    "task_id", ["x" * 2_049, "", "task_", "TASK_" + "0" * 32, "task_" + "g" * 32]
)
def test_an_invalid_id_is_not_found_without_a_read(task_id):
    table = SimpleNamespace(read=lambda _: pytest.fail("the table was read"))

    with pytest.raises(ProblemError) as caught:
        own_task(task_id, OWNER, table)

    assert caught.value.status == 404


def test_each_stored_file_has_a_link_for_an_hour(table, shipped_s3):
    table.create(task(Stage.SUCCEEDED, output=Output(video=VIDEO)))

    output = with_links(own_task(TASK.task_id, OWNER, table), shipped_s3, settings(), BEGINNING)[
        "output"
    ]

    link = urlsplit(output["video"].pop("url"))
    assert link.path.endswith("/results/tasks/1/video.mp4")
    assert parse_qs(link.query)["X-Amz-Expires"] == ["3600"]
    assert output["video"]["s3_uri"] == VIDEO.s3_uri
    assert (output["poster"], output["last_frame"]) == (None, None)


@pytest.mark.parametrize(
    ("days", "later", "linked"),
    [
        (0, 3_000 * DAY, True),
        (3, 3 * DAY, True),
        (3, 3 * DAY + MIDNIGHT - 1, True),
        (3, 3 * DAY + MIDNIGHT, False),
        (3, 14 * DAY, False),
    ],
)
def test_a_file_that_expired_in_the_bucket_has_no_link(shipped_s3, days, later, linked):
    ended = task(Stage.SUCCEEDED, output=Output(video=VIDEO), updated_at=BEGINNING)

    shown = with_links(ended, shipped_s3, settings(result_retention_days=days), BEGINNING + later)

    assert (shown["output"]["video"]["url"] is not None) == linked
    assert shown["output"]["video"]["s3_uri"] == VIDEO.s3_uri


@pytest.mark.parametrize("client", ["events", "uploads"])
def test_a_shared_task_is_missing_to_clients_that_may_not_read_it(client, table):
    table.create(task(client_id=client))
    others = frozenset({"events", "uploads"} - {client})

    with pytest.raises(ProblemError) as caught:
        own_task(TASK.task_id, Client(name="client-9", may_read=others), table)

    assert caught.value.status == 404


def test_tasks_of_an_api_key_from_before_clients_had_names_are_its_clients(table):
    table.create(task(client_id="0123456789abcdef"))
    client = Client(name="acme", former_ids=frozenset({"0123456789abcdef"}))

    assert own_task(TASK.task_id, client, table) == table.read(TASK.task_id)


@pytest.mark.parametrize("client", ["events", "uploads"])
def test_a_shared_task_is_shown_without_the_queries_of_its_inputs(client, table, shipped_s3):
    table.create(
        task(client_id=client, video="https://a.example/v?sig=1", image="https://a.example/i?sig=2")
    )

    reader = Client(name="client-9", may_read=frozenset({client}))
    shown = with_links(own_task(TASK.task_id, reader, table), shipped_s3, settings(), BEGINNING)

    assert shown["input"] == {"video": "https://a.example/v", "image": "https://a.example/i"}
