"""Values are the attributes that boto3 makes of them, and are read back."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from act_one.tasks.attributes import attribute, plain

WHOLE = st.integers(-(10**37), 10**37)
LEAVES = st.text() | WHOLE | st.booleans() | st.none()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner)
)


def without_none(value):
    """Leave out the members of maps that are None."""
    if isinstance(value, dict):
        return {name: without_none(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_none(one) for one in value]
    return value


@given(VALUES)
def test_an_attribute_is_that_of_boto3(value):
    assert attribute(value) == TypeSerializer().serialize(without_none(value))


@given(VALUES)
def test_a_value_is_read_back(value):
    assert plain(attribute(value)) == without_none(value)


@given(st.floats(-(10**12), 10**12))
def test_a_float_is_kept_to_the_thousandth(value):
    written = attribute(value)

    assert TypeDeserializer().deserialize(written) == Decimal(written["N"])
    assert plain(written) == round(value, 3)


@dataclass
class Inner:
    text: str
    none: str | None = None


def test_a_dataclass_is_a_map_and_a_tuple_a_list():
    assert attribute((Inner("a"), {"b": Inner("c")})) == {
        "L": [{"M": {"text": {"S": "a"}}}, {"M": {"b": {"M": {"text": {"S": "c"}}}}}]
    }


@pytest.mark.parametrize("value", [{1}, b"a", float("nan"), float("-inf"), object(), Inner])
def test_what_rows_do_not_have_is_refused(value):
    with pytest.raises(TypeError, match="can't be stored"):
        attribute(value)


@pytest.mark.parametrize("found", [{"SS": ["a"]}, {"B": b"a"}, {"N": "x"}, {}])
def test_what_is_no_attribute_of_a_row_is_not_read(found):
    with pytest.raises((KeyError, ValueError, ArithmeticError)):
        plain(found)
