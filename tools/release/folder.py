"""The folder of a release: the packages, the template that names them, notes, materials, sums."""

import hashlib
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

from act_one import VERSION
from tools.release.checks import UNRELEASED, NotReadyError, changelog

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".aws-sam/build"
REQUIREMENTS = ROOT / "layers/dependencies/requirements.txt"
SBOM = "sbom.cdx.json"
SUMS = "SHA256SUMS"
STATE_MACHINE = "fallback.asl.json"

_LOCAL = re.compile(r"^(\s+)(CodeUri|ContentUri|DefinitionUri): (\S+)$")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a package: the earliest that the form can hold."""
_HEADER = """\
# Act-One {version}, packaged: it needs neither a build nor uv or make. In this folder:
#
#   sam deploy --template-file template.yaml --stack-name act-one --resolve-s3 \\
#     --capabilities CAPABILITY_IAM
#
# or, without the SAM CLI, with a bucket of yours:
#
#   aws cloudformation package --template-file template.yaml --s3-bucket BUCKET \\
#     --output-template-file packaged.yaml
#   aws cloudformation deploy --template-file packaged.yaml --s3-bucket BUCKET \\
#     --stack-name act-one --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND
"""


def make(folder: Path, build: Path = BUILD) -> Path:
    """Write a release's files from what `sam build` made; returns the folder.

    Raises ``NotReadyError`` if nothing is built.
    """
    template = build / "template.yaml"
    if not template.exists():
        raise NotReadyError("nothing is built yet: run `make build`")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "template.yaml").write_text(_packaged(template, folder))
    sections = changelog(ROOT)
    (folder / "NOTES.md").write_text(sections.get(VERSION) or sections[UNRELEASED])
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    _write_sbom(folder / SBOM, build / "DependenciesLayer/python")
    _write_sums(folder)
    return folder


def _packaged(template: Path, folder: Path) -> str:
    """Write each artifact that a template names into the folder; return the template with these."""
    packages: dict[str, str] = {}
    lines = [_HEADER.format(version=VERSION)]
    for line in template.read_text().splitlines():
        found = _LOCAL.match(line)
        if found is None:
            lines.append(line)
            continue
        indent, name, place = found.groups()
        if place == "functions/":  # the default of functions, all of which have their own
            continue
        source = (template.parent / place).resolve()
        if source.is_file():
            shutil.copyfile(source, folder / source.name)
            lines.append(f"{indent}{name}: {source.name}")
            continue
        package = _package(source)
        digest = hashlib.sha256(package).hexdigest()
        if digest not in packages:
            packages[digest] = f"{_named(source)}.zip"
            (folder / packages[digest]).write_bytes(package)
        lines.append(f"{indent}{name}: {packages[digest]}")
    return "\n".join(lines) + "\n"


def _named(built: Path) -> str:
    """Name a package: all functions are one, because each has all handlers."""
    return "functions" if built.name.endswith("Function") else built.name


def _package(source: Path) -> bytes:
    """Zip a folder: the same contents make the same bytes."""
    target = source.parent / f".{source.name}.zip"
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in _files(source):
                entry = zipfile.ZipInfo(path.relative_to(source).as_posix(), _EPOCH)
                entry.external_attr = 0o100644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
        return target.read_bytes()
    finally:
        target.unlink(missing_ok=True)


def _files(source: Path) -> Iterator[Path]:
    yield from sorted(path for path in source.rglob("*") if path.is_file())


def _write_sbom(target: Path, layer: Path) -> None:
    """Write the bill of materials, with the library of its own environment."""
    python = ROOT / ".tools/release/bin/python"
    if not python.exists():
        raise NotReadyError("the tools of a release are missing: run `make release`")
    command = [python, "-m", "tools.release.sbom", VERSION, REQUIREMENTS, layer, target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotReadyError(f"the bill of materials can't be written:\n{done.stderr}")


def _write_sums(folder: Path) -> None:
    """Write the checksums of all files, in the form of `sha256sum --check`."""
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    (folder / SUMS).write_text("".join(sums))
