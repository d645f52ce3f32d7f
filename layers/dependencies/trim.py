"""Removes from the layer what is never used. Usage: ``trim.py LAYER``."""

import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

OPERATIONS: Final = {
    "dynamodb": (
        *("BatchGetItem", "GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"),
    ),
    "events": ("PutEvents",),
    "s3": (
        *("CopyObject", "DeleteObject", "GetObject", "HeadObject", "ListObjectVersions"),
        *("ListObjectsV2", "PutObject"),
        "CreateBucket",  # its URL is what `generate_presigned_post` signs a form for
        "HeadBucket",  # asked for a bucket's region when S3 says that it is elsewhere
    ),
    "secretsmanager": ("GetSecretValue",),
    "sqs": (
        *("ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "DeleteMessage"),
        *("ReceiveMessage", "SendMessage"),
    ),
    "stepfunctions": ("StartExecution",),
}
"""What the functions call of AWS: all other services and operations are removed from botocore's
data. A client reads the whole description of its service, and gets a method for each operation and
a class for each error, in every cold start."""
POWERTOOLS: Final = (
    *("auth_alpha", "batch", "circuit_breaker", "data_masking", "feature_flags", "idempotency"),
    *("kafka", "metadata", "parameters", "parser", "streaming", "validation"),
)
"""Utilities of Powertools that no function uses: a third of the layer's files."""
NEVER_IMPORTED: Final = (
    *("bin", ".lock", "*/examples", "*/tests", "**/*.pyi", "**/py.typed"),
    "charset_normalizer*",  # guesses encodings if asked to, and is a sixteenth of a cold start
    *(f"aws_lambda_powertools/utilities/{name}" for name in POWERTOOLS),
)

type Object = dict[str, Any]
"""A JSON object."""


def main(layer: Path) -> None:
    """Trim a layer in place."""
    for pattern in NEVER_IMPORTED:
        for path in layer.glob(pattern):
            remove(path)
    for path in layer.glob("*.dist-info/*"):
        if path.name != "METADATA":  # read by vulnerability scanners
            remove(path)
    trim_services(layer / "botocore/data")
    trim_endpoints(layer / "botocore/data")


def trim_services(data: Path) -> None:
    """Remove what `OPERATIONS` doesn't name, and write the rest as plain JSON.

    Of a service botocore takes the version of the API that sorts last.
    """
    for service in data.glob("*/"):
        *older, newest = sorted(service.iterdir())
        if service.name not in OPERATIONS:
            remove(service)
            continue
        for path in (*older, *newest.glob("examples-1.json*"), *newest.glob("waiters-2.json*")):
            remove(path)
        for packed in newest.glob("*.json.gz"):
            description: Object = json.loads(gzip.decompress(packed.read_bytes()))
            if packed.name.startswith("service-2."):
                description = trimmed(description, OPERATIONS[service.name])
            write(packed.with_suffix(""), description)
            remove(packed)


def trimmed(description: Object, names: tuple[str, ...]) -> Object:
    """Return a service's description with these operations, their shapes, and no prose."""
    operations = {name: without_prose(description["operations"][name]) for name in names}
    shapes: Object = {}
    needed = [*references([*operations.values()])]
    while needed:
        name = needed.pop()
        if name not in shapes:
            shapes[name] = without_prose(description["shapes"][name])
            needed += references(shapes[name])
    return {**without_prose(description), "operations": operations, "shapes": shapes}


def without_prose(described: Object) -> Object:
    """Return a part of a description without its documentation and that of its members.

    Members themselves have any name, `documentation` among them.
    """
    kept = {name: value for name, value in described.items() if name != "documentation"}
    for name in ("input", "output", "member", "key", "value"):
        if name in kept:
            kept[name] = without_prose(kept[name])
    if "members" in kept:
        kept["members"] = {name: without_prose(one) for name, one in kept["members"].items()}
    if "errors" in kept:
        kept["errors"] = [without_prose(error) for error in kept["errors"]]
    return kept


def references(described: object) -> Iterator[str]:
    """Name the shapes that a part of a description refers to."""
    if isinstance(described, list):
        for one in described:
            yield from references(one)
    elif isinstance(described, dict):
        if isinstance(described.get("shape"), str):
            yield described["shape"]
        for one in described.values():
            yield from references(one)


def trim_endpoints(data: Path) -> None:
    """Remove the endpoints of removed services, but no partition or region.

    botocore parses this file, of 1.2 MB before, in every cold start.
    """
    descriptions = [json.loads(path.read_bytes()) for path in data.glob("*/*/service-2.json")]
    kept = {description["metadata"]["endpointPrefix"] for description in descriptions}
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = {
            name: service for name, service in partition["services"].items() if name in kept
        }
    write(data / "endpoints.json", endpoints)


def write(path: Path, content: Object) -> None:
    """Write JSON without spaces."""
    path.write_text(json.dumps(content, separators=(",", ":")))


def remove(path: Path) -> None:
    """Remove a file or folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
