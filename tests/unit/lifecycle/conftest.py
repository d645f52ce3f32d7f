import pytest

from tests.unit.examples import task
from tests.unit.fakes import BEGINNING, FakeClock, FakeProvider, services


@pytest.fixture
def provider():
    return FakeProvider()


@pytest.fixture
def clock(request):
    """A clock that stands at the `NOW` of the test's module, or at the beginning."""
    return FakeClock(getattr(request.module, "NOW", BEGINNING))


@pytest.fixture
def stack(table, provider, clock):
    return services(table, provider, clock)


@pytest.fixture
def there(table):
    """Put a task of some stage into the table."""
    return lambda stage, **fields: table.create(task(stage, **fields))
