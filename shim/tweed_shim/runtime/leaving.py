"""What process 1 of a sandbox (sandbox.py) does when the container has ended."""

import errno
import os
import stat
import time

CGROUP_PATIENCE = 200  # milliseconds


def _cgroups(path: str) -> list[str]:
    if not path:
        return []
    base = "/sys/fs/cgroup"
    hierarchies = [base, *(entry.path for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False))]
    found = (os.path.join(hierarchy, path) for hierarchy in hierarchies)
    return [each for each in found if os.path.isdir(each)]


def leave_cgroups(path: str) -> bool:
    """Remove `path` from each cgroup hierarchy; whether the kernel ended a process of it for want of memory."""
    oom = False
    for directory in _cgroups(path):
        for name in ("memory.events", "memory.oom_control"):
            try:
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    oom = oom or any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in file)
            except OSError:
                continue
        remove_cgroup(directory)
    return oom


def remove_cgroup(directory: str) -> None:
    """Remove the cgroup of processes that have ended, or are about to; what stays, the next run sweeps."""
    # The kernel takes a moment to notice that the last process has left.
    for _ in range(CGROUP_PATIENCE):
        try:
            os.rmdir(directory)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(0.001)
        else:
            return


def sync_tree(directory: str) -> None:
    """Have all that is in a directory on disk."""
    for path, _, names in os.walk(directory):
        for name in names:
            file = os.path.join(path, name)
            if stat.S_ISREG(os.lstat(file).st_mode):
                _sync(file, os.O_RDONLY | os.O_NOFOLLOW)
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
