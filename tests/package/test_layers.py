"""What `sam build` made: it runs by itself and holds only what we mean to ship."""

import importlib.util
import json
import marshal
from itertools import product
from pathlib import Path

import botocore
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.regions import EndpointResolver

from local.handlers import BUILD, LAYERS, handlers, seconds_to_run
from tests.template.reachable_calls import methods, reached_from

DEPENDENCIES = LAYERS["DependenciesLayer"]
SERVICES = "botocore/data/*/"
OF_NO_OTHER_PLACE = {"include_default_search_paths": False}

if not (BUILD / "template.yaml").exists():
    pytest.fail("Nothing is built yet: run `make build`", pytrace=False)
FUNCTIONS = handlers()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_imports_with_only_its_layers(function):
    seconds_of(FUNCTIONS[function])


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


def test_what_botocore_ships_of_a_service_is_what_functions_call():
    called = {
        (operation.service, methods(operation.service)[operation.method])
        for handler in FUNCTIONS.values()
        for operation in reached_from(handler.path).operations
    }
    shipped = {
        (description.parts[-3], name)
        for description in DEPENDENCIES.glob("botocore/data/*/*/service-2.json")
        for name in json.loads(description.read_text())["operations"]
    }
    assert ("dynamodb", "TransactWriteItems") in called

    assert shipped - CALLED_BY_BOTOCORE == called


CALLED_BY_BOTOCORE = {
    ("s3", "CreateBucket"),  # whose URL `generate_presigned_post` signs a form for
    ("s3", "HeadBucket"),  # by which S3's client finds a bucket of another region
}


@pytest.mark.parametrize("service", sorted(path.name for path in DEPENDENCIES.glob(SERVICES)))
def test_a_shipped_operation_is_described_as_in_botocore(service):
    """Input, output and errors are the same, down to their smallest parts."""
    loader = Loader()
    original = ServiceModel(loader.load_service_model(service, "service-2"), service)
    loader = Loader(extra_search_paths=[str(DEPENDENCIES / "botocore/data")], **OF_NO_OTHER_PLACE)
    trimmed = ServiceModel(loader.load_service_model(service, "service-2"), service)
    assert trimmed.metadata == original.metadata
    assert trimmed.operation_names

    for name in trimmed.operation_names:
        ours, theirs = trimmed.operation_model(name), original.operation_model(name)
        assert without_prose(ours) == without_prose(theirs)
        assert shape_tree(ours.input_shape) == shape_tree(theirs.input_shape)
        assert shape_tree(ours.output_shape) == shape_tree(theirs.output_shape)
        assert [*map(shape_tree, ours.error_shapes)] == [*map(shape_tree, theirs.error_shapes)]


def without_prose(operation):
    described = operation._operation_model  # noqa: SLF001 - the description as it was read
    refers = ("input", "output", "errors", "documentation")
    return {key: value for key, value in described.items() if key not in refers}


def shape_tree(shape, above=()):
    """Return all that botocore knows of a shape and its parts."""
    if shape is None or shape.name in above:
        return shape and shape.name
    above = (*above, shape.name)
    parts = getattr(shape, "members", {})
    parts = {**parts} | {
        part: getattr(shape, part) for part in ("member", "key", "value") if hasattr(shape, part)
    }
    own = (shape.name, shape.type_name, shape.serialization, shape.metadata)
    return own, {name: shape_tree(part, above) for name, part in parts.items()}


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
