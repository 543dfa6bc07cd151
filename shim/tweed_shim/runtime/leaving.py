"""What process 1 of a sandbox (sandbox.py) does when the container has ended."""

import errno
import os
import time

from tweed_shim import files

CGROUP_PATIENCE = 200  # milliseconds
FEW = 64


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
            remove_empty_cgroup(directory)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(0.001)
        else:
            return


def remove_empty_cgroup(directory: str) -> None:
    """Remove a cgroup without processes, and those in it. Raises OSError."""
    with os.scandir(directory) as entries:
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in inner:
        remove_empty_cgroup(path)
    os.rmdir(directory)


def sync_tree(directory: str) -> None:
    """Bring all that is in a directory to the disk: a few files one by one, more of them with their file system.

    To sync 40,000 small files one by one takes minutes, and a file system with all that others write to it seconds.
    """
    few = _few_paths(directory)
    if few is None:
        files.sync_filesystem(directory)
        return
    for path in few:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _few_paths(directory: str) -> list[str] | None:
    """The files and directories in a directory, itself included; None for more than FEW, or a path too long to open."""
    found, ahead = [directory], [directory]
    try:
        while ahead:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    if len(found) > FEW:
                        return None
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if is_directory or entry.is_file(follow_symlinks=False):
                        found.append(entry.path)
                    if is_directory:
                        ahead.append(entry.path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None
    return found
