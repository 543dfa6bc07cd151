"""A program of the shim's own that is killed is nobody's fault whom its task could name: it is run again."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from accounts import Account
from installed import Shim, fresh_shim
from script_images import METADATA, ScriptImage
from tweed_shim import idmap, schemas
from tweed_shim.errors import ContractError, HostError
from tweed_shim.idmap import IdMap, IdRange
from tweed_shim.image import credentials, store

SCHEMA = {"type": "string", "pattern": "^a*$"}


def killed_program(directory: str, name: str, number: int = signal.SIGKILL) -> str:
    """A program that is killed as soon as it has begun."""
    path = os.path.join(directory, name)
    Path(path).write_text(f"#!/bin/sh\nkill -{number} $$\n", encoding="ascii")
    os.chmod(path, 0o755)
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_killed_checker_of_schemas_is_not_blamed_on_the_image(number: signal.Signals) -> None:
    with schemas.Examiner() as examiner:
        examiner.start()
        while examiner._process.pid is None:
            assert examiner._process.hear()
        os.kill(examiner._process.pid, number)
        with pytest.raises(HostError, match=f"was ended by {number.name}; run it again"):
            examiner.faults(SCHEMA, b'"a"', what="the schema")
        assert examiner.faults(SCHEMA, b'"b"', what="the schema") != []


def test_a_schema_that_needs_too_much_memory_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = schemas._SERVE.replace("schemas.answer", "schemas._MOST_MEMORY = 200 << 20; schemas.answer")
    monkeypatch.setattr(schemas, "_SERVE", smaller)
    schema = {"type": "string", "pattern": "^((a)|(b))*$"}
    value = json.dumps("a" * 4_000_000).encode()
    with schemas.Examiner() as examiner, pytest.raises(ContractError, match="GiB of memory; its author"):
        examiner.faults(schema, value, what="the schema", vetted=True)


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
        idmap.remove_tree(IdMap("host"), str(tmp_path / "none"))
    ids = (IdRange(0, 0, 1),)
    with pytest.raises(InterruptedError) as refused:
        idmap.write_maps(os.getpid(), IdMap("range", ids, ids))
    assert str(store.disk_fault("/r", refused.value)) == "newuidmap was ended by signal 9; run it again"
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {"example.com": "x"}}), encoding="utf-8")
    config.chmod(stat.S_IRUSR | stat.S_IWUSR)
    with pytest.raises(HostError, match="was ended by signal 9: run it again"):
        credentials.find("example.com", "a", {"DOCKER_CONFIG": str(tmp_path), "PATH": os.environ["PATH"]})
