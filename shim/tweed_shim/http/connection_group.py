"""The open connections of one session, which another thread or the deadline can end."""

import socket
import threading
import weakref
from contextlib import suppress

from tweed_shim.base.deadline import NO_DEADLINE, Deadline
from tweed_shim.errors import RegistryError


class ConnectionGroup:
    """All connections of one session. `close` ends them, even while a thread waits for data; so does the deadline."""

    def __init__(self, deadline: Deadline = NO_DEADLINE) -> None:
        self.deadline = deadline
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._alarm: threading.Timer | None = None
        if deadline.is_set:
            self._alarm = threading.Timer(min(deadline.remaining(), threading.TIMEOUT_MAX), self.close)
            self._alarm.daemon = True
            self._alarm.start()

    def add(self, connection: socket.socket) -> None:
        """Add a new connection; end it at once where the group is closed."""
        with self._lock:
            self._sockets.add(connection)
        if self._closed.is_set():
            self.close()

    def close(self) -> None:
        """End all connections, and every connection that is added later."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._closed.set()
        with self._lock:
            for each in self._sockets:
                # close(2) does not wake a thread that reads; shutdown(2) does. It fails where the peer has closed.
                with suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise PullTimedOut after the deadline, and RegistryError where the group is closed."""
        self.deadline.check()
        if self._closed.is_set():
            raise RegistryError("the transfer was stopped because another one failed; try again")

    def wait(self, seconds: float) -> None:
        """Wait for a number of seconds, or until the group is closed."""
        self._closed.wait(seconds)
