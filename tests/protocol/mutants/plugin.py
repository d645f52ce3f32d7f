"""The plugin of pytest that breaks the core, in the process that tries one mutant."""

import os
from pathlib import Path
from typing import Final

import pytest

from tests.protocol.mutants import MUTANTS

CHOSEN: Final = "ACT_ONE_MUTANT"
"""The variable that names the mutant."""
OWN_FAULT: Final = 70
"""How pytest exits when the mutant itself fails, which proves nothing about the test."""
_MISTAKES: Final = (AttributeError, LookupError, NameError, TypeError)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    """Break the core before the tests import it."""
    next(mutant for mutant in MUTANTS if mutant.name == os.environ[CHOSEN]).apply()


def pytest_exception_interact(call):
    """Notice a mistake in a mutant's own code."""
    where = Path(call.excinfo.traceback[-1].path).parent
    if where == Path(__file__).parent and isinstance(call.excinfo.value, _MISTAKES):
        pytest.exit(f"the mutant fails: {call.excinfo.exconly()}", returncode=OWN_FAULT)
