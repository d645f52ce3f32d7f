"""What `make doctor` and `make smoke` find: a line for each check, with what to do."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from ops.stacks import DONE, NOT_DONE, CommandError, code_of, sentence

_ACTION: Final = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")
_REFUSALS: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
)
_WIDTH: Final = 13


class Grade(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, but an operator should know."""
    PROBLEM = "problem"
    """It doesn't work."""
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """The end of a check, in a sentence that says what to do."""

    grade: Grade
    text: str


def ok(text: str) -> Finding:
    return Finding(Grade.OK, text)


def warning(text: str) -> Finding:
    return Finding(Grade.WARNING, text)


def problem(text: str) -> Finding:
    return Finding(Grade.PROBLEM, text)


def not_checked(text: str) -> Finding:
    return Finding(Grade.NOT_CHECKED, text)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to check: ``what`` names it where it can't be."""

    what: str
    findings: Callable[[], Iterable[Finding]]


def examine(checks: Iterable[Check], say: Callable[[str], None]) -> list[Finding]:
    """Run checks in order, and show each finding at once.

    A check that AWS doesn't allow is shown with the permission that it needs; the others go on.
    """
    found: list[Finding] = []
    for check in checks:
        for finding in _run(check):
            say(f"{finding.grade:<{_WIDTH}}{finding.text}")
            found.append(finding)
    return found


def show(line: str) -> None:
    """Print a line at once, also where the output is a file or a pipe."""
    print(line, flush=True)


def _run(check: Check) -> Iterator[Finding]:
    try:
        yield from check.findings()
    except CommandError as error:
        yield problem(str(error))
    except ClientError as error:
        if code_of(error) in _REFUSALS:
            yield not_checked(f"{check.what}: needs the permission {missing_permission(error)}")
        else:
            yield not_checked(f"{check.what}: {sentence(error)}")
    except BotoCoreError as error:
        yield not_checked(f"{check.what}: {sentence(error)}")


def missing_permission(error: ClientError) -> str:
    """Name the action that AWS refused: its message has it, or else the call's own name."""
    named = _ACTION.search(str(error))
    return named[1] if named else f"for {error.operation_name}"


def summary(found: Sequence[Finding], good: str, bad: str) -> tuple[str, int]:
    """Return the last line of a command, and its exit status: 2 while a problem stands."""
    grades = Counter(finding.grade for finding in found)
    counts = ", ".join(
        f"{grades[grade]} {name}"
        for grade, name in (
            (Grade.PROBLEM, "problems" if grades[Grade.PROBLEM] != 1 else "problem"),
            (Grade.WARNING, "warnings" if grades[Grade.WARNING] != 1 else "warning"),
            (Grade.NOT_CHECKED, "not checked"),
        )
        if grades[grade]
    )
    stands = grades[Grade.PROBLEM] > 0
    verdict = bad if stands else good
    return f"{verdict} ({counts})." if counts else f"{verdict}.", NOT_DONE if stands else DONE
