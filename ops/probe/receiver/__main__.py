"""Runs the receiver as a server: `python -m ops.probe.receiver --inputs FOLDER [--port 8080]`.

For a machine with a public https address, or behind a tunnel that has one.
"""

import argparse
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from ops.probe.receiver.app import Call, Record, answer

MAX_BODY_BYTES = 1_000_000


class MemoryRecords:
    """Records that last as long as the process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_run: dict[str, list[Record]] = {}

    def add(self, run: str, record: Record) -> None:
        """Add a record to a run."""
        with self._lock:
            self._by_run.setdefault(run, []).append(record)

    def of(self, run: str) -> list[Record]:
        """Return a run's records, oldest first."""
        with self._lock:
            return list(self._by_run.get(run, ()))


class Receiver(ThreadingHTTPServer):
    """The listening socket, the records and the folder of inputs."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], inputs: Path) -> None:
        self.records = MemoryRecords()
        self.inputs = inputs
        super().__init__(address, Connection)


class Connection(BaseHTTPRequestHandler):
    """One connection and its requests."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: Receiver

    def answer(self) -> None:
        """Read one request and answer it."""
        length = min(int(self.headers.get("content-length") or 0), MAX_BODY_BYTES)
        call = Call(
            method=self.command,
            path=self.path.partition("?")[0],
            headers={name.lower(): text for name, text in self.headers.items()},
            body=self.rfile.read(length),
            address=self.headers.get("x-forwarded-for", self.client_address[0]).split(",")[0],
        )
        reply = answer(call, self.server.records, self.server.inputs)
        self.send_response(reply.status)
        for name, text in reply.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = answer  # noqa: N815 (names of the base)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of the base)
        """Log nothing: paths have the run's id."""


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m ops.probe.receiver")
    parser.add_argument("--inputs", type=Path, required=True, help="performance.mp4, character.png")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--host", default="127.0.0.1")
    given = parser.parse_args()
    with Receiver((given.host, given.port), given.inputs) as server:
        print(f"The receiver listens on {given.host}:{server.server_address[1]}.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            time.sleep(0)


if __name__ == "__main__":
    main()
