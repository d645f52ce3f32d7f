"""Removes from the layer what is never imported. Usage: ``trim.py LAYER SERVICE…``."""

import gzip
import json
import shutil
import sys
from pathlib import Path

POWERTOOLS = (
    *("auth_alpha", "batch", "circuit_breaker", "data_masking", "feature_flags", "idempotency"),
    *("kafka", "metadata", "parameters", "parser", "streaming", "validation"),
)
"""Utilities of Powertools that no function uses: a third of the layer's files."""
NEVER_IMPORTED = (
    *("bin", ".lock", "*/examples", "*/tests", "**/*.pyi", "**/py.typed"),
    "charset_normalizer*",  # guesses encodings if asked to, and is a sixteenth of a cold start
    *(f"aws_lambda_powertools/utilities/{name}" for name in POWERTOOLS),
)


def main() -> None:
    layer, services = Path(sys.argv[1]), sys.argv[2:]
    for pattern in NEVER_IMPORTED:
        for path in layer.glob(pattern):
            remove(path)
    for path in layer.glob("*.dist-info/*"):
        if path.name != "METADATA":  # read by vulnerability scanners
            remove(path)
    for path in layer.glob("botocore/data/*/"):
        if path.name not in services:
            remove(path)
    for examples in layer.glob("botocore/data/*/*/examples-1.json"):
        remove(examples)
    trim_endpoints(layer / "botocore/data")


def trim_endpoints(data: Path) -> None:
    """Remove the endpoints of removed services, but no partition or region.

    botocore parses this file, of 1.2 MB before, in every cold start.
    """
    descriptions = [
        json.loads(gzip.decompress(path.read_bytes()))
        for path in data.glob("*/*/service-2.json.gz")
    ]
    kept = {description["metadata"]["endpointPrefix"] for description in descriptions}
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = {
            name: service for name, service in partition["services"].items() if name in kept
        }
    (data / "endpoints.json").write_text(json.dumps(endpoints, separators=(",", ":")))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


main()
