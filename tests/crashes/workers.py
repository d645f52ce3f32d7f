"""The processes in which the emulator runs our functions: found by their connections, killed.

Linux only: the kernel says in /proc whose a connection is.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

_TRIES = 50
_GONE_SECONDS = 60.0
_known: dict[tuple[str, str], "Worker"] = {}


@dataclass(frozen=True, slots=True)
class Worker:
    """A process, the function that it runs by its name in the template (``submit``, …), and
    where that function believes AWS to be."""

    pid: int
    function: str
    aws_url: str


def worker_behind(port: int, listening: int) -> Worker | None:
    """Find the worker that connected from ``port`` to ``listening``, both of 127.0.0.1."""
    for _ in range(_TRIES):  # the kernel's table is read while it changes
        if inode := _inode_of(port, listening):
            link = f"socket:[{inode}]"
            for worker in chain(list(_known.values()), _all_workers()):
                if link in _open_files(worker.pid):
                    return worker
        time.sleep(0.005)
    return None


def workers_of(function: str, aws_url: str) -> list[Worker]:
    """List a function's workers. There may be other stacks on this machine: theirs aren't ours."""
    return [
        worker
        for worker in _all_workers()
        if worker.function == function and worker.aws_url == aws_url
    ]


def _all_workers() -> Iterator[Worker]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (worker := _worker(entry.name, _started_at(entry))):
            yield worker


def count_busy(aws_url: str) -> int:
    """Count the workers that are doing something, or starting to; the others await an event."""
    return sum(worker.aws_url == aws_url and is_busy(worker) for worker in _all_workers())


def is_busy(worker: Worker) -> bool:
    """Tell whether a worker runs and does anything else than to wait for an event."""
    waits = ("0 0x0 ", "63 0x0 ")  # read(0, …), its number on x86-64 and on arm64
    if not _is_running(worker.pid):
        return False
    try:
        return not Path(f"/proc/{worker.pid}/syscall").read_text().startswith(waits)
    except OSError:
        return False


def kill(worker: Worker) -> None:
    """End a worker the hard way, and wait until it is no more."""
    for key in [key for key, known in list(_known.items()) if known == worker]:
        _known.pop(key, None)
    with suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGKILL)
    ends_at = time.monotonic() + _GONE_SECONDS
    while _is_running(worker.pid):
        if time.monotonic() > ends_at:
            message = f"worker {worker.pid} survived SIGKILL"
            raise RuntimeError(message)
        time.sleep(0.002)


def _inode_of(port: int, listening: int) -> str | None:
    table = Path("/proc/net/tcp").read_text()
    begin = table.find(f" 0100007F:{port:04X} 0100007F:{listening:04X} ")
    # What follows: both addresses, state, queues, timer, retransmissions, user, time-out, inode.
    return None if begin < 0 else table[begin : begin + 200].split()[8]


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(entry.readlink()))
    return found


def _started_at(process: Path) -> str:
    """Say when a process began: with it, a pid that is used again is another process."""
    return (_stat(process) or [""] * 20)[19]


def _worker(pid: str, started_at: str) -> Worker | None:
    """Read a process as a worker: its environment names its function, like Lambda's own."""
    if found := _known.get((pid, started_at)):
        return found
    try:
        settings = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return None
    values = dict(setting.split("=", 1) for setting in settings if "=" in setting)
    if not {"AWS_LAMBDA_FUNCTION_NAME", "AWS_ENDPOINT_URL"} <= values.keys():
        return None
    # {stack}-{logical id}-{random}; the logical id is {Name}Function.
    name = values["AWS_LAMBDA_FUNCTION_NAME"].split("Function-")[0].rpartition("-")[2].lower()
    worker = _known[pid, started_at] = Worker(int(pid), name, values["AWS_ENDPOINT_URL"])
    return worker


def _is_running(pid: int) -> bool:
    state = _stat(Path(f"/proc/{pid}"))
    return state is not None and state[0] not in {"Z", "X"}


def _stat(process: Path) -> list[str] | None:
    """Read what the kernel says of a process, from its state on; None: there is none."""
    try:
        return (process / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
