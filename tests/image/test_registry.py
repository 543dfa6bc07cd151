import gzip
import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any, NamedTuple

import pytest

from layouts import DOCKER_MANIFEST, INDEX, MANIFEST, Layer, LayoutWriter
from servers import Fault, FaultyProxy, RegistryServer, RegistryWithToken, corrupt, faulty_proxy
from token_servers import IDENTITY_TOKEN, PASSWORD, USER, make_authority
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.errors import ConfigError, RegistryError
from tweed_shim.image.challenge import parse_challenges
from tweed_shim.image.connection import Patience
from tweed_shim.image.credentials import Credentials, keep
from tweed_shim.image.download import download_blob
from tweed_shim.image.network_faults import PassingFault
from tweed_shim.image.reference import parse
from tweed_shim.image.registry import Repository, open_repository

SHORT = Patience(attempts=3, first_pause=0.001, longest_pause=0.002)
# Reaches 127.0.0.1 by a name that nobody takes for this machine's own.
FOREIGN = "[::ffff:7f00:1]"
MANIFESTS = "GET /v2/.*/manifests/"


class Pushed(NamedTuple):
    """An image in a registry. layer: the digest of its layer, whose bytes are `content`."""

    reference: str
    digest: str
    layer: str
    content: bytes


class Made(NamedTuple):
    """An image in a layout."""

    layout: str
    digest: str
    index_digest: str
    layer: str
    content: bytes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An image of one layer that does not compress, tagged `image`, and an index with it, tagged `index`."""
    layout = os.fspath(tmp_path_factory.mktemp("layout"))
    writer = LayoutWriter(layout)
    descriptor = writer.image(
        [Layer({"data": random.Random(1).randbytes(100_000)})], {"Entrypoint": ["/data"]}
    )
    index = writer.image_index([({"os": "linux", "architecture": "amd64"}, descriptor)])
    writer.tag("image", descriptor)
    writer.tag("index", index)
    with open(writer.blob_path(descriptor["digest"]), "rb") as file:
        layer = json.load(file)["layers"][0]["digest"]
    with open(writer.blob_path(layer), "rb") as file:
        content = file.read()
    return Made(layout, descriptor["digest"], index["digest"], layer, content)


def push(registry: RegistryServer, made: Made, name: str = "ns/app:1") -> Pushed:
    reference = registry.push(made.layout, "image", name, extra=["--preserve-digests"])
    return Pushed(reference, made.digest, made.layer, made.content)


@pytest.fixture(scope="module")
def pushed(registry: RegistryServer, made: Made) -> Pushed:
    return push(registry, made)


@pytest.fixture
def proxy(registry: RegistryServer, pushed: Pushed) -> Iterator[FaultyProxy]:
    """A proxy before the plain registry, which holds `ns/app:1`."""
    with faulty_proxy(registry.host) as proxy:
        yield proxy


@pytest.fixture
def environ(tmp_path: os.PathLike[str]) -> dict[str, str]:
    return {"REGISTRY_AUTH_FILE": os.path.join(tmp_path, "auth.json"), "HOME": os.fspath(tmp_path)}


@pytest.fixture
def opened(environ: dict[str, str]) -> Iterator[Callable[..., Repository]]:
    """Opens repositories and closes them after the test."""
    repositories = []

    def open_one(reference: str, **options: Any) -> Repository:
        connect = ConnectOptions(
            **{name: options.pop(name) for name in ConnectOptions.FIELDS if name in options}
        )
        settings = {"connect": connect, "environ": environ, "patience": SHORT, **options}
        repository = open_repository(parse(reference), **settings)
        repositories.append(repository)
        return repository

    yield open_one
    for each in repositories:
        each.close()


Opened = Callable[..., Repository]


def test_a_manifest_is_got_by_its_tag_and_by_its_digest(opened: Opened, pushed: Pushed) -> None:
    repository = opened(pushed.reference)
    by_tag = repository.manifest("1")
    assert by_tag.digest == pushed.digest
    assert by_tag.media_type == MANIFEST
    assert json.loads(by_tag.body)["layers"][0]["digest"] == pushed.layer
    assert repository.manifest(pushed.digest) == by_tag


def test_a_tag_is_resolved_without_getting_the_manifest(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed
) -> None:
    assert opened(f"{proxy.host}/ns/app").resolve("1") == pushed.digest
    assert not proxy.requests(MANIFESTS)


def test_a_registry_that_tells_no_digest_is_asked_for_the_manifest(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed
) -> None:
    proxy.spoil("manifests", Fault(headers={"Docker-Content-Digest": None}), times=2)
    assert opened(f"{proxy.host}/ns/app").resolve("1") == pushed.digest


def test_an_index_and_a_docker_manifest_have_their_own_types(
    opened: Opened, registry: RegistryServer, made: Made
) -> None:
    registry.push(made.layout, "index", "types:index")
    registry.push(made.layout, "image", "types:docker", extra=["--format=v2s2"])
    repository = opened(f"{registry.host}/types")
    assert repository.manifest("index").media_type == INDEX
    assert repository.manifest("index").digest == made.index_digest
    assert repository.manifest("docker").media_type == DOCKER_MANIFEST


def test_parameters_of_a_content_type_are_left_out(opened: Opened, proxy: FaultyProxy) -> None:
    proxy.spoil(MANIFESTS, Fault(headers={"Content-Type": f"{MANIFEST.upper()}; charset=utf-8"}))
    assert opened(f"{proxy.host}/ns/app").manifest("1").media_type == MANIFEST


def test_a_blob_comes_as_it_is_stored_even_if_it_is_called_compressed(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed
) -> None:
    proxy.spoil("blobs", Fault(headers={"Content-Encoding": "gzip"}))
    with opened(f"{proxy.host}/ns/app").open_blob(pushed.layer) as blob:
        content = b"".join(blob.chunks)
    assert content == pushed.content
    assert gzip.decompress(content)
    assert proxy.requests("blobs")[0].headers["Accept-Encoding"] == "identity"


def test_a_blob_is_read_from_an_offset(opened: Opened, pushed: Pushed) -> None:
    with opened(pushed.reference).open_blob(pushed.layer, 1000) as blob:
        assert blob.offset == 1000
        assert b"".join(blob.chunks) == pushed.content[1000:]


def test_a_registry_that_gives_no_parts_gives_all(opened: Opened, proxy: FaultyProxy, pushed: Pushed) -> None:
    proxy.spoil("blobs", Fault(whole=True))
    with opened(f"{proxy.host}/ns/app").open_blob(pushed.layer, 1000) as blob:
        assert blob.offset == 0
        assert b"".join(blob.chunks) == pushed.content


def test_a_range_that_cannot_be_had_gives_all(opened: Opened, pushed: Pushed) -> None:
    with opened(pushed.reference).open_blob(pushed.layer, len(pushed.content) + 1) as blob:
        assert blob.offset == 0
        assert b"".join(blob.chunks) == pushed.content


@pytest.mark.parametrize("told", ["bytes 0-99/100", "bytes 999-100999/101000", "nonsense", None])
def test_another_part_than_asked_for_is_refused(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed, told: str | None
) -> None:
    proxy.spoil("blobs", Fault(headers={"Content-Range": told}))
    with (
        pytest.raises(RegistryError, match="gave another part of the blob"),
        opened(f"{proxy.host}/ns/app").open_blob(pushed.layer, 1000),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        (
            "ns/app",
            "nope",
            "does not have 127.0.0.1:[0-9]+/ns/app:nope: check the tag, as the repository is there",
        ),
        (
            "ns/other",
            "1",
            "the registry 127.0.0.1:[0-9]+ does not have the repository ns/other: check its name",
        ),
        (
            "ns/app",
            f"sha256:{'0' * 64}",
            "does not have 127.0.0.1:[0-9]+/ns/app@sha256:0+: check the digest, as",
        ),
        ("ns/other", f"sha256:{'0' * 64}", "does not have the repository ns/other: check its name"),
    ],
)
def test_what_is_not_there_is_named(
    opened: Opened, registry: RegistryServer, pushed: Pushed, name: str, asked: str, said: str
) -> None:
    repository = opened(f"{registry.host}/{name}")
    with pytest.raises(RegistryError, match=said):
        repository.manifest(asked)
    with pytest.raises(RegistryError, match="does not have"):
        repository.resolve(asked)


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (Fault(401), "check the repository and the tag$"),
        (Fault(404, body=b"no such page"), "check the repository and the tag$"),
        (Fault(500), "check the repository and the tag$"),
        (Fault(200, body=b'{"tags": null}'), "check the tag, as the repository is there$"),
        (
            Fault(404, body=b'{"errors": [{"code": "NAME_UNKNOWN"}]}'),
            "have the repository ns/app: check its name$",
        ),
    ],
)
def test_what_a_registry_does_not_tell_is_not_guessed(
    opened: Opened, proxy: FaultyProxy, listing: Fault, said: str
) -> None:
    proxy.spoil("tags/list", listing, times=9)
    proxy.spoil("manifests", Fault(404, body=b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'))
    with pytest.raises(RegistryError, match=said):
        opened(f"{proxy.host}/ns/app").manifest("1")
    proxy.spoil("manifests", Fault(404, body=b'{"errors": [{"code": "NAME_UNKNOWN"}]}'))
    with pytest.raises(RegistryError, match="does not have the repository ns/app"):
        opened(f"{proxy.host}/ns/app").manifest("1")


def test_what_is_compressed_on_the_way_is_expanded(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed
) -> None:
    encoded = {"Content-Encoding": "gzip"}
    repository = opened(f"{proxy.host}/ns/app")
    proxy.spoil("manifests", Fault(headers=encoded, change=gzip.compress), times=2)
    assert repository.manifest("1").digest == pushed.digest
    assert repository.manifest(pushed.digest).digest == pushed.digest
    # It is only said to be.
    proxy.spoil("manifests", Fault(headers=encoded))
    assert repository.manifest("1").digest == pushed.digest
    for change in (lambda body: gzip.compress(body)[:50], lambda body: gzip.compress(body)[:-9] + b"x" * 9):
        proxy.spoil("manifests", Fault(headers=encoded, change=change))
        assert repository.manifest("1").digest == pushed.digest
    proxy.spoil(
        "manifests", Fault(headers=encoded, change=lambda _: gzip.compress(b" " * (64 << 20))), times=9
    )
    with pytest.raises(RegistryError, match="longer than 4 MiB"):
        repository.manifest("1")
    token = gzip.compress(b'{"token": "t"}')
    proxy.spoil("GET /token", Fault(200, encoded, token))
    proxy.spoil("tags/list", Fault(401, {"WWW-Authenticate": f'Bearer realm="http://{proxy.host}/token"'}))
    repository = opened(f"{proxy.host}/ns/app")
    with pytest.raises(RegistryError, match="does not have"):
        repository.manifest("nope")
    assert proxy.requests("tags/list")[-1].headers["Authorization"] == "Bearer t"


def test_a_blob_that_is_compressed_on_the_way_is_expanded(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed, tmp_path: os.PathLike[str]
) -> None:
    repository, size = opened(f"{proxy.host}/ns/app"), len(pushed.content)
    path = os.path.join(tmp_path, "blob")
    encoded = {"Content-Encoding": "gzip"}
    compressed = Fault(headers=encoded, change=gzip.compress)
    # A part of what is compressed is of no use: it begins anew, as often as it takes.
    for fault in (Fault(cut=1000), compressed, compressed._replace(cut=1000), compressed, compressed):
        proxy.spoil("blobs", fault)
    download_blob(repository, pushed.layer, size, path)
    # It is called compressed by the storage that it lies in, and is what its digest says, in parts too.
    for fault in (Fault(headers=encoded, cut=1000), Fault(headers=encoded)):
        proxy.spoil("blobs", fault)
    download_blob(repository, pushed.layer, size, f"{path}-2")
    proxy.spoil("blobs", Fault(headers=encoded, change=lambda _: gzip.compress(b" " * (64 << 20))), times=9)
    with pytest.raises(RegistryError, match="is longer than the"):
        download_blob(repository, pushed.layer, size, f"{path}-3")
    assert sorted(os.listdir(tmp_path)) == ["blob", "blob-2"]


def test_a_blob_that_is_not_there_is_named(opened: Opened, pushed: Pushed) -> None:
    digest = f"sha256:{'0' * 64}"
    with (
        pytest.raises(RegistryError, match=f"does not have the blob {digest}"),
        opened(pushed.reference).open_blob(digest),
    ):
        pass


def test_a_registry_where_nobody_listens_is_named(opened: Opened) -> None:
    with faulty_proxy("") as proxy:
        host = proxy.host
    with pytest.raises(RegistryError, match=rf"nobody answers at {host}.*\(tried 3 times\)"):
        opened(f"{host}/app")


def test_a_host_without_an_address_is_named_at_once(opened: Opened) -> None:
    with pytest.raises(
        RegistryError, match=r"the registry no\.such\.host\.invalid has no address|looked up now"
    ):
        opened("no.such.host.invalid/app").manifest("1")


# ---- who is asking


def test_a_registry_with_a_password_gives_nothing_to_strangers(
    opened: Opened, registry_with_password: RegistryServer, made: Made
) -> None:
    pushed = push(registry_with_password, made)
    with pytest.raises(RegistryError, match=rf"run `tweed-shim login {registry_with_password.host}`"):
        opened(pushed.reference).manifest("1")


def test_a_registry_with_a_password_gives_to_who_has_it(
    opened: Opened, environ: dict[str, str], registry_with_password: RegistryServer, made: Made
) -> None:
    pushed = push(registry_with_password, made)
    keep(registry_with_password.host, Credentials(USER, PASSWORD), environ)
    repository = opened(pushed.reference)
    assert repository.manifest("1").digest == pushed.digest
    with repository.open_blob(pushed.layer) as blob:
        assert b"".join(blob.chunks) == pushed.content


def test_credentials_are_sent_at_once_after_the_first_request(
    opened: Opened, environ: dict[str, str], registry_with_password: RegistryServer, made: Made
) -> None:
    push(registry_with_password, made)
    with faulty_proxy(registry_with_password.host) as proxy:
        keep(proxy.host, Credentials(USER, PASSWORD), environ)
        repository = opened(f"{proxy.host}/ns/app")
        repository.manifest("1")
        repository.resolve("1")
        assert ["Authorization" in each.headers for each in proxy.requests("manifests")] == [
            False,
            True,
            True,
        ]


def test_a_wrong_password_is_refused_and_not_told(
    opened: Opened, environ: dict[str, str], registry_with_password: RegistryServer
) -> None:
    keep(registry_with_password.host, Credentials(USER, "hunter2"), environ)
    with pytest.raises(RegistryError, match="refuses the repository ns/app to the credentials") as refusal:
        opened(f"{registry_with_password.host}/ns/app").manifest("1")
    assert "tweed-shim login" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_credentials_from_netrc_are_not_used(
    opened: Opened, proxy: FaultyProxy, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = os.path.join(tmp_path, "netrc")
    with open(netrc, "w", encoding="utf-8") as file:
        file.write("machine 127.0.0.1 login user password hunter2\n")
    os.chmod(netrc, 0o600)
    monkeypatch.setenv("NETRC", netrc)
    opened(f"{proxy.host}/ns/app").manifest("1")
    assert not any("Authorization" in each.headers for each in proxy.seen)


def test_a_token_is_got_by_anybody_for_what_is_public(
    opened: Opened, registry_with_token: RegistryWithToken, made: Made
) -> None:
    pushed = push(registry_with_token.registry, made, "public/app:1")
    before = registry_with_token.tokens.given
    repository = opened(pushed.reference)
    assert repository.manifest("1").digest == pushed.digest
    with repository.open_blob(pushed.layer) as blob:
        assert b"".join(blob.chunks) == pushed.content
    assert registry_with_token.tokens.given == before + 1


def test_a_token_that_is_good_for_nothing_is_a_matter_of_login(
    opened: Opened, registry_with_token: RegistryWithToken
) -> None:
    host = registry_with_token.registry.host
    with pytest.raises(RegistryError, match=rf"the repository private/app .*run `tweed-shim login {host}`"):
        opened(f"{host}/private/app").manifest("1")


@pytest.mark.parametrize(
    "caller", [Credentials(USER, PASSWORD), Credentials(USER, identity_token=IDENTITY_TOKEN)]
)
def test_a_token_is_got_with_a_password_and_with_an_identity_token(
    opened: Opened,
    environ: dict[str, str],
    registry_with_token: RegistryWithToken,
    made: Made,
    caller: Credentials,
) -> None:
    pushed = push(registry_with_token.registry, made, "private/app:1")
    keep(registry_with_token.registry.host, caller, environ)
    assert opened(pushed.reference).manifest("1").digest == pushed.digest


@pytest.mark.parametrize(
    "caller", [Credentials(USER, "hunter2"), Credentials(USER, identity_token="hunter2")]
)
def test_a_token_server_that_refuses_is_a_matter_of_login(
    opened: Opened, environ: dict[str, str], registry_with_token: RegistryWithToken, caller: Credentials
) -> None:
    host = registry_with_token.registry.host
    keep(host, caller, environ)
    with pytest.raises(RegistryError, match=rf"run `tweed-shim login {host}` with others") as refusal:
        opened(f"{host}/private/app").manifest("1")
    assert "hunter2" not in str(refusal.value)


def test_a_token_that_has_run_out_is_renewed(
    opened: Opened, registry_with_token: RegistryWithToken, made: Made
) -> None:
    push(registry_with_token.registry, made, "public/app:1")
    with faulty_proxy(registry_with_token.registry.host) as proxy:
        repository = opened(f"{proxy.host}/public/app")
        repository.manifest("1")
        before = registry_with_token.tokens.given
        challenge = f'Bearer realm="http://{registry_with_token.tokens.host}/token",service="a registry"'
        proxy.spoil(MANIFESTS, Fault(401, {"WWW-Authenticate": challenge}))
        assert repository.manifest("1").digest == made.digest
        assert registry_with_token.tokens.given == before + 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": "a\\nb"}', b"[" * 100_000, b" " * (2 << 20)]
)
def test_a_token_server_that_gives_no_token_is_named(opened: Opened, proxy: FaultyProxy, body: bytes) -> None:
    proxy.spoil("GET /token", Fault(200, body=body))
    proxy.spoil(MANIFESTS, Fault(401, {"WWW-Authenticate": f'Bearer realm="http://{proxy.host}/token"'}))
    with pytest.raises(RegistryError, match=f"the token server {proxy.host} .* gave no token"):
        opened(f"{proxy.host}/ns/app").manifest("1")


def test_a_token_server_that_has_a_fault_is_asked_again(opened: Opened, proxy: FaultyProxy) -> None:
    proxy.spoil("GET /token", Fault(500))
    proxy.spoil("GET /token", Fault(200, body=b'{"access_token": "t"}'))
    proxy.spoil(
        MANIFESTS, Fault(401, {"WWW-Authenticate": f'Bearer realm="http://{proxy.host}/token"'}), times=2
    )
    opened(f"{proxy.host}/ns/app").manifest("1")
    assert proxy.requests(MANIFESTS)[-1].headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic realm=x",
        "Bearer",
        'Bearer realm="ftp://x"',
        'Bearer realm="http://r.example/"',
        "Negotiate",
        "=,=\x7f",
    ],
)
def test_a_challenge_that_cannot_be_met_is_refused(opened: Opened, proxy: FaultyProxy, header: str) -> None:
    proxy.spoil(MANIFESTS, Fault(401, {"WWW-Authenticate": header}))
    with pytest.raises(RegistryError, match=proxy.host):
        opened(f"{proxy.host}/ns/app").manifest("1")


def test_a_refusal_without_a_challenge_is_a_matter_of_login(opened: Opened, proxy: FaultyProxy) -> None:
    proxy.spoil(MANIFESTS, Fault(403, body=b'{"errors": [{"code": "DENIED"}]}'))
    with pytest.raises(RegistryError, match="tweed-shim login"):
        opened(f"{proxy.host}/ns/app").manifest("1")


def test_challenges_are_read_as_they_are_written() -> None:
    header = (
        'Basic realm="a, \\"b\\"", Bearer REALM="https://t/?a=b",service=s , scope="r:a:pull,push",Negotiate'
    )
    assert parse_challenges(header) == [
        ("basic", {"realm": 'a, "b"'}),
        ("bearer", {"realm": "https://t/?a=b", "service": "s", "scope": "r:a:pull,push"}),
        ("negotiate", {}),
    ]


# ---- who is answering


def test_an_authority_that_is_named_is_trusted(
    opened: Opened, registry_with_tls: RegistryServer, made: Made
) -> None:
    pushed = push(registry_with_tls, made)
    assert opened(pushed.reference, ca_file=registry_with_tls.ca_file).manifest("1").digest == pushed.digest


def test_an_authority_from_the_environment_is_trusted(
    opened: Opened, environ: dict[str, str], registry_with_tls: RegistryServer, made: Made
) -> None:
    pushed = push(registry_with_tls, made)
    environ["SSL_CERT_FILE"] = registry_with_tls.ca_file
    assert opened(pushed.reference).manifest("1").digest == pushed.digest


def test_the_named_authority_comes_before_the_environment(
    opened: Opened,
    environ: dict[str, str],
    registry_with_tls: RegistryServer,
    made: Made,
    tmp_path: os.PathLike[str],
) -> None:
    pushed = push(registry_with_tls, made)
    other = make_authority(os.fspath(tmp_path)).ca_file
    environ["SSL_CERT_FILE"] = other
    assert opened(pushed.reference, ca_file=registry_with_tls.ca_file).manifest("1").digest == pushed.digest
    environ["SSL_CERT_FILE"] = registry_with_tls.ca_file
    with pytest.raises(RegistryError, match="is not trusted"):
        opened(pushed.reference, ca_file=other).manifest("1")


def test_an_unknown_authority_is_not_trusted(opened: Opened, registry_with_tls: RegistryServer) -> None:
    with pytest.raises(
        RegistryError, match=r"is not trusted \(.*\): name the authority .* ca_file=... or \$SSL_CERT_FILE"
    ):
        opened(f"{registry_with_tls.host}/ns/app")


def test_who_asks_for_no_security_gets_none(
    opened: Opened, registry_with_tls: RegistryServer, made: Made
) -> None:
    pushed = push(registry_with_tls, made)
    foreign = f"{FOREIGN}:{registry_with_tls.host.rpartition(':')[2]}/ns/app"
    with pytest.raises(RegistryError, match="is not trusted"):
        opened(foreign).manifest("1")
    assert opened(foreign, insecure=True).manifest("1").digest == pushed.digest


@pytest.mark.parametrize("content", [None, "", "no certificate\n"])
def test_a_bad_file_of_authorities_is_named(
    opened: Opened, tmp_path: os.PathLike[str], content: str | None
) -> None:
    path = os.path.join(tmp_path, "ca.pem")
    if content is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
    with pytest.raises(ConfigError, match=r"ca\.pem \(ca_file\) cannot be read"):
        opened("r.example/app", ca_file=path)


def test_plain_http_is_refused_where_tls_is_expected(
    opened: Opened, registry: RegistryServer, pushed: Pushed
) -> None:
    foreign = f"{FOREIGN}:{registry.host.rpartition(':')[2]}/ns/app"
    with pytest.raises(RegistryError, match="speaks no TLS: use insecure=True"):
        opened(foreign).manifest("1")
    assert opened(foreign, insecure=True).manifest("1").digest == pushed.digest


def test_an_authority_asks_for_tls_on_loopback_too(
    opened: Opened, registry: RegistryServer, tmp_path: os.PathLike[str]
) -> None:
    with pytest.raises(RegistryError, match="speaks no TLS"):
        opened(f"{registry.host}/ns/app", ca_file=make_authority(os.fspath(tmp_path)).ca_file).manifest("1")


def test_a_proxy_is_used_but_not_for_this_machine(
    opened: Opened,
    environ: dict[str, str],
    registry: RegistryServer,
    proxy: FaultyProxy,
    pushed: Pushed,
) -> None:
    environ["http_proxy"] = f"http://{proxy.host}"
    assert opened(pushed.reference).manifest("1").digest == pushed.digest
    assert not proxy.seen
    foreign = f"{FOREIGN}:{registry.host.rpartition(':')[2]}"
    assert opened(f"{foreign}/ns/app", insecure=True).manifest("1").digest == pushed.digest
    assert proxy.requests(f"GET http://{foreign}".replace("[", r"\[").replace("]", r"\]"))


# ---- redirects


def redirect(target: str) -> Fault:
    return Fault(307, {"Location": target})


def test_a_redirect_to_another_host_is_followed_without_credentials(
    opened: Opened,
    environ: dict[str, str],
    registry: RegistryServer,
    registry_with_password: RegistryServer,
    made: Made,
) -> None:
    pushed = push(registry_with_password, made)
    push(registry, made)
    with faulty_proxy(registry_with_password.host) as first, faulty_proxy(registry.host) as second:
        keep(first.host, Credentials(USER, PASSWORD), environ)
        repository = opened(f"{first.host}/ns/app")
        repository.manifest("1")
        other = second.host.replace("127.0.0.1", "localhost")
        first.spoil("blobs", redirect(f"http://{other}/v2/ns/app/blobs/{pushed.layer}?signature=hunter2"))
        with repository.open_blob(pushed.layer) as blob:
            assert b"".join(blob.chunks) == pushed.content
        assert "Authorization" in first.requests("blobs")[0].headers
        assert "Authorization" not in second.requests("blobs")[0].headers


def test_a_challenge_of_another_host_is_not_answered(
    opened: Opened, environ: dict[str, str], proxy: FaultyProxy, pushed: Pushed
) -> None:
    with faulty_proxy("") as other:
        keep(proxy.host, Credentials(USER, "hunter2"), environ)
        other.spoil("blobs", Fault(401, {"WWW-Authenticate": f'Bearer realm="http://{other.host}/token"'}))
        proxy.spoil("blobs", redirect(f"http://{other.host}/blobs?signature=hunter2"))
        with (
            pytest.raises(RegistryError, match=f"sends to {other.host}, which refuses") as refusal,
            opened(f"{proxy.host}/ns/app").open_blob(pushed.layer),
        ):
            pass
        assert not other.requests("token")
    assert "hunter2" not in str(refusal.value)


def test_an_identity_token_follows_no_redirect(
    opened: Opened, environ: dict[str, str], proxy: FaultyProxy
) -> None:
    with faulty_proxy("") as other:
        keep(proxy.host, Credentials(USER, identity_token="hunter2"), environ)
        proxy.spoil("POST /token", redirect(f"http://{other.host}/token"))
        proxy.spoil(MANIFESTS, Fault(401, {"WWW-Authenticate": f'Bearer realm="http://{proxy.host}/token"'}))
        with pytest.raises(RegistryError, match="tweed-shim login"):
            opened(f"{proxy.host}/ns/app").manifest("1")
        assert proxy.requests("POST /token")
        assert not other.seen


def test_the_address_of_a_redirect_is_in_no_message(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed
) -> None:
    with faulty_proxy("") as other:
        proxy.spoil("blobs", redirect(f"http://{other.host}/hunter2?signature=hunter2"), times=9)
        for status in (403, 404, 418, 500):
            other.spoil("hunter2", Fault(status), times=3 if status == 500 else 1)
            with (
                pytest.raises(RegistryError) as refusal,
                opened(f"{proxy.host}/ns/app").open_blob(pushed.layer),
            ):
                pass
            assert "hunter2" not in str(refusal.value)
    with (
        pytest.raises(RegistryError, match=f"nobody answers at {other.host}") as refusal,
        opened(f"{proxy.host}/ns/app").open_blob(pushed.layer),
    ):
        pass
    assert "hunter2" not in str(refusal.value)


def test_redirects_without_end_are_refused(opened: Opened, proxy: FaultyProxy) -> None:
    proxy.spoil(MANIFESTS, redirect("/v2/ns/app/manifests/1"), times=100)
    with pytest.raises(RegistryError, match="from one address to the next without end"):
        opened(f"{proxy.host}/ns/app").manifest("1")
    assert len(proxy.requests(MANIFESTS)) < 12


def test_a_redirect_that_leaves_tls_is_not_followed(
    opened: Opened, registry: RegistryServer, pushed: Pushed, tmp_path: os.PathLike[str]
) -> None:
    authority = make_authority(os.fspath(tmp_path))
    with faulty_proxy(registry.host, authority) as proxy:
        repository = opened(f"{proxy.host}/ns/app", ca_file=authority.ca_file)
        assert repository.manifest("1").digest == pushed.digest
        proxy.spoil("blobs", redirect(f"http://{registry.host}/v2/ns/app/blobs/{pushed.layer}"))
        with (
            pytest.raises(RegistryError, match="without TLS, which is not followed"),
            repository.open_blob(pushed.layer),
        ):
            pass


@pytest.mark.parametrize(
    "target",
    [
        "http://[", "ftp://x/y", "http://", "http://a b/", "http://x:y/", "//", "\xff", "http://u:hunter2@HOST/",
        "http://other.example\\@HOST/", "http://HOST/%2e%2e/x", "/v2/../x", "http://HOST:99999/", "http://HOST\t/",
        "http://HOST/\x7f",
    ],
)  # fmt: skip
def test_a_redirect_to_nowhere_is_refused(opened: Opened, proxy: FaultyProxy, target: str) -> None:
    with faulty_proxy("") as other:
        proxy.spoil(MANIFESTS, redirect(target.replace("HOST", other.host)), times=9)
        with pytest.raises(RegistryError) as refusal:
            opened(f"{proxy.host}/ns/app").manifest("1")
        assert not other.seen
    assert "hunter2" not in str(refusal.value)


# ---- what passes, and what does not


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_fault_is_survived(opened: Opened, proxy: FaultyProxy, pushed: Pushed, status: int) -> None:
    proxy.spoil(MANIFESTS, Fault(status), times=2)
    assert opened(f"{proxy.host}/ns/app").manifest("1").digest == pushed.digest


@pytest.mark.parametrize(("status", "said"), [(429, "asked too often"), (500, r"has a fault \(HTTP 500\)")])
def test_a_fault_that_stays_is_told_after_the_last_try(
    opened: Opened, proxy: FaultyProxy, status: int, said: str
) -> None:
    proxy.spoil(MANIFESTS, Fault(status), times=100)
    with pytest.raises(RegistryError, match=rf"{said}.*\(tried 3 times\)"):
        opened(f"{proxy.host}/ns/app").manifest("1")
    assert len(proxy.requests(MANIFESTS)) == 3


def test_pauses_grow_and_have_a_limit(opened: Opened, proxy: FaultyProxy) -> None:
    pauses: list[float] = []
    patience = Patience(attempts=8, first_pause=1, longest_pause=20, sleep=pauses.append)
    proxy.spoil(MANIFESTS, Fault(503), times=7)
    opened(f"{proxy.host}/ns/app", patience=patience).manifest("1")
    for number, pause in enumerate(pauses):
        assert min(2**number / 2, 20) <= pause <= min(2**number, 20)
    assert len(pauses) == 7


@pytest.mark.parametrize(
    ("told", "low", "high"),
    [
        (lambda: "7", 7, 7),
        (lambda: "3600", 20, 20),
        (lambda: formatdate(time.time() + 10, usegmt=True), 5, 10),
        (lambda: formatdate(time.time() - 1000, usegmt=True), 0.5, 1),
        (lambda: "soon", 0.5, 1),
        (lambda: "-5", 0.5, 1),
    ],
)
def test_the_wish_of_a_server_is_honoured_within_limits(
    opened: Opened, proxy: FaultyProxy, told: Callable[[], str], low: float, high: float
) -> None:
    pauses: list[float] = []
    proxy.spoil(MANIFESTS, Fault(429, {"Retry-After": told()}))
    patience = Patience(first_pause=1, longest_pause=20, sleep=pauses.append)
    opened(f"{proxy.host}/ns/app", patience=patience).manifest("1")
    assert len(pauses) == 1
    assert low <= pauses[0] <= high


def test_a_registry_that_falls_silent_is_asked_again(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed
) -> None:
    proxy.spoil(MANIFESTS, Fault(stall=10))
    repository = opened(f"{proxy.host}/ns/app", patience=SHORT._replace(read_timeout=0.2))
    assert repository.manifest("1").digest == pushed.digest


def test_a_registry_that_stays_silent_is_told(opened: Opened, proxy: FaultyProxy) -> None:
    proxy.spoil(MANIFESTS, Fault(stall=10), times=100)
    repository = opened(f"{proxy.host}/ns/app", patience=SHORT._replace(read_timeout=0.1))
    with pytest.raises(RegistryError, match="did not answer in time"):
        repository.manifest("1")


@pytest.mark.parametrize("fault", [Fault(cut=100), corrupt(100), Fault(change=lambda body: body[:-1])])
def test_a_manifest_that_is_hurt_once_is_got_again(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed, fault: Fault
) -> None:
    proxy.spoil(MANIFESTS, fault)
    assert opened(f"{proxy.host}/ns/app").manifest("1").digest == pushed.digest


@pytest.mark.parametrize("asked", ["1", "the digest"])
def test_a_manifest_that_is_not_the_one_of_its_digest_is_refused(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed, asked: str
) -> None:
    proxy.spoil(MANIFESTS, corrupt(100), times=100)
    with pytest.raises(RegistryError, match=f"does not have the digest '{pushed.digest}'"):
        opened(f"{proxy.host}/ns/app").manifest(pushed.digest if asked == "the digest" else asked)


@pytest.mark.parametrize("told", [f"sha256:{'0' * 64}", "nonsense", "md5:00"])
def test_a_lie_about_a_digest_is_refused(opened: Opened, proxy: FaultyProxy, told: str) -> None:
    proxy.spoil(MANIFESTS, Fault(headers={"Docker-Content-Digest": told}), times=100)
    with pytest.raises(RegistryError, match="does not have the digest"):
        opened(f"{proxy.host}/ns/app").manifest("1")


@pytest.mark.parametrize("length", ["9" * 12, None])
def test_a_manifest_over_4_mib_is_refused_while_it_comes(
    opened: Opened, proxy: FaultyProxy, length: str | None
) -> None:
    headers = {"Content-Length": length, "Connection": "close"}
    proxy.spoil(MANIFESTS, Fault(headers=headers, change=lambda _body: b" " * ((4 << 20) + 1)))
    with pytest.raises(RegistryError, match="longer than 4 MiB"):
        opened(f"{proxy.host}/ns/app").manifest("1")


def test_a_strange_answer_is_told_with_its_codes_only(opened: Opened, proxy: FaultyProxy) -> None:
    body = b'{"errors": [{"code": "UNSUPPORTED", "message": "hunter2"}, {"code": "<b>hunter2"}]}'
    proxy.spoil(MANIFESTS, Fault(418, body=body))
    with pytest.raises(RegistryError, match=r"\(HTTP 418, UNSUPPORTED\)") as refusal:
        opened(f"{proxy.host}/ns/app").manifest("1")
    assert "hunter2" not in str(refusal.value)


def test_a_server_that_is_no_registry_is_refused(opened: Opened) -> None:
    with faulty_proxy("") as server:
        server.spoil("", Fault(200, {"Content-Type": "text/html"}, b"<html>"), times=100)
        manifest = opened(f"{server.host}/ns/app").manifest("1")
        assert manifest.media_type == "text/html"
        with pytest.raises(RegistryError, match="does not have the digest"):
            opened(f"{server.host}/ns/app").manifest(f"sha256:{'0' * 64}")


def test_a_connection_that_breaks_in_a_blob_is_a_passing_fault(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed
) -> None:
    proxy.spoil("blobs", Fault(cut=1000))
    with opened(f"{proxy.host}/ns/app").open_blob(pushed.layer) as blob:
        got: list[bytes] = []
        with pytest.raises(PassingFault, match="broke"):
            got.extend(blob.chunks)
    assert b"".join(got) == pushed.content[:1000]


def test_a_closed_repository_gives_nothing(opened: Opened, pushed: Pushed) -> None:
    with opened(pushed.reference) as repository:
        pass
    with pytest.raises(RegistryError, match="was stopped"):
        repository.manifest("1")


def test_a_registry_that_skopeo_reads_is_read_alike(opened: Opened, pushed: Pushed) -> None:
    command = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{pushed.reference}"]
    assert (
        opened(pushed.reference).manifest("1").body
        == subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
