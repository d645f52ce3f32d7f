"""Write the pages that describe the API into a folder. Usage: ``pages.py FOLDER``.

The folder becomes a Python package, so that the function finds its files.
"""

import html
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
COPIED = ("openapi.json", "docs.html", "start.js", "pages.css")

_FENCE = "```"
_HEADING = re.compile(r"(?P<level>#{1,3}) (?P<text>.+)")
_UNKNOWN = re.compile(r"^(?:[-*|>] |#|\||\d+\. |!\[|<)", re.MULTILINE)
_INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<strong>.+?)\*\*|\[(?P<text>[^\]]+)\]\((?P<link>[^)\s]+)\)",
    re.DOTALL,
)


class UnknownMarkdownError(ValueError):
    """The page has Markdown that is not rendered here; the message shows it."""


def main(folder: Path) -> None:
    """Write the package."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text('"""The API\'s description, as files."""\n')
    for name in COPIED:
        shutil.copy(HERE / name, folder / name)
    (folder / "problems.html").write_text(page((HERE / "problems.md").read_text()))


def page(markdown: str) -> str:
    """Render a page: headings, paragraphs, fenced code, and `code`, **strong** and links in text.

    A heading has the anchor that GitHub gives it. Raises ``UnknownMarkdownError``.
    """
    blocks = map(_rendered, _blocks(markdown))
    title = re.search(r"^# (.+)$", markdown, re.MULTILINE)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{html.escape(title[1] if title else '')}</title>",
            '<link rel="stylesheet" href="pages.css">',
            '<link rel="icon" href="data:,">',
            *blocks,
            "",
        ]
    )


def _blocks(markdown: str) -> Iterator[list[str]]:
    """Yield the lines of each block: those of fenced code, or those up to an empty line."""
    lines: list[str] = []
    for line in [*markdown.splitlines(), ""]:
        fenced = bool(lines) and lines[0].startswith(_FENCE)
        if line or fenced:
            lines.append(line)
        if lines and (line == _FENCE if fenced else not line):
            yield lines
            lines = []


def _rendered(lines: list[str]) -> str:
    if lines[0].startswith(_FENCE):
        code = "\n".join(lines[1:-1])
        return f"<pre><code>{html.escape(code, quote=False)}</code></pre>"
    block = "\n".join(lines)
    if heading := _HEADING.fullmatch(block):
        level, text = len(heading["level"]), heading["text"]
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        return f'<h{level} id="{anchor}"><a href="#{anchor}">{_inline(text)}</a></h{level}>'
    if _UNKNOWN.search(block):
        raise UnknownMarkdownError(
            f"only headings, paragraphs and code are rendered, not {lines[0]!r}"
        )
    return f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    rendered, end = [], 0
    for found in _INLINE.finditer(text):
        rendered += [html.escape(text[end : found.start()], quote=False), _span(found)]
        end = found.end()
    return "".join([*rendered, html.escape(text[end:], quote=False)])


def _span(found: re.Match[str]) -> str:
    if code := found["code"]:
        return f"<code>{html.escape(code, quote=False)}</code>"
    if strong := found["strong"]:
        return f"<strong>{_inline(strong)}</strong>"
    # Other documents of the repository are not served.
    if not found["link"].startswith(("https://", "#")):
        return _inline(found["text"])
    return f'<a href="{html.escape(found["link"])}">{_inline(found["text"])}</a>'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
