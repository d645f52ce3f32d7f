"""What a probe has seen so far: a private file, written before and after each call.

A step that was begun is in the file before its create is sent, so that no run pays for it twice.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from act_one.net.exchange import Reply
from ops.probe.receiver.app import Record
from ops.stacks import CommandError

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A call of ours and its reply. `at` is in Unix seconds; `status` 0 is no reply."""

    at: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    error: str = ""

    def reply(self) -> Reply:
        """Return the reply as the deployed code reads it."""
        return Reply(status=self.status, headers=self.headers, body=self.body.encode())


@dataclass(slots=True, kw_only=True)
class Step:
    """One paid transfer.

    - `outcome`: `sending` until the create is answered; `accepted`, `rejected`, `ambiguous`;
    - `looks`: the replies of the feed that differ from the one before in shape or state;
    - `looked`: how often the feed was asked; `unknown_until`: the last `task_not_exist`;
      `known_at`: the first other answer;
    - `results`: requests for the result's URL.
    """

    sent_at: float
    outcome: str = "sending"
    create: Exchange | None = None
    task_id: str = ""
    looks: list[Exchange] = field(default_factory=list)
    looked: int = 0
    unknown_until: float | None = None
    known_at: float | None = None
    ended_at: float | None = None
    state: str = ""
    records: list[Record] = field(default_factory=list)
    result_url: str = ""
    results: list[Exchange] = field(default_factory=list)
    done: bool = False


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that was seen; `secret` reads the receiver's records of this probe."""

    provider: str
    secret: str
    receiver: str = ""
    free: dict[str, Exchange] = field(default_factory=dict)
    drift: list[str] | None = None
    steps: dict[str, Step] = field(default_factory=dict)


def private_file(report: Path) -> Path:
    """Return the private file of a report: beside it, never to be given away."""
    return report.with_name(f"{report.stem}.private.json")


def save(state: State, file: Path) -> None:
    """Write the state, readable for its owner only, and wait until it is on the disk.

    Raises ``CommandError`` if that isn't possible.
    """
    beside = file.with_name(f"{file.name}.new")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as opened:
            json.dump({"version": VERSION, **asdict(state)}, opened)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    except OSError as error:
        raise CommandError(f"{file} can't be written: {error.strerror}.") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second probe out of a folder: two at once would both pay. Raises ``CommandError``."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CommandError(f"{folder} can't be opened: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CommandError(f"Another probe with a report in {folder} is running.") from None
    finally:
        os.close(handle)


def load(file: Path) -> State:
    """Read a state. Raises ``CommandError`` if the file isn't one."""
    try:
        written = json.loads(file.read_text())
        if written.pop("version") != VERSION:
            raise CommandError(f"{file} is of another version of the probe.")
        return State(
            **{
                **written,
                "free": {name: Exchange(**one) for name, one in written["free"].items()},
                "steps": {name: _step(one) for name, one in written["steps"].items()},
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{file} can't be read: {type(error).__name__}. Remove it?") from error


def _step(written: dict[str, Any]) -> Step:
    created = written["create"]
    return Step(
        **{
            **written,
            "create": created and Exchange(**created),
            "looks": [Exchange(**one) for one in written["looks"]],
            "records": [Record(**one) for one in written["records"]],
            "results": [Exchange(**one) for one in written["results"]],
        }
    )
