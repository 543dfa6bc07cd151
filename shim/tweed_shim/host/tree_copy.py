"""Copy a directory tree by descriptors (tree_walk.py): however deep it is, and never through a link.

Processes of a sandbox copy, too: see runtime/sandbox.py for what may not enter here.
"""

import errno
import os
import stat

from tweed_shim.host.tree_walk import ENTER, LEAVE, OPEN, owner_readable, walk

READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy(source: str, target: str, user: tuple[int, int]) -> None:
    """Copy all that is below a directory to an empty one, `target`, for a user (uid and gid).

    Modes and times are those of the originals, but that the user can read everything, and no set-id bit is copied.
    Links are copied as they are. Devices, pipes and sockets are left out, and each hard link is a file of its own.
    """
    original = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # The directory of the copy that the walk through the original is in.
    current = os.open(target, OPEN)
    try:
        for step, parent, name, status in walk(original):
            if step == ENTER:
                os.mkdir(name, 0o700, dir_fd=current)
                current = moved(current, name)
            elif step == LEAVE:
                settle(current, status, user)
                current = moved(current, "..")
            elif stat.S_ISLNK(status.st_mode):
                copy_link(parent, name, current, status=status, user=user)
            elif stat.S_ISREG(status.st_mode):
                copy_file(parent, name, current, user=user)
        settle(current, os.fstat(original), user)
    finally:
        os.close(current)
        os.close(original)


def moved(current: int, name: str) -> int:
    """Close a directory of the copy, which nobody else sees yet, and return the one that has a name in it."""
    new = os.open(name, OPEN, dir_fd=current)
    os.close(current)
    return new


def settle(fd: int, original: os.stat_result, user: tuple[int, int]) -> None:
    """Give a copied file or directory its owner, mode and times."""
    os.fchown(fd, *user)
    os.fchmod(fd, owner_readable(original.st_mode))
    os.utime(fd, ns=(original.st_atime_ns, original.st_mtime_ns))


def copy_link(
    parent: int, name: str, directory: int, *, status: os.stat_result, user: tuple[int, int]
) -> None:
    """Copy a link in a directory to another one, with this status and for this user."""
    os.symlink(os.readlink(name, dir_fd=parent), name, dir_fd=directory)
    os.chown(name, *user, dir_fd=directory, follow_symlinks=False)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def copy_file(parent: int, name: str, directory: int, *, user: tuple[int, int]) -> None:
    """Copy a plain file in a directory to another one, for this user."""
    original = os.open(name, READ_FILE, dir_fd=parent)
    try:
        status = os.fstat(original)
        if not stat.S_ISREG(status.st_mode):
            return  # it has been replaced since it was looked at
        copied = os.open(name, NEW_FILE, 0o600, dir_fd=directory)
        try:
            _copy_content(original, copied, status.st_size)
            settle(copied, status, user)
        finally:
            os.close(copied)
    finally:
        os.close(original)


def _copy_content(original: int, copied: int, size: int) -> None:
    """Copy the content of a file without its holes, which would take memory: lseek(2), SEEK_DATA."""
    os.ftruncate(copied, size)
    end = 0
    while end < size:
        try:
            start = os.lseek(original, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # a hole is at the end
            raise
        end = os.lseek(original, start, os.SEEK_HOLE)
        os.lseek(copied, start, os.SEEK_SET)
        while start < end and (count := os.sendfile(copied, original, start, end - start)):
            start += count
