"""TLS: whom a client trusts, and to whom it shows a certificate of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servers import Fault, RegistryServer, StrictRegistry, faulty_proxy
from token_servers import make_authority, openssl
from tweed_shim import urls
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.errors import ConfigError, RegistryError
from tweed_shim.image import tls
from tweed_shim.image.connection import Patience
from tweed_shim.image.reference import parse
from tweed_shim.image.registry import Repository, open_repository

# A server that refuses a certificate may close before its reason is read (RFC 8446, appendix D.4): it is asked again.
SHORT = Patience(attempts=9, first_pause=0.001, longest_pause=0.002)
NAMES = ("ca.crt", "client.cert", "client.key")


@pytest.fixture
def environ(tmp_path: os.PathLike[str]) -> dict[str, str]:
    return {"HOME": os.fspath(tmp_path), "XDG_RUNTIME_DIR": os.fspath(tmp_path)}


@pytest.fixture
def opened(environ: dict[str, str]) -> Iterator[Callable[..., Repository]]:
    repositories = []

    def open_one(name: str, **options: Any) -> Repository:
        connect = ConnectOptions(**options)
        repositories.append(open_repository(parse(name), connect=connect, environ=environ, patience=SHORT))
        return repositories[-1]

    yield open_one
    for each in repositories:
        each.close()


Opened = Callable[..., Repository]


def certificates_for(directory: str, strict_registry: StrictRegistry, names: tuple[str, ...] = NAMES) -> str:
    """Put certificates where this host keeps those for a server; returns the directory."""
    sources = dict(
        zip(
            NAMES,
            (strict_registry.ca_file, strict_registry.clients.certificate, strict_registry.clients.key),
            strict=True,
        )
    )
    place = os.path.join(directory, strict_registry.host)
    os.makedirs(place)
    for name in names:
        shutil.copy(sources[name], os.path.join(place, name))
    return place


# ---- whom it trusts


@pytest.mark.parametrize("links", ["none", "c_rehash"])
def test_the_files_of_a_directory_are_trusted(
    opened: Opened,
    environ: dict[str, str],
    registry_with_tls: RegistryServer,
    tmp_path: os.PathLike[str],
    links: str,
) -> None:
    first, second = os.path.join(tmp_path, "first"), os.path.join(tmp_path, "second")
    os.mkdir(first)
    os.mkdir(second)
    shutil.copy(make_authority(os.fspath(tmp_path)).ca_file, os.path.join(first, "other.pem"))
    shutil.copy(registry_with_tls.ca_file, os.path.join(second, "ours"))
    for name in ("README", "empty"):
        with open(os.path.join(second, name), "w", encoding="utf-8") as file:
            file.write("no certificate\n" if name == "README" else "")
    os.mkdir(os.path.join(second, "more"))
    if links == "c_rehash":
        openssl("rehash", second)
    host = registry_with_tls.host
    environ["SSL_CERT_DIR"] = first
    with pytest.raises(RegistryError, match="is not trusted"):
        opened(f"{host}/app").manifest("1")
    environ["SSL_CERT_DIR"] = f"{first}:{second}:"
    with pytest.raises(RegistryError, match="does not have"):
        opened(f"{host}/nothing").manifest("1")
    # Both count where both are there.
    environ |= {"SSL_CERT_DIR": first, "SSL_CERT_FILE": registry_with_tls.ca_file}
    with pytest.raises(RegistryError, match="does not have"):
        opened(f"{host}/nothing").manifest("1")


@pytest.mark.parametrize("content", ["missing", "empty"])
def test_a_directory_without_certificates_is_named(
    opened: Opened, environ: dict[str, str], tmp_path: os.PathLike[str], content: str
) -> None:
    environ["SSL_CERT_DIR"] = os.path.join(tmp_path, "certs")
    if content == "empty":
        os.mkdir(environ["SSL_CERT_DIR"])
    with pytest.raises(ConfigError, match=r"certs \(\$SSL_CERT_DIR\) cannot be read"):
        opened("r.example/app")


# ---- what the host has for a server


@pytest.mark.parametrize("place", ["home", "xdg", "first", "second"])
def test_what_the_host_has_for_a_server_is_used(
    opened: Opened,
    environ: dict[str, str],
    strict_registry: StrictRegistry,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    first, second, xdg = (os.path.join(tmp_path, name) for name in ("first", "second", "xdg"))
    monkeypatch.setattr(tls, "HOST_DIRECTORIES", (first, second))
    if place == "xdg":
        environ["XDG_CONFIG_HOME"] = xdg
    directories = {
        "home": os.path.join(tmp_path, ".config", "containers", "certs.d"),
        "xdg": os.path.join(xdg, "containers", "certs.d"),
        "first": first,
        "second": second,
    }
    certificates_for(directories[place], strict_registry)
    assert opened(f"{strict_registry.host}/app").manifest("1").digest == strict_registry.digest


def test_the_first_directory_that_is_there_counts(
    opened: Opened,
    environ: dict[str, str],
    strict_registry: StrictRegistry,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = os.path.join(tmp_path, "first"), os.path.join(tmp_path, "second")
    monkeypatch.setattr(tls, "HOST_DIRECTORIES", (first, second))
    certificates_for(second, strict_registry)
    empty = certificates_for(first, strict_registry, ())
    with pytest.raises(RegistryError, match="is not trusted"):
        opened(f"{strict_registry.host}/app").manifest("1")
    os.rmdir(empty)
    assert opened(f"{strict_registry.host}/app").manifest("1").digest == strict_registry.digest


def test_authorities_of_a_server_are_trusted_for_it_beside_the_usual_ones_and_not_beside_a_named_one(
    opened: Opened,
    environ: dict[str, str],
    strict_registry: StrictRegistry,
    registry_with_tls: RegistryServer,
    tmp_path: os.PathLike[str],
) -> None:
    certificates_for(os.path.join(tmp_path, ".config", "containers", "certs.d"), strict_registry)
    environ["SSL_CERT_FILE"] = registry_with_tls.ca_file
    assert opened(f"{strict_registry.host}/app").manifest("1").digest == strict_registry.digest
    with pytest.raises(RegistryError, match="does not have"):
        opened(f"{registry_with_tls.host}/nothing").manifest("1")
    with pytest.raises(RegistryError, match="is not trusted"):
        opened(f"{strict_registry.host}/app", ca_file=registry_with_tls.ca_file).manifest("1")
    del environ["SSL_CERT_FILE"]
    # Another port is another server.
    with pytest.raises(RegistryError, match="is not trusted"):
        opened(f"{registry_with_tls.host}/nothing").manifest("1")


@pytest.mark.parametrize("missing", ["client.key", "client.cert"])
def test_half_of_a_pair_is_named(
    opened: Opened, strict_registry: StrictRegistry, tmp_path: os.PathLike[str], missing: str
) -> None:
    names = tuple(name for name in NAMES if name != missing)
    certificates_for(os.path.join(tmp_path, ".config", "containers", "certs.d"), strict_registry, names)
    with pytest.raises(ConfigError, match=rf"lacks {missing} beside it"):
        opened(f"{strict_registry.host}/app")


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://r.example", ["r.example", "r.example:443"]),
        ("https://r.example:5000", ["r.example:5000"]),
        ("https://[::1]:5000", ["[::1]:5000"]),
        ("https://registry-1.docker.io", ["registry-1.docker.io", "registry-1.docker.io:443", "docker.io"]),
    ],
)
def test_a_directory_is_named_as_its_server(
    environ: dict[str, str], tmp_path: os.PathLike[str], url: str, names: list[str]
) -> None:
    place = os.path.join(tmp_path, ".config", "containers", "certs.d")
    for name in ("r.example", "r.example:443", "r.example:5000", "[::1]:5000", "docker.io"):
        assert tls.host_directory(urls.parse(url).origin, environ) is None
        os.makedirs(os.path.join(place, name))
        found = tls.host_directory(urls.parse(url).origin, environ)
        assert found == (os.path.join(place, name) if name in names else None)
        os.rmdir(os.path.join(place, name))


# ---- what it shows


@pytest.mark.parametrize("one_file", [False, True])
def test_a_certificate_that_is_named_is_shown(
    opened: Opened, strict_registry: StrictRegistry, tmp_path: os.PathLike[str], one_file: bool
) -> None:
    pair = {"cert_file": strict_registry.clients.certificate, "key_file": strict_registry.clients.key}
    if one_file:
        pair = {"cert_file": os.path.join(tmp_path, "both.pem")}
        with open(pair["cert_file"], "wb") as both:
            for path in (strict_registry.clients.certificate, strict_registry.clients.key):
                with open(path, "rb") as file:
                    both.write(file.read())
    repository = opened(f"{strict_registry.host}/app", ca_file=strict_registry.ca_file, **pair)
    assert repository.manifest("1").digest == strict_registry.digest
    # It says that TLS is meant, and is shown where no certificate of the server's is checked, too.
    assert (
        opened(f"{strict_registry.host}/app", insecure=True, **pair).manifest("1").digest
        == strict_registry.digest
    )


def test_who_shows_none_or_a_strange_one_is_told_so(
    opened: Opened, strict_registry: StrictRegistry, tmp_path: os.PathLike[str]
) -> None:
    said = (
        f"the registry {strict_registry.host} asks for the certificate of a client that it knows .*cert_file="
    )
    with pytest.raises(RegistryError, match=said):
        opened(f"{strict_registry.host}/app", ca_file=strict_registry.ca_file).manifest("1")
    strange = make_authority(os.fspath(tmp_path))
    pair = {"cert_file": strange.certificate, "key_file": strange.key}
    with pytest.raises(RegistryError, match=said):
        opened(f"{strict_registry.host}/app", ca_file=strict_registry.ca_file, **pair).manifest("1")


def test_a_certificate_is_shown_to_the_server_that_was_asked_and_to_no_other(
    opened: Opened, strict_registry: StrictRegistry, tmp_path: os.PathLike[str]
) -> None:
    pair = {"cert_file": strict_registry.clients.certificate, "key_file": strict_registry.clients.key}
    authority = make_authority(os.fspath(tmp_path))
    both = os.path.join(tmp_path, "authorities.pem")
    with open(both, "w", encoding="utf-8") as target:
        for path in (authority.ca_file, strict_registry.ca_file):
            with open(path, encoding="utf-8") as file:
                target.write(file.read())
    with faulty_proxy("", authority) as other:
        other.spoil(
            "manifests", Fault(307, {"Location": f"https://{strict_registry.host}/v2/app/manifests/1"})
        )
        with pytest.raises(
            RegistryError, match=f"{strict_registry.host} asks for the certificate of a client"
        ):
            opened(f"{other.host}/app", ca_file=both, **pair).manifest("1")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no file", r"client\.pem \(cert_file\) cannot be read: No such file"),
        ("no key file", r"client\.key \(cert_file\) cannot be read: No such file"),
        ("another key", "its key is not in"),
        ("no certificate", "it has no certificate"),
        ("encrypted", r"client\.key \(cert_file\) is encrypted; give one without a passphrase"),
        ("key alone", "is for no certificate; name that with cert_file="),
    ],
)
def test_a_certificate_that_cannot_be_shown_is_named(
    opened: Opened, strict_registry: StrictRegistry, tmp_path: os.PathLike[str], fault: str, said: str
) -> None:
    certificate, key = os.path.join(tmp_path, "client.pem"), os.path.join(tmp_path, "client.key")
    shutil.copy(strict_registry.clients.certificate, certificate)
    shutil.copy(strict_registry.clients.key, key)
    if fault == "no file":
        os.unlink(certificate)
    elif fault == "no key file":
        os.unlink(key)
    elif fault == "another key":
        shutil.copy(make_authority(os.fspath(tmp_path)).key, key)
    elif fault == "no certificate":
        shutil.copy(key, certificate)
    elif fault == "encrypted":
        openssl("ec", "-aes256", "-in", strict_registry.clients.key, "-out", key, "-passout", "pass:hunter2")
    named = None if fault == "key alone" else certificate
    with pytest.raises(ConfigError, match=said):
        opened("r.example/app", cert_file=named, key_file=key)
