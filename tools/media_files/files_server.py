"""A web server for media files on 127.0.0.1 that imitates the servers clients use."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import urlsplit


@dataclass
class Served:
    """A file and how the server answers requests for it."""

    content: bytes
    ranges: bool = True
    length: bool = True
    """Whether the server states the file's size."""
    status: int = 0
    """A status to answer with instead of the file; 0 for the file."""
    head: int = 0
    """A status to answer HEAD with; 0 for the same as GET."""
    seconds: float = 0.0
    """Delay before the answer."""
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FilesServer:
    """The server's URL, its files by path, and the requests it received."""

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def put(self, name, content, **behaviour):
        """Serve a file; returns its URL, whose query is a secret."""
        self.files[f"/{name}"] = Served(content, **behaviour)
        return f"{self.url}/{name}?signature=SECRET"


@contextmanager
def files_server():
    """Run a server for the duration of a ``with`` block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            """Log nothing."""

        def do_GET(self):
            self.answer(with_body=True)

        def do_HEAD(self):
            self.answer(with_body=False)

        def answer(self, *, with_body):
            path = urlsplit(self.path).path
            served.requests.append(f"{self.command} {path} {self.headers.get('range', '')}".strip())
            file = served.files.get(path, Served(b"", status=404))
            served.over.wait(file.seconds)
            status = file.status or (0 if with_body else file.head)
            body, headers = file.content, dict(file.headers)
            if not status and file.ranges and (asked := self.headers.get("range")):
                first, last = (int(end) for end in asked.removeprefix("bytes=").split("-"))
                total = len(body) if file.length else "*"
                body = body[first : last + 1]
                status = 206 if body else 416
                headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{total}"
            self.send_response(status or 200)
            if file.location:
                headers["Location"] = file.location
            for name, value in headers.items():
                self.send_header(name, value)
            if file.length or status == 206:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            if with_body:
                try:
                    self.wfile.write(body)
                except OSError:
                    return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        served = FilesServer(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            served.over.set()
            server.shutdown()
            thread.join()
