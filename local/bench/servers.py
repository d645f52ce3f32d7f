"""The servers of the copy benchmark, over TLS: a source, and a bucket that only counts bytes.

Each runs in its own process and does little work per byte, because it must not limit the copies.
"""

import io
import itertools
import multiprocessing
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock, Thread

from local.processes import ends_with_parent

BUFFER = 262_144
"""Bytes per read; a TLS socket returns at most one record."""

type Answer = Callable[["Request", io.BufferedReader, ssl.SSLSocket], None]


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext) -> Iterator[str]:
    """Run a server on 127.0.0.1; yields its URL without a path."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(
            target=_serve, args=(listener, answer, tls), daemon=True
        )
        process.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.kill()
            process.join()


def _serve(listener: socket.socket, answer: Answer, tls: ssl.SSLContext) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    if end := ends_with_parent(signal.SIGKILL):
        end()
    while True:
        connection, _ = listener.accept()
        Thread(target=_talk, args=(connection, answer, tls), daemon=True).start()


def _talk(connection: socket.socket, answer: Answer, tls: ssl.SSLContext) -> None:
    with (
        suppress(OSError),  # the client reports its own errors
        connection,
        tls.wrap_socket(connection, server_side=True) as secure,
        secure.makefile("rb") as stream,
    ):
        while request := _read_request(stream):
            if "100-continue" in request.headers.get("expect", "").lower():
                secure.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            answer(request, stream, secure)


def _read_request(stream: io.BufferedReader) -> Request | None:
    if not (line := stream.readline().decode()):
        return None
    method, target, _ = line.split()
    path, _, query = target.partition("?")
    fields = (line.decode().partition(":") for line in iter(stream.readline, b"\r\n"))
    return Request(method, path, query, {name.lower(): value.strip() for name, _, value in fields})


def reply(
    connection: ssl.SSLSocket, status: str, body: bytes = b"", headers: str = "", length: int = -1
) -> None:
    """Send a reply; ``length`` replaces the body's length, for HEAD."""
    content_length = len(body) if length < 0 else length
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {content_length}\r\n\r\n"
    connection.sendall(head.encode() + body)


# ── The source ────────────────────────────────────────────────────────────────────────────────


def source(start: bytes, filler: bytes, size: int) -> Answer:
    """Answer every GET with ``size`` bytes: ``start``, then the filler repeatedly."""

    def answer(request: Request, _: io.BufferedReader, connection: ssl.SSLSocket) -> None:
        reply(connection, "200 OK", headers="Content-Type: video/mp4\r\n", length=size)
        if request.method == "GET":
            for piece in pieces(start, filler, size):
                connection.sendall(piece)

    return answer


def pieces(start: bytes, filler: bytes, size: int) -> Iterator[memoryview]:
    """Yield the source's bytes in pieces."""
    left = size
    for piece in itertools.chain([start], itertools.repeat(filler)):
        if not left:
            return
        yield memoryview(piece)[:left]
        left -= min(left, len(piece))


# ── The bucket ────────────────────────────────────────────────────────────────────────────────


class Bucket:
    """The part of S3 that copies use: put, multipart upload and HEAD. It stores only sizes.

    A checksum in a trailer is returned unchecked: hashing here would slow the copies.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._lock = Lock()

    def __call__(
        self, request: Request, stream: io.BufferedReader, connection: ssl.SSLSocket
    ) -> None:
        """Answer one request."""
        size, trailer = _receive(request, stream)
        if request.method == "PUT":
            with self._lock:
                self._sizes[request.path] = self._sizes.get(request.path, 0) + size
            reply(connection, "200 OK", headers=f'ETag: "{size}"\r\n{trailer}')
        elif request.method == "POST":
            word = (
                "CompleteMultipartUpload"
                if "uploadId" in request.query
                else "InitiateMultipartUpload"
            )
            answer = f'<{word}Result><UploadId>1</UploadId><ETag>"1"</ETag></{word}Result>'
            reply(connection, "200 OK", answer.encode())
        elif request.path in self._sizes:
            reply(connection, "200 OK", length=self._sizes[request.path])
        else:
            reply(connection, "404 Not Found")


def _receive(request: Request, stream: io.BufferedReader) -> tuple[int, str]:
    """Read a body; return its size without framing, and its trailer as header lines."""
    chunked = request.headers.get("transfer-encoding") == "chunked"
    body: io.BufferedReader = io.BufferedReader(_Chunks(stream)) if chunked else stream
    if "aws-chunked" in request.headers.get("content-encoding", ""):
        size, trailer = 0, ""
        while length := int(body.readline().partition(b";")[0], 16):
            size += _skip(body, length)
            body.readline()
        while (line := body.readline()) not in {b"\r\n", b""}:
            trailer += line.decode()
    else:
        size, trailer = (
            _skip(body, None if chunked else int(request.headers.get("content-length", 0))),
            "",
        )
    if chunked:
        _skip(body, None)
    return size, trailer


def _skip(stream: io.BufferedReader, size: int | None) -> int:
    """Skip ``size`` bytes, or all; returns how many were skipped."""
    view = memoryview(bytearray(BUFFER))
    skipped = 0
    while size is None or skipped < size:
        count = stream.readinto1(view if size is None else view[: size - skipped])
        if not count:
            break
        skipped += count
    return skipped


class _Chunks(io.RawIOBase):
    """Decodes HTTP's chunked encoding."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._left = 0
        self._over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._over:
            return 0
        if not self._left:
            self._left = int(self._stream.readline(), 16)
            if not self._left:
                self._stream.readline()
                self._over = True
                return 0
        count = self._stream.readinto1(memoryview(buffer)[: self._left])
        self._left -= count
        if not self._left:
            self._stream.readline()
        return count
