"""The mutants fit the code as it is; trying them all takes a minute (`mutants.py`)."""

import pytest

from tests.protocol import test_histories
from tests.protocol.mutants import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made_and_has_a_killer(mutant):
    assert callable(getattr(mutant.owner, mutant.attribute))
    assert callable(getattr(test_histories, mutant.killer))
