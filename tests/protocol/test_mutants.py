"""The mutants fit the code as it is; trying them all takes a minute (`mutants.py`)."""

import pytest

from tests.protocol import test_histories
from tests.protocol.mutants import MUTANTS, ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made_and_has_a_killer(mutant):
    assert callable(getattr(mutant.owner, mutant.attribute))
    file, _, test = mutant.killer.rpartition("::")
    if file:
        assert f"def {test}(" in (ROOT / "tests/unit" / file).read_text()
    else:
        assert callable(getattr(test_histories, test))
