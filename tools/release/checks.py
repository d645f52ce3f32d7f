"""What must hold before a release is made."""

import re
import subprocess
from pathlib import Path

from tools.release.samples import folder_of

VERSION_FORM = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
HEADING = re.compile(r"^## ([^\s]+)(.*)$", re.MULTILINE)
UNRELEASED = "Unreleased"


class NotReadyError(Exception):
    """The release can't be made; the message says what to do first."""


def check_ready(version: str, root: Path) -> None:
    """Raise ``NotReadyError`` unless the tree of ``root`` may become this release."""
    check_version(version)
    sections = changelog(root)
    if version not in sections:
        raise NotReadyError(
            f"CHANGELOG.md has no section {version}: give what is in Unreleased that heading"
        )
    if sections.get(UNRELEASED, "").strip():
        raise NotReadyError(f"CHANGELOG.md has lines in Unreleased: move them to {version}")
    if not folder_of(version, root).is_dir():
        raise NotReadyError(
            f"tests/releases has no samples of {version}, which later releases must understand: "
            "run `make release SAMPLES=1` and commit them"
        )
    changed = _git(root, "status", "--porcelain")
    if changed:
        raise NotReadyError(f"the tree has changes that are not committed:\n{changed}")
    # `sam build` packages these folders whole, but for bytecode that Python left there.
    extra = _git(root, "ls-files", "--others", "--", "functions", "layers").splitlines()
    if packaged := [name for name in extra if "__pycache__" not in Path(name).parts]:
        raise NotReadyError(
            f"these files would be packaged, but git ignores them: {', '.join(packaged)}; "
            "remove them, and run `make build` again"
        )
    tagged = _git(root, "tag", "--list", f"v{version}")
    if tagged and _git(root, "rev-parse", f"{tagged}^{{commit}}") != _git(
        root, "rev-parse", "HEAD"
    ):
        raise NotReadyError(f"the tag v{version} is another commit: raise VERSION")


def check_version(version: str) -> None:
    """Raise ``NotReadyError`` for a version that no release has."""
    if VERSION_FORM.fullmatch(version) is None:
        raise NotReadyError(
            f"{version} is not the version of a release: "
            "set VERSION in layers/act_one/act_one/__init__.py, such as 0.2.0"
        )


def changelog(root: Path) -> dict[str, str]:
    """Return the sections of CHANGELOG.md by their versions, the newest first."""
    text = (root / "CHANGELOG.md").read_text()
    found = [*HEADING.finditer(text)]
    ends = [*(one.start() for one in found[1:]), len(text)]
    return {
        one[1]: text[one.end() : end].strip() + "\n" for one, end in zip(found, ends, strict=True)
    }


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words],  # noqa: S607 - git is where the person has it
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotReadyError(f"git {words[0]} fails, but a release is a commit: {done.stderr}")
    return done.stdout.strip()
