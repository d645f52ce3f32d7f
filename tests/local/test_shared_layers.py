import zipfile

import pytest

from local.shared_layers import SharingZipFile


@pytest.fixture
def unpack(tmp_path):
    """Unpack a zip of some files as ministack does, into an empty folder of a given name."""

    def unpacked(name, files):
        packed = tmp_path / f"{name.replace('/', '-')}.zip"
        with zipfile.ZipFile(packed, "w") as new:
            for path, content in files.items():
                new.writestr(path, content)
        folder = tmp_path / name
        folder.mkdir(parents=True)
        with SharingZipFile(packed) as opened:
            opened.extractall(folder)
        return folder

    return unpacked


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_worker_has_all_files_of_its_layers(unpack):
    first = {"python/one.py": "1", "python/package/two.py": "2"}
    second = {"python/one.py": "another layer's"}

    assert contents(unpack("worker-1/layer_0", first)) == first
    assert contents(unpack("worker-1/layer_1", second)) == second
    assert contents(unpack("worker-2/layer_0", second)) == second
    assert contents(unpack("worker-2/layer_1", first)) == first


def test_a_layer_is_unpacked_once(unpack):
    files = {"python/one.py": "unpacked once"}

    one, two = (unpack(f"{worker}/layer_0", files) for worker in ("worker-3", "worker-4"))

    assert one.resolve() == two.resolve()
    assert one.resolve() != one


def test_a_functions_own_code_is_not_shared(unpack):
    files = {"app.py": "own"}

    one, two = (unpack(f"{worker}/code", files) for worker in ("worker-5", "worker-6"))

    assert contents(one) == contents(two) == files
    assert (one.resolve(), two.resolve()) == (one, two)
