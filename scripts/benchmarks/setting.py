"""What the cases need: users, an installed shim, registries with the images, and fresh file systems."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from accounts import Account, made_accounts
from benchmarks.images import Bundle, prepare
from installed import SYSTEM_PATH, install
from servers import running_registry

# `single` differs from `range` in how ids are mapped only.
KINDS = ("root", "range")
DISK = 24 << 30


class Failed(Exception):
    """A measured program did not do what it was to do; the message is what it said."""


class Place(NamedTuple):
    """Where a user's programs work. directory: the user's own and empty at first; its path is short."""

    account: Account
    directory: str

    def environment(self) -> dict[str, str]:
        """What the programs find: nothing of ours."""
        return {
            "PATH": SYSTEM_PATH,
            "HOME": self.directory,
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": self.directory,
        }

    def options(self) -> dict[str, Any]:
        """How subprocess starts a program as the user."""
        user = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return {"env": self.environment(), "cwd": self.directory, **(user if self.account.uid else {})}

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a program as the user; its output is thrown away unless `options` say otherwise."""
        quiet = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        return subprocess.Popen(command, **self.options(), **(quiet | options))

    def run(self, command: Sequence[str]) -> None:
        """Run a program as the user. Raises Failed."""
        with self.start(command) as process:
            code = process.wait()
        if code != 0:
            # Once more, to hear what it says: a pipe for every run would be a part of the measured time.
            said = self.output(["sh", "-c", '"$@" 2>&1 || true', "sh", *command])
            raise Failed(f"{' '.join(command)} ended with {code}: {said}")

    def output(self, command: Sequence[str], *, stdin: bytes = b"") -> str:
        """What a program prints. Raises Failed."""
        with self.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None) as process:
            printed = process.communicate(stdin)[0].decode(errors="replace").strip()
        if process.returncode != 0:
            raise Failed(f"{command[0]} ended with {process.returncode}; what it said is above")
        return printed


class Setting(NamedTuple):
    """What a case is given. program: the installed shim. cache: where the images are.

    rounds: how many turns were asked for, None for the case's own number.
    """

    account: Account
    program: str
    cache: str
    rounds: int | None

    @property
    def python(self) -> str:
        """The interpreter that the shim is installed in."""
        return os.path.join(os.path.dirname(self.program), "python")

    def shim(self, place: Place, *arguments: str) -> list[str]:
        """The command line of the shim with its store in a place."""
        return [self.program, "--root", os.path.join(place.directory, "store"), *arguments]


@contextmanager
def serving(setting: Setting, bundle: Bundle) -> Iterator[str]:
    """A registry that has the image; yields its reference."""
    with running_registry(prepare(setting.cache, bundle)) as port:
        yield f"127.0.0.1:{port}/bench:{bundle.name}"


@contextmanager
def own_directory(account: Account) -> Iterator[Place]:
    """A place that is removed at the end of the block."""
    # Short, for podman.
    path = tempfile.mkdtemp(prefix="tsb-", dir="/var/tmp")
    os.chown(path, account.uid, account.gid)
    try:
        yield Place(account, path)
    finally:
        shutil.rmtree(path)


@contextmanager
def fresh_disk(account: Account) -> Iterator[Place]:
    """A place on a file system of its own, which nobody has worked on.

    On one where many files were removed a moment ago it takes ext4 up to four times as long to make new ones: what
    one contender leaves would be paid by the next.
    """
    with ExitStack() as stack:
        place = stack.enter_context(own_directory(account))
        image = f"{place.directory}.disk"
        stack.callback(os.unlink, image)
        with open(image, "wb") as file:
            file.truncate(DISK)
        run = _quietly
        run("mkfs.ext4", "-q", image)
        # The page cache of the file would be a second one, and flatter who writes least through the first.
        device = run("losetup", "--find", "--show", "--direct-io=on", image)
        stack.callback(run, "losetup", "--detach", device)
        run("mount", "-o", "noinit_itable", device, place.directory)
        # Lazily: what podman leaves to tidy up may still be at it.
        stack.callback(run, "umount", "--recursive", "--lazy", place.directory)
        os.chown(place.directory, account.uid, account.gid)
        os.chmod(place.directory, 0o700)
        yield place


def _quietly(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextmanager
def settings(cache: str, kinds: Sequence[str], rounds: int | None) -> Iterator[list[Setting]]:
    """What the cases need, for each kind of account; all is gone at the end but the cache."""
    os.makedirs(cache, exist_ok=True)
    with ExitStack() as stack:
        public = stack.enter_context(tempfile.TemporaryDirectory(prefix="tweed-shim-bench-", dir="/var/tmp"))
        os.chmod(public, 0o755)
        sources = stack.enter_context(tempfile.TemporaryDirectory())
        program = install(os.path.join(public, "venv"), os.path.join(sources, "sources"))
        accounts = stack.enter_context(made_accounts(public))
        yield [Setting(accounts[kind], program, cache, rounds) for kind in kinds]
