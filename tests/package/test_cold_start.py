"""What a cold start does: which modules each function imports, and how much it makes Python do.

``python -m tests.package.test_cold_start`` renews the recorded work, in ``cold_start.json``.
"""

import json
from functools import cache
from pathlib import Path

import pytest

from local.handlers import BARE_BOTO3, BARE_FOLDERS, BUILD, handlers, work_to_run

RECORDED = Path(__file__).with_name("cold_start.json")
MAY_GROW_BY = 1.15

if not (BUILD / "template.yaml").exists():
    pytest.fail("Nothing is built yet: run `make build`", pytrace=False)
FUNCTIONS = handlers()

IMPORTED_BY = {
    # What fetches from hosts that others chose. The fallback imports it when it sends a task again.
    "requests": {"Submit", "Copy", "Webhooks", "Ingest"},
    "act_one.net.downloads": {"Submit", "Copy", "Webhooks", "Ingest"},
    # TLS, and who speaks to the provider. Copy, Ingest and Submit have it with the downloads too.
    "act_one.net.dialing": {
        *("Submit", "Tasks", "Callback", "Copy", "Webhooks", "Ingest", "Fallback"),
    },
    "act_one.provider.client": {"Submit", "Tasks", "Callback", "Copy", "Ingest", "Fallback"},
    # Who checks inputs or results.
    "act_one.media.probe": {"Submit", "Copy", "Ingest"},
    "act_one.inputs.preflight": {"Submit", "Ingest"},
    # Who creates tasks, sends them again or compares a request with one.
    "act_one.inputs.request": {"Submit", "Ingest", "Fallback"},
    "act_one.lifecycle.submission": {"Submit", "Ingest", "Fallback"},
    "standardwebhooks": {"Webhooks"},
    # The description's function calls no service.
    "botocore.session": {name.removesuffix("Function") for name in FUNCTIONS} - {"Docs"},
    # A fifth of a cold start each, for nothing that a table of routes or botocore can't do.
    "aws_lambda_powertools.event_handler": set(),
    "boto3": set(),
    "s3transfer": set(),
    "pydantic": set(),
    "charset_normalizer": set(),
    "unittest": set(),
}


@cache
def work_of(function):
    handler = FUNCTIONS[function]
    return work_to_run(handler.statements, handler.folders, handler.environment)


@cache
def floor():
    return work_to_run(BARE_BOTO3, BARE_FOLDERS, {})


def ratios(function):
    """Return the function's work over that of boto3 and a client, by what was counted."""
    ours, bare = work_of(function), floor()
    return {
        "lines": round(ours.lines / bare.lines, 3),
        "bytecode": round(ours.bytecode / bare.bytecode, 3),
    }


@pytest.mark.parametrize("module", IMPORTED_BY)
def test_a_module_is_imported_by_the_functions_that_need_it_only(module):
    importing = {name for name in FUNCTIONS if module in work_of(name).modules}

    assert {name.removesuffix("Function") for name in importing} == IMPORTED_BY[module]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_cold_start_does_not_grow_unnoticed(function):
    recorded = json.loads(RECORDED.read_text())[function]

    for counted, ratio in ratios(function).items():
        allowed = recorded[counted] * MAY_GROW_BY
        assert ratio <= allowed, (
            f"{counted} of {function}: {ratio} of boto3 and a client, {recorded[counted]} before; "
            "import less, or renew the record with python -m tests.package.test_cold_start"
        )


def test_the_record_has_each_function_and_no_other():
    assert json.loads(RECORDED.read_text()).keys() == FUNCTIONS.keys()


def test_the_parts_of_a_cold_start_are_counted():
    bare = work_to_run("pass", [], {})
    more = work_to_run("import decimal; sum(number for number in range(1000))", [], {})

    assert "decimal" in more.modules - bare.modules
    assert more.bytecode > bare.bytecode
    assert more.lines > bare.lines + 1000


if __name__ == "__main__":
    RECORDED.write_text(json.dumps({name: ratios(name) for name in FUNCTIONS}, indent=2) + "\n")
