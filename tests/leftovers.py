"""Directories on a real disk for what tests make, and the sweep of what killed test runs left.

Beside such a directory is a file. The process that made both holds its lock (flock(2)) until the process ends. So where
nobody has the lock, a run is dead. The next run removes the directory, with the processes, mounts, control groups and
users that belong to it. A user belongs to the directory that the user's home is in. The directory itself is not locked,
because the program locks directories that it is given.
"""

import fcntl
import os
import pwd
import select
import signal
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import glob

DISK = "/var/tmp"
# Of the tests' own, because `sweep` removes what has such a name and no lock.
PREFIX = "tweed-tests-"
GRANTS = ("/etc/subuid", "/etc/subgid")
LOCK = ".lock"
END_SECONDS = 10


@contextmanager
def work_directory(*, mode: int = 0o700, disk: str = DISK) -> Iterator[str]:
    """Make an empty directory for the length of a block; where the block fails, end first what works with it."""
    lock_file, lock = _locked_file(disk)
    path = lock_file.removesuffix(LOCK)
    try:
        os.mkdir(path)
        os.chmod(path, mode)
        yield path
    except BaseException:
        end_work(path)
        raise
    finally:
        subprocess.run(["rm", "-rf", path], check=True)
        os.unlink(lock_file)
        os.close(lock)


def _locked_file(disk: str) -> tuple[str, int]:
    while True:
        lock, path = tempfile.mkstemp(prefix=PREFIX, suffix=LOCK, dir=disk)
        # A sweep of another run may come between the file and its lock.
        fcntl.flock(lock, fcntl.LOCK_SH)
        if _is_at(lock, path):
            return path, lock
        os.close(lock)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def process_owners() -> dict[int, int]:
    """Return the real uid of every living process, by pid."""
    owners = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = dict(line.split(":", 1) for line in read(f"/proc/{name}/status").splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if status["State"].split()[0] != "Z":
            owners[int(name)] = int(status["Uid"].split()[0])
    return owners


def descendants(pid: int) -> dict[int, str]:
    """What a process has started, and what that has, and so on: the names of those that live, by pid."""
    parents, names = {}, {}
    for each in filter(str.isdigit, os.listdir("/proc")):
        with suppress(FileNotFoundError, ProcessLookupError):
            name, _, rest = read(f"/proc/{each}/stat").partition(" (")[2].rpartition(") ")
            state, parent = rest.split()[:2]
            if state != "Z":
                parents[int(each)], names[int(each)] = int(parent), name
    found, level = dict[int, str](), {pid}
    while level := {child for child, parent in parents.items() if parent in level}:
        found |= {child: names[child] for child in level}
    return found


def cgroups(root: str) -> list[str]:
    """Return the control groups of the runs of one store; their names tell the store."""
    name = f"tweed-shim-{zlib.crc32(os.fsencode(root)):08x}-*"
    return glob(f"/sys/fs/cgroup/{name}") + glob(f"/sys/fs/cgroup/*/{name}")


def kill(pids: list[int]) -> None:
    """Kill processes and wait until they have ended, END_SECONDS for each at most."""
    for pid in pids:
        with suppress(ProcessLookupError):
            end = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(end, signal.SIGKILL)
                select.select([end], [], [], END_SECONDS)
            finally:
                os.close(end)


def end_work(directory: str) -> None:
    """Kill the processes that work with a store in a directory, and remove their control groups.

    Their command lines and their control groups tell them. Their mounts would not: where a small disk is mounted in the
    directory, every process of the mount namespace has its name in /proc/PID/mountinfo.
    """
    text = os.fsencode(directory)
    kill([pid for pid in process_owners() if pid != os.getpid() and text in _command_line(pid)])
    for root in (f"{directory}/store", f"{directory}/disk/store"):
        for group in cgroups(root):
            with suppress(OSError):
                kill([int(pid) for pid in read(f"{group}/cgroup.procs").split()])
                os.rmdir(group)


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def remove_user(name: str, uids: list[range]) -> None:
    """Remove a user, and kill the processes that have any of the user's ids."""
    kill([pid for pid, uid in process_owners().items() if any(uid in each for each in uids)])
    # Not `userdel --remove`: it leaves a home that holds files of subordinate ids.
    subprocess.run(["userdel", "--force", name], check=True, stderr=subprocess.DEVNULL)


def sweep(disk: str = DISK) -> list[str]:
    """Remove what dead runs left on a disk; returns the directories that were theirs. Takes root."""
    return [path.removesuffix(LOCK) for path in glob(f"{disk}/{PREFIX}*{LOCK}") if _swept(path)]


def _swept(lock_file: str) -> bool:
    try:
        lock = os.open(lock_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # another sweep was faster
    directory = lock_file.removesuffix(LOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(lock, lock_file):
            return False
        _remove(directory)
        # What cannot be removed now is left to the next sweep, and does not stop the tests.
        if not os.path.lexists(directory):
            os.unlink(lock_file)
        return True
    except BlockingIOError:
        return False  # its run goes on
    finally:
        os.close(lock)


def _remove(directory: str) -> None:
    end_work(directory)
    for user in pwd.getpwall():
        if user.pw_dir.startswith(f"{directory}/"):
            remove_user(user.pw_name, [range(user.pw_uid, user.pw_uid + 1), *_granted(user.pw_name)])
    for line in reversed(read("/proc/self/mountinfo").splitlines()):
        mount_point = line.split()[4]
        if mount_point.startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", mount_point], check=True)
    # Not shutil.rmtree: tests make trees that are deeper than Python's recursion may be.
    subprocess.run(["rm", "-rf", directory], stderr=subprocess.DEVNULL, check=False)


def _granted(name: str) -> list[range]:
    """Return the ranges of subordinate ids of a user."""
    fields = (line.split(":") for path in GRANTS for line in read(path).split())
    return [range(int(start), int(start) + int(count)) for owner, start, count in fields if owner == name]
