"""Ways to copy a URL into a bucket, each run in an interpreter with only its own packages.

    python -I contestants.py WAY ORDER

``ORDER`` is an ``Order`` in JSON. The last line printed is JSON: ``seconds`` and ``cpu_seconds``
of the copy alone, and ``bytes_over_base``, its peak of memory above that after the imports.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TypedDict

PIECE = 1_048_576


class Order(TypedDict):
    """What to copy; ``folders`` are put first in the search path before the imports."""

    folders: list[str]
    url: str
    bucket: str
    key: str
    handler: str
    event: object
    size: int


def handler(order: Order) -> Callable[[], object]:
    """Return a call of CopyFunction's handler."""
    module, _, name = order["handler"].rpartition(".")
    function = getattr(import_module(module), name)
    context = SimpleNamespace(
        function_name="copy",
        memory_limit_in_mb="512",
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:copy",
        aws_request_id="bench",
    )
    return partial(function, order["event"], context)


def upload_fileobj(order: Order) -> Callable[[], object]:
    """Return a copy as in boto3's documentation."""
    import boto3
    import requests

    s3 = boto3.client("s3")

    def copy() -> None:
        with requests.get(order["url"], stream=True, timeout=60) as response:
            s3.upload_fileobj(response.raw, order["bucket"], order["key"])  # type: ignore[arg-type]

    return copy


def smart_open(order: Order) -> Callable[[], object]:
    """Return a copy from one smart_open file to another."""
    import smart_open as library
    import smart_open.http
    import smart_open.s3

    def copy() -> None:
        target = f"s3://{order['bucket']}/{order['key']}"
        with library.open(order["url"], "rb") as source, library.open(target, "wb") as stored:
            shutil.copyfileobj(source, stored, PIECE)

    return copy


def s3fs(order: Order) -> Callable[[], object]:
    """Return a copy into an s3fs file."""
    import requests
    import s3fs as library

    filesystem = library.S3FileSystem()

    def copy() -> None:
        with (
            requests.get(order["url"], stream=True, timeout=60) as response,
            filesystem.open(f"{order['bucket']}/{order['key']}", "wb") as stored,
        ):
            shutil.copyfileobj(response.raw, stored, PIECE)

    return copy


def sha256(order: Order) -> Callable[[], object]:
    """Return a hash of as many bytes, without a copy."""
    piece = bytes(PIECE)
    digest, size = hashlib.sha256(), order["size"] // PIECE

    def work() -> None:
        for _ in range(size):
            digest.update(piece)

    return work


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Run it once; returns its cost. Linux only: the recorded peak is reset first."""
    base = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    began_at, cpu_before = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - began_at,
        "cpu_seconds": time.process_time() - cpu_before,
        "bytes_over_base": _memory("VmHWM") - base,
    }


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024


WAYS = {way.__name__: way for way in (handler, upload_fileobj, smart_open, s3fs, sha256)}

if __name__ == "__main__":
    given: Order = json.loads(sys.argv[2])
    sys.path[:0] = given["folders"]
    print(json.dumps(measured(WAYS[sys.argv[1]](given))))
