import pytest

from tools.media_files.sources import Sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Media files by their names, made by ffmpeg when they are first asked for."""
    return Sources(tmp_path_factory.mktemp("media"))
