"""Tries the mutants: see the package."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from tests.protocol.mutants import MUTANTS, Mutant
from tests.protocol.mutants.plugin import CHOSEN
from tests.protocol.mutants.registry import ROOT

BY_CHANCE: Final = (
    "tests/protocol/test_protocol.py::test_no_history_breaks_a_promise",
    "--hypothesis-profile=unshrunk",
)
CHANCES: Final = "300"
_REASON: Final = re.compile(r"^FAILED .+? - (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """Whether tests passed; if not, why the first one failed."""

    passed: bool
    reason: str = ""


def try_out(mutant: Mutant, *, by_chance: bool) -> Outcome:
    """Run a mutant's killer against it."""
    killer = f"{mutant.killer_file}::{mutant.killer_test}"
    return _run(*(BY_CHANCE if by_chance else (killer,)), mutant=mutant)


def _run(*tests: str, mutant: Mutant | None = None) -> Outcome:
    plugin = ("-p", "tests.protocol.mutants.plugin") if mutant else ()
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider"),
            *(*plugin, *tests),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "layers/act_one"),
            "ACT_ONE_HISTORIES": CHANCES,
            "ACT_ONE_SOAK": "0",
            "COLUMNS": "240",
            CHOSEN: mutant.name if mutant else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    # An error in a fixture is not a failure of the test, and kills nothing.
    summary = (ended.stdout.splitlines() or [""])[-1]
    if ended.returncode not in {0, 1} or "error" in summary:
        tried = mutant.name if mutant else "the tests without a mutant"
        sys.exit(f"{tried}: pytest ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
    why = _REASON.search(ended.stdout)
    return Outcome(ended.returncode == 0, (why and why[1]) or "")


def main(words: list[str]) -> int:
    """Try the mutants; return 1 if one survives."""
    began_at = monotonic()
    by_chance = "--by-chance" in words
    words = [word for word in words if word != "--by-chance"]
    chosen = [mutant for mutant in MUTANTS if not words or any(w in mutant.name for w in words)]
    killers = dict.fromkeys(f"{mutant.killer_file}::{mutant.killer_test}" for mutant in chosen)
    intact = _run(*killers)
    if not intact.passed:
        sys.exit(f"the tests fail without any mutant: {intact.reason}")
    with ThreadPoolExecutor(2) as pool:
        survived = 0
        tries = pool.map(partial(try_out, by_chance=by_chance), chosen)
        for mutant, outcome in zip(chosen, tries, strict=True):
            survived += outcome.passed
            killer = "chance" if by_chance else mutant.killer
            fate = "SURVIVED" if outcome.passed else "killed"
            print(f"{fate}: {mutant.name} ({killer})\n    {outcome.reason}".rstrip(), flush=True)
    print(f"{len(chosen)} mutants, {survived} survived, {monotonic() - began_at:.0f} s")
    return int(bool(survived))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
