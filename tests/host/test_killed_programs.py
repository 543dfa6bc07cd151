"""A program of the shim that is killed is not blamed on the image or the host: the message says to run it again."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from accounts import Account
from installed import Shim, fresh_shim
from script_images import METADATA, ScriptImage
from tweed_shim.errors import HostError
from tweed_shim.host import owned_trees, userns
from tweed_shim.host.userns import IdMap, IdRange
from tweed_shim.image import store, stored_credentials


def killed_program(directory: str, name: str, number: int = signal.SIGKILL) -> str:
    """A program that is killed as soon as it has begun."""
    path = os.path.join(directory, name)
    Path(path).write_text(f"#!/bin/sh\nkill -{number} $$\n", encoding="ascii")
    os.chmod(path, 0o755)
    return path


@pytest.fixture
def on_path(public_directory: str) -> str:
    """A directory of programs that all users may run, to be named first on PATH."""
    directory = os.path.join(public_directory, f"killed-{os.urandom(4).hex()}")
    os.mkdir(directory, 0o755)
    return directory


def test_a_killed_runtime_is_not_blamed_on_the_image(
    shim: Shim, script_image: ScriptImage, on_path: str
) -> None:
    killed = shim._replace(runtime=killed_program(on_path, "runtime"))
    done = killed.run("exec", script_image(METADATA), "metadata")
    assert done.code == 125
    assert b"the runtime was ended by signal 9); run it again" in done.err
    assert b"of the image" not in done.err


@pytest.mark.parametrize(("kind", "name"), [("root", "pasta"), ("range", "pasta"), ("range", "newuidmap")])
def test_a_killed_tool_is_not_blamed_on_the_host(
    kind: str,
    name: str,
    accounts: dict[str, Account],
    program: str,
    script_image: ScriptImage,
    on_path: str,
) -> None:
    image = script_image(f"case $1 in metadata) {METADATA};; configure) :;; esac")
    path = f"{on_path}:{os.environ['PATH']}"
    with fresh_shim(accounts[kind], program) as shim:
        assert shim.run("exec", image, "metadata").code == 0
        killed_program(on_path, name)
        done = shim.run(*("exec", image, "configure", "--network", "pasta"), stdin=b"{}", env={"PATH": path})
    assert done.code == 125
    assert f"{name} was ended by signal 9); run it again".encode() in done.err


def test_killed_removers_and_credential_programs_say_run_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    killed_program(str(tmp_path), "rm")
    killed_program(str(tmp_path), "newuidmap")
    killed_program(str(tmp_path), "docker-credential-x")
    with pytest.raises(HostError, match="rm was ended by signal 9; run it again"):
        owned_trees.remove_tree(IdMap("host"), str(tmp_path / "none"))
    ids = (IdRange(0, 0, 1),)
    with pytest.raises(InterruptedError) as refused:
        userns.write_maps(os.getpid(), IdMap("range", ids, ids))
    assert str(store.disk_fault("/r", refused.value)) == "newuidmap was ended by signal 9; run it again"
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {"example.com": "x"}}), encoding="utf-8")
    config.chmod(stat.S_IRUSR | stat.S_IWUSR)
    with pytest.raises(HostError, match="was ended by signal 9: run it again"):
        stored_credentials.find(
            "example.com", "a", {"DOCKER_CONFIG": str(tmp_path), "PATH": os.environ["PATH"]}
        )
