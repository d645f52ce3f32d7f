"""The open connections of a simulator."""

import socket
from threading import Lock


class OpenSockets:
    """The open connections, so that closing can end all of them."""

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._lock = Lock()

    def add(self, connection: socket.socket) -> None:
        """Add a connection."""
        with self._lock:
            self._sockets.add(connection)

    def discard(self, connection: socket.socket) -> None:
        """Remove a connection if it was added."""
        with self._lock:
            self._sockets.discard(connection)

    def hang_up(self) -> None:
        """Shut down every connection, which wakes the threads that wait on them."""
        with self._lock:
            for connection in self._sockets:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client has hung up already
