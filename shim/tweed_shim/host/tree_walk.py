"""Walk a directory tree by descriptors: however deep it is, whatever its names are, and never through a link.

A path can be too long for the kernel, and another name on the way can become a link. So each directory is opened below
its parent with O_NOFOLLOW, and the way back is `..`, which has to be the directory that it was. One descriptor is open
at a time. Processes of a sandbox walk, too: see runtime/sandbox.py for what may not enter here.
"""

import errno
import os
import stat
from collections.abc import Generator, Iterator

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What a step of a walk is: before a directory is entered, after it has been left, anything else than a directory.
ENTER, LEAVE, OTHER = range(3)
# The step, an open directory, a name in it, and the status of that. The walk closes the descriptor after the step.
Step = tuple[int, int, str, os.stat_result]


def walk(top: int) -> Iterator[Step]:
    """Yield the steps of a walk through all that is below an open directory. The caller may change it at each step.

    Raises OSError, with ESTALE where somebody else has changed a directory on the way.
    """
    current = os.open(".", OPEN, dir_fd=top)
    # For each directory on the way: its parent, its name and status, and the directories that its parent has left.
    way: list[tuple[os.stat_result, str, os.stat_result, list[tuple[str, os.stat_result]]]] = []
    try:
        ahead = yield from _others(current)
        while ahead or way:
            if ahead:
                name, status = ahead.pop()
                yield ENTER, current, name, status
                way.append((os.fstat(current), name, status, ahead))
                current = _moved(current, name, status)
                ahead = yield from _others(current)
            else:
                parent, name, status, ahead = way.pop()
                current = _moved(current, "..", parent)
                yield LEAVE, current, name, status
    finally:
        os.close(current)


def owner_readable(mode: int) -> int:
    """Return the permissions of a file or a directory, with those that its owner needs to read it.

    The set-id bits are not among them: what gets another owner must not act for that one.
    """
    return mode & 0o1777 | (0o500 if stat.S_ISDIR(mode) else 0o400)


def _others(directory: int) -> Generator[Step, None, list[tuple[str, os.stat_result]]]:
    """Yield a step for each entry of a directory that is none itself; return the names and statuses of the others."""
    inner = []
    with os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                inner.append((entry.name, status))
            else:
                yield OTHER, directory, entry.name, status
    return inner


def _moved(current: int, name: str, expected: os.stat_result) -> int:
    """Close a directory and return the one that has a name in it, which has to have this status."""
    new = os.open(name, OPEN, dir_fd=current)
    if not os.path.samestat(os.fstat(new), expected):
        os.close(new)
        raise OSError(errno.ESTALE, "a directory has been replaced", name)
    os.close(current)
    return new
