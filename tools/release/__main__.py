"""Make the files of a release from the build, in out/release-VERSION.

    make release        for the tagged commit: the tree must be clean, its version in CHANGELOG.md
    make release DRAFT=1    for a look at what it will be

The version is `VERSION` of `act_one`. Run twice, it writes the same bytes.
"""

import sys
from pathlib import Path

from act_one import VERSION
from tools.release.checks import NotReadyError, check_ready
from tools.release.folder import ROOT, make


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--draft"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if not arguments:
            check_ready(VERSION, ROOT)
        folder = make(ROOT / f"out/release-{VERSION}")
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
