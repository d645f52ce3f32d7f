"""Cold start: the CPU time of each handler's import, including its AWS clients.

Measured in new interpreters with the search path of Lambda, with and without bytecode.
"""

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local.handlers import BARE_BOTO3, BARE_FOLDERS, BUILD, handlers, seconds_to_run

RUNS: Final = 7


@contextmanager
def without_bytecode() -> Iterator[Path]:
    """Copy the build without its bytecode, for the duration of a ``with`` block."""
    with tempfile.TemporaryDirectory(dir=BUILD.parent) as folder:
        copied = Path(folder) / "build"
        shutil.copytree(BUILD, copied, ignore=shutil.ignore_patterns("__pycache__"))
        yield copied


def cold_starts() -> None:
    """Print a table of the handlers' imports."""
    bare = (BARE_BOTO3, [*BARE_FOLDERS], dict[str, str]())
    with without_bytecode() as plain_build:
        imports = {"boto3 and a client": bare} | {
            name: (handler.statements, [*handler.folders], dict(handler.environment))
            for name, handler in handlers().items()
        }
        rows: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in imports}
        for _ in range(RUNS):  # interleaved, so that a slow moment affects all equally
            for name, (statements, folders, environment) in imports.items():
                plain = [
                    plain_build / one.relative_to(BUILD) if one.is_relative_to(BUILD) else one
                    for one in folders
                ]
                shipped_as, plain_as = rows[name]
                shipped_as.append(seconds_to_run(statements, folders, environment))
                plain_as.append(seconds_to_run(statements, plain, environment))
    print(f"| import, CPU ms, median of {RUNS} | as shipped | without bytecode | ratio |")
    print("|---|---|---|---|")
    for name, (shipped_as, plain_as) in rows.items():
        ours, theirs = statistics.median(shipped_as), statistics.median(plain_as)
        print(f"| {name} | {ours * 1e3:.0f} | {theirs * 1e3:.0f} | {ours / theirs:.2f} |")
