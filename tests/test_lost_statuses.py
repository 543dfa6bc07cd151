"""The program that embeds the shim may ignore SIGCHLD or wait for all children: what is told is true nevertheless."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from accounts import Account
from installed import Shim, fresh_shim
from script_images import METADATA, ScriptImage

TAKERS = {
    "ignores SIGCHLD": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "waits for all children": "threading.Thread(target=reap, daemon=True).start()",
}
HOST = """
import json, os, signal, sys, threading, time

def reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)

from tweed_shim import Shim
from tweed_shim.errors import ShimError

root, image, taker, work = sys.argv[1:]
exec(taker)
try:
    print(json.dumps({"result": eval(work)}, default=str))
except ShimError as error:
    print(json.dumps({"error": str(error), "kind": type(error).__name__}))
"""
METADATA_OF_IMAGE = "Shim(root).backend(image).metadata()"
CHECKED_SCHEMA = """
(lambda schemas: [
    schemas.strangers_faults({"type": "string"}, b"1", what="the schema", vetted=True),
    schemas.strangers_faults(
        {"pattern": "^(a|a)*$"}, b'"' + b"a" * 40 + b'b"', what="the schema", vetted=True, seconds=1
    ),
])(__import__("tweed_shim.schemas").schemas)
"""
TWO_COMMANDS = """
(lambda run, Command: [
    run(Command(["sh", "-c", "cat; exit 3"], stdin=b"x")).code,
    run(Command(["sh", "-c", "kill -9 $$"])).code,
    run(Command(["true"])).code,
])(*(getattr(__import__("tweed_shim.subprocesses").subprocesses, name) for name in ("run", "Command")))
"""


class Host(NamedTuple):
    """A program that embeds the shim, and the store that it uses."""

    shim: Shim
    taker: str

    def does(self, work: str, image: str = "", path: str = "") -> dict[str, object]:
        python = os.path.join(os.path.dirname(self.shim.program), "python")
        account = self.shim.account
        done = subprocess.run(
            [python, "-I", "-c", HOST, self.shim.root, image, self.taker, work],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd=os.path.dirname(self.shim.root),
            env={"HOME": account.home, "PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin"},
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def trees(self) -> list[str]:
        return [
            name for place in ("rootfs", "tmp") for name in os.listdir(os.path.join(self.shim.root, place))
        ]


@pytest.fixture(params=["root", "range", "single"])
def fresh(request: pytest.FixtureRequest, accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts[request.param], program) as shim:
        yield shim


@pytest.fixture(params=TAKERS)
def host(request: pytest.FixtureRequest, fresh: Shim) -> Host:
    return Host(fresh, TAKERS[request.param])


def half_umoci(directory: str, last: str) -> None:
    """A umoci that leaves half a tree."""
    os.mkdir(directory, 0o755)
    umoci = Path(directory, "umoci")
    umoci.write_text(f'#!/bin/sh\nfor dest; do :; done\nmkdir -p "$dest/bin"\necho "no whole tree"\n{last}\n')
    umoci.chmod(0o755)


@pytest.mark.parametrize("last", ["exit 1", "kill -9 $$"])
def test_an_image_that_is_not_unpacked_is_not_there_and_a_later_pull_gets_it(
    host: Host, script_image: ScriptImage, public_directory: str, last: str
) -> None:
    image = script_image(METADATA)
    path = os.path.join(public_directory, f"half-{os.urandom(4).hex()}")
    half_umoci(path, last)
    failed = host.does("Shim(root).pull(image)", image, path)
    assert failed.get("kind") in ("ImageError", "HostError"), failed
    assert ("ended by signal 9" if "kill" in last else "no whole tree") in str(failed["error"])
    assert host.trees() == []
    assert host.does(METADATA_OF_IMAGE, image)["result"] == {
        "backend": "tweed/v1",
        "name": "n",
        "version": "v",
    }


def test_a_failing_image_fails_and_another_does_not(host: Host, script_image: ScriptImage) -> None:
    failing = script_image("exit 7")
    failed = host.does(METADATA_OF_IMAGE, failing)
    assert failed["kind"] == "OperationFailed"
    assert "ended with exit code 7" in str(failed["error"])
    assert "result" in host.does(METADATA_OF_IMAGE, script_image(METADATA))


@pytest.mark.parametrize("fresh", ["root"], indirect=True)
def test_what_a_program_of_the_host_ends_with_is_known(host: Host) -> None:
    assert host.does(TWO_COMMANDS)["result"] == [3, -signal.SIGKILL, 0]


@pytest.mark.parametrize("fresh", ["root"], indirect=True)
def test_a_checker_of_schemas_that_needs_too_long_is_not_called_killed(host: Host) -> None:
    failed = host.does(CHECKED_SCHEMA)
    assert failed["kind"] == "ContractError"
    assert "within 1 s of processor time" in str(failed["error"])


@pytest.mark.parametrize("fresh", ["range"], indirect=True)
def test_ids_that_are_refused_are_not_taken_for_given(
    host: Host, script_image: ScriptImage, public_directory: str
) -> None:
    image = script_image(METADATA)
    path = os.path.join(public_directory, f"refusing-{os.urandom(4).hex()}")
    os.mkdir(path, 0o755)
    Path(path, "newuidmap").write_text("#!/bin/sh\nexit 1\n")
    os.chmod(f"{path}/newuidmap", 0o755)
    failed = host.does(METADATA_OF_IMAGE, image, path)
    assert failed["kind"] == "HostError"
    assert "refused the ids" in str(failed["error"])


@pytest.mark.parametrize("fresh", ["root"], indirect=True)
def test_a_status_that_nobody_knows_is_no_success(host: Host) -> None:
    kill = 'run(Command(["sh", "-c", "kill -9 $PPID; exec sleep 60"]))'
    names = (
        '(getattr(__import__("tweed_shim.subprocesses").subprocesses, name) for name in ("run", "Command"))'
    )
    failed = host.does(f"(lambda run, Command: {kill}.code)(*{names})")
    if host.taker == TAKERS["waits for all children"] and "result" in failed:
        # The thread came too late to take the status away: it is known, and no success.
        assert failed["result"] == -signal.SIGKILL
        return
    assert failed["kind"] == "HostError"
    assert "the program that embeds the shim took its exit status away" in str(failed["error"])
