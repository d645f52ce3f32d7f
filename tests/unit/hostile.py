"""A server on 127.0.0.1 that misbehaves, with or without TLS."""

import socket
import ssl
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

import trustme

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

CA = trustme.CA()
OTHER_CA = trustme.CA()


def server_tls(name="localhost", ca=CA):
    """Return the TLS context of a server with a certificate of ``ca`` for ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


def client_tls():
    """Return the TLS context of a client that trusts only ``CA``."""
    context = ssl.create_default_context(cadata=CA.cert_pem.bytes().decode())
    context.check_hostname = True
    return context


@dataclass
class Peer:
    """The server's side of a test: its requests, and ways to misbehave."""

    port: int
    over: Event = field(default_factory=Event)
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def read_request(self, connection):
        """Read and keep one request, whose body has a Content-Length or is empty."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        _, given, after = head.lower().partition(b"content-length:")
        while given and len(body) < int(after.split()[0]):
            body += self._more(connection)
        self.requests.append(head + b"\r\n\r\n" + body)

    def _more(self, connection):
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError
        return piece

    def dribble(self, connection, content, pause):
        for number in range(len(content)):
            connection.sendall(content[number : number + 1])
            if self.over.wait(pause):
                return

    def stall(self):
        self.over.wait(30)


@contextmanager
def peer(treat, tls=None):
    """Run a server that accepts connections and gives each to ``treat(server, connection)``.

    With ``tls``, connections are passed on after their handshake.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Peer(listener.getsockname()[1])
        threads = []

        def serve(connection):
            with connection, suppress(OSError):
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                with connection:
                    treat(server, connection)

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.settimeout(10)
                server.connections += 1
                threads.append(Thread(target=serve, args=(connection,)))
                threads[-1].start()

        accepting = Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            server.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(10)


@contextmanager
def deaf(*addresses, port=0):
    """Listen on one port of some addresses without accepting a connection."""
    sockets = []
    try:
        for address in addresses:
            listener = socket.socket()
            sockets.append(listener)
            listener.bind((address, port))
            listener.listen(0)
            port = listener.getsockname()[1]
            for _ in range(3):  # enough to fill its backlog: later connects get no answer
                waiting = socket.socket()
                sockets.append(waiting)
                waiting.settimeout(0)
                waiting.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield port
    finally:
        for one in sockets:
            one.close()


def reset(connection):
    """Close the connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # SSLSocket's own close would send a TLS alert.
    socket.socket.close(connection)
