"""A server for images that deploy something: it keeps what they have made in a directory, one file for each."""

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

READ_SECONDS = 10

# Shell functions for an entrypoint that has the server's host and port in $LEDGER. `add NAME [ACCESS]`: of an access
# that the server does not have, nothing is taken. `remove PREFIX` takes away all that begins so.
LEDGER_FUNCTIONS = """
ask() { [ "$(echo "$@" | nc $LEDGER)" = done ]; }
new() { cat /proc/sys/kernel/random/uuid; }
"""


class Ledger(NamedTuple):
    """What images have made. address: host and port, with a space between them. directory: has a file for each."""

    address: str
    directory: str

    def entries(self) -> list[str]:
        """What there is once all that was asked before this has been done: the server does one thing at a time."""
        host, port = self.address.split()
        with socket.create_connection((host, int(port)), READ_SECONDS) as connection:
            connection.sendall(b"nothing\n")
            connection.recv(100)
        return sorted(os.listdir(self.directory))


class _Request(socketserver.StreamRequestHandler):
    timeout = READ_SECONDS

    def handle(self) -> None:
        line = self.rfile.readline(4096).decode("ascii")
        # What a killed client has not said whole is no request.
        if not line.endswith("\n"):
            return
        directory: str = self.server.directory  # type: ignore[attr-defined] # the server is ours
        verb, *names = line.split()
        if verb == "add" and all(os.path.exists(os.path.join(directory, each)) for each in names[1:]):
            with open(os.path.join(directory, names[0]), "x"):
                pass
        elif verb == "remove":
            for each in os.listdir(directory):
                if each.startswith(names[0]):
                    os.unlink(os.path.join(directory, each))
        elif verb == "add":
            return
        with suppress(OSError):
            self.wfile.write(b"done\n")


class _Server(socketserver.TCPServer):
    request_queue_size = 100

    def __init__(self, directory: str) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.directory = directory

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the client was killed."""


@contextmanager
def running_ledger(directory: str) -> Iterator[Ledger]:
    """Serve a ledger in an empty directory for the length of a block."""
    with _Server(directory) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Ledger(f"127.0.0.1 {server.server_address[1]}", directory)
        finally:
            server.shutdown()
            thread.join()
