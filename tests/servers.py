"""Real registries on loopback (docker-registry: plain, with a password, with TLS, with tokens), and a proxy that
spoils the answers of one.
"""

import os
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from io import BufferedIOBase
from threading import Event
from typing import Any, ClassVar, NamedTuple

import pytest
import yaml

from layouts import build_layout
from token_servers import (
    ISSUER,
    PASSWORD,
    SERVICE,
    USER,
    Authority,
    QuietHandler,
    Server,
    TokenServer,
    make_authority,
    serving,
)

LISTENING = re.compile(rb"listening on [^ ]*?:([0-9]+)[,\"\s]")


class RegistryServer(NamedTuple):
    """A registry under test. host: `host:port`. ca_file: who signed its certificate, empty without TLS."""

    host: str
    user: str = ""
    password: str = ""
    ca_file: str = ""

    def push(self, layout: str, tag: str, name: str, *, extra: Sequence[str] = ()) -> str:
        """Push the image `tag` of an OCI layout as `name` (`repository:tag`); returns its full reference."""
        command = ["skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false", *extra]
        if self.user:
            command.append(f"--dest-creds={self.user}:{self.password}")
        subprocess.run(
            [*command, f"oci:{layout}:{tag}", f"docker://{self.host}/{name}"],
            check=True,
            stdout=subprocess.PIPE,
        )
        return f"{self.host}/{name}"


@contextmanager
def running_registry(directory: str, **settings: Any) -> Iterator[str]:
    """A docker-registry for the time of the block; yields its port. `settings` are sections of its configuration."""
    config = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": os.path.join(directory, "registry")},
            "delete": {"enabled": True},
        },
        **settings,
        "http": {"addr": "127.0.0.1:0", **settings.get("http", {})},
    }
    path = os.path.join(directory, "config.yml")
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file)
    command = ["docker-registry", "serve", path]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process,
        ThreadPoolExecutor(1) as reader,
    ):
        assert process.stderr is not None
        try:
            # It listens on a port that was free and says which.
            match = next((match for line in process.stderr if (match := LISTENING.search(line))), None)
            if match is None:
                raise RuntimeError("docker-registry does not start")
            # Nobody may be held up by a pipe that is full.
            reader.submit(process.stderr.read)
            yield match[1].decode()
        finally:
            process.terminate()


class Fault(NamedTuple):
    """How an answer is spoiled.

    status: answered without asking the registry, with `headers` and `body`. Else the registry's answer is passed on
    with `headers` put over its own (None takes one out), its body passed through `change` (Content-Length tells
    the new length unless `headers` says otherwise), broken off after `cut` bytes or silent after `stall`.
    whole: the registry is not told of a Range. drip: seconds between one byte and the next, after the first `dry` bytes
    of the answer, header included, and without end.
    """

    status: int | None = None
    headers: Mapping[str, str | None] = {}
    body: bytes = b""
    change: Callable[[bytes], bytes] | None = None
    cut: int | None = None
    stall: int | None = None
    whole: bool = False
    drip: float | None = None
    dry: int = 0


def corrupt(at: int) -> Fault:
    """One bit of the body is wrong."""
    return Fault(change=lambda body: body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])


class Seen(NamedTuple):
    """A request that came to a proxy."""

    method: str
    path: str
    headers: dict[str, str]


class FaultyProxy(Server):
    """Stands before a registry and spoils its answers as told; `host` is where to ask it.

    `spoil` adds a fault for the requests whose method and path ("GET /v2/...") match a pattern, the next `times` of
    them. Faults are used in the order in which they were added. `seen` has the requests in their order, and `spoiled`
    counts the answers that were spoiled.
    """

    def __init__(self, upstream: str, authority: Authority | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.upstream = upstream
        self.seen: list[Seen] = []
        self.spoiled = 0
        self.stalling = Event()
        self.ended = Event()
        self._faults: list[tuple[re.Pattern[str], list[Fault]]] = []

    def spoil(self, pattern: str, fault: Fault, *, times: int = 1) -> None:
        """Spoil the next answers to what matches."""
        self._faults.append((re.compile(pattern), [fault] * times))

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Take the fault that is next for a request."""
        for pattern, faults in self._faults:
            if faults and pattern.search(f"{method} {path}"):
                self.spoiled += 1
                return faults.pop()
        return None

    def requests(self, pattern: str) -> list[Seen]:
        """The requests so far that match."""
        return [each for each in self.seen if re.search(pattern, f"{each.method} {each.path}")]


class _ProxyHandler(QuietHandler):
    server: FaultyProxy
    HOP: ClassVar = {"connection", "transfer-encoding", "content-length", "date", "server"}

    def do_GET(self) -> None:  # noqa: N802 - the base class calls it so
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers)))
        fault = self.server.fault_for(self.command, self.path) or Fault()
        if fault.drip is not None:
            self.wfile = _Dripping(self.wfile, fault.drip, fault.dry, self.server.ended)  # type: ignore[assignment]  # what handlers use of it
            self.close_connection = True
        if fault.status is not None:
            headers = {name: value for name, value in fault.headers.items() if value is not None}
            return self.answer(fault.status, fault.body, headers)
        status, headers, body = self._upstream(fault)
        body = fault.change(body) if fault.change else body
        if self.command != "HEAD":
            headers["Content-Length"] = str(len(body))
        for name, value in fault.headers.items():
            headers.pop(name, None)
            if value is not None:
                headers[name] = value
        return self._send(status, headers, body, fault)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the base class calls them so

    def _upstream(self, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        asked = {name: value for name, value in self.headers.items() if not (fault.whole and name == "Range")}
        connection = HTTPConnection(self.server.upstream)
        try:
            connection.request(self.command, self.path, headers=asked)
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in self.HOP}
            if self.command == "HEAD" and (length := response.getheader("Content-Length")):
                headers["Content-Length"] = length
            return response.status, headers, _read(response)
        finally:
            connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        broken = fault.cut if fault.cut is not None else fault.stall
        self.wfile.write(body[:broken])
        if fault.stall is not None:
            self.server.stalling.set()
            self.server.ended.wait()
        if broken is not None:
            self.close_connection = True


class _Dripping:
    """A handler's file to write to; see Fault.drip."""

    def __init__(self, file: BufferedIOBase, seconds: float, dry: int, ended: Event) -> None:
        self._file = file
        self._seconds = seconds
        self._dry = dry
        self._ended = ended

    def write(self, data: bytes) -> None:
        self._file.write(data[: self._dry])
        rest = data[self._dry :]
        self._dry = max(0, self._dry - len(data))
        for at in range(len(rest)):
            if self._ended.wait(self._seconds):
                raise ConnectionAbortedError
            self._file.write(rest[at : at + 1])

    def flush(self) -> None:
        self._file.flush()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read()
    except IncompleteRead as short:
        # docker-registry refuses a range with the Content-Length of the whole blob.
        return short.partial


@contextmanager
def faulty_proxy(upstream: str, authority: Authority | None = None) -> Iterator[FaultyProxy]:
    """A FaultyProxy before `host:port` for the time of the block, which speaks TLS where an authority is given."""
    proxy = FaultyProxy(upstream, authority)
    with serving(proxy):
        try:
            yield proxy
        finally:
            proxy.ended.set()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry over plain HTTP that asks nobody who they are."""
    with running_registry(os.fspath(tmp_path_factory.mktemp("registry"))) as port:
        yield RegistryServer(f"127.0.0.1:{port}")


@pytest.fixture(scope="session")
def registry_with_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry over plain HTTP that wants a name and a password (Basic)."""
    directory = os.fspath(tmp_path_factory.mktemp("registry-with-password"))
    passwords = os.path.join(directory, "htpasswd")
    subprocess.run(
        ["htpasswd", "-iBc", passwords, USER], input=PASSWORD.encode(), check=True, stderr=subprocess.DEVNULL
    )
    with running_registry(directory, auth={"htpasswd": {"realm": "a registry", "path": passwords}}) as port:
        yield RegistryServer(f"127.0.0.1:{port}", USER, PASSWORD)


@pytest.fixture(scope="session")
def registry_with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry over TLS whose certificate a private authority signed."""
    directory = os.fspath(tmp_path_factory.mktemp("registry-with-tls"))
    authority = make_authority(directory)
    tls = {"certificate": authority.certificate, "key": authority.key}
    with running_registry(directory, http={"tls": tls}) as port:
        yield RegistryServer(f"localhost:{port}", ca_file=authority.ca_file)


class RegistryWithToken(NamedTuple):
    """A registry that wants tokens, and the server that gives them."""

    registry: RegistryServer
    tokens: TokenServer


@pytest.fixture(scope="session")
def registry_with_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryWithToken]:
    """A registry over plain HTTP that wants a token (Bearer)."""
    directory = os.fspath(tmp_path_factory.mktemp("registry-with-token"))
    with ExitStack() as stack:
        tokens = TokenServer(directory)
        stack.enter_context(serving(tokens))
        auth = {
            "realm": f"http://{tokens.host}/token",
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": tokens.certificate,
        }
        port = stack.enter_context(running_registry(directory, auth={"token": auth}))
        yield RegistryWithToken(RegistryServer(f"127.0.0.1:{port}", USER, PASSWORD), tokens)


class StrictRegistry(NamedTuple):
    """A registry that takes clients whose certificate `clients` signed only; digest: of the image `app:1` in it."""

    host: str
    ca_file: str
    clients: Authority
    digest: str


@pytest.fixture(scope="session")
def strict_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictRegistry]:
    directory, other = (os.fspath(tmp_path_factory.mktemp(name)) for name in ("strict", "clients"))
    server, clients = make_authority(directory), make_authority(other)
    layout = os.fspath(tmp_path_factory.mktemp("layout"))
    digest = build_layout(layout, tag="image")
    # The same storage, first for who pushes.
    with running_registry(directory) as port:
        RegistryServer(f"127.0.0.1:{port}").push(layout, "image", "app:1", extra=["--preserve-digests"])
    certificates = {"certificate": server.certificate, "key": server.key, "clientcas": [clients.ca_file]}
    with running_registry(directory, http={"tls": certificates}) as port:
        yield StrictRegistry(f"localhost:{port}", server.ca_file, clients, digest)
