"""docs/problems.md describes every problem that the code and API Gateway answer with."""

import json
import re
import textwrap

import pytest

from act_one.problems import ProblemError, type_of
from tools.openapi.problems import ENTRIES, entries
from tools.openapi.raised import UnreadableError, by_code, from_code, from_gateway

RAISED = by_code([*from_code(), *from_gateway()])


def test_every_code_has_an_entry_and_every_entry_a_code():
    assert {"field-missing", "input-too-long", "upload-ambiguous", "quota-exceeded"} <= set(RAISED)
    assert sorted(entries()) == sorted(RAISED)


@pytest.mark.parametrize("code", RAISED)
def test_an_entry_has_the_statuses_that_the_code_is_answered_with(code):
    assert entries()[code].statuses == {raised.status for raised in RAISED[code]}


@pytest.mark.parametrize("code", RAISED)
def test_an_entry_shows_a_problem_as_it_is_answered(code):
    example = entries()[code].example
    [*members] = ProblemError(400, code, "", "").document()

    assert (example["type"], example["code"]) == (type_of(code), code)
    assert set(members) <= set(example)
    assert any(
        raised.status == example["status"] and re.fullmatch(raised.title, example["title"])
        for raised in RAISED[code]
    ), f"{example['title']!r} is the title at none of {[raised.where for raised in RAISED[code]]}"


def test_an_entry_says_what_it_means_before_its_example():
    short = [code for code, entry in entries().items() if len(entry.text) < 40]

    assert short == []


def test_the_page_of_the_api_leads_to_the_page_of_problems():
    assert "](problems.md)" in ENTRIES.with_name("api.md").read_text()


# ── How codes are read ────────────────────────────────────────────────────────────────────────


def module(folder, name, text):
    path = folder / "layers/act_one/act_one" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def test_codes_are_read_through_constants_subclasses_and_functions_that_take_them(tmp_path):
    module(
        tmp_path,
        "one.py",
        """
        MANY = "too-many"
        KINDS = {"a": "of-a", "b": "of-b"}
        class GoneError(ProblemError):
            def __init__(self):
                super().__init__(410, "gone", "It is gone", "…")
        def refuse(code, title, *, status=400):
            raise ProblemError(status, f"x-{code}", title, "…")
        def check(kind):
            if kind: refuse("literal", f"{kind} is wrong", status=422)
            raise ProblemError(409, MANY, "Many", "…")
        def by_kind(kind):
            refuse(KINDS[kind], "A kind")
        """,
    )
    module(
        tmp_path,
        "two.py",
        """
        from act_one.one import refuse as no
        def other(): no("imported", "Imported")
        """,
    )

    found = {(raised.code, raised.status) for raised in from_code(tmp_path)}

    assert found == {
        ("gone", 410),
        ("x-literal", 422),
        ("too-many", 409),
        ("x-of-a", 400),
        ("x-of-b", 400),
        ("x-imported", 400),
    }


@pytest.mark.parametrize(
    ("made", "what"),
    [
        ('ProblemError(400, "a-" + kind, "A", "…")', "code can't be read"),
        ('ProblemError(codes.STATUS, "a-b", "A", "…")', "status as a number"),
    ],
)
def test_a_code_that_cannot_be_read_is_an_error_that_names_the_place(tmp_path, made, what):
    module(tmp_path, "one.py", f"kind = input()\nraise {made}\n")

    with pytest.raises(UnreadableError, match=what) as caught:
        from_code(tmp_path)

    assert "layers/act_one/act_one/one.py:2" in str(caught.value)


def test_every_example_is_valid_json_on_its_page():
    blocks = re.findall(r"^```json\n(.*?)^```", ENTRIES.read_text(), re.MULTILINE | re.DOTALL)

    assert [json.loads(block)["code"] for block in blocks] == [*entries()]
