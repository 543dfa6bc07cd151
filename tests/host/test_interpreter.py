"""`sys.executable` is not always Python: programs that embed the shim in other ways than a plain script."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import Account
from installed import Shim, fresh_shim
from script_images import METADATA, ScriptImage

# What such a program would do if it were started as an interpreter: note that it was, which no test wants.
PROGRAM = "#!/bin/sh\necho started >> {}\nexec sleep 60\n"
HOST = """
import json, sys, threading

settings = json.loads(sys.argv[1])
sys.executable = settings["executable"]
if settings["frozen"]:
    # PyInstaller: all of these are the bundle.
    sys.frozen = True
    sys._base_executable = sys.executable
    sys.prefix = sys.base_prefix = sys.exec_prefix = settings["place"]
if settings["bare"]:
    sys._base_executable = None
    sys.prefix = sys.base_prefix = settings["place"]
# With a second thread, the sandbox is a program of its own, too.
threading.Thread(target=threading.Event().wait, daemon=True).start()

from tweed_shim import Shim
from tweed_shim.errors import ShimError
from tweed_shim.host import programs

if settings["hide"]:
    find = programs.find_program
    programs.find_program = lambda name: None if name.startswith("python") else find(name)
try:
    shim = Shim(settings["root"], **settings["arguments"])
    print(json.dumps({"result": shim.backend(settings["image"]).metadata()}))
except ShimError as error:
    print(json.dumps({"error": str(error), "kind": type(error).__name__}))
"""


class Host:
    """A program that embeds the shim, with an executable that is not Python's."""

    def __init__(self, shim: Shim, image: str, place: Path) -> None:
        self._shim = shim
        self._image = image
        self.place = place
        self.notes = place / "notes"

    def program(self, name: str) -> str:
        """The path of a program that is no interpreter."""
        path = self.place / name
        path.write_text(PROGRAM.format(self.notes))
        path.chmod(0o755)
        return str(path)

    def does(
        self,
        executable: str | None,
        *,
        frozen: bool = False,
        bare: bool = False,
        hide: bool = False,
        **arguments: str,
    ) -> dict[str, object]:
        python = os.path.join(os.path.dirname(self._shim.program), "python")
        settings = {
            "executable": executable,
            "frozen": frozen,
            "bare": bare,
            "hide": hide,
            "place": str(self.place),
            "root": self._shim.root,
            "image": self._image,
            "arguments": arguments,
        }
        done = subprocess.run(
            [python, "-I", "-c", HOST, json.dumps(settings)],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        )
        assert not self.notes.exists(), "the program was started again"
        found: dict[str, object] = json.loads(done.stdout)
        return found


@pytest.fixture
def host(
    accounts: dict[str, Account], program: str, script_image: ScriptImage, tmp_path: Path
) -> Iterator[Host]:
    with fresh_shim(accounts["root"], program) as shim:
        yield Host(shim, script_image(METADATA), tmp_path)


EXPECTED = {"result": {"backend": "tweed/v1", "name": "n", "version": "v"}}


@pytest.mark.parametrize("executable", [None, ""])
def test_a_program_without_an_executable_runs_images(host: Host, executable: str | None) -> None:
    assert host.does(executable) == EXPECTED


def test_a_server_that_is_no_python_runs_images(host: Host) -> None:
    assert host.does(host.program("uwsgi")) == EXPECTED


@pytest.mark.parametrize("name", ["app", "python-app"])
def test_a_frozen_program_runs_images_and_does_not_start_itself(host: Host, name: str) -> None:
    assert host.does(host.program(name), frozen=True) == EXPECTED


def test_without_an_interpreter_it_is_refused_in_one_sentence(host: Host) -> None:
    # The directories of a system are looked in whatever PATH says, and the host's have an interpreter.
    refused = host.does("", bare=True, hide=True)
    assert refused["kind"] == "HostError"
    assert str(refused["error"]).startswith("no Python interpreter is found")
    assert "argument python of Shim" in str(refused["error"])


def test_the_interpreter_can_be_named(host: Host) -> None:
    named = os.path.realpath(sys.executable)
    assert host.does(host.program("uwsgi"), bare=True, python=named) == EXPECTED


@pytest.mark.parametrize("name", ["uwsgi", "python3"])
def test_a_named_program_has_to_be_an_interpreter(host: Host, name: str) -> None:
    path = host.place / name
    path.write_text("#!/bin/sh\necho Python 2.7\n")
    path.chmod(0o755)
    refused = host.does("", python=str(path))
    assert refused["kind"] == "HostError"
    assert f"{path} is no Python interpreter of version 3.11 or newer" in str(refused["error"])
