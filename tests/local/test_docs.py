"""The documents: their links lead somewhere, and they agree with the template."""

import re
from pathlib import Path

import pytest

from local.expand import load

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))
README_LINES = 150
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PARAMETER = re.compile(r"^\| `(\w+)` \| (?:`(.*?)`|empty) \|", re.MULTILINE)


def prose(document):
    return FENCED.sub("", document.read_text())


def anchors(document):
    """The anchors that GitHub gives to a document's headings."""
    headings = (heading.lower() for heading in HEADING.findall(prose(document)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(document):
    broken = []
    for link in LINK.findall(prose(document)):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_document_is_linked_from_the_readme(document):
    linked = {
        (ROOT / link.partition("#")[0]).resolve()
        for link in LINK.findall(prose(ROOT / "README.md"))
    }

    assert document.name == "README.md" or document in linked


def test_the_functions_on_the_path_of_a_task_exist():
    text = re.sub(r"\s+", " ", (ROOT / "docs/architecture.md").read_text())
    named = re.findall(r"\]\(\.\./([\w/]+\.py)\): `(\w+)`", text)

    assert len(named) > 10
    assert [
        f"{path}: {name}"
        for path, name in named
        if not re.search(rf"^ *(def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE)
    ] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_page_of_parameters_lists_those_of_the_template_with_their_defaults():
    listed = dict(PARAMETER.findall((ROOT / "docs/parameters.md").read_text()))
    parameters = load(ROOT / "template.yaml")["Parameters"]

    assert listed == {name: str(value["Default"]) for name, value in parameters.items()}
