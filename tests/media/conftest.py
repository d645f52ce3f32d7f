import pytest

from tools.media_files.sources import Sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Media files by name; ffmpeg makes each on first use."""
    return Sources(tmp_path_factory.mktemp("media"))
