"""The work of process 1 of a sandbox (sandbox.py) when the container has ended: control groups and syncing."""

import errno
import os
import time

from tweed_shim.base import files

REMOVAL_ATTEMPTS = 200  # one a millisecond
FEW = 64  # files that are synced one by one


def _cgroups(path: str) -> list[str]:
    """Return the directories of a control group, one for each hierarchy that has it."""
    if not path:
        return []
    base = "/sys/fs/cgroup"
    hierarchies = [base, *(entry.path for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False))]
    directories = (os.path.join(hierarchy, path) for hierarchy in hierarchies)
    return [each for each in directories if os.path.isdir(each)]


def leave_cgroups(path: str) -> bool:
    """Remove `path` from each cgroup hierarchy; return whether the kernel killed a process of it for want of memory."""
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
    """Remove a cgroup whose processes have ended, or are about to. Where that fails, the next run sweeps it."""
    # A process that was killed leaves its group a moment later; until then rmdir(2) answers EBUSY.
    for _ in range(REMOVAL_ATTEMPTS):
        try:
            remove_empty_cgroup(directory)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(0.001)
        else:
            return


def remove_empty_cgroup(directory: str) -> None:
    """Remove a cgroup without processes, and the groups in it. Raises OSError."""
    with os.scandir(directory) as entries:
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in inner:
        remove_empty_cgroup(path)
    os.rmdir(directory)


def sync_tree(directory: str) -> None:
    """Sync all that is in a directory to the disk: a few files one by one, more of them with their whole file system.

    40,000 small files take minutes one by one. A whole file system takes seconds, with all that others write to it.
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
    """Return a directory and all that is in it; None for more than FEW paths, or for one that is too long to open."""
    paths, ahead = [directory], [directory]
    try:
        while ahead:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    if len(paths) > FEW:
                        return None
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if is_directory or entry.is_file(follow_symlinks=False):
                        paths.append(entry.path)
                    if is_directory:
                        ahead.append(entry.path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None
    return paths
