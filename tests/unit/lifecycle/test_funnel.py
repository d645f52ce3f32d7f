"""The funnel counts each change of a task once, whichever way the task goes."""

from dataclasses import replace
from itertools import pairwise

import pytest

from act_one.lifecycle import funnel
from act_one.lifecycle.funnel import count_moves
from act_one.tasks.moves import MOVES
from act_one.tasks.rows import to_item
from act_one.tasks.task import Billing, Evidence, SettledBy, Stage
from tests.unit.examples import TASK, task
from tests.unit.fakes import BEGINNING

EVIDENCE = Evidence(received_at=BEGINNING + 5.0, body="")


@pytest.fixture
def counted(monkeypatch):
    """The names and values of the metrics that were counted."""
    found = []
    monkeypatch.setattr(
        funnel.metrics, "add_metric", lambda name, _unit, value: found.append((name, value))
    )
    return found


def records(*rows):
    """What a table's stream says about a row that was written so, one after the other."""
    images = [to_item(row) for row in rows]
    return [
        {"dynamodb": {"SequenceNumber": str(number), "OldImage": before, "NewImage": after}}
        for number, (before, after) in enumerate(pairwise(images), 1)
    ]


def life(*steps):
    """A row after each of some steps, each the changes that it made; begun as `submitting`."""
    rows = [replace(TASK, price=400_000, billing=Billing.UNKNOWN)]
    for step in steps:
        moved = {"version": rows[-1].version + 1} if "stage" in step else {}
        rows.append(replace(rows[-1], **moved, **step))
    return rows


SUBMITTED = {"stage": Stage.SUBMITTED, "billing": Billing.CHARGED}
CALLED_BACK = {"evidence": EVIDENCE}
STORING = {"stage": Stage.STORING, "source_known_at": BEGINNING + 60.0}
STORED = {"stage": Stage.SUCCEEDED, "updated_at": BEGINNING + 62.5}
END = [("TasksStored", 1), ("TaskSeconds", 62.5), ("CopySeconds", 2.5)]
BEGIN = [("SpentUsd", 0.4), ("TasksSubmitted", 1)]


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        pytest.param(
            [
                SUBMITTED,
                CALLED_BACK,
                {**STORING, "settled_by": SettledBy.CALLBACK},
                STORED,
                {"webhook_asked_at": BEGINNING + 90.0},
            ],
            [*BEGIN, ("CallbacksMissed", 0), *END],
            id="called back",
        ),
        pytest.param(
            [SUBMITTED, {"polls": 1}, {**STORING, "settled_by": SettledBy.FALLBACK}, STORED],
            [*BEGIN, ("CallbacksMissed", 1), *END],
            id="callback lost",
        ),
        pytest.param(
            [SUBMITTED, CALLED_BACK, {**STORING, "settled_by": SettledBy.FALLBACK}, STORED],
            [*BEGIN, ("CallbacksMissed", 0), *END],
            id="called back, but the feed lagged behind",
        ),
        pytest.param(
            [SUBMITTED, {**STORING, "settled_by": SettledBy.READ}, CALLED_BACK, STORED],
            [*BEGIN, *END],
            id="a read was faster than the callback",
        ),
        pytest.param(
            [
                SUBMITTED,
                {**STORING, "settled_by": SettledBy.CALLBACK, **CALLED_BACK},
                STORING,
                STORED,
            ],
            [*BEGIN, ("CallbacksMissed", 0), *END],
            id="the copy is tried twice",
        ),
        pytest.param(
            [SUBMITTED, {"stage": Stage.FAILED, "settled_by": SettledBy.CALLBACK, **CALLED_BACK}],
            [*BEGIN, ("CallbacksMissed", 0), ("TasksFailed", 1)],
            id="failed",
        ),
        pytest.param(
            [{"stage": Stage.FAILED, "billing": Billing.NONE}],
            [("TasksFailed", 1)],
            id="rejected",
        ),
        pytest.param(
            [
                {"stage": Stage.UNCONFIRMED},
                {"stage": Stage.EXPIRED},
                {"billing": Billing.CHARGED},
                {"stage": Stage.FAILED, "settled_by": SettledBy.FALLBACK},
            ],
            [
                ("TasksUnconfirmed", 1),
                ("TasksFailed", 1),
                ("SpentUsd", 0.4),
                ("CallbacksMissed", 1),
            ],
            id="unconfirmed, expired, found to have failed",
        ),
        pytest.param(
            [
                {"stage": Stage.UNCONFIRMED},
                {"fallback_runs": 1},
                {**SUBMITTED, "stage": Stage.RUNNING},
            ],
            [("TasksUnconfirmed", 1), *BEGIN],
            id="unconfirmed, then known",
        ),
        pytest.param(
            [{"stage": Stage.ACCEPTED}, {"stage": Stage.CANCELED}], [], id="refused, canceled"
        ),
    ],
)
def test_a_life_is_counted(steps, wanted, counted):
    count_moves(records(*life(*steps)), None)

    assert counted == wanted


def test_the_insertion_of_a_row_counts_nothing(counted):
    row = to_item(task(Stage.UNCONFIRMED))

    count_moves([{"dynamodb": {"SequenceNumber": "1", "NewImage": row}}], None)
    count_moves([{"dynamodb": {"SequenceNumber": "1", "OldImage": row}}], None)

    assert counted == []


def test_what_the_stream_sends_again_is_counted_then(counted):
    batch = records(*life(SUBMITTED, {"stage": Stage.FAILED}))

    count_moves(batch, "2")
    assert counted == BEGIN

    count_moves(batch[1:], None)
    assert counted == [*BEGIN, ("TasksFailed", 1)]


@pytest.mark.parametrize(
    "damage",
    [
        {"stage": {"S": "unheard_of"}},
        {"stage": {"N": "1"}},
        {"billing": {}},
        {"updated_at": {"S": "now"}},
        {"updated_at": {"N": "now"}},
        {"created_at": {}},
        {"schema": {"N": "99"}},
    ],
    ids=str,
)
def test_a_row_that_cannot_be_read_is_left_out_alone(damage, counted):
    broken = records(*life(SUBMITTED, STORING, STORED))[-1]
    broken["dynamodb"]["NewImage"] |= damage
    others = records(*life(SUBMITTED))

    count_moves([broken, *others], None)

    assert counted == BEGIN


@pytest.mark.parametrize("origin", Stage)
def test_every_move_is_counted_at_most_once_under_each_name(origin, counted):
    for target in MOVES[origin]:
        before = task(origin, source_known_at=BEGINNING)
        count_moves(records(before, replace(before, stage=target)), None)
        names = [name for name, _ in counted]
        assert len(names) == len(set(names))
        ends_badly = target in {"failed", "expired"} and origin not in {"failed", "expired"}
        assert ("TasksFailed" in names) == ends_badly
        assert ("TasksStored" in names) == (target == "succeeded")
        counted.clear()
