import pytest

from tests.unit.examples import task
from tests.unit.fakes import BEGINNING, FakeClock, FakeProvider, make_services


@pytest.fixture
def provider():
    return FakeProvider()


@pytest.fixture
def clock(request):
    """A clock set to the test module's `NOW`, or to `BEGINNING`."""
    return FakeClock(getattr(request.module, "NOW", BEGINNING))


@pytest.fixture
def services(table, provider, clock):
    return make_services(table, provider, clock)


@pytest.fixture
def create_task(table):
    """Create a task in a given stage."""
    return lambda stage, **fields: table.create(task(stage, **fields))
