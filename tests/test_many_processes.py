"""Many processes and one store: a cold image is brought once, and a busy store stays sound."""

import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

from accounts import Account
from installed import SYSTEM_PATH, Shim, fresh_shim
from layouts import File, build_layout
from script_images import METADATA
from servers import FaultyProxy, RegistryServer, faulty_proxy

PROCESSES = 64
SCRIPT = f"#!/bin/sh\ncase $1 in metadata) {METADATA};; configure) cat > $OUT_CONFIG/c;; check) cat $IN_CONFIG/c;; esac\n"


@pytest.fixture(scope="module")
def cold_image(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image in the registry."""
    layout = os.fspath(tmp_path_factory.mktemp("layout"))
    build_layout(layout, files={"entrypoint": SCRIPT, "noise": File(random.Random(0).randbytes(100_000))})
    registry.push(layout, "latest", "many:1")
    return "many:1"


@pytest.fixture
def proxy(registry: RegistryServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(registry.host) as running:
        yield running


def counting_umoci(directory: str, account: Account) -> dict[str, str]:
    """A PATH on which umoci adds a line to `directory`/calls before it does its work."""
    os.mkdir(directory)
    os.chown(directory, account.uid, account.gid)
    path = os.path.join(directory, "umoci")
    with open(path, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\necho >> {directory}/calls\nexec {shutil.which("umoci")} "$@"\n')
    os.chmod(path, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return {"PATH": f"{directory}:{SYSTEM_PATH}"}


def wait_for_all(processes: list[subprocess.Popen[bytes]], timeout: float) -> list[tuple[int, bytes, bytes]]:
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, *each) for process, each in zip(processes, said, strict=True)]


@pytest.mark.parametrize("kind", ["root", "range"])
def test_a_cold_image_that_64_processes_want_at_once_is_downloaded_and_unpacked_once(
    accounts: dict[str, Account],
    program: str,
    proxy: FaultyProxy,
    cold_image: str,
    kind: str,
    public_directory: str,
) -> None:
    directory = os.path.join(public_directory, f"umoci-{kind}")
    env = counting_umoci(directory, accounts[kind])
    with fresh_shim(accounts[kind], program) as shim:
        image = f"{proxy.host}/{cold_image}"
        done = wait_for_all([shim.start("exec", image, "metadata", env=env) for _ in range(PROCESSES)], 300)
        assert {code for code, _, _ in done} == {0}, next(each for each in done if each[0])
        assert len({out for _, out, _ in done}) == 1
        blobs = [request.path for request in proxy.requests("GET .*/blobs/")]
        assert len(blobs) == len(set(blobs)) == 2
        with open(os.path.join(directory, "calls"), encoding="ascii") as file:
            assert len(file.readlines()) == 1
        assert len(os.listdir(os.path.join(shim.root, "rootfs"))) == 1
        assert os.listdir(os.path.join(shim.root, "tmp")) == []
