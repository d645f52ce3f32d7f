"""Copies 512 MiB from one TLS server to another with CopyFunction and with other programs.

Each run has a new process. The runs are interleaved, so that a slow moment affects all equally.
Linux only, because the peak of memory is read from ``/proc``.
"""

import hashlib
import json
import resource
import shutil
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import boto3
import trustme

from act_one.tasks.identifiers import derive_task_id
from act_one.tasks.table import TaskTable
from act_one.tasks.task import MediaUrls, Stage, Task
from local.bench.servers import BUFFER, Bucket, pieces, serving, source
from local.emulator import ROOT, environment, running_emulator
from local.expand import load
from local.handlers import LAMBDA_ENVIRONMENT, LAYERS, handlers

SIZE: Final = 536_870_912
"""512 MiB, the most that ``MaxMediaBytes`` allows."""
ROUNDS: Final = 3
GB: Final = 1_000_000_000
MIB: Final = 1_048_576
FOLDER: Final = ROOT / ".local/bench"
PYTHON: Final = ROOT / ".tools/bench/bin/python"
CONTESTANTS: Final = Path(__file__).with_name("contestants.py")
OPENSSL: Final = ("openssl", "dgst", "-sha256")
SHA256: Final = "(SHA-256 of as much, alone)"
NAME: Final = "results"
"""The name of both the bucket and the table."""


class CopyError(Exception):
    """A copy failed or is incomplete; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one run; ``bytes_over_base`` is None where it isn't measured."""

    seconds: float
    cpu_seconds: float
    bytes_over_base: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The source, the bucket, and the settings with which clients trust both."""

    url: str
    bucket_url: str
    authority: Path
    certifi: Path
    """A folder with the layer's ``certifi`` and the authority added to its certificates."""
    environment: Mapping[str, str]
    table: TaskTable
    sha256: str


def copies() -> None:
    """Print a table of the copies."""
    if not Path("/proc/self/clear_refs").exists():
        print("The copy is measured on Linux only.")
        return
    ways: dict[str, Callable[[Bench, str], Cost]] = {
        "CopyFunction": by_the_function,
        "boto3 `upload_fileobj`": partial(by_another, "upload_fileobj"),
        "smart_open": partial(by_another, "smart_open"),
        "s3fs": partial(by_another, "s3fs"),
    }
    if shutil.which("curl"):
        ways["`curl \\| curl -T -`"] = by_curls
        if shutil.which("openssl"):
            name = f"`curl \\| tee >({' '.join(OPENSSL)}) \\| curl -T -`"
            ways[name] = partial(by_curls, hashing=True)
    else:
        print("curl is not installed, so it is left out.")
    costs: dict[str, list[Cost]] = {name: [] for name in [*ways, SHA256]}
    with bench() as found:
        alone = rates(found)
        for number in range(ROUNDS):
            for name, copy in ways.items():
                costs[name].append(copy(found, f"copies/{number}/{copy_name(name)}"))
            costs[SHA256].append(sha256())
    report(costs)
    print()
    print(f"Besides one SHA-256, CopyFunction's CPU is {besides_sha256(costs):.2f} s/GB. {alone}")


def copy_name(name: str) -> str:
    """Return a key that consists of a name's letters and digits."""
    return "".join(letter for letter in name if letter.isalnum())


def report(costs: Mapping[str, list[Cost]]) -> None:
    """Print the medians, and the ratios of time and CPU to those of CopyFunction."""
    print(f"| copy of 512 MiB, median of {ROUNDS} | MB/s | CPU s/GB | MiB over base | time | CPU |")
    print("|---|---|---|---|---|---|")
    ours = medians(costs["CopyFunction"])
    for name, runs in costs.items():
        cost = medians(runs)
        memory = "" if cost.bytes_over_base is None else f"{cost.bytes_over_base / MIB:.1f}"
        rate, cpu = SIZE / cost.seconds / 1e6, cost.cpu_seconds / SIZE * GB
        ratios = f"{cost.seconds / ours.seconds:.2f} | {cost.cpu_seconds / ours.cpu_seconds:.2f}"
        print(f"| {name} | {rate:.0f} | {cpu:.2f} | {memory} | {ratios} |")


def besides_sha256(costs: Mapping[str, list[Cost]]) -> float:
    """Return CopyFunction's CPU in seconds per GB, less that of hashing alone."""
    spent = medians(costs["CopyFunction"]).cpu_seconds - medians(costs[SHA256]).cpu_seconds
    return spent / SIZE * GB


def medians(runs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    peaks = [run.bytes_over_base for run in runs if run.bytes_over_base is not None]
    return Cost(
        seconds=statistics.median(run.seconds for run in runs),
        cpu_seconds=statistics.median(run.cpu_seconds for run in runs),
        bytes_over_base=int(statistics.median(peaks)) if peaks else None,
    )


# ── Ways to copy ──────────────────────────────────────────────────────────────────────────────


def by_the_function(bench: Bench, _: str) -> Cost:
    """Run CopyFunction for a task, and check the row and the object."""
    now = time.time()
    task = Task(
        task_id=derive_task_id("bench", None),
        client_id="bench",
        stage=Stage.STORING,
        created_at=now,
        updated_at=now,
        video="https://media.example/performance.mp4",
        image="https://media.example/character.png",
        request_hash="bench",
        claim_id="bench",
        sent_at=now,
        source=MediaUrls(video=bench.url),
    )
    bench.table.create(task)
    built = handlers()["CopyFunction"]
    settings = {
        "TASKS_TABLE": NAME,
        "RESULTS_BUCKET": NAME,
        "UNSAFE_ALLOW_PRIVATE_MEDIA": "true",  # the source is on 127.0.0.1
    }
    order = {
        "folders": [str(bench.certifi), *map(str, built.folders)],
        "handler": built.path,
        "event": {"Records": [{"body": json.dumps({"detail": {"id": task.task_id}})}]},
    }
    alone = {**LAMBDA_ENVIRONMENT, **built.environment, **settings, **bench.environment}
    cost = run([sys.executable, "-I", "-S", "-B"], "handler", order, alone)
    row = bench.table.read(task.task_id)
    if row is None or row.output is None or row.output.video.sha256 != bench.sha256:
        raise CopyError(f"CopyFunction left {row}")
    check(bench, row.output.video.s3_uri.removeprefix(f"s3://{NAME}/"))
    return cost


def by_another(way: str, bench: Bench, key: str) -> Cost:
    """Copy with a library: boto3 from the layer, the others from their own environment."""
    order = {"folders": [], "url": bench.url, "bucket": NAME, "key": key}
    command = [str(PYTHON), "-I", "-B"]
    if way == "upload_fileobj":
        command = [sys.executable, "-I", "-S", "-B"]
        order["folders"] = [str(LAYERS["DependenciesLayer"])]
    cost = run(command, way, order, bench.environment)
    check(bench, key)
    return cost


def by_curls(bench: Bench, key: str, *, hashing: bool = False) -> Cost:
    """Copy by piping one curl to another, which sends a ``Content-Length``, as to a presigned URL.

    With ``hashing``, OpenSSL hashes the data as CopyFunction does.
    """
    curl = ["curl", "-q", "-sS", "--fail", "--cacert", str(bench.authority)]
    put = ["-H", f"Content-Length: {SIZE}", "-H", "Transfer-Encoding:", "-T", "-"]
    before, began_at = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = [subprocess.Popen([*curl, bench.url], stdout=subprocess.PIPE, env={})]
    if hashing:
        digest = subprocess.Popen(OPENSSL, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        to_digest = piped(digest.stdin)
        running += [digest, then(running[0], ["tee", f"/dev/fd/{to_digest.fileno()}"], to_digest)]
    running.append(then(running[-1], [*curl, *put, f"{bench.bucket_url}/{NAME}/{key}"]))
    statuses = [process.wait() for process in reversed(running)]
    if any(statuses):
        raise CopyError("curl, tee or openssl failed")
    seconds, after = time.perf_counter() - began_at, resource.getrusage(resource.RUSAGE_CHILDREN)
    check(bench, key)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds=seconds, cpu_seconds=cpu_seconds)


def then(
    before: "subprocess.Popen[bytes]", command: list[str], *handed: IO[bytes]
) -> "subprocess.Popen[bytes]":
    """Start a command that reads another's output; it takes over the ``handed`` pipes."""
    given = piped(before.stdout)
    started = subprocess.Popen(
        command,
        stdin=given,
        stdout=subprocess.PIPE if handed else subprocess.DEVNULL,
        pass_fds=[pipe.fileno() for pipe in handed],
    )
    for pipe in (given, *handed):
        pipe.close()
    return started


def piped(end: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe that must exist."""
    if end is None:
        raise ValueError("there is no such pipe")
    return end


def sha256() -> Cost:
    """Hash as many bytes as are copied."""
    return run([sys.executable, "-I", "-B"], "sha256", {"folders": [], "size": SIZE}, {})


def run(
    command: list[str], way: str, order: Mapping[str, object], variables: Mapping[str, str]
) -> Cost:
    """Run a contestant in a new interpreter."""
    done = subprocess.run(
        [*command, str(CONTESTANTS), way, json.dumps(order)],
        env={"PATH": "/usr/bin:/bin", **variables},
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CopyError(f"{way} failed:\n{done.stdout}{done.stderr}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def check(bench: Bench, key: str) -> None:
    """Check that the bucket has every byte."""
    with connected(bench.bucket_url, bench.authority) as connection:
        connection.request("HEAD", f"/{NAME}/{key}")
        answer = connection.getresponse()
    if (answer.status, answer.headers["Content-Length"]) != (200, str(SIZE)):
        raise CopyError(f"the bucket answers {answer.status} with {answer.headers} for {key}")


# ── Environment ───────────────────────────────────────────────────────────────────────────────


@contextmanager
def bench() -> Iterator[Bench]:
    """Run source, bucket and a table in an emulator; removes everything at the end."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    authority, certifi = trust(ca := trustme.CA())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    start, filler = video()
    content = hashlib.sha256()
    for piece in pieces(start, filler, SIZE):
        content.update(piece)
    try:
        with (
            serving(source(start, filler, SIZE), tls) as source_url,
            serving(Bucket(), tls) as bucket_url,
            running_emulator(FOLDER) as endpoint_url,
        ):
            made = environment(endpoint_url)
            yield Bench(
                url=f"{source_url}/video.mp4",
                bucket_url=bucket_url,
                authority=authority,
                certifi=certifi,
                environment={name: value for name, value in made.items() if "AWS_" in name}
                | {
                    "AWS_ENDPOINT_URL_S3": bucket_url,
                    "AWS_CA_BUNDLE": str(authority),
                    "REQUESTS_CA_BUNDLE": str(authority),
                },
                table=tasks_table(endpoint_url),
                sha256=content.hexdigest(),
            )
    finally:
        shutil.rmtree(FOLDER)


def trust(ca: trustme.CA) -> tuple[Path, Path]:
    """Write the authority's certificate, and a copy of ``certifi`` that contains it.

    CopyFunction's downloads trust only certifi's list, whatever the environment says; without the
    folder that the build makes of it, they read the list itself.
    """
    authority = FOLDER / "authority.pem"
    ca.cert_pem.write_to_path(str(authority))
    packages = FOLDER / "packages"
    certifi = LAYERS["DependenciesLayer"] / "certifi"
    shutil.copytree(certifi, packages / "certifi", ignore=shutil.ignore_patterns("authorities"))
    ca.cert_pem.write_to_path(str(packages / "certifi/cacert.pem"), append=True)
    return authority, packages


def video() -> tuple[bytes, bytes]:
    """Return the start of a video of ``SIZE`` bytes, and the bytes that fill the rest.

    Only the size of its last box is changed, so the frames keep their offsets.
    """
    sample = (ROOT / "local/media/result.mp4").read_bytes()
    data = sample.index(b"mdat") - 4
    length = (SIZE - data).to_bytes(4, "big")
    return sample[:data] + length + sample[data + 4 :], hashlib.shake_256(b"filler").digest(MIB)


def tasks_table(endpoint_url: str) -> TaskTable:
    """Create the template's table in the emulator."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    client = session.client("dynamodb", endpoint_url=endpoint_url)
    written: dict[str, Any] = load(ROOT / "template.yaml")["Resources"]["TasksTable"]["Properties"]
    asked = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    client.create_table(TableName=NAME, **{name: written[name] for name in asked})
    return TaskTable(client, NAME)


def rates(bench: Bench) -> str:
    """Describe the speed of source and bucket alone, which bounds that of any copy."""
    buffer = memoryview(bytearray(BUFFER))
    with connected(bench.url, bench.authority) as connection:
        connection.request("GET", "/video.mp4")
        answer = connection.getresponse()
        began_at = time.perf_counter()
        while answer.readinto(buffer):
            pass
        sent = SIZE / (time.perf_counter() - began_at)
    zeros = memoryview(bytes(MIB))
    with connected(bench.bucket_url, bench.authority) as connection:
        began_at = time.perf_counter()
        connection.putrequest("PUT", f"/{NAME}/alone")
        connection.putheader("Content-Length", str(SIZE))
        connection.endheaders()
        for _ in range(SIZE // MIB):
            connection.send(zeros)
        connection.getresponse().read()
        received = SIZE / (time.perf_counter() - began_at)
    speeds = f"sends {sent / 1e6:.0f} MB/s and the bucket receives {received / 1e6:.0f}"
    return f"Alone, the source {speeds}."


@contextmanager
def connected(url: str, authority: Path) -> Iterator[HTTPSConnection]:
    """Connect to the source or the bucket."""
    tls = ssl.create_default_context(cafile=str(authority))
    connection = HTTPSConnection(urlsplit(url).netloc, context=tls, timeout=60)
    try:
        yield connection
    finally:
        connection.close()
