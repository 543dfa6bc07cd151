"""Options for connecting to registries: certificates of clients, and proxies."""

from collections.abc import Iterator

import pytest

from accounts import Account
from forward_proxies import forward_proxy
from installed import Shim, fresh_shim
from servers import RegistryServer, StrictRegistry


@pytest.fixture
def root(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as shim:
        yield shim


def test_a_certificate_of_a_client_is_shown(root: Shim, strict_registry: StrictRegistry) -> None:
    image = f"{strict_registry.host}/app:1"
    trusted = ("--ca-file", strict_registry.ca_file)
    refused = root.run("pull", image, *trusted)
    assert refused.code == 125
    [line] = refused.err.decode().splitlines()
    assert "asks for a client certificate that it trusts" in line
    clients = strict_registry.clients
    pair = ("--cert-file", clients.certificate, "--key-file", clients.key)
    done = root.run("pull", image, *trusted, *pair)
    assert (done.code, done.out.decode().strip()) == (0, strict_registry.digest)
    done = root.run("exec", image, "metadata", "--pull", "always", *trusted, *pair)
    # It runs: the image is none of a backend's.
    assert b"/entrypoint" in done.err
    login = ("login", strict_registry.host, "--username", "me", "--password-stdin", *trusted)
    assert b"asks for a client certificate" in root.run(*login, stdin=b"x").err
    assert root.run(*login, *pair, stdin=b"x").code == 0


def test_a_proxy_is_used_and_named_where_it_makes_no_sense(
    root: Shim, registry_with_tls: RegistryServer, demo_image: str
) -> None:
    registry_with_tls.push(demo_image, "latest", "behind/demo:1")
    pull = ("pull", "registry.example/behind/demo:1", "--ca-file", registry_with_tls.ca_file)
    with forward_proxy(registry_with_tls.host, user="me:hunter2") as proxy:
        env = {"HTTPS_PROXY": f"me:hunter2@{proxy.host}", "http_proxy": "http://nobody.invalid"}
        assert root.run(*pull, env=env).code == 0
        assert set(proxy.asked) == {"CONNECT registry.example:443"}
    done = root.run(*pull, env={"https_proxy": "socks5://me:hunter2@proxy:1080"})
    assert (done.code, done.out) == (125, b"")
    [line] = done.err.decode().splitlines()
    assert line.startswith("tweed-shim: $https_proxy does not name a proxy: ")
    assert "hunter2" not in line
