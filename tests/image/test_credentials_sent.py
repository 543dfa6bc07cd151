"""Which servers get to see a registry's credentials: every way that a registry can send its client elsewhere.

Each server records the headers that it gets. All of them are this machine: another port is another party, and so is
`localhost` beside 127.0.0.1; FOREIGN is this machine by a name that nobody takes for it, so it needs TLS.
"""

import base64
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from servers import Fault, FaultyProxy, faulty_proxy
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.errors import RegistryError
from tweed_shim.image.connection import Patience
from tweed_shim.image.credentials import Credentials, keep
from tweed_shim.image.login import login
from tweed_shim.image.registry_client import open_client
from tweed_shim.image.upload import Writable, open_writable

FOREIGN = "[::ffff:7f00:1]"
PASSWORD = "hunter2"
BASIC = f"Basic {base64.b64encode(f'me:{PASSWORD}'.encode()).decode()}"
SHORT = Patience(attempts=2, first_pause=0.001, longest_pause=0.002)
BLOB = f"sha256:{'0' * 64}"
BEARER = "Bearer t"


class Content(NamedTuple):
    """A blob to push."""

    data: bytes = b"content"

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        yield self.data


class Parties(NamedTuple):
    """The registry that the credentials are for, which asks for them and then answers as it is told, and another."""

    registry: FaultyProxy
    other: FaultyProxy
    environ: dict[str, str]

    def open(self, host: str = "", **options: Any) -> Writable:
        """The repository `app` of the registry; host: by which it is called."""
        name = f"{host}:{self.registry.server_address[1]}" if host else self.registry.host
        keep(name, Credentials("me", PASSWORD), self.environ)
        return open_writable(
            name, "app", environ=self.environ, patience=SHORT, **{"writing": True, **options}
        )

    def sent(self, server: FaultyProxy, pattern: str = "") -> list[str | None]:
        """The credentials in the requests that a server got, in their order."""
        return [each.headers.get("Authorization") for each in server.requests(pattern)]


CHALLENGE = Fault(401, {"WWW-Authenticate": 'Basic realm="x"'})


@pytest.fixture
def parties(tmp_path: os.PathLike[str]) -> Iterator[Parties]:
    environ = {"REGISTRY_AUTH_FILE": os.path.join(tmp_path, "auth.json"), "HOME": os.fspath(tmp_path)}
    with faulty_proxy("") as registry, faulty_proxy("") as other:
        registry.spoil("GET /v2/$", Fault(200), times=2)
        yield Parties(registry, other, environ)


def redirect(target: str) -> Fault:
    return Fault(307, {"Location": target})


def read_blob(repository: Writable) -> bytes:
    with repository.open_blob(BLOB) as blob:
        return b"".join(blob.chunks)


def test_its_own_registry_gets_them(parties: Parties) -> None:
    parties.registry.spoil("blobs", CHALLENGE)
    parties.registry.spoil("blobs", Fault(200, body=b"x"))
    with parties.open() as repository:
        assert read_blob(repository) == b"x"
    assert parties.sent(parties.registry, "blobs") == [None, BASIC]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", FOREIGN])
def test_a_redirect_to_another_origin_gets_none(parties: Parties, host: str) -> None:
    parties.registry.spoil("blobs", CHALLENGE)
    parties.registry.spoil("blobs", redirect(f"http://{host}:{parties.other.server_address[1]}/cdn"))
    parties.other.spoil("cdn", Fault(200, body=b"x"))
    with parties.open() as repository:
        assert read_blob(repository) == b"x"
    assert parties.sent(parties.other) == [None]


def test_a_redirect_to_another_name_of_its_own_host_gets_none(parties: Parties) -> None:
    parties.registry.spoil("blobs", CHALLENGE)
    parties.registry.spoil("blobs", redirect(f"http://localhost:{parties.registry.server_address[1]}/cdn"))
    parties.registry.spoil("cdn", Fault(200, body=b"x"))
    with parties.open() as repository:
        assert read_blob(repository) == b"x"
    assert parties.sent(parties.registry, "cdn") == [None]


def test_a_redirect_that_comes_back_gets_none(parties: Parties) -> None:
    parties.registry.spoil("blobs", CHALLENGE)
    parties.registry.spoil("blobs", redirect(f"http://{parties.other.host}/away"))
    parties.other.spoil("away", redirect(f"http://{parties.registry.host}/back"))
    parties.registry.spoil("back", Fault(200, body=b"x"))
    with parties.open() as repository:
        assert read_blob(repository) == b"x"
    assert parties.sent(parties.other) == [None]
    assert parties.sent(parties.registry, "back") == [None]


def test_a_redirect_within_the_registry_is_a_request_of_the_registry(parties: Parties) -> None:
    # Google's Artifact Registry sends to a path of its own; docker, podman and containerd follow it so.
    parties.registry.spoil("blobs", CHALLENGE)
    parties.registry.spoil("blobs", redirect("/downloads/x"))
    parties.registry.spoil("downloads", Fault(200, body=b"x"))
    with parties.open() as repository:
        assert read_blob(repository) == b"x"
    assert parties.sent(parties.registry, "downloads") == [BASIC]


def test_a_challenge_behind_a_redirect_gets_no_answer(parties: Parties) -> None:
    parties.registry.spoil("blobs", redirect(f"http://{parties.other.host}/cdn"))
    parties.other.spoil("cdn", CHALLENGE, times=3)
    with parties.open() as repository, pytest.raises(RegistryError, match="which refuses to answer"):
        read_blob(repository)
    assert parties.sent(parties.other) == [None]


@pytest.mark.parametrize(
    "location",
    [
        "http://{other}/upload",
        "//{other}/upload",
        "http://localhost:{port}/upload",
        "https://{registry}/upload",
        "http://{registry}\\@{other}/upload",
        "http://me:hunter2@{registry}/upload",
        "http://{registry}/v2/%2e%2e/upload",
    ],
)
def test_an_upload_goes_to_the_registry_itself_only(parties: Parties, location: str) -> None:
    parties.registry.spoil("HEAD .*/blobs/", Fault(404))
    parties.registry.spoil("POST", CHALLENGE)
    address = location.format(
        other=parties.other.host, registry=parties.registry.host, port=parties.registry.server_address[1]
    )
    parties.registry.spoil("POST", Fault(202, {"Location": address}))
    with (
        parties.open() as repository,
        pytest.raises(RegistryError, match=r"not its own address|is malformed") as refusal,
    ):
        repository.push_blob(BLOB, Content())
    assert PASSWORD not in str(refusal.value)
    assert not parties.other.seen
    assert not parties.registry.requests("^PUT| /upload")


def test_an_upload_that_was_redirected_before_goes_nowhere(parties: Parties) -> None:
    parties.registry.spoil("HEAD .*/blobs/", Fault(404))
    parties.registry.spoil("POST", CHALLENGE)
    parties.registry.spoil("POST", redirect(f"http://{parties.other.host}/v2/app/blobs/uploads/"))
    # Relative, so that only the redirect says whose address it is.
    parties.other.spoil("POST", Fault(202, {"Location": "/upload/1"}))
    with parties.open() as repository, pytest.raises(RegistryError, match="not its own address"):
        repository.push_blob(BLOB, Content())
    assert parties.sent(parties.other) == [None]
    assert not parties.other.requests("PUT")


def test_an_upload_within_the_registry_has_them(parties: Parties) -> None:
    parties.registry.spoil("HEAD .*/blobs/", Fault(404))
    parties.registry.spoil("POST", CHALLENGE)
    parties.registry.spoil("POST", Fault(202, {"Location": "/upload/1?state=a%2Fb"}))
    parties.registry.spoil("PUT", Fault(201))
    with parties.open() as repository:
        repository.push_blob(BLOB, Content())
    (put,) = parties.registry.requests("PUT")
    assert put.path == f"/upload/1?state=a%2Fb&digest={BLOB.replace(':', '%3A')}"
    assert put.headers["Authorization"] == BASIC


@pytest.mark.parametrize(
    "link", ["http://{other}/v2/app/tags/list?last=a", "http://[::?last=a", "//{other}?last=a"]
)
def test_the_next_page_of_tags_is_the_registrys_own(parties: Parties, link: str) -> None:
    next_page = f'<{link.format(other=parties.other.host)}>; rel="next"'
    parties.registry.spoil("tags", CHALLENGE)
    parties.registry.spoil("tags", Fault(200, {"Link": next_page}, b'{"tags": ["a"]}'))
    parties.registry.spoil("tags", Fault(200, body=b'{"tags": ["b"]}'))
    with parties.open() as repository:
        assert repository.tags() == ["a", "b"]
    assert parties.registry.requests("tags")[-1].path == "/v2/app/tags/list?last=a"
    assert not parties.other.seen


def bearer(realm: str) -> Fault:
    return Fault(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})


def test_a_token_service_that_the_registry_names_gets_them_and_the_registry_the_token(
    parties: Parties,
) -> None:
    parties.registry.spoil("blobs", bearer(f"http://{parties.other.host}/token"))
    parties.other.spoil("token", Fault(200, body=b'{"token": "t"}'))
    parties.registry.spoil("blobs", Fault(200, body=b"x"))
    with parties.open() as repository:
        assert read_blob(repository) == b"x"
    assert parties.sent(parties.other) == [BASIC]
    assert parties.sent(parties.registry, "blobs") == [None, BEARER]


@pytest.mark.parametrize("identity", [False, True])
def test_a_token_service_passes_them_on_to_nobody(parties: Parties, identity: bool) -> None:
    with faulty_proxy("") as third:
        parties.registry.spoil("blobs", bearer(f"http://{parties.other.host}/token"))
        parties.other.spoil("token", redirect(f"http://{third.host}/token"))
        third.spoil("token", Fault(200, body=b'{"token": "t"}'))
        repository = parties.open()
        if identity:
            repository.close()
            keep(parties.registry.host, Credentials("me", identity_token=PASSWORD), parties.environ)
            repository = open_writable(
                parties.registry.host, "app", writing=False, environ=parties.environ, patience=SHORT
            )
        with repository, suppress(RegistryError):
            read_blob(repository)
        assert parties.other.seen
        assert parties.sent(third) == ([] if identity else [None])


@pytest.mark.parametrize(
    "realm",
    [
        f"http://{FOREIGN}:PORT/token",
        "http://127.0.0.1:PORT\\@auth.example/token",
        "http://me:hunter2@127.0.0.1:PORT/token",
        "http://127.0.0.1:PORT/a/../token",
        "http://127.1:PORT/token",
        "ftp://127.0.0.1:PORT/token",
        "https://[",
    ],
)
def test_a_token_service_that_is_not_to_be_told_gets_nothing(parties: Parties, realm: str) -> None:
    parties.registry.spoil("blobs", bearer(realm.replace("PORT", str(parties.other.server_address[1]))))
    with (
        parties.open() as repository,
        pytest.raises(RegistryError, match="address to get a token from") as refusal,
    ):
        read_blob(repository)
    assert PASSWORD not in str(refusal.value)
    assert not parties.other.seen


@pytest.mark.parametrize("challenge", ["basic", "bearer"])
def test_plain_http_to_another_machine_carries_none_without_insecure(
    parties: Parties, challenge: str
) -> None:
    refusal = CHALLENGE if challenge == "basic" else bearer(f"http://{parties.other.host}/token")
    parties.registry.spoil("blobs", refusal)
    with (
        parties.open(FOREIGN, plain=True) as repository,
        pytest.raises(RegistryError, match=r"over plain HTTP, .*: use its https address, or insecure=True"),
    ):
        read_blob(repository)
    assert parties.sent(parties.registry) == [None]
    assert not parties.other.seen


def test_plain_http_to_another_machine_carries_them_with_insecure(parties: Parties) -> None:
    parties.registry.spoil("blobs", CHALLENGE)
    parties.registry.spoil("blobs", Fault(200, body=b"x"))
    with parties.open(FOREIGN, plain=True, connect=ConnectOptions(insecure=True)) as repository:
        assert read_blob(repository) == b"x"
    assert parties.sent(parties.registry, "blobs") == [None, BASIC]


def test_a_login_over_plain_http_takes_insecure(parties: Parties) -> None:
    host = f"{FOREIGN}:{parties.registry.server_address[1]}"
    with pytest.raises(RegistryError, match="speaks no TLS"):
        login(f"http://{host}", "me", PASSWORD, environ=parties.environ, patience=SHORT)
    assert not any(parties.sent(parties.registry))


def test_a_client_asks_nobody_but_its_registry(parties: Parties) -> None:
    with open_client(parties.registry.host, lambda _origin: None, patience=SHORT) as client:
        for address in (f"http://{parties.other.host}/v2/", f"{client.url('')}../x", "http://[", "x y"):
            with pytest.raises(RegistryError):
                client.do_request(address)
    assert not parties.other.seen


def test_credentials_are_looked_up_for_the_scheme_and_port_that_are_spoken(parties: Parties) -> None:
    asked = []

    def find(origin: Any) -> None:
        asked.append(str(origin))

    open_client(parties.registry.host, find, patience=SHORT).close()
    open_client("docker.io", find, patience=SHORT).close()
    open_client("Reg.Example:443", find, patience=SHORT).close()
    assert asked == [f"http://{parties.registry.host}", "https://registry-1.docker.io", "https://reg.example"]
