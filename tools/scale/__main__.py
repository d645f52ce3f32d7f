"""Writes docs/scale.md."""

import re

from tools.scale.document import page
from tools.scale.limits import ROOT


def dollars() -> float:
    """Read what a million tasks by POST cost, from docs/costs.md."""
    text = (ROOT / "docs/costs.md").read_text()
    [found] = re.findall(r"^\| \*\*all of it\*\* \| \*\*([\d.]+)\*\*", text, re.MULTILINE)
    return float(found)


if __name__ == "__main__":
    (ROOT / "docs/scale.md").write_text(page(dollars()))
    print("written into docs/scale.md")
