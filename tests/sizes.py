"""How much a test does: enough to fail by in `make test`, all that is promised in `make full`."""

import os
from typing import Final

FULL: Final = os.environ.get("ACT_ONE_FULL") == "1"


def size(usual: int, full: int) -> int:
    """Return how many a test takes of what it repeats."""
    return full if FULL else usual
