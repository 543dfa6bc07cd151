"""`pull --timeout` and `exec --pull-timeout` end a pull from a slow registry."""

import os
from collections.abc import Iterator

import pytest

from accounts import Account
from installed import Shim, fresh_shim
from servers import Fault, FaultyProxy, RegistryServer, faulty_proxy


@pytest.fixture
def image(registry: RegistryServer, demo_image: str) -> Iterator[tuple[FaultyProxy, str]]:
    registry.push(demo_image, "latest", "late/demo:1")
    with faulty_proxy(registry.host) as proxy:
        yield proxy, f"{proxy.host}/late/demo:1"


@pytest.fixture
def root(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as shim:
        yield shim


@pytest.mark.parametrize(
    "arguments",
    [("pull", "IMAGE", "--timeout", "0.5"), ("exec", "IMAGE", "metadata", "--pull-timeout", "0.5")],
)
def test_a_pull_from_a_slow_registry_ends_at_its_timeout(
    root: Shim, image: tuple[FaultyProxy, str], arguments: tuple[str, ...]
) -> None:
    proxy, name = image
    proxy.spoil("blobs", Fault(drip=0.1, dry=400), times=100)
    done = root.run(*(name if each == "IMAGE" else each for each in arguments))
    assert (done.code, done.out) == (124, b"")
    [line] = done.err.decode().splitlines()
    assert line.startswith(
        f"tweed-shim: pulling {name} took longer than 0.5 s; try again with a longer time limit"
    )
    assert os.listdir(os.path.join(root.root, "rootfs")) == []
    assert root.run("images", "--json").out.strip() == b"[]"


def test_the_timeout_of_a_run_does_not_include_its_pull(root: Shim, image: tuple[FaultyProxy, str]) -> None:
    proxy, name = image
    # The client pauses for as long as it is told to.
    proxy.spoil("manifests", Fault(429, {"Retry-After": "3"}))
    done = root.run("exec", name, "metadata", "--timeout", "2", "--pull-timeout", "60")
    assert done.code == 0, done


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", ""])
def test_an_invalid_pull_timeout_is_refused(root: Shim, value: str) -> None:
    assert root.run("pull", "r.example/x", f"--timeout={value}").code == 2
    assert root.run("exec", "r.example/x", "metadata", f"--pull-timeout={value}").code == 2
