"""Each connection is closed explicitly, whatever a server answers: none is left to the garbage collector."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from servers import Fault, FaultyProxy, faulty_proxy
from tweed_shim.errors import RegistryError
from tweed_shim.http import connection, connection_group
from tweed_shim.http.retries import RetryPolicy
from tweed_shim.image.reference import parse
from tweed_shim.image.registry import open_repository

SHORT = RetryPolicy(attempts=2, first_pause=0.001, longest_pause=0.002, read_timeout=0.2)
BLOB = f"sha256:{'0' * 64}"
LONG = b"x" * 100_000


def redirect(target: str, **headers: str) -> Fault:
    return Fault(307, {"Location": target, **headers}, LONG)


FAULTS = {
    "no fault": Fault(),
    r"limits the rate of requests \(HTTP 429\); try again later or log in": Fault(429),
    "a fault": Fault(503, body=LONG),
    "cut": Fault(cut=10),
    "silent": Fault(stall=10),
    "silent at once": Fault(stall=0),
    "refused": Fault(403, body=LONG),
    "refused without a challenge": Fault(401, body=b"x"),
    "a challenge": Fault(401, {"WWW-Authenticate": 'Bearer realm="http://HOST/token"'}),
    "not there": Fault(404, body=LONG),
    "strange": Fault(418, body=LONG),
    "too long": Fault(200, {"Content-Length": "99999999"}, b" " * (5 << 20)),
    "another digest": Fault(200, body=b"x"),
    "a redirect to nowhere": redirect("http://["),
    "a redirect that is no text": redirect("\xff"),
    "a redirect that leads back": redirect("/v2/app/manifests/1"),
    "a redirect whose body is short": redirect("/v2/other", **{"Content-Length": "999999"}),
    "a redirect whose chunks are none": redirect("/v2/other", **{"Transfer-Encoding": "chunked"}),
    "a redirect that is silent": Fault(headers={"Location": "/v2/other"}, stall=10),
    "chunks that are none": Fault(200, {"Transfer-Encoding": "chunked"}, LONG),
    "a length that is none": Fault(200, {"Content-Length": "x"}, LONG),
    "sent another range of the blob": Fault(206, {"Content-Range": "bytes 7-9/10"}, LONG),
    "a range that cannot be": Fault(416, body=LONG),
}


@pytest.fixture
def server() -> Iterator[FaultyProxy]:
    with faulty_proxy("") as upstream, faulty_proxy(upstream.host) as server:
        upstream.spoil("", Fault(200, body=LONG), times=100)
        server.spoil("GET /v2/$", Fault(200))
        server.spoil("/token", Fault(200, body=b'{"token": "t"}'), times=100)
        yield server


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """The sockets that are connected meanwhile. References to all that has one keep it from the garbage collector."""
    sockets: list[socket.socket] = []
    responses: list[requests.Response] = []
    add, send = connection_group.ConnectionGroup.add, connection.Adapter.send

    def add_and_hold(connections: connection_group.ConnectionGroup, each: socket.socket) -> None:
        sockets.append(each)
        add(connections, each)

    def send_and_hold(*args: Any, **options: Any) -> requests.Response:
        responses.append(send(*args, **options))
        return responses[-1]

    monkeypatch.setattr(connection_group.ConnectionGroup, "add", add_and_hold)
    monkeypatch.setattr(connection.Adapter, "send", send_and_hold)
    yield sockets
    for response in responses:
        response.close()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_leaves_no_connection_open(
    server: FaultyProxy, tmp_path: os.PathLike[str], sockets: list[socket.socket], name: str
) -> None:
    fault = FAULTS[name]
    headers = {key: value and value.replace("HOST", server.host) for key, value in fault.headers.items()}
    server.spoil("/v2/app", fault._replace(headers=headers), times=100)
    environ = {"HOME": os.fspath(tmp_path), "XDG_RUNTIME_DIR": os.fspath(tmp_path)}
    with open_repository(parse(f"{server.host}/app"), environ=environ, retry_policy=SHORT) as repository:
        with suppress(RegistryError):
            repository.manifest("1")
        with suppress(RegistryError):
            repository.resolve("1")
        with suppress(RegistryError), repository.open_blob(BLOB, 3) as blob:
            b"".join(blob.chunks)
    assert sockets
    assert [each for each in sockets if each.fileno() >= 0] == []
