"""Runs of a small container by each kind of caller, with directories of the host, and without an image."""

import json
import os
import shutil
import subprocess
from typing import Any, NamedTuple

import pytest

from installed import Shim
from tweed_shim.runtime.request import BUNDLE_SIZE

COMMANDS = (
    "sh cat chmod dd find head id ln ls mkdir mkfifo mv printf readlink rm seq sleep sort stat touch true wc"
)
# Reads a run as JSON from stdin, and runs it as a recorded run of a store.
PROGRAM = """
import json, sys
from tweed_shim.base.settings import Settings
from tweed_shim.errors import ShimError
from tweed_shim.runtime import container, host, recorded_run, security_options, spec
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.options import ContainerOptions
from tweed_shim.runtime.recorded_run import Job, Site
from tweed_shim.runtime.request import Mount, Process, Request
run = json.load(sys.stdin)
container.BUNDLE_SIZE = run["memory"]
try:
    here = host.inspect()
    options = ContainerOptions(userns=run["userns"], network="none", timeout=60)
    user = 0 if here.ids.kind == "single" else run["user"]
    process = Process(("/bin/sh", "-c", run["script"]), ("PATH=/bin",), user, user, (), "/")
    request = Request(
        run["rootfs"], process, options, security_options.resolve(options, here), home="/home",
        mounts=tuple(Mount(**mount) for mount in run["mounts"]), stdout="result", stderr="stdout", **run["request"],
    )
    spec.check_image(request, here, "the image")
    site = Site(Settings(run["root"], run["runtime"]), here, Console())
    _, outcome = recorded_run.run_recorded(request, Job("the image", {}), site)
    print(json.dumps({"code": outcome.code, "result": outcome.result.decode("latin-1"), "error": ""}))
except ShimError as error:
    code = getattr(error, "exit_code", 125)
    print(json.dumps({"code": code, "result": "", "error": f"{type(error).__name__}: {error}"}))
"""


class Ended(NamedTuple):
    """How a run ended: its exit code, what it printed, and the error that was raised."""

    code: int
    result: str
    error: str


class Runs(NamedTuple):
    """Runs of shell scripts in one store by one caller. directory: the caller's, for what the runs share."""

    shim: Shim
    directory: str

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def make(self, name: str) -> str:
        """Make an empty directory of the caller."""
        os.mkdir(self.path(name), 0o700)
        os.chown(self.path(name), self.shim.account.uid, self.shim.account.gid)
        return self.path(name)

    def python(self, program: str, data: object) -> subprocess.Popen[bytes]:
        """Start a program of Python as the caller, with this data as JSON on its stdin."""
        account = self.shim.account
        process = subprocess.Popen(
            [os.path.join(os.path.dirname(self.shim.program), "python"), "-I", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.shim.environment(),
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(data).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def start(
        self, script: str, *mounts: dict[str, Any], user: int = 0, memory: int = BUNDLE_SIZE, **request: Any
    ) -> subprocess.Popen[bytes]:
        """Start a script as a user of the container (always 0 for a caller with one id). mounts: fields of Mount."""
        data = {
            "root": self.shim.root,
            "rootfs": self.path("rootfs"),
            "runtime": self.shim.runtime,
            "userns": self.shim.userns,
            "script": script,
            "user": user,
            "mounts": mounts,
            "memory": memory,
            "request": request,
        }
        return self.python(PROGRAM, data)

    def run(self, script: str, *mounts: dict[str, Any], **values: Any) -> Ended:
        """Run a script to its end; values: as those of `start`."""
        with self.start(script, *mounts, **values) as process:
            out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b""), err
        return Ended(**json.loads(out))

    @property
    def has_several_ids(self) -> bool:
        """Whether containers of this caller have more than one id, so that a directory can belong to another."""
        return self.shim.account.kind != "single"

    def user(self, number: int) -> int:
        """The id of a user in a container of this caller: 0 where there is one id only."""
        return number if self.has_several_ids else 0


def mount(source: str, destination: str = "/shared", **fields: Any) -> dict[str, Any]:
    """The fields of a Mount."""
    return {"source": source, "destination": destination, **fields}


@pytest.fixture
def shared_runs(confined_shim: Shim) -> Runs:
    """Runs by each kind of caller, with and without --userns, with each OCI runtime."""
    runs = Runs(confined_shim, os.path.dirname(confined_shim.root))
    rootfs = runs.make("rootfs")
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp"):
        os.mkdir(os.path.join(rootfs, name))
    shutil.copy("/bin/busybox", os.path.join(rootfs, "bin"))
    for name in COMMANDS.split():
        os.symlink("busybox", os.path.join(rootfs, "bin", name))
    account = confined_shim.account
    for path, directories, files in os.walk(rootfs):
        os.chmod(path, 0o755)
        for each in (".", *directories, *files):
            os.chown(os.path.join(path, each), account.uid, account.gid, follow_symlinks=False)
    os.makedirs(confined_shim.root, 0o700)
    os.chown(confined_shim.root, account.uid, account.gid)
    return runs
