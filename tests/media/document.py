"""The table of media files as a page: the same files that the tests ask about.

python -m tests.media.document   writes docs/media-files.md
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from local.stack import ROOT
from tests.media.table import TABLE, Case

DOCUMENT: Final = ROOT / "docs/media-files.md"

_HEAD: Final = """\
# Media files, and what is said of them

"""


def render(table: Mapping[str, Sequence[Case]]) -> str:
    """Write the page."""
    return "".join(f"{line}\n" for line in (*_HEAD.splitlines(), *_tables(table)))


def _tables(table: Mapping[str, Sequence[Case]]) -> Iterator[str]:
    for group, cases in table.items():
        yield from ("", f"## {group}", "")
        yield "| file | probe | Scan | reads | KiB read, at most |"
        yield "|---|---|---|--:|--:|"
        for case in cases:
            scan = "the same" if case.scan == case.probe else case.scan
            yield f"| {case.name} | {case.probe} | {scan} | {case.reads} | {case.kib} |"


if __name__ == "__main__":
    DOCUMENT.write_text(render(TABLE))
