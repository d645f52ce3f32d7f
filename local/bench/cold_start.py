"""Cold start: the cost of each handler's import, including its AWS clients.

Measured in new interpreters with the search path of Lambda: this build, the same as a plain ``sam
build`` makes it (no bytecode, so no methods of dataclasses written out either), and what a function
costs that does nothing.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from local.handlers import (
    BARE_BOTO3,
    BARE_FOLDERS,
    BUILD,
    PUBLISHED_FOLDERS,
    handlers,
    instructions_to_run,
    seconds_to_run,
)

RUNS: Final = 19
FLOOR: Final = "boto3 and a client"
PUBLISHED: Final = "the same, as published"


@dataclass(frozen=True, slots=True)
class Contestant:
    """What is imported, from where; the times are CPU seconds of each run."""

    statements: str
    folders: Sequence[Path]
    environment: Mapping[str, str]
    shipped: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    def instructions(self) -> int | None:
        """Count the instructions of the import; None without valgrind."""
        started = instructions_to_run("pass", self.folders, {})
        counted = instructions_to_run(self.statements, self.folders, self.environment)
        return counted - started if counted and started else None

    def size(self) -> int:
        """Add up the bytes of the function's package and layers."""
        files = (path for folder in self.folders for path in folder.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files)


@contextmanager
def without_bytecode() -> Iterator[Path]:
    """Copy the build without its bytecode, for the duration of a ``with`` block."""
    with tempfile.TemporaryDirectory(dir=BUILD.parent) as folder:
        copied = Path(folder) / "build"
        shutil.copytree(BUILD, copied, ignore=shutil.ignore_patterns("__pycache__"))
        yield copied


def cold_starts() -> None:
    """Print a table of the handlers' imports."""
    contestants = {
        FLOOR: Contestant(BARE_BOTO3, BARE_FOLDERS, {}),
        PUBLISHED: Contestant(BARE_BOTO3, PUBLISHED_FOLDERS, {}),
    } | {
        name: Contestant(handler.statements, handler.folders, handler.environment)
        for name, handler in handlers().items()
    }
    with without_bytecode() as plain_build:
        for _ in range(RUNS):  # interleaved, so that a slow moment affects all equally
            for one in contestants.values():
                plain = [*map(partial(_in, plain_build), one.folders)]
                one.shipped.append(seconds_to_run(one.statements, one.folders, one.environment))
                one.plain.append(seconds_to_run(one.statements, plain, one.environment))
    _print(contestants)


def _in(plain_build: Path, folder: Path) -> Path:
    """Return a folder's place in the plain build, and itself if the build doesn't have it."""
    return plain_build / folder.relative_to(BUILD) if folder.is_relative_to(BUILD) else folder


def _print(contestants: Mapping[str, Contestant]) -> None:
    floor = contestants[FLOOR]
    floor_instructions = floor.instructions()
    print(
        f"| import, CPU ms, shortest of {RUNS} | this build | plain build | "
        "over boto3 and a client | by instructions | package, MB |"
    )
    print("|---|---|---|---|---|---|")
    for name, one in contestants.items():
        instructions = one.instructions()
        by_instructions = (
            f"{instructions / floor_instructions:.2f}"
            if instructions and floor_instructions
            else "no valgrind"
        )
        size = "" if name in {FLOOR, PUBLISHED} else f"{one.size() / 1e6:.1f}"
        print(
            f"| {name} | {min(one.shipped) * 1e3:.0f} | {min(one.plain) * 1e3:.0f} | "
            f"{min(one.shipped) / min(floor.shipped):.2f} | {by_instructions} | {size} |"
        )
