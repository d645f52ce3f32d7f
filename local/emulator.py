"""Runs the ministack AWS emulator on 127.0.0.1 with IAM enforced."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local.processes import ends_with_parent, stop_group

ROOT: Final = Path(__file__).resolve().parent.parent
REGION: Final = "us-east-1"
ADMINISTRATOR: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # the emulator's fixed credentials of the root user
    "AWS_DEFAULT_REGION": REGION,
}
"""Used to deploy. The functions run with their own roles, which IAM enforces."""
_START_SECONDS: Final = 60.0


class EmulatorError(Exception):
    """The emulator did not start; the message names its log."""


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(endpoint_url: str) -> dict[str, str]:
    """Return environment variables with which AWS tools use only the emulator."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        **ADMINISTRATOR,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def running_emulator(folder: Path) -> Iterator[str]:
    """Run the emulator with all its files under ``folder``; yields its endpoint URL."""
    port = free_port()
    endpoint_url = f"http://127.0.0.1:{port}"
    scratch = folder / "tmp"
    _remove_data(folder)
    scratch.mkdir(parents=True, exist_ok=True)
    log_path = folder / "ministack.log"
    settings = {
        **environment(endpoint_url),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true",
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(scratch),
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
    }
    # The emulator passes its environment on to functions, which must not see Python settings.
    for name in [name for name in settings if name.startswith(("PYTHON", "VIRTUAL_ENV"))]:
        del settings[name]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [ROOT / ".tools/ministack/bin/python", "-P", ROOT / "local/shared_layers.py"],
            env=settings,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=ends_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one prctl, no locks
        )
    try:
        wait_until_answered(f"{endpoint_url}/_ministack/health", process, log_path)
        yield endpoint_url
    finally:
        stop_group(process)
        _remove_data(folder)


def _remove_data(folder: Path) -> None:
    """Remove the emulator's data, but not its logs."""
    for name in ("tmp", "state", "s3"):
        shutil.rmtree(folder / name, ignore_errors=True)


def wait_until_answered(url: str, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
    """Wait until an emulator's URL answers. Raises ``EmulatorError`` if it doesn't in a minute."""
    ends_at = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own URL
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise EmulatorError(f"the AWS emulator did not start; its log is {log_path}")
