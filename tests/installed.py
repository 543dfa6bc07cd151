"""Runs the installed program, as a package manager would install it, as any of the accounts."""

import glob
import importlib.metadata
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from accounts import Account, open_to_all
from leftovers import cgroups, process_owners, work_directory

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
END_SECONDS = 5


class Result(NamedTuple):
    """How the program ended (-N: by signal N) and what it wrote."""

    code: int
    out: bytes
    err: bytes


def done(result: Result) -> Result:
    """Check that a command has succeeded."""
    assert result.code == 0, result
    return result


def refusal(result: Result) -> str:
    """The one sentence with which the shim has refused a command."""
    assert (result.code, result.out) == (125, b""), result
    [line] = result.err.decode().splitlines()
    assert line.startswith("tweed-shim: ")
    return line


class Shim(NamedTuple):
    """The installed program with a store of its own, run as one account in a clean environment.

    runtime: the OCI runtime that it uses. userns: whether everything that runs an image is called with --userns.
    wrapper: a command that starts the program, which follows as its arguments.
    """

    account: Account
    root: str
    program: str
    runtime: str = "runc"
    userns: bool = False
    wrapper: tuple[str, ...] = ()

    def command(self, *args: str) -> list[str]:
        runs_images = args[:1] in (("exec",), ("spec",), ("bundle",), ("shell",)) or args[:2] == (
            "toi",
            "bootstrap",
        )
        more = ("--userns",) if self.userns and runs_images else ()
        # What stands after `--` is not for the shim.
        end = args.index("--") if "--" in args else len(args)
        own, program = args[:end], args[end:]
        return [
            *self.wrapper,
            self.program,
            "--root",
            self.root,
            "--runtime",
            self.runtime,
            *own,
            *more,
            *program,
        ]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": SYSTEM_PATH,
            "HOME": self.account.home,
            "LANG": "C.UTF-8",
            "USER": self.account.name,
        }

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start the program, its stdout and stderr being pipes; the caller waits for it."""
        return subprocess.Popen(
            self.command(*args),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment() | dict(env or {}),
            cwd=os.path.dirname(self.root),
            user=self.account.uid,
            group=self.account.gid,
            extra_groups=[],
            start_new_session=True,
        )

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Result:
        """Run the program to its end; raises subprocess.TimeoutExpired where that takes `timeout` seconds."""
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        with self.start(*args, env=env, stdin=source) as process:
            try:
                out, err = process.communicate(stdin, timeout)
            except BaseException:
                process.kill()
                raise
        return Result(process.returncode, out, err)


def _copy_distribution(name: str, site: str) -> None:
    distribution = importlib.metadata.distribution(name)
    for file in distribution.files or []:
        target = os.path.join(site, file)
        # What lies outside are the scripts of a dependency, which nobody calls here.
        if ".." not in file.parts and os.path.exists(file.locate()):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(file.locate(), target)


def _with_dependencies(requirements: list[str]) -> set[str]:
    found: set[str] = set()
    while requirements:
        requirement = Requirement(requirements.pop())
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name not in found:
            found.add(requirement.name)
            requirements += importlib.metadata.requires(requirement.name) or []
    return found


def install(directory: str, sources: str) -> str:
    """Install the package into a new virtual environment; returns the program's path.

    The checkout, and the environment that pytest runs in, may lie where no other user can look. So the
    package is built and installed anew from the sources as they are, and its dependencies are copied.
    """
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.pop("PYTHONPATH", None)

    def run(*arguments: str) -> None:
        subprocess.run(arguments, check=True, env=environment, stdin=subprocess.DEVNULL)

    pip = (sys.executable, "-m", "pip", "--quiet")

    os.mkdir(sources)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(os.path.join(PROJECT, name), sources)
    shutil.copytree(os.path.join(PROJECT, "man"), os.path.join(sources, "man"))
    shutil.copytree(
        os.path.join(PROJECT, "shim"),
        os.path.join(sources, "shim"),
        ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"),
    )
    run(os.path.realpath(sys.executable), "-m", "venv", "--without-pip", directory)
    python = os.path.join(directory, "bin", "python")
    wheels = os.path.join(sources, "wheels")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", wheels, sources)
    [wheel] = glob.glob(os.path.join(wheels, "*.whl"))
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    [site] = glob.glob(os.path.join(directory, "lib", "python3*", "site-packages"))
    [installed] = importlib.metadata.distributions(name="tweed-shim", path=[site])
    for name in _with_dependencies(installed.requires or []):
        _copy_distribution(name, site)
    run(python, "-m", "compileall", "-q", site)
    open_to_all(directory)
    return os.path.join(directory, "bin", "tweed-shim")


@pytest.fixture(scope="session")
def program(public_directory: str) -> str:
    """The path of the installed `tweed-shim`, which every user may run."""
    with tempfile.TemporaryDirectory() as scratch:
        return install(os.path.join(public_directory, "venv"), os.path.join(scratch, "sources"))


def mentions(path: str, text: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return text in file.read()
    except OSError:
        # The process has ended, or is about to.
        return False


def processes(root: str, account: Account) -> list[int]:
    """Those that work with a store, by their command line or their mounts, and all that the account has."""
    text = os.fsencode(root)
    return [
        pid
        for pid, uid in process_owners().items()
        if pid != os.getpid()
        and (
            (uid != 0 and account.owns(uid))
            or mentions(f"/proc/{pid}/cmdline", text)
            or mentions(f"/proc/{pid}/mountinfo", text)
        )
    ]


def survivors(pids: list[int]) -> list[int]:
    """Those that go on; what something is ending just now is given END_SECONDS, all together."""
    deadline = time.monotonic() + END_SECONDS
    found = []
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
                found.append(pid)
        finally:
            os.close(fd)
    return found


def describe(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return f"{pid}: {file.read()!r}"
    except OSError:
        return f"{pid}"


def hear_signals() -> None:
    """Undo that whoever started the tests (nohup, a shell's &) ignores signals: the program would inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@contextmanager
def fresh_shim(
    account: Account, program: str, *, runtime: str = "runc", userns: bool = False
) -> Iterator[Shim]:
    """The program with an empty store; afterwards nothing of it may be left, and the store is removed."""
    hear_signals()
    with work_directory() as directory:
        os.chown(directory, account.uid, account.gid)
        root = os.path.join(directory, "store")
        yield Shim(account, root, program, runtime, userns)
        # First, because every process sees the mounts of its namespace.
        assert not mentions("/proc/self/mountinfo", os.fsencode(directory)), "a mount is left"
        left = [describe(pid) for pid in survivors(processes(directory, account))]
        assert not left, "processes are left"
        assert not cgroups(root), "control groups are left"


@pytest.fixture
def shim(account: Account, program: str) -> Iterator[Shim]:
    """The installed program with an empty store, run as each of the accounts in turn."""
    with fresh_shim(account, program) as fresh:
        yield fresh


def runtimes() -> list[str]:
    """The OCI runtimes to attack: the system's runc, and those that `$TWEED_TEST_RUNTIMES` lists (paths, by `:`)."""
    more = os.environ.get("TWEED_TEST_RUNTIMES", "")
    return ["runc", *filter(None, more.split(":"))]


@pytest.fixture(params=runtimes(), ids=os.path.basename)
def runtime(request: pytest.FixtureRequest) -> str:
    """Each of the OCI runtimes in turn."""
    found: str = request.param
    return found


@pytest.fixture(params=["root", "root-userns", "range", "single"])
def confined_shim(
    request: pytest.FixtureRequest, accounts: dict[str, Account], program: str, runtime: str
) -> Iterator[Shim]:
    """The installed program in each way that it confines an image: by each caller, with --userns, by each runtime."""
    kind, _, userns = request.param.partition("-")
    if userns:
        request.getfixturevalue("userns_ids")
    with fresh_shim(accounts[kind], program, runtime=runtime, userns=bool(userns)) as fresh:
        yield fresh
