"""The mutants fit the code as it is; trying them all takes minutes (`mutants`)."""

import pytest

from tests.protocol.mutants import MUTANTS
from tests.protocol.mutants.registry import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made_and_has_a_killer(mutant):
    original = getattr(mutant.owner, mutant.attribute)
    assert mutant.broken(original) != original
    test = mutant.killer_test.partition("[")[0]
    assert f"def {test}(" in (ROOT / mutant.killer_file).read_text()


def test_a_mutant_is_found_by_its_name():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
