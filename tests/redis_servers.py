"""Real Redis servers on loopback, and a client that speaks just enough RESP2 to see what they hold."""

import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import pytest

# What JSON, the shell, RESP and a command line each have a special meaning for.
PASSWORD = "blank \"double\" 'single' $dollar `tick` \\back\\n\r\nline é 🔑 *1 %s\n"
READY = b"Ready to accept connections"

Reply = str | int | None | list["Reply"]


class RedisError(Exception):
    """Redis answered with an error."""


class RedisClient:
    """One connection."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=10)
        self._replies: BinaryIO = self._socket.makefile("rb")

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def call(self, *words: str) -> Reply:
        """Send one command; returns its reply or raises RedisError."""
        encoded = [word.encode() for word in words]
        lines = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        self._socket.sendall(b"".join(lines))
        return self._read()

    def _read(self) -> Reply:
        line = self._replies.readline()
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._replies.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self._read() for _ in range(int(rest))]
        raise RedisError(rest)


class RedisServer(NamedTuple):
    """Where a server listens and the password of its default user, who may do everything."""

    host: str
    port: int
    password: str

    @contextmanager
    def client(self, username: str = "default", password: str | None = None) -> Iterator[RedisClient]:
        """A connection that has logged in; raises RedisError where the server refuses that."""
        client = RedisClient(self.host, self.port)
        try:
            client.call("AUTH", username, self.password if password is None else password)
            yield client
        finally:
            client.close()

    def users(self) -> list[Reply]:
        """The names of the server's users."""
        with self.client() as client:
            names = client.call("ACL", "USERS")
            assert isinstance(names, list)
            return names


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.close()
    process.wait()


def _start(settings: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server that listens; somebody else may take a port between its choice and its use."""
    for _ in range(10):
        port = _free_port()
        process = subprocess.Popen(["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n".join([*settings, f"port {port}", ""]).encode())
        process.stdin.close()
        if any(READY in line for line in process.stdout):
            return process, port
        _wait(process)
    raise RuntimeError("redis-server does not start")


@contextmanager
def running_redis(directory: str, *, acl_file: str | None = None) -> Iterator[RedisServer]:
    """A server for the time of the block; with `acl_file` it keeps its users there."""
    if acl_file is None:
        quoted = "".join(f"\\x{byte:02x}" for byte in PASSWORD.encode())
        users = f'requirepass "{quoted}"'
    else:
        with open(acl_file, "w", encoding="utf-8") as file:
            file.write(f"user default on #{hashlib.sha256(PASSWORD.encode()).hexdigest()} ~* &* +@all\n")
        users = f"aclfile {acl_file}"
    process, port = _start(["bind 127.0.0.1", 'save ""', f"dir {directory}", users])
    try:
        yield RedisServer("127.0.0.1", port, PASSWORD)
    finally:
        process.terminate()
        _wait(process)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server with a password that is hard to quote."""
    with running_redis(os.fspath(tmp_path_factory.mktemp("redis"))) as server:
        yield server
