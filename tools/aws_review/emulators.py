"""The two emulators: ministack, which the tests use, and moto's server, which nothing else does."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.model import OperationModel

from local.emulator import (
    REGION,
    ROOT,
    environment,
    free_port,
    running_emulator,
    wait_until_answered,
)
from local.processes import ends_with_parent, stop_group
from tools.aws_review.models import faults

_ERROR: Final = re.compile(r"\S*(Error|Exception|NotFound)\b")
"""The last line of a traceback."""
_UNKNOWN: Final = re.compile(r"No Moto CloudFormation support for (\S+)")


@dataclass(frozen=True)
class Emulator:
    """A running emulator, its version, and how to read the end of its log after a failure."""

    name: str
    version: str
    account: str
    endpoint_url: str
    log: Path
    objects: str
    """The form of an object's URL that its CloudFormation reads templates from."""
    model_faults: list[str] = field(default_factory=list)
    """What calls broke in AWS's models of them."""

    def objects_url(self, bucket: str) -> str:
        return self.objects.format(bucket=bucket)

    def unknown_types(self) -> frozenset[str]:
        """List the types of resources that it says it ignores."""
        return frozenset(_UNKNOWN.findall(self.log.read_text(errors="replace")))

    @cached_property
    def clients(self) -> Callable[[str], Any]:
        session = boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
        )
        made: dict[str, Any] = {}

        def client(service: str) -> Any:
            if service not in made:
                made[service] = session.client(
                    service,
                    endpoint_url=self.endpoint_url,
                    # An answer of 500 is an opinion: it is not asked for twice.
                    config=Config(retries={"total_max_attempts": 1}, read_timeout=120),
                )
                made[service].meta.events.register("provide-client-params", self._check)
            return made[service]

        return client

    def _check(self, params: Mapping[str, Any], model: OperationModel, **_: Any) -> None:
        self.model_faults.extend(faults(model, params))

    def last_error(self, since: int) -> str:
        """Return the last line of the log from a place on that names an error."""
        for _ in range(10):  # it may be written after the answer
            lines = self.log.read_text(errors="replace")[since:].splitlines()
            named = [line.strip() for line in lines if _ERROR.match(line)]
            if named:
                return named[-1]
            time.sleep(0.1)
        return ""

    def log_size(self) -> int:
        return len(self.log.read_text(errors="replace"))


def version_of(package: str, tool: str) -> str:
    """Return the version of a package that is installed in `.tools/<tool>`."""
    [folder] = (ROOT / f".tools/{tool}/lib").glob("python3*/site-packages")
    [found] = distributions(name=package, path=[str(folder)])
    return found.version


@contextmanager
def ministack(folder: Path) -> Iterator[Emulator]:
    with running_emulator(folder) as url:
        yield Emulator(
            "ministack",
            version_of("ministack", "ministack"),
            "000000000000",
            url,
            folder / "ministack.log",
            f"{url}/{{bucket}}",
        )


@contextmanager
def moto(folder: Path) -> Iterator[Emulator]:
    folder.mkdir(parents=True, exist_ok=True)
    port, log_path = free_port(), folder / "moto.log"
    url = f"http://127.0.0.1:{port}"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [ROOT / ".tools/moto/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)],
            cwd=folder,
            env={**environment(url), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=ends_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one prctl, no locks
        )
    try:
        wait_until_answered(f"{url}/moto-api/data.json", process, log_path)
        yield Emulator(
            "moto",
            version_of("moto", "moto"),
            "123456789012",
            url,
            log_path,
            "https://{bucket}.s3.amazonaws.com",
        )
    finally:
        stop_group(process)
