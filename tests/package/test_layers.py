"""What `sam build` made: it runs by itself and holds only what we mean to ship."""

import importlib.util
import json
import marshal
import re
from itertools import product
from pathlib import Path

import botocore
import pytest
from botocore.regions import EndpointResolver

from local.emulator import ROOT
from local.handlers import BARE_BOTO3, BARE_FOLDERS, BUILD, LAYERS, handlers, seconds_to_run

DEPENDENCIES = LAYERS["DependenciesLayer"]

if not (BUILD / "template.yaml").exists():
    pytest.fail("Nothing is built yet: run `make build`", pytrace=False)
FUNCTIONS = handlers()


@pytest.fixture(scope="module")
def any_bare():
    """How long boto3 took beside any handler so far, in seconds."""
    return []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_imports_with_only_its_layers_in_less_than_twice_as_long_as_boto3(
    function, any_bare
):
    ours, bare = [], []
    for _ in range(7):  # side by side, since the machine's speed drifts from minute to minute
        bare.append(seconds_to_run(BARE_BOTO3, BARE_FOLDERS, {}))
        any_bare.append(bare[-1])
        ours.append(seconds_of(FUNCTIONS[function]))
        # What else the machine does only adds to a time, so the shortest says most.
        if min(ours) / min(any_bare) < 1.9:
            break

    assert min(ours) / min(bare) < 2


def seconds_of(handler):
    return seconds_to_run(handler.statements, handler.folders, handler.environment)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_has_bytecode_that_ignores_time_stamps(layer):
    sources = [*LAYERS[layer].rglob("*.py")]
    assert sources

    for source in sources:
        bytecode = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert bytecode[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(bytecode[4:8], "little") == 0b01, f"{source} isn't unchecked-hash"
        code = marshal.loads(bytecode[16:])  # noqa: S302 just compiled from our own build
        assert code.co_filename == f"/opt/{source.relative_to(LAYERS[layer].parent)}"


def test_nothing_is_compiled_for_one_architecture():
    assert [*DEPENDENCIES.rglob("*.so*")] == []


def test_unneeded_packages_are_not_shipped():
    shipped = {path.name for path in DEPENDENCIES.iterdir()}

    assert not shipped & {
        "awscrt",
        "bin",
        "boto3",
        "charset_normalizer",
        "s3transfer",
        "pydantic",
        "pytest",
        "tests",
    }
    assert not [*(BUILD / "ActOneLayer").rglob("*test*")]


def test_the_package_is_small():
    unzipped = sum(
        path.stat().st_size
        for folder in {folder for handler in FUNCTIONS.values() for folder in handler.folders}
        for path in folder.rglob("*")
        if path.is_file()
    )

    assert unzipped < 20_000_000  # Lambda's own limit is 250 MB


def test_every_called_aws_service_is_shipped():
    code = [*ROOT.glob("functions/**/*.py"), *ROOT.glob("layers/act_one/act_one/**/*.py")]
    client_call = re.compile(r"""\baws_client\(\s*["']([\w-]+)["']""")
    called = {service for path in code for service in client_call.findall(path.read_text())}
    assert called

    assert called <= {path.name for path in DEPENDENCIES.glob("botocore/data/*/")}


def test_trimmed_endpoints_resolve_like_the_originals():
    original, trimmed = (
        json.loads((botocore_folder / "data/endpoints.json").read_text())
        for botocore_folder in (Path(botocore.__file__).parent, DEPENDENCIES / "botocore")
    )
    prefixes = {service for partition in trimmed["partitions"] for service in partition["services"]}
    regions = {region for partition in original["partitions"] for region in partition["regions"]}
    assert "dynamodb" in prefixes
    assert {"eu-west-1", "cn-north-1", "us-gov-west-1"} <= regions

    for service, region in product(prefixes, regions | {"aws-global", "unheard-of-1"}):
        assert EndpointResolver(trimmed).construct_endpoint(service, region) == (
            EndpointResolver(original).construct_endpoint(service, region)
        )
