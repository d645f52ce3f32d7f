"""Draw the demo's output as a terminal window, for the README.

make demo | python -m tools.demo_picture   writes docs/demo.svg
"""

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

PICTURE: Final = Path(__file__).parents[1] / "docs/demo.svg"
COLUMN, LINE, MARGIN, BAR = 7.8, 18, 20, 36
"""Pixels: the width of a letter at 13 px, the height of a line, the border and the title bar."""
AFTERWARDS: Final = "By hand"
"""The demo's output begins a hint about ``make local`` with these words; it is left out."""

HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
role="img" aria-label="Terminal output of make demo">
<style>
text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #c9d1d9; white-space: pre; }}
.step {{ fill: #79c0ff; font-weight: bold; }}
.good {{ fill: #7ee787; }}
.bad {{ fill: #ffa198; }}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>
<circle cx="22" cy="18" r="6" fill="#ff5f56"/>
<circle cx="42" cy="18" r="6" fill="#ffbd2e"/>
<circle cx="62" cy="18" r="6" fill="#27c93f"/>
"""


def picture(output: str) -> str:
    """Draw the output of one run, up to its hint about what to do next."""
    lines = ["$ make demo", *output.partition(AFTERWARDS)[0].rstrip().splitlines()]
    width = round(max(map(len, lines)) * COLUMN) + 2 * MARGIN
    height = BAR + len(lines) * LINE + MARGIN
    return HEAD.format(width=width, height=height) + "".join(_drawn(lines)) + "</svg>\n"


def _drawn(lines: Sequence[str]) -> list[str]:
    return [
        f'<text x="{MARGIN}" y="{BAR + (row + 1) * LINE}" xml:space="preserve"'
        f"{_style(line)}>{escape(line, quote=False)}</text>\n"
        for row, line in enumerate(lines)
        if line
    ]


def _style(line: str) -> str:
    if line[0].isdigit() or line.startswith("$"):
        return ' class="step"'
    if "  succeeded" in line or line.startswith(("The provider saw", "All went")):
        return ' class="good"'
    return ' class="bad"' if "  failed" in line else ""


if __name__ == "__main__":
    PICTURE.write_text(picture(sys.stdin.read()))
