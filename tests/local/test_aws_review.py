"""The second opinion on the template: its comparison finds what it should, its page is current."""

import re
from pathlib import Path

import botocore.session
import pytest

from tools.aws_review.comparison import differences
from tools.aws_review.deployment import in_order, without
from tools.aws_review.document import HELD, NO_TEST, held_by
from tools.aws_review.models import faults
from tools.aws_review.names import LONGEST, LONGEST_STACK_NAME, generated

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/aws-review.md").read_text()
IDS = {"Queue": "https://sqs.example/1/act-one-Queue-X", "Table": "act-one-Table-X"}


@pytest.mark.parametrize(
    ("said", "read", "found"),
    [
        ({"Size": "3"}, {"Size": 3}, []),
        ({"On": True}, {"On": "true"}, []),
        ({"On": True}, {"On": False}, ["On is False, not True"]),
        ({"On": True}, {}, ["On is absent"]),
        ({"A": 1}, {"A": 1, "More": 2}, []),
        ({"A": [{"Id": "a", "B": 1}]}, {"A": [{"Id": "a", "B": 2}]}, ["A[a].B is 2, not 1"]),
        ({"A": ["x", "y"]}, {"A": ["y", "x"]}, []),
        ({"Action": ["s3:GetObject"]}, {"Action": "s3:GetObject"}, []),
        ({"Arn": "${Queue.Arn}"}, {"Arn": "arn:aws:sqs:us-east-1:1:act-one-Queue-X"}, []),
        ({"Arn": "${Table.Arn}/index/due"}, {"Arn": "arn:1:table/act-one-Table-X/index/due"}, []),
        (
            {"Arn": "${Table.Arn}"},
            {"Arn": "arn:another"},
            ["Arn is arn:another, not ${Table.Arn}"],
        ),
    ],
)
def test_a_difference_is_what_a_service_says_otherwise_than_the_template(said, read, found):
    assert [*differences(said, read, IDS)] == found


TEMPLATE = {
    "Resources": {
        "Rule": {"Type": "R", "Properties": {"Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}},
        "Queue": {"Type": "Q", "DependsOn": "Table"},
        "Table": {"Type": "T"},
        "Named": {"Type": "N", "Properties": {"Name": {"Fn::Sub": "${Table}-${AWS::Region}"}}},
    },
    "Outputs": {"Queue": {"Value": {"Ref": "Queue"}}, "Table": {"Value": {"Ref": "Table"}}},
}


def test_resources_are_tried_after_those_that_they_refer_to():
    order = in_order(TEMPLATE["Resources"])

    assert order.index("Table") < order.index("Queue") < order.index("Rule")


def test_what_is_refused_leaves_a_text_in_its_place():
    part = without(TEMPLATE, {"Queue", "Table"})

    assert part["Resources"].keys() == {"Rule", "Named"}
    assert "Queue" in part["Resources"]["Rule"]["Properties"]["Arn"]
    assert part["Resources"]["Named"]["Properties"]["Name"] == {
        "Fn::Sub": "no-Table-${AWS::Region}"
    }
    assert "Outputs" not in part
    assert TEMPLATE["Outputs"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (
            {"Name": "sweep", "ScheduleExpression": "rate(1 minute)"},
            "FlexibleTimeWindow is missing",
        ),
        ({"Name": "s" * 65}, "Name has 65, more than 64"),
        ({"Name": "a b"}, "Name doesn't match"),
        ({"State": "SLEEPING"}, "State is SLEEPING, which is none of its values"),
        ({"Target": {"RetryPolicy": {"MaximumEventAgeInSeconds": 59}}}, "less than 60"),
    ],
)
def test_a_call_is_held_against_awss_model_of_it(asked, found):
    model = botocore.session.get_session().get_service_model("scheduler")

    broken = faults(model.operation_model("CreateSchedule"), asked)

    assert any(found in fault for fault in broken), broken


def test_a_generated_name_is_as_long_as_its_type_allows_and_no_longer():
    logical_id = "L" * 255  # the longest
    for kind, most in LONGEST.items():
        name = generated(kind, "S" * LONGEST_STACK_NAME, logical_id)
        assert len(name) == min(most, LONGEST_STACK_NAME + 1 + len(logical_id) + 14)
        assert re.fullmatch(r"[A-Za-z0-9]+-[A-Za-z0-9]+-[A-Za-z0-9]+", name)
    assert generated("SQS::Queue", "act-one", "MediaQueue").startswith("act-one-MediaQueue-")


def test_every_test_that_holds_a_difference_is_there():
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert [test for *_, test in HELD if f"def {test}(" not in tests] == []
    assert NO_TEST not in PAGE
    assert held_by("SQS::Queue", "VisibilityTimeout is absent") == NO_TEST


def test_the_page_was_made_with_the_pinned_emulators():
    for emulator in ("moto", "ministack"):
        pinned = re.search(
            rf"^{emulator}==([\d.]+)",
            (ROOT / f"requirements/{emulator}.txt").read_text(),
            re.MULTILINE,
        )
        assert f"| {emulator} {pinned[1]} |" in PAGE
