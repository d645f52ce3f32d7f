import pytest

from tests.template.deployment import OTHERWISE, SOURCE, Template, expanded


@pytest.fixture(scope="session", params=[{}, OTHERWISE], ids=["by default", "otherwise"])
def template(request):
    return Template(expanded(), request.param, SOURCE.read_text())
