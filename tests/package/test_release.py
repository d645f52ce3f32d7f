"""A release: the same bytes each time, with all that its template names and what it says of it."""

import hashlib
import json
import re
import subprocess
import zipfile

import pytest

from act_one import VERSION
from local.emulator import ROOT
from local.expand import load
from local.handlers import BUILD
from tools.release import checks, folder, history
from tools.release.checks import NotReadyError, changelog, check_ready
from tools.release.history import HistoryMissingError, Release, last_release
from tools.release.samples import write_samples

if not (BUILD / "template.yaml").exists():
    pytest.fail("Nothing is built yet: run `make build`", pytrace=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return folder.make(tmp_path_factory.mktemp("release") / "first")


def contents(made):
    return {path.name: path.read_bytes() for path in made.iterdir()}


def test_two_runs_give_the_same_bytes(made, tmp_path):
    assert contents(folder.make(tmp_path / "second")) == contents(made)


def test_the_sums_are_those_of_all_files(made):
    lines = (made / folder.SUMS).read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)

    files = {name: data for name, data in contents(made).items() if name != folder.SUMS}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_the_template_names_the_packages_beside_it_and_nothing_else(made):
    template = load(made / "template.yaml")
    places = ("CodeUri", "ContentUri", "DefinitionUri")
    found = {
        properties[place]
        for resource in template["Resources"].values()
        for properties in [resource.get("Properties", {})]
        for place in places
        if place in properties
    }

    assert found == {path.name for path in made.iterdir() if path.suffix == ".zip"} | {
        folder.STATE_MACHINE
    }
    assert "CodeUri" not in template["Globals"]["Function"]


def test_the_template_is_the_one_that_was_built(made):
    released, built = load(made / "template.yaml"), load(BUILD / "template.yaml")
    for template in (released, built):
        template["Globals"]["Function"].pop("CodeUri", None)
        for resource in template["Resources"].values():
            for place in ("CodeUri", "ContentUri", "DefinitionUri"):
                resource.get("Properties", {}).pop(place, None)

    assert released == built


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("functions", "SubmitFunction"),
        *((name, name) for name in ("ActOneLayer", "DependenciesLayer", "DocsLayer")),
    ],
)
def test_a_package_has_what_was_built(made, package, source):
    built = BUILD / source
    with zipfile.ZipFile(made / f"{package}.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}

    files = [path for path in built.rglob("*") if path.is_file()]
    assert packed == {path.relative_to(built).as_posix(): path.read_bytes() for path in files}


def test_the_bill_of_materials_has_each_package_with_licence_and_hashes(made):
    bill = json.loads((made / folder.SBOM).read_text())
    layer = BUILD / "DependenciesLayer/python"
    shipped = {
        tuple(path.parent.name.removesuffix(".dist-info").lower().replace("_", "-").rsplit("-", 1))
        for path in layer.glob("*.dist-info/METADATA")
    }

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == VERSION
    assert {(one["name"], one["version"]) for one in bill["components"]} == shipped
    pinned = folder.REQUIREMENTS.read_text()
    for one in bill["components"]:
        assert one["licenses"], one["name"]
        assert one["hashes"], one["name"]
        assert all(h["alg"] == "SHA-256" and h["content"] in pinned for h in one["hashes"])
    known = {"botocore": {"jmespath", "python-dateutil", "urllib3"}}
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    for name, expected in known.items():
        [ref] = [ref for ref in needs if ref.startswith(f"pkg:pypi/{name}@")]
        assert {re.split("[/@]", other)[1] for other in needs[ref]} >= expected


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda text: text.replace("urllib3==", "urllib4=="), "not pinned"),
        (lambda text: re.sub(r"idna==[^ ]+", "idna==0.1", text), "not pinned"),
        (lambda text: re.sub(r"(--hash=sha256:)[0-9a-f]{64}", r"\g<1>" + 64 * "0", text), ""),
    ],
)
def test_a_bill_of_materials_of_other_pins_is_noticed(spoil, why, tmp_path, made):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(spoil(folder.REQUIREMENTS.read_text()))
    target = tmp_path / "sbom.json"
    command = [ROOT / ".tools/release/bin/python", "-m", "tools.release.sbom", VERSION]
    done = subprocess.run(
        [*command, requirements, BUILD / "DependenciesLayer/python", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (
        (done.returncode != 0 and why in done.stderr)
        if why
        else (target.read_bytes() != (made / folder.SBOM).read_bytes())
    )


# ── The version ───────────────────────────────────────────────────────────────────────────────


def test_the_template_and_the_description_say_the_version():
    assert load(ROOT / "template.yaml")["Outputs"]["Version"]["Value"] == VERSION
    assert json.loads((ROOT / "docs/openapi.json").read_text())["info"]["version"] == VERSION


def test_the_notes_are_the_section_of_the_changelog(made):
    sections = changelog(ROOT)

    assert (made / "NOTES.md").read_text() == (sections.get(VERSION) or sections[checks.UNRELEASED])


@pytest.fixture
def tree(tmp_path):
    """A repository whose tree is ready for the release 0.2.0."""

    def git(*words):
        names = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)  # noqa: S607

    (tmp_path / "CHANGELOG.md").write_text(
        "# C\n\n## Unreleased\n\n## 0.2.0\n\n- new\n\n## 0.1.0\n"
    )
    samples = tmp_path / "tests/releases/0.2.0"
    samples.mkdir(parents=True)
    (samples / "fallback.json").write_text("{}")
    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    return tmp_path


def test_a_clean_tree_with_its_section_is_ready(tree):
    ignore_and_write(tree, ".env")  # where nothing is packaged
    ignore_and_write(tree, "functions/submit/__pycache__/app.cpython-313.pyc")
    check_ready("0.2.0", tree)


def write(tree, name, text):
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)


def ignore_and_write(tree, name):
    """Write a file that one's own git ignores, but `sam build` doesn't."""
    write(tree, ".git/info/exclude", ".*\n*.pyc\n")
    write(tree, name, "PROVIDER_API_KEY=sk-mine")


@pytest.mark.parametrize(
    ("version", "spoil", "why"),
    [
        ("0.2.0-dev", lambda _: None, "is not the version of a release"),
        ("0.3.0", lambda _: None, "no section 0.3.0"),
        (
            "0.2.0",
            lambda tree: write(tree, "CHANGELOG.md", "## Unreleased\n\n- a\n\n## 0.2.0\n\n- b\n"),
            "lines in Unreleased",
        ),
        ("0.2.0", lambda tree: write(tree, "new.txt", "new"), "not committed"),
        ("0.2.0", lambda tree: ignore_and_write(tree, "functions/submit/.env"), "submit/.env"),
        ("0.2.0", lambda tree: ignore_and_write(tree, "layers/a/b/.netrc"), "layers/a/b/.netrc"),
        ("0.1.0", lambda _: None, "samples"),
    ],
)
def test_a_tree_that_is_not_ready_says_what_to_do(tree, version, spoil, why):
    spoil(tree)

    with pytest.raises(NotReadyError, match=why):
        check_ready(version, tree)


def test_the_samples_of_each_release_are_of_the_same_kinds(tmp_path):
    for name in ("events", "functions"):
        (tmp_path / name).symlink_to(ROOT / name)

    written = write_samples("0.9.0", tmp_path)

    for kept in (ROOT / "tests/releases").iterdir():
        assert {path.name for path in kept.iterdir()} <= {path.name for path in written.iterdir()}
    with pytest.raises(FileExistsError):
        write_samples("0.9.0", tmp_path)


def test_without_history_it_says_what_is_missing(tree, monkeypatch):
    monkeypatch.setattr(history, "VERSION", "0.3.0-dev")

    with pytest.raises(HistoryMissingError, match=r"the commit of release 0\.2\.0 is not here"):
        last_release(tree)


def test_the_last_release_is_its_tag_or_the_commit_in_its_heading(tree, monkeypatch):
    def git(*words):
        done = subprocess.run(["git", *words], cwd=tree, check=True, capture_output=True, text=True)  # noqa: S607
        return done.stdout.strip()

    head = git("rev-parse", "HEAD")
    monkeypatch.setattr(history, "VERSION", "0.2.0")
    write(tree, "CHANGELOG.md", f"## Unreleased\n\n## 0.2.0\n\n## 0.1.0 · 2026-11-28 · {head}\n")
    assert last_release(tree) == Release("0.1.0", head)

    monkeypatch.setattr(history, "VERSION", "0.3.0-dev")
    git("tag", "v0.2.0")
    assert last_release(tree) == Release("0.2.0", head)
