"""The documents: their links lead somewhere, and they agree with the template."""

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from local.expand import load
from tests.endpoints import Answer, endpoint

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


SECRET_FILE = re.compile(
    r"(?:file://|> |-out |KEY_FILE=)([\w-]+-(?:key|secret|private)[\w-]*\.\w+)"
)


def test_git_ignores_every_file_with_a_secret_that_a_document_has_made():
    files = {name for one in DOCUMENTS for name in SECRET_FILE.findall(one.read_text())}
    lines = (ROOT / ".gitignore").read_text().splitlines()
    patterns = [line[1:] for line in lines if line.startswith("/")]

    assert {"provider-key.txt", "callback-secret.json", "results-private.pem"} <= files
    assert [name for name in sorted(files) if not any(fnmatch(name, one) for one in patterns)] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_page_of_parameters_lists_those_of_the_template_with_their_defaults():
    listed = dict(PARAMETER.findall((ROOT / "docs/parameters.md").read_text()))
    parameters = load(ROOT / "template.yaml")["Parameters"]

    assert listed == {name: str(value["Default"]) for name, value in parameters.items()}


def test_the_page_of_parameters_has_the_groups_of_the_template():
    rows = re.findall(
        r"^\| (?:\*\*(.+)\*\*|`(\w+)`) \|", (ROOT / "docs/parameters.md").read_text(), re.MULTILINE
    )
    groups: dict[str, set[str]] = {}
    for group, name in rows:
        if group:
            listed = groups.setdefault(group, set())
        else:
            listed.add(name)

    interface = load(ROOT / "template.yaml")["Metadata"]["AWS::CloudFormation::Interface"]
    assert groups == {
        one["Label"]["default"]: set(one["Parameters"]) for one in interface["ParameterGroups"]
    }


def test_the_page_of_operations_counts_the_queues_that_it_lists():
    text = (ROOT / "docs/operations.md").read_text()
    resources = load(ROOT / "template.yaml")["Resources"]
    unread = {
        name
        for name, resource in resources.items()
        if resource["Type"] == "AWS::SQS::Queue" and "RedrivePolicy" not in resource["Properties"]
    }
    listed = set(re.findall(r"^\| `(\w+(?:Queue|Bucket))` \|", text, re.MULTILINE))

    assert listed == unread | {"RelayFailuresBucket"}
    counts = {3: "three", 4: "four", 5: "five"}
    assert f"in the {counts[len(unread)]} queues and the bucket below" in text
    dead = {name for name in unread if name.endswith("DeadLetterQueue")}
    assert f"the messages of the {counts[len(dead)]}\ndead-letter queues" in text


def test_the_page_of_operations_names_all_that_a_removed_stack_leaves():
    text = (ROOT / "docs/operations.md").read_text()
    [section] = re.findall(r"^## Removing the stack$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    resources = load(ROOT / "template.yaml")["Resources"]
    left = {
        name
        for name, resource in resources.items()
        if resource.get("DeletionPolicy", "").startswith("Retain")
    }

    [said] = re.findall(r"\*\*Data stays\*\*: (.*?)\. A new stack", section, re.DOTALL)
    assert {*re.findall(r"`(\w+)`", said)} == left


STORES = {
    "AWS::DynamoDB::Table",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
}
RETENTIONS = {  # of a queue, in seconds, as the page says it
    345_600: "at most 4 days",
    604_800: "at most 7 days",
    1_209_600: "14 days",
}


def test_the_page_of_data_lists_every_store_of_the_template_and_how_long_queues_keep():
    text = (ROOT / "docs/data.md").read_text()
    [section] = re.findall(r"^## What is kept where.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| (`.+?`) \| .+ \| (.+) \|$", section, re.MULTILINE)
    said = {name: kept for names, kept in rows for name in re.findall(r"`(\w+)`", names)}
    resources = load(ROOT / "template.yaml")["Resources"]

    assert said.keys() == {
        name for name, resource in resources.items() if resource["Type"] in STORES
    }
    for name, resource in resources.items():
        if resource["Type"] == "AWS::SQS::Queue":
            kept = resource["Properties"]["MessageRetentionPeriod"]
            assert said[name].endswith(RETENTIONS[kept]), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_is_there(document):
    named = {*re.findall(r"`(test_\w+)`", document.read_text())}
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_command_of_a_document_fails_without_a_word(document):
    options = re.findall(r"\bcurl (-\w+)", document.read_text())

    assert [one for one in options if "s" in one and "S" not in one] == []


UPLOAD = """
{"video": {"url": "URL", "max_bytes": 9, "fields": {"key": "uploads/a/video", "policy": "e30="}}}
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("status", [204, 403])
def test_the_upload_of_the_page_of_the_api_works_and_says_why_if_not(status, tmp_path):
    page = (ROOT / "docs/api.md").read_text()
    send = re.search(r"^send\(\) .*?^}$", page, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "performance.mp4").write_bytes(b"the performance")
    refusal = Answer(status, b"" if status == 204 else b"<Error>Policy expired</Error>")

    with endpoint(lambda *_: refusal) as found:
        (tmp_path / "upload.json").write_text(UPLOAD.replace("URL", found.url))
        done = subprocess.run(
            ["/bin/sh", "-c", f"{send}\nsend video performance.mp4 video/mp4"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        [received] = found.received

    names = re.findall(rb' name="([\w-]+)"', received.body)
    assert names == [b"key", b"policy", b"Content-Type", b"file"]
    assert b"the performance" in received.body
    assert (done.returncode == 0) == (status == 204)
    assert status == 204 or "Policy expired" in done.stdout
    assert status == 204 or "403" in done.stderr
