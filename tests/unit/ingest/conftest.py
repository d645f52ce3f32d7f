import pytest

from act_one.ingest.pairs import PairTable


@pytest.fixture
def pairs(dynamodb, create_table):
    """A table of pairs of the test's own."""
    return PairTable(dynamodb, create_table("PairsTable"))
