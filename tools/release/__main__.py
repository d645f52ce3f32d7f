"""Make the files of a release from the build, in out/release-VERSION.

    make release        for the tagged commit: the tree must be clean, its version in CHANGELOG.md
    make release DRAFT=1    for a look at what it will be
    make release SAMPLES=1  writes tests/releases/VERSION instead, to be committed before

The version is `VERSION` of `act_one`. Run twice, it writes the same bytes.
"""

import sys
from pathlib import Path

from act_one import VERSION
from tools.release.checks import NotReadyError, check_ready, check_version
from tools.release.folder import ROOT, make
from tools.release.samples import write_samples


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--draft"], ["--samples"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if arguments == ["--samples"]:
            check_version(VERSION)
            print(f"Made {write_samples(VERSION, ROOT).relative_to(ROOT)}")
            return 0
        if not arguments:
            check_ready(VERSION, ROOT)
        folder = make(ROOT / f"out/release-{VERSION}")
    except FileExistsError:
        print(f"tests/releases/{VERSION} is there: samples never change", file=sys.stderr)
        return 2
    except NotReadyError as error:
        print(error, file=sys.stderr)
        return 2
    print(_what_to_do(folder, draft=bool(arguments)))
    return 0


def _what_to_do(folder: Path, *, draft: bool) -> str:
    made = f"Made {folder.relative_to(ROOT)}: {', '.join(sorted(p.name for p in folder.iterdir()))}"
    if draft:
        return made
    return f"{made}\nNow: git tag -a v{VERSION} -m 'Act-One {VERSION}'; git push origin v{VERSION}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
