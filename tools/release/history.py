"""The releases before this one, as the changelog and the tags know them, and their builds."""

import os
import re
import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from act_one import VERSION
from tools.release.checks import HEADING, UNRELEASED, VERSION_FORM
from tools.release.folder import ROOT

_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")
_KEPT = ROOT / ".local/releases"


class HistoryMissingError(Exception):
    """The last release can't be had from here; the message says what is missing."""


@dataclass(frozen=True)
class Release:
    """A release: its version, and the commit of its tag or, without one, of its heading."""

    version: str
    commit: str


def last_release(root: Path = ROOT) -> Release:
    """Return the release before the version of this tree. Raises ``HistoryMissingError``."""
    for heading in HEADING.finditer((root / "CHANGELOG.md").read_text()):
        version, rest = heading.groups()
        if version in {UNRELEASED, VERSION} or VERSION_FORM.fullmatch(version) is None:
            continue
        named = _COMMIT.search(rest)
        for name in (f"refs/tags/v{version}", *((named[0],) if named else ())):
            found = _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            if found is not None:
                return Release(version, found.decode().strip())
        raise HistoryMissingError(
            f"the commit of release {version} is not here, neither by the tag v{version} nor by "
            "its heading in CHANGELOG.md: this is no clone, or a shallow one "
            "(git fetch --unshallow --tags)"
        )
    raise HistoryMissingError("CHANGELOG.md has no release before this version")


def built(release: Release, root: Path = ROOT) -> Path:
    """Build a release once, as its own sources say; returns its template.

    Raises ``HistoryMissingError`` if it can't be built, such as without a network.
    """
    folder = _KEPT / f"{release.version}-{release.commit[:12]}"
    stamp, template = folder / ".made", folder / ".aws-sam/build/template.yaml"
    if stamp.exists():
        return template
    archive = _git(root, "archive", release.commit)
    if archive is None:
        raise HistoryMissingError(f"git archive can't write {release.commit}")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(archive)) as tree:
        tree.extractall(folder, filter="data")
    done = subprocess.run(
        [root / ".tools/sam/bin/sam", "build", "--parallel"],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            "PATH": f"{root}/.venv/bin:{root}/.tools/uv/bin:{os.environ['PATH']}",
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(root / ".tools/sam/settings"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HistoryMissingError(f"release {release.version} can't be built:\n{done.stdout}")
    stamp.touch()
    return template


def _git(root: Path, *words: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", *words],  # noqa: S607 - git is where the person has it
            cwd=root,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
