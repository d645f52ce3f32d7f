"""Status lines, redrawn in place on a terminal; elsewhere, a new line for each change."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TextIO

UP: Final = "\x1b[{}F"
ERASE_LINE: Final = "\x1b[K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One line: a name, its elapsed time and a text."""

    name: str
    seconds: float
    text: str


class StatusLines:
    """Writes the status lines of concurrent tasks."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._redraws = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown: tuple[str, ...] = ()
        self._drawn = 0

    def show(self, statuses: Sequence[Status]) -> None:
        """Write the current status of all tasks."""
        if self._redraws:
            columns = shutil.get_terminal_size().columns
            up = UP.format(self._drawn) if self._drawn else ""
            lines = [f"{_line(status)[: columns - 1]}{ERASE_LINE}\n" for status in statuses]
            self._out.write(up + "".join(lines))
            self._drawn = len(lines)
        else:
            before = (*self._shown, *[""] * len(statuses))
            changed = [new for new, old in zip(statuses, before, strict=False) if new.text != old]
            self._out.writelines(f"{_line(status)}\n" for status in changed)
        self._shown = tuple(status.text for status in statuses)
        self._out.flush()


def _line(status: Status) -> str:
    return f"   {status.name:<15} {status.seconds:5.1f} s  {status.text}"
