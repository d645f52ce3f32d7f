"""Status lines: redrawn in place on a terminal, elsewhere one more line for each change."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TextIO

UP: Final = "\x1b[{}F"
ERASE_LINE: Final = "\x1b[K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One line: who, for how long, and what is happening to it."""

    name: str
    seconds: float
    says: str


class Live:
    """The lines of things that happen side by side."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._redraws = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown: tuple[str, ...] = ()
        self._drawn = 0

    def show(self, statuses: Sequence[Status]) -> None:
        """Show what is true now."""
        if self._redraws:
            columns = shutil.get_terminal_size().columns
            up = UP.format(self._drawn) if self._drawn else ""
            lines = [f"{_line(status)[: columns - 1]}{ERASE_LINE}\n" for status in statuses]
            self._out.write(up + "".join(lines))
            self._drawn = len(lines)
        else:
            said = (*self._shown, *[""] * len(statuses))
            changed = [new for new, old in zip(statuses, said, strict=False) if new.says != old]
            self._out.writelines(f"{_line(status)}\n" for status in changed)
        self._shown = tuple(status.says for status in statuses)
        self._out.flush()


def _line(status: Status) -> str:
    return f"   {status.name:<15} {status.seconds:5.1f} s  {status.says}"
