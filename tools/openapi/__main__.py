"""Write ``docs/openapi.json``: ``python -m tools.openapi``."""

import json
import sys

from tools.openapi.document import document
from tools.openapi.problems import EntryError
from tools.openapi.raised import ROOT, UnreadableError
from tools.openapi.schemas import MissingError

OPENAPI = ROOT / "docs/openapi.json"


def text() -> str:
    """Return the document as it is checked in."""
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write the document, or say what is missing in it."""
    try:
        OPENAPI.write_text(text())
    except (EntryError, MissingError, UnreadableError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
