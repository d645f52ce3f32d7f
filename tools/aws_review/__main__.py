"""Deploys the expanded template into both emulators and writes what became of it."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from local.stack import ROOT, use_only_this_machine
from tests.template.deployment import Template, expanded
from tools.aws_review.deployment import Deployed, deploy, put_code
from tools.aws_review.direct import make, resolved
from tools.aws_review.document import NO_TEST, Opinion, part, put
from tools.aws_review.emulators import Emulator, ministack, moto
from tools.aws_review.names import LONGEST_STACK_NAME
from tools.aws_review.review import compare

PAGE: Final = ROOT / "docs/aws-review.md"
LONGEST: Final = "S" * LONGEST_STACK_NAME
WATCHED: Final = {"AlarmEmail": "ops@example.com", "DailyBudgetUsd": "100"}
"""Parameters with which there are alarms, a dashboard and their topic."""


def opinion_of(
    emulator: Emulator, way: str, deployed: Deployed, template: Template, *, compared: bool
) -> Opinion:
    """Sum up what became of a template."""
    wanted = template.resources
    silent = wanted.keys() - deployed.ids.keys() - deployed.refused.keys()
    differences = compare(template, deployed, emulator) if compared else ()
    return Opinion(
        emulator=emulator.name,
        version=emulator.version,
        way=way,
        resources=len(wanted),
        made=len(deployed.ids.keys() & wanted.keys() - deployed.refused.keys()),
        refused=deployed.refused,
        ignored=Counter(wanted[name]["Type"].removeprefix("AWS::") for name in silent),
        differences=[
            (wanted[name]["Type"].removeprefix("AWS::"), name, what) for name, what in differences
        ],
        model_faults=sorted(set(emulator.model_faults)),
    )


def by_cloudformation(start: Callable[[Path], Any], folder: Path, *, compared: bool) -> Opinion:
    with start(folder) as emulator:
        deployed = deploy(expanded(), {}, emulator)
        template = resolved({}, deployed.stack, emulator.account)
        return opinion_of(emulator, "CloudFormation", deployed, template, compared=compared)


def by_calls(folder: Path, stack: str, parameters: Mapping[str, str]) -> Opinion:
    with moto(folder) as emulator:
        put_code(emulator)
        template = resolved(parameters, stack, emulator.account)
        deployed = make(template, stack, emulator)
        return opinion_of(emulator, "each service's calls", deployed, template, compared=True)


def main() -> int:
    use_only_this_machine()
    (ROOT / ".local").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=ROOT / ".local") as scratch:
        folder = Path(scratch)
        opinions = [
            by_cloudformation(ministack, folder / "ministack", compared=True),
            by_cloudformation(moto, folder / "moto", compared=False),
            by_calls(folder / "calls", "act-one", WATCHED),
        ]
        longest = by_calls(folder / "longest", LONGEST, WATCHED)
    generated = part(opinions, longest, LONGEST_STACK_NAME)
    put(PAGE, generated)
    for opinion in (*opinions, longest):
        print(
            f"{opinion.emulator} {opinion.version}, {opinion.way}: {opinion.made} of "
            f"{opinion.resources} made, {len(opinion.refused)} refused, "
            f"{len(opinion.differences)} properties differ"
        )
    if NO_TEST in generated or any(opinion.model_faults for opinion in (*opinions, longest)):
        print(f"something is held by no test, or breaks AWS's models: see {PAGE.name}")
        return 1
    print(f"written into {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
