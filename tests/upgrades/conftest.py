"""The last release, and the one that this tree becomes."""

import pytest

from local.stack import ROOT
from tools.release import folder
from tools.release.history import HistoryMissingError, built, last_release


@pytest.fixture(scope="session")
def old():
    """The template of the last release, built from its commit."""
    try:
        return built(last_release())
    except HistoryMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def new():
    """The packaged template of this tree."""
    return folder.make(ROOT / ".local/releases/new") / "template.yaml"
