"""Runs the receiver as a server: `python -m ops.probe.receiver --inputs FOLDER [--port 8080]`.

For a machine with a public https address, or behind a tunnel that has one.
"""

import argparse
import re
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from threading import Lock

from ops.probe.receiver.app import Call, Record, answer

MAX_BODY_BYTES = 1_000_000
MAX_LINE_BYTES = 8_192
MAX_TRAILERS = 32


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
        body = read_body(self.rfile, self.headers)
        if body is None:
            self.close_connection = True  # where the next request begins isn't known
            self.send_error(413)
            return
        call = Call(
            method=self.command,
            path=self.path.partition("?")[0],
            headers={name.lower(): text for name, text in self.headers.items()},
            body=body,
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


def read_body(stream: BufferedIOBase, headers: Message) -> bytes | None:
    """Read a request's body, by its length or in chunks; None if it is too long or not whole."""
    if headers.get("transfer-encoding"):
        return _read_chunks(stream)
    return _read(stream, _number(headers.get("content-length") or "0", 10))


def _read_chunks(stream: BufferedIOBase) -> bytes | None:
    body = b""
    while True:
        size = _number(stream.readline(64).partition(b";")[0].strip().decode("latin-1"), 16)
        chunk = _read(stream, size)
        if chunk is None or len(body) + len(chunk) > MAX_BODY_BYTES:
            return None
        if not chunk:
            break
        body += chunk
        stream.readline(64)
    for _ in range(MAX_TRAILERS):
        if not stream.readline(MAX_LINE_BYTES).strip():
            return body
    return None


def _number(text: str, base: int) -> int | None:
    """Read digits; a sign, which `int` takes, isn't one."""
    digits = "[0-9]{1,8}" if base == 10 else "[0-9a-fA-F]{1,8}"
    return int(text, base) if re.fullmatch(digits, text) else None


def _read(stream: BufferedIOBase, length: int | None) -> bytes | None:
    if length is None or length > MAX_BODY_BYTES:
        return None
    found = stream.read(length)
    return found if len(found) == length else None


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
