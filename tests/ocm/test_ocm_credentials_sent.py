"""Which servers get to see configured credentials: every way in which a descriptor, which a stranger wrote, or a server
names an address.

All servers are this machine: another port is another party, and so is `localhost` beside 127.0.0.1; FOREIGN is this
machine by a name that nobody takes for it.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from components import Elsewhere, component, make_archive
from servers import Fault, FaultyProxy, faulty_proxy
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.errors import ComponentError, RegistryError, ShimError
from tweed_shim.image.connection import Patience
from tweed_shim.image.credentials import Credentials as Login
from tweed_shim.image.credentials import keep
from tweed_shim.ocm import configuration, resources, web
from tweed_shim.ocm.credentials import Credentials
from tweed_shim.ocm.registries import Connection
from tweed_shim.ocm.session import Session

DATA = b"some content"
FOREIGN = "[::ffff:7f00:1]"
BASIC = f"Basic {base64.b64encode(b'me:hunter2').decode()}"
COMMIT = "0" * 40
PROPERTIES = {"username": "me", "password": "hunter2"}


class Parties(NamedTuple):
    """Two servers. directory: for archives and files of credentials."""

    server: FaultyProxy
    other: FaultyProxy
    directory: Path

    @property
    def port(self) -> int:
        """The port of the server, of which a test may use other names."""
        port: int = self.server.server_address[1]
        return port

    def get(self, access: Mapping[str, Any], *consumers: Mapping[str, str], insecure: bool = False) -> bytes:
        """Get at a resource with credentials configured for some consumers, and none anywhere else."""
        entries = [
            {"identity": dict(each), "credentials": [configuration.direct(PROPERTIES)]} for each in consumers
        ]
        fields = {"type": configuration.CREDENTIALS, "consumers": entries}
        return self.get_with([fields], access, insecure=insecure)

    def get_with(
        self, entries: list[dict[str, Any]], access: Mapping[str, Any], *, insecure: bool = False
    ) -> bytes:
        """The same with any entries of a configuration."""
        text = json.dumps({"type": "generic.config.ocm.software/v1", "configurations": entries})
        environ = {"HOME": os.fspath(self.directory), "REGISTRY_AUTH_FILE": f"{self.directory}/auth.json"}
        known = Credentials(configuration.decode(text.encode()), environ)
        connection = Connection(
            find=known.for_consumer, environ=environ, connect=ConnectOptions(insecure=insecure)
        )
        archive = self.directory / hashlib.sha256(repr(access).encode()).hexdigest()[:12]
        if not archive.exists():
            make_archive(archive, component("example.com/app", "1.0.0", [Elsewhere("it", access, DATA)]))
        with Session(connection=connection) as session:
            version = session.component_version(f"{archive}//example.com/app:1.0.0")
            with resources.opened(version, version.descriptor.resources[0], connection) as blob:
                return b"".join(blob.pieces())


def sent(server: FaultyProxy, pattern: str = "") -> list[str | None]:
    """The credentials in the requests that a server got, in their order."""
    return [each.headers.get("Authorization") for each in server.requests(pattern)]


@pytest.fixture
def parties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parties]:
    monkeypatch.setattr(web, "PATIENCE", Patience(attempts=2, first_pause=0.001, longest_pause=0.002))
    with faulty_proxy("") as server, faulty_proxy("") as other:
        yield Parties(server, other, tmp_path)


GOOD = Fault(200, body=DATA)


def redirect(target: str) -> Fault:
    return Fault(302, {"Location": target})


def consumer(kind: str, server: FaultyProxy, **more: str) -> dict[str, str]:
    """The identity of a server, and of it alone."""
    host, _, port = server.host.partition(":")
    return {"type": kind, "hostname": host, "port": port, "scheme": "http", **more}


# ---- wget


def wget(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "wget", "url": url, **more}


def test_a_web_server_gets_what_is_configured_for_it(parties: Parties) -> None:
    parties.server.spoil("data", GOOD)
    assert parties.get(wget(f"http://{parties.server.host}/data"), consumer("wget", parties.server)) == DATA
    assert sent(parties.server) == [BASIC]


@pytest.mark.parametrize("host", ["localhost", FOREIGN])
def test_what_is_configured_for_one_name_or_port_is_not_for_another(parties: Parties, host: str) -> None:
    parties.server.spoil("data", GOOD)
    parties.other.spoil("data", GOOD)
    configured = consumer("wget", parties.server)
    assert parties.get(wget(f"http://{host}:{parties.port}/data"), configured) == DATA
    assert parties.get(wget(f"http://{parties.other.host}/data"), configured) == DATA
    assert sent(parties.server) == sent(parties.other) == [None]


def test_hosts_are_matched_as_they_are_connected(parties: Parties) -> None:
    parties.server.spoil("data", GOOD)
    configured = {**consumer("wget", parties.server), "hostname": "LocalHost."}
    assert parties.get(wget(f"http://LOCALHOST.:{parties.port}/data"), configured) == DATA
    assert sent(parties.server) == [BASIC]


def test_a_redirect_to_another_server_gets_neither_credentials_nor_headers(parties: Parties) -> None:
    parties.server.spoil("data", redirect(f"http://{parties.other.host}/away"))
    parties.other.spoil("away", redirect(f"http://{parties.server.host}/back"))
    parties.server.spoil("back", GOOD)
    both = (consumer("wget", parties.server), consumer("wget", parties.other))
    headers = {"X-Token": "hunter2", "Accept": "text/plain"}
    assert parties.get(wget(f"http://{parties.server.host}/data", header=headers), *both) == DATA
    assert sent(parties.server) == [BASIC, None]
    assert sent(parties.other) == [None]
    assert [each.headers.get("X-Token") for each in (*parties.server.seen, *parties.other.seen)] == [
        "hunter2",
        None,
        None,
    ]
    assert {each.headers["Accept"] for each in (*parties.server.seen, *parties.other.seen)} == {"text/plain"}


def test_a_redirect_within_a_server_is_looked_up_by_its_own_path(parties: Parties) -> None:
    for target, expected in (("/mine/b", BASIC), ("/theirs/b", None)):
        parties.server.seen.clear()
        parties.server.spoil("/mine/a", redirect(target))
        parties.server.spoil(target, GOOD)
        configured = consumer("wget", parties.server, pathprefix="mine")
        assert parties.get(wget(f"http://{parties.server.host}/mine/a"), configured) == DATA
        assert sent(parties.server) == [BASIC, expected]


def test_plain_http_to_another_machine_carries_none_without_insecure(parties: Parties) -> None:
    parties.server.spoil("data", Fault(401))
    access = wget(f"http://{FOREIGN}:{parties.port}/data", header={"Authorization": "Bearer hunter2"})
    configured = {"type": "wget", "hostname": FOREIGN.strip("[]")}
    with pytest.raises(ComponentError, match="credentials are not sent over plain HTTP") as refusal:
        parties.get(access, configured)
    assert "hunter2" not in str(refusal.value)
    parties.server.spoil("data", GOOD)
    assert parties.get(access, configured, insecure=True) == DATA
    assert sent(parties.server) == [None, BASIC]


@pytest.mark.parametrize(
    "url",
    [
        "http://{other}\\@{server}/data",
        "http://{server}\\@{other}/data",
        "http://me:hunter2@{server}/data",
        "http://{server}@{other}/data",
        "http://{server}/mine/../data",
        "http://{server}/mine/%2e%2e/data",
        "http://{server}/mine/%252e%252e/data",
        "http://{server}/mine/..%2fdata",
        "http://{server}/da ta",
        "http://{server}/data\r\nX-Injected: 1",
        "http://{server}/\x00data",
        "http://{server}9999/data",
        "http://127.0.0.1:x/data",
        "http://127.0.0.1:/data",
        "http://[::1/data",
        "http://[::1]]/data",
        "http://127.1:{port}/data",
        "http:/{server}/data",
        "http:///data",
        "gopher://{server}/data",
        "http://bücher.example/data",
    ],
)
def test_an_address_of_two_meanings_is_refused_before_anything_is_looked_up(
    parties: Parties, url: str
) -> None:
    text = url.format(server=parties.server.host, other=parties.other.host, port=parties.port)
    identities = [consumer("wget", each) for each in (parties.server, parties.other)]
    with pytest.raises(
        ComponentError, match=r"the address in the access of .* cannot be used: it"
    ) as refusal:
        parties.get(wget(text), *identities)
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not parties.server.seen + parties.other.seen


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"A": 5}, "the value of A is no text"),
        ({"A": None}, "the value of A is no text"),
        ({"A": {"b": "hunter2"}}, "the value of A is no text"),
        ({"A": ["hunter2", 5]}, "the value of A is no text"),
        ("hunter2", "no map of headers"),
        (["A: hunter2"], "no map of headers"),
        ({"A": "hunter2\r\nX: y"}, "the value of A has a line break"),
        ({"A": ["b", "hunter2\n"]}, "the value of A has a line break"),
        ({"A": "hunter2\0"}, "the value of A has a line break"),
        ({"A": "hunter2 é"}, "not ASCII"),
        ({"A\r\nX": "hunter2"}, "no name of a header"),
        ({"A b": "hunter2"}, "no name of a header"),
        ({"": "hunter2"}, "no name of a header"),
        ({"A:": "hunter2"}, "no name of a header"),
        ({"Host": "other.example"}, "Host is set by the client"),
        ({"content-length": "0"}, "content-length is set by the client"),
        ({"Transfer-Encoding": "chunked"}, "Transfer-Encoding is set by the client"),
        ({"Proxy-Authorization": "hunter2"}, "Proxy-Authorization is set by the client"),
        ({"A": "1", "a": "2"}, "given twice"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(parties: Parties, header: Any, reason: str) -> None:
    with pytest.raises(ComponentError, match=reason) as refusal:
        parties.get(wget(f"http://{parties.server.host}/data", header=header))
    assert "hunter2" not in str(refusal.value)
    assert not parties.server.seen


# ---- Helm


INDEX = b'apiVersion: v1\nentries:\n  chart:\n  - version: 1.0.0\n    urls: ["URL"]\n'


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("chart.tgz", [BASIC]),
        ("http://HOST/stable/chart.tgz", [BASIC]),
        ("../chart.tgz", [None]),
        ("/chart.tgz", [None]),
    ],
)
def test_a_chart_has_what_is_configured_for_its_own_address(
    parties: Parties, url: str, expected: list[str | None]
) -> None:
    access = {
        "type": "helm",
        "helmRepository": f"http://{parties.server.host}/stable",
        "helmChart": "chart:1.0.0",
    }
    index = INDEX.replace(b"URL", url.replace("HOST", parties.server.host).encode())
    parties.server.spoil("index.yaml", Fault(200, body=index))
    parties.server.spoil("chart.tgz", GOOD)
    configured = consumer("HelmChartRepository", parties.server, pathprefix="stable")
    assert parties.get(access, configured) == DATA
    assert sent(parties.server) == [BASIC, *expected]


def test_a_chart_of_another_server_is_got_without_those_of_the_repository(parties: Parties) -> None:
    url = f"http://{parties.other.host}/stable/chart.tgz"
    parties.server.spoil("index.yaml", Fault(200, body=INDEX.replace(b"URL", url.encode())))
    parties.other.spoil("chart.tgz", GOOD)
    access = {
        "type": "helm",
        "helmRepository": f"http://{parties.server.host}/stable",
        "helmChart": "chart:1.0.0",
    }
    assert parties.get(access, consumer("HelmChartRepository", parties.server)) == DATA
    assert (sent(parties.server), sent(parties.other)) == ([BASIC], [None])


def test_a_chart_at_an_address_of_two_meanings_is_refused(parties: Parties) -> None:
    url = f"http://{parties.other.host}\\\\@{parties.server.host}/chart.tgz"
    parties.server.spoil("index.yaml", Fault(200, body=INDEX.replace(b"URL", url.encode())))
    access = {"type": "helm", "helmRepository": f"http://{parties.server.host}", "helmChart": "chart:1.0.0"}
    with pytest.raises(ComponentError, match="it has a backslash"):
        parties.get(access, consumer("HelmChartRepository", parties.server))
    assert not parties.other.seen


# ---- Git hosts


def github(server: str, **more: Any) -> dict[str, Any]:
    return {"type": "gitHub", "repoUrl": f"http://{server}/acme/app", "commit": COMMIT, **more}


def test_a_git_host_gets_what_is_configured_for_it(parties: Parties) -> None:
    parties.server.spoil("/api/v3/repos/acme/app/tarball/", redirect(f"http://{parties.other.host}/codeload"))
    parties.other.spoil("codeload", GOOD)
    access = github(parties.server.host)
    assert parties.get(access, consumer("Github", parties.server, pathprefix="acme/app")) == DATA
    assert (sent(parties.server), sent(parties.other)) == ([BASIC], [None])


def test_another_api_host_gets_what_is_configured_for_itself_only(parties: Parties) -> None:
    parties.other.spoil("/api/v3/repos/acme/app/tarball/", GOOD, times=2)
    access = github(parties.server.host, apiHostname=parties.other.host)
    assert parties.get(access, consumer("Github", parties.server)) == DATA
    assert parties.get(access, consumer("Github", parties.other)) == DATA
    assert sent(parties.other) == [None, BASIC]


def test_the_token_of_github_goes_to_no_other_host(parties: Parties) -> None:
    parties.other.spoil("/api/v3/repos/acme/app/tarball/", GOOD)
    access = github("github.com", apiHostname=parties.other.host)
    access["repoUrl"] = "http://github.com/acme/app"
    assert parties.get(access, {"type": "Github", "hostname": "github.com"}) == DATA
    assert sent(parties.other) == [None]


@pytest.mark.parametrize(
    "host", ["{other}/x", "{other}?x", "u@{other}", "{other}\\@github.com", 5, "{other}/.."]
)
def test_an_api_host_that_is_more_than_one_is_refused(parties: Parties, host: Any) -> None:
    given = host.format(other=parties.other.host) if isinstance(host, str) else host
    with pytest.raises(ComponentError, match=r"cannot be used|more than a host and a port"):
        parties.get(github(parties.server.host, apiHostname=given), {"type": "Github"})
    assert not parties.server.seen + parties.other.seen


# ---- registries


def challenged(server: FaultyProxy, times: int = 9) -> None:
    server.spoil("GET /v2/$", Fault(200), times=times)
    server.spoil("app", Fault(401, {"WWW-Authenticate": 'Basic realm="x"'}), times=times)


@pytest.mark.parametrize(
    "access",
    [
        {"type": "ociArtifact", "imageReference": "http://{host}/app:1"},
        {
            "type": "ociBlob",
            "ref": "http://{host}/app:1",
            "digest": f"sha256:{hashlib.sha256(DATA).hexdigest()}",
            "size": len(DATA),
        },
    ],
)
def test_a_descriptor_does_not_turn_tls_off(parties: Parties, access: dict[str, Any]) -> None:
    host = f"{FOREIGN}:{parties.port}"
    named = {
        key: value.format(host=host) if isinstance(value, str) else value for key, value in access.items()
    }
    keep(host, Login("me", "hunter2"), {"REGISTRY_AUTH_FILE": f"{parties.directory}/auth.json"})
    configured = {"type": "OCIRegistry", "hostname": FOREIGN.strip("[]")}
    for consumers in ((), (configured,)):
        challenged(parties.server)
        with pytest.raises(RegistryError, match=r"over plain HTTP, .* insecure=True"):
            parties.get(named, *consumers)
        assert not any(sent(parties.server))
        with pytest.raises(ShimError):
            parties.get(named, *consumers, insecure=True)
        assert BASIC in sent(parties.server)
        parties.server.seen.clear()


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ({"hostname": "127.0.0.1", "port": "PORT"}, True),
        ({"hostname": "127.0.0.1"}, True),
        ({"hostname": "127.0.0.1", "port": "PORT", "scheme": "http"}, True),
        ({"hostname": "127.0.0.1", "port": "PORT", "scheme": "https"}, False),
        ({"hostname": "127.0.0.1", "port": "5000"}, False),
        ({"hostname": "localhost", "port": "PORT"}, False),
    ],
)
def test_a_registry_gets_what_is_configured_for_its_scheme_host_and_port(
    parties: Parties, configured: dict[str, str], *, expected: bool
) -> None:
    challenged(parties.server)
    identity = {key: value.replace("PORT", str(parties.port)) for key, value in configured.items()}
    with pytest.raises(RegistryError):
        parties.get(
            {"type": "ociArtifact", "imageReference": f"{parties.server.host}/app:1"},
            {"type": "OCIRegistry", **identity},
        )
    assert (BASIC in sent(parties.server)) is expected


@pytest.mark.parametrize(("key", "expected"), [("127.0.0.1", False), ("127.0.0.1:PORT", True)])
def test_a_login_is_for_its_port(parties: Parties, key: str, *, expected: bool) -> None:
    challenged(parties.server)
    auth = {"auth": base64.b64encode(b"me:hunter2").decode()}
    logins = {"auths": {key.replace("PORT", str(parties.port)): auth}}
    store = {"repository": {"type": "DockerConfig", "dockerConfig": logins}}
    with pytest.raises(RegistryError):
        parties.get_with(
            [{"type": configuration.CREDENTIALS, "repositories": [store]}],
            {"type": "ociArtifact", "imageReference": f"{parties.server.host}/app:1"},
        )
    assert (BASIC in sent(parties.server)) is expected


@pytest.mark.parametrize(
    "reference", ["http://me:hunter2@{host}/app:1", "me:hunter2@{host}/app", "oci://me:a/hunter2@{host}/app"]
)
def test_an_image_reference_with_a_password_is_refused_without_it(parties: Parties, reference: str) -> None:
    access = {"type": "ociArtifact", "imageReference": reference.format(host=parties.server.host)}
    with pytest.raises(ComponentError, match="a user name or a password") as refusal:
        parties.get(access)
    assert "hunter2" not in str(refusal.value)
    assert not parties.server.seen
