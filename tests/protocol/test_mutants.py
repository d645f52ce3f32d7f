"""The mutants fit the code as it is; whether they are killed takes a minute to find out."""

import pytest

from tests.protocol import test_histories
from tests.protocol.mutants import MUTANTS, broken


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made_and_has_a_killer(mutant):
    compile(broken(mutant), mutant.module, "exec")

    assert callable(getattr(test_histories, mutant.killer))
