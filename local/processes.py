"""Child processes that end, with their own children, when their parent ends."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def ends_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return a ``preexec_fn`` by which a child gets a signal when its parent ends (Linux only)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number))

    return set_death_signal


def stop_group(process: "subprocess.Popen[bytes]", seconds: float = 5.0) -> None:
    """End a process that was started in a new session, and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    process.wait()
