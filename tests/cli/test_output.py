"""A result that cannot be written is an error, whichever command prints it."""

import os
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from accounts import Account
from components import Local, component, make_archive
from installed import Shim, fresh_shim
from layouts import build_layout
from script_images import METADATA
from toi_packages import executor, package

IMAGE = f"case $1 in metadata) {METADATA} ;; setup) echo 'A: b' ;; esac"
APP = "example.com/app"
# Each prints something in a store of one image, cloud and interaction.
# IMAGE, ARCHIVE and FILE stand for what the fixture makes.
COMMANDS = [
    "--help",
    "--version",
    "exec --help",
    "pull IMAGE",
    "exec IMAGE metadata",
    "exec IMAGE metadata --format json",
    "exec IMAGE setup --replace",
    "exec IMAGE setup --replace --format shell",
    "environment",
    "environment --format json",
    "spec IMAGE setup",
    "images",
    "images --json",
    "gc --json",
    "clouds",
    "clouds --json",
    "logs",
    "logs 1 --json",
    "doctor",
    "doctor --json",
    "version",
    f"ocm get ARCHIVE//{APP}",
    f"ocm get ARCHIVE//{APP} --json",
    f"ocm resources ARCHIVE//{APP}",
    f"ocm download ARCHIVE//{APP} executor -O -",
    "spiff merge FILE",
    "spiff run FILE FILE",
    "spiff diff FILE FILE",
    "spiff convert FILE",
    f"toi describe ARCHIVE//{APP}",
    f"toi describe ARCHIVE//{APP} --json",
]


class Ready(NamedTuple):
    """A store with an interaction, and the words that stand for files."""

    shim: Shim
    words: dict[str, str]


@pytest.fixture(scope="module")
def ready(accounts: dict[str, Account], program: str, public_directory: str) -> Iterator[Ready]:
    directory = os.path.join(public_directory, "unwritten")
    os.mkdir(directory)
    build_layout(os.path.join(directory, "image"), files={"entrypoint": f"#!/bin/sh\n{IMAGE}\n"})
    path = os.path.join(directory, "file.yaml")
    with open(path, "w", encoding="ascii") as file:
        file.write("a: 1\n")
    content = package({"executors": [{"image": {"ref": "x"}, "actions": ["install"]}]})
    archive = make_archive(
        os.path.join(directory, "archive"),
        component(APP, "1.0.0", [content, executor({"image": {"ref": "x"}}), Local("plain", b"text")]),
    )
    with fresh_shim(accounts["root"], program) as shim:
        words = {"IMAGE": f"oci:{directory}/image", "ARCHIVE": archive, "FILE": path}
        for operation in ("configure", "setup"):
            assert shim.run("exec", words["IMAGE"], operation, stdin=b"{}").code == 0
        yield Ready(shim, words)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_result_that_cannot_be_written_is_an_error(ready: Ready, line: str) -> None:
    shim, words = ready
    for name, value in words.items():
        line = line.replace(name, value)
    command = [shim.program, "--root", shim.root, *line.split()]

    def run(*how: str) -> subprocess.CompletedProcess[bytes]:
        environment = {**shim.environment(), "OCM_CONFIG": "None"}
        return subprocess.run([*how, *command], env=environment, capture_output=True, check=False)

    assert run().stdout, "the command prints nothing: it says nothing about what cannot be printed"
    for redirection in (">/dev/full", ">&-"):
        done = run("bash", "-c", f'exec "$@" {redirection}', "bash")
        assert done.returncode == 125, done
        said = done.stderr.decode()
        assert "tweed-shim: the output cannot be written" in said
        assert "send it" in said
        assert "Traceback" not in said
