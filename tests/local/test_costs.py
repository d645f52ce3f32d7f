"""What a write costs, and what the page of costs says and promises."""

import re
from pathlib import Path

import pytest

from tools.costs.rows import Rows, Write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/costs.md").read_text()
INDEXES = (("watched", "due_at"), ("provider_task_id",))
ROW = {"task_id": {"S": "t"}, "watched": {"S": "open"}, "due_at": {"N": "5"}}


def rows(**more) -> Rows:
    table = Rows(INDEXES)
    table.put({"Item": {**ROW, **more}})
    return table


def update(expression: str, **values):
    return {
        "Key": {"task_id": {"S": "t"}},
        "UpdateExpression": expression,
        "ExpressionAttributeNames": {
            f"#{name}": name for name in re.findall(r"#(\w+)", expression)
        },
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
    }


def text(kilobytes: float):
    return {"S": "x" * int(kilobytes * 1_024)}


def test_a_new_row_is_written_once_and_into_the_indexes_whose_keys_it_has():
    assert Rows(INDEXES).put({"Item": ROW}) == Write(row=1, index=1)


def test_a_write_costs_the_larger_of_the_row_before_and_after():
    table = rows(body=text(2.5))

    assert table.update(update("SET #stage = :stage", stage={"S": "x"})).row == 3
    assert table.update(update("REMOVE #body")).row == 3
    assert table.update(update("SET #stage = :stage", stage={"S": "y"})).row == 1


def test_a_row_that_is_made_twice_is_written_once():
    table = rows(body=text(1.5))
    again = {
        "Item": {**ROW, "stage": {"S": "x"}},
        "ConditionExpression": "attribute_not_exists(task_id)",
    }

    assert table.put(again) == Write(row=2, index=0)
    assert "stage" not in table.items["t"]


@pytest.mark.parametrize(
    ("expression", "values", "index"),
    [
        ("SET #stage = :stage", {"stage": {"S": "x"}}, 0),
        ("SET #due_at = :due_at", {"due_at": {"N": "6"}}, 2),
        ("SET #due_at = :due_at", {"due_at": {"N": "5"}}, 0),
        ("REMOVE #due_at, #watched", {}, 1),
        ("SET #provider_task_id = :id", {"id": {"S": "p"}}, 1),
    ],
)
def test_an_index_is_written_where_an_entry_is_made_moved_or_removed(expression, values, index):
    assert rows().update(update(expression, **values)).index == index


def test_an_update_is_read_as_the_table_writes_it():
    table = rows(runs={"N": "2"}, error=text(0.1))

    table.update(
        update("SET #stage = :stage REMOVE #error ADD #runs :one", stage={"S": "x"}, one={"N": "1"})
    )

    assert table.items["t"] == {**ROW, "stage": {"S": "x"}, "runs": {"N": "3"}}


def test_an_update_of_another_form_is_not_guessed_at():
    with pytest.raises(ValueError, match="DELETE"):
        rows().update(update("DELETE #tags :one", one={"SS": ["x"]}))


# ── The page ──────────────────────────────────────────────────────────────────────────────────


def row_of(label: str) -> list[str]:
    [line] = [one for one in PAGE.splitlines() if one.startswith(f"| {label} |")]
    return [cell.strip(" *") for cell in line.split("|")[2:-1]]


def test_a_million_tasks_by_post_cost_95_dollars_and_an_idle_month_two():
    assert float(row_of("**all of it**")[0]) <= 95
    assert float(row_of("**all of an idle month**")[0]) <= 2


def test_egress_and_storage_come_first():
    first = next(line for line in PAGE.splitlines() if line.startswith("| ") and "$" in line)

    assert "egress" in PAGE[: PAGE.index("## What our functions ask")]
    assert PAGE.index(first) < PAGE.index("## What our functions ask")


def test_the_readme_says_what_the_page_says():
    readme = (ROOT / "README.md").read_text()

    per_task = float(row_of("**all of it**")[0]) / 1_000_000
    [said] = re.findall(r"It costs about \$([\d.]+) per task", readme)
    assert abs(float(said) - per_task) <= 0.00002
