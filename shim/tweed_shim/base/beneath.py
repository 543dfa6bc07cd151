"""Open files below a directory with untrusted content, and never one outside of it.

Archives in directory form, image layouts and the like hold symbolic links of their maker's choice. A link that stays
below the directory is followed. An absolute link is refused, and so is `..` above the directory: openat2(2) has these
rules as RESOLVE_BENEATH, and the tests compare the two.

openat2(2) itself is not called. It needs ctypes, whose import takes longer than all else that a warm `exec` reads of a
layout, and kernels before 5.6 need what is here anyway. This is as safe against somebody who renames while it walks:
every directory on the way is held open and entered with O_NOFOLLOW, and `..` goes back to a descriptor that is held.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

MOST_LINKS = 40  # as many as the kernel follows: path_resolution(7)
DEEPEST = 100  # directories on the way, each of which takes one of the process's descriptors
_ENTER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(directory: str, path: str) -> int:
    """Open a regular file below a directory for reading, and return its descriptor. Never waits for a pipe.

    Raises FileNotFoundError where there is none or something else, OSError with EXDEV where the path leads out of the
    directory, and other kinds of OSError as open(2) does.
    """
    with _resolved(directory, path) as (parent, name):
        # Anything else is not even opened, because that is enough to start some devices.
        _check_regular(os.stat(name, dir_fd=parent, follow_symlinks=False), path)
        fd = os.open(name, _READ, dir_fd=parent)
    try:
        _check_regular(os.fstat(fd), path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_directory(directory: str, path: str) -> int:
    """Open a directory below another one, and return its descriptor for listings and as `dir_fd`.

    Raises OSError, with EXDEV where the path leads out.
    """
    with _resolved(directory, path) as (parent, name):
        return os.open(name, _READ | os.O_DIRECTORY, dir_fd=parent)


def _check_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)


@contextmanager
def _resolved(directory: str, path: str) -> Iterator[tuple[int, str]]:
    """Follow a path, all but its last step: yields an open directory and a name in it that is no link."""
    held = [os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        yield _walk(held, path)
    finally:
        for fd in held:
            os.close(fd)


def _walk(held: list[int], path: str) -> tuple[int, str]:
    """Do the work of `_resolved`. held: the descriptors from the top directory down to the present one."""
    ahead, links = _steps(path), 0
    while True:
        step = ahead.pop()
        if step == "..":
            if len(held) == 1:
                raise _leads_out(path)
            os.close(held.pop())
            step = "."
        target = _link_target(step, held[-1])
        if target is not None:
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            ahead += _steps(target)
        elif not ahead:
            return held[-1], step
        elif len(held) > DEEPEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        elif step != ".":
            held.append(os.open(step, _ENTER, dir_fd=held[-1]))


def _steps(path: str) -> list[str]:
    """Return the names that a path consists of, the last one first. A path to a directory (`a/`) ends with `.`."""
    if path.startswith("/"):
        raise _leads_out(path)
    names = path.split("/")
    steps = [name for name in names if name not in ("", ".")]
    if names[-1] in ("", "."):
        steps.append(".")
    return steps[::-1]


def _link_target(name: str, directory: int) -> str | None:
    """Return the target of a symbolic link, None for anything else that is there."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _leads_out(path: str) -> OSError:
    return OSError(errno.EXDEV, "a link leads out of the directory", path)
