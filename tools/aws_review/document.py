"""The generated part of docs/aws-review.md: where the emulators differ from the template.

Each difference names the test that holds what the emulators don't. A difference without one makes
`make second-opinion` fail: something would be checked by nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BEGIN: Final = "<!-- made by make second-opinion: begin -->"
END: Final = "<!-- made by make second-opinion: end -->"
HELD: Final[Sequence[tuple[str, str, str]]] = (
    (
        "ApiGateway::RestApi",
        "gateway responses",
        "test_what_api_gateway_answers_itself_is_a_problem_document",
    ),
    (
        "ApiGateway::RestApi",
        "paths",
        "test_every_method_but_reading_the_description_requires_an_api_key",
    ),
    (
        "DynamoDB::Table",
        "PointInTimeRecovery",
        "test_every_table_is_on_demand_and_can_be_restored_to_any_moment",
    ),
    (
        "DynamoDB::Table",
        "TimeToLive",
        "test_rows_are_removed_by_the_attribute_that_code_writes",
    ),
    (
        "Events::EventBus",
        "Policy",
        "test_only_the_functions_that_publish_events_may_use_our_source",
    ),
    (
        "Lambda::EventInvokeConfig",
        "",
        "test_every_function_that_is_called_asynchronously_says_where_failures_go",
    ),
    (
        "Lambda::Function",
        "LoggingConfig",
        "test_every_function_logs_to_a_group_of_its_own_that_forgets",
    ),
    (
        "Lambda::Permission",
        "FunctionUrl",
        "test_a_function_url_is_open_to_all_and_so_are_both_permissions_for_it",
    ),
    (
        "Lambda::Permission",
        "InvokedViaFunctionUrl",
        "test_a_function_url_is_open_to_all_and_so_are_both_permissions_for_it",
    ),
    (
        "S3::Bucket",
        "LifecycleConfiguration",
        "test_inputs_go_after_the_days_that_the_parameter_says_their_old_versions_too",
    ),
    (
        "S3::Bucket",
        "NotificationConfiguration",
        "test_every_way_in_reaches_ingest_and_our_own_files_never_do",
    ),
    (
        "StepFunctions::StateMachine",
        "LoggingConfiguration",
        "test_a_state_machine_logs_failures_but_no_data_to_a_group_that_never_fills_a_policy",
    ),
)
"""The test that holds a property of a type, where an emulator doesn't."""
NO_TEST: Final = "**no test**"


@dataclass(frozen=True)
class Opinion:
    """What became of a template in one emulator, by one way in."""

    emulator: str
    version: str
    way: str
    resources: int
    made: int
    refused: Mapping[str, str]
    """By logical id, the reason."""
    ignored: Mapping[str, int]
    """By type, how many resources were left out without a word."""
    differences: Sequence[tuple[str, str, str]]
    """(type, logical id, what differs) of each difference that was read back."""
    model_faults: Sequence[str] = ()


def part(opinions: Sequence[Opinion], longest: Opinion, stack_characters: int) -> str:
    """Write the generated part of the page."""
    head = (
        "| emulator | how | made | refused | left out silently | properties that differ |\n"
        "|---|---|---|---|---|---|\n"
    )
    rows = "".join(
        f"| {o.emulator} {o.version} | {o.way} | {o.made} of {o.resources} | {len(o.refused)} "
        f"| {sum(o.ignored.values())} | {len(o.differences) if o.differences else '-'} |\n"
        for o in opinions
    )
    return (
        f"{head}{rows}\n"
        f"With a stack name of {stack_characters} characters, moto's services make "
        f"{longest.made} of {longest.resources} resources and refuse "
        f"{_names(longest.refused) or 'none'}. No call breaks AWS's model of it"
        f"{_faults(opinions, longest)}.\n\n"
        f"### Refused\n\n{_refusals(opinions)}\n"
        f"### Left out silently\n\n{_ignored(opinions)}\n"
        f"### Not as the template says\n\n{_differences(opinions)}"
    )


def _faults(opinions: Iterable[Opinion], longest: Opinion) -> str:
    found = sorted({fault for o in (*opinions, longest) for fault in o.model_faults})
    return f", except: {'; '.join(found)}" if found else ""


def _names(refused: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}`" for name in refused)


def _refusals(opinions: Sequence[Opinion]) -> str:
    lines = []
    for opinion in opinions:
        by_reason: dict[str, list[str]] = {}
        for name, reason in opinion.refused.items():
            by_reason.setdefault(_tidy(reason), []).append(name)
        lines += [
            f"| {opinion.emulator}, {opinion.way} | {', '.join(f'`{n}`' for n in names)} "
            f"| {reason} |\n"
            for reason, names in by_reason.items()
        ]
    return "| emulator | resources | reason |\n|---|---|---|\n" + "".join(lines)


def _tidy(reason: str) -> str:
    """Return what an error says, without what boto3 says around it."""
    said = re.search(r'"message": ?"(.*?)"', reason) or re.search(
        r"operation(?: \(.*?\))?: (.*)", reason
    )
    text = said[1] if said else reason
    return text.replace("|", "\\|").splitlines()[0].strip()


def _ignored(opinions: Sequence[Opinion]) -> str:
    lines = [
        f"| {opinion.emulator}, {opinion.way} | "
        + ", ".join(f"`{kind}` ({count})" for kind, count in sorted(opinion.ignored.items()))
        + " |\n"
        for opinion in opinions
        if opinion.ignored
    ]
    return "| emulator | types |\n|---|---|\n" + "".join(lines)


def _differences(opinions: Sequence[Opinion]) -> str:
    lines = []
    for opinion in opinions:
        grouped: dict[tuple[str, str, str], list[str]] = {}
        for kind, name, what in opinion.differences:
            key = (kind, _property(what), held_by(kind, what))
            grouped.setdefault(key, []).append(name)
        lines += [
            f"| {opinion.emulator} | `{kind}`: {_these(names)} | {what} | {_code(test)} |\n"
            for (kind, what, test), names in sorted(grouped.items())
        ]
    return "| emulator | resources | not as said | held by |\n|---|---|---|---|\n" + "".join(lines)


def _property(what: str) -> str:
    """Return the property of a difference, without the members of its lists and maps."""
    if what.startswith("can't be read"):
        return "not there"
    path = what.partition(" is ")[0]
    return re.sub(r"^(gateway responses|paths)\..*?(\.needs a key)?$", r"\1\2", path)


def _these(names: Sequence[str]) -> str:
    once = sorted(set(names))
    return ", ".join(once) if len(once) <= 3 else f"{once[0]} and {len(once) - 1} others"


def _code(test: str) -> str:
    return test if test == NO_TEST else f"`{test}`"


def held_by(kind: str, what: str) -> str:
    """Name the test that holds a property."""
    for of_kind, prefix, test in HELD:
        if kind == of_kind and (what.startswith(prefix) or not prefix):
            return test
    return NO_TEST


def put(page: Path, generated: str) -> None:
    """Replace the generated part of the page."""
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{generated}\n{END}{after}")
