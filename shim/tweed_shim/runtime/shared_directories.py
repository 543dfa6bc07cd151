"""Directories of the host that a container shares, and that another user of an image has written.

Process 1 of a sandbox (sandbox.py) gives those that are kept to the container's user, and shows others as a copy in
memory. The functions raise OSError where they fail.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.host.tree_walk import ENTER, LEAVE, OPEN, owner_readable, walk
from tweed_shim.runtime import mounts

if TYPE_CHECKING:
    from tweed_shim.runtime.plan import Plan

READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare(plan: "Plan") -> None:
    """Give the kept directories of a plan to the container's user, and find out which of the others need a copy.

    This has to be done before the store is shown with other ids (idmapped_mount.py), which has no name for some owners.
    """
    for each in plan["writable"]:
        if each["kept"]:
            with _naming(each["destination"]):
                give(each["directory"], plan["stored_user"])
    for limit in plan["disk_limits"]:
        if limit["kept"]:
            from tweed_shim.runtime import disk_usage

            disk_usage.allow_present(limit)
    for shown in plan["readable"]:
        with _naming(shown["destination"]):
            # An image may have given some of its files to others on purpose: for its own user they stay theirs.
            shown["copied"] = os.stat(shown["directory"]).st_uid != plan["stored_user"][0]
            if shown["copied"] and plan["shift"]:
                shown["directory"] = mounts.unshifted(shown["directory"])


def show(plan: "Plan") -> None:
    """Show the readable directories of a plan in its bundle: as they are or, where that is needed, as a copy."""
    for each in plan["readable"]:
        target = os.path.join(plan["bundle"], each["name"])
        with _naming(each["destination"]):
            if each["copied"]:
                copy(each["directory"], target, plan["user"])
            else:
                os.mkdir(target, 0o700)
                mounts.bind_read_only(each["directory"], target)


@contextmanager
def _naming(destination: str) -> Iterator[None]:
    """Let the OSErrors of a block name a directory as the container sees it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, destination) from error


def give(directory: str, user: tuple[int, int]) -> None:
    """Give a directory and all below it to a user (uid and gid), unless the directory is the user's already."""
    if os.stat(directory).st_uid == user[0]:
        return
    top = os.open(directory, OPEN)
    try:
        for step, parent, name, _ in walk(top):
            if step != LEAVE:
                os.chown(name, *user, dir_fd=parent, follow_symlinks=False)
        # The last one, so that a run after one that was killed meanwhile does all of it again.
        os.fchown(top, *user)
    finally:
        os.close(top)


def copy(source: str, target: str, user: tuple[int, int]) -> None:
    """Make a directory `target` with a copy of all that is below `source`, which belongs to `user` (uid and gid).

    Modes and times are those of the originals, but that the user can read everything, and no set-id bit is copied.
    Links are copied as they are. Devices, pipes and sockets are left out, and each hard link is a file of its own.
    """
    os.mkdir(target, 0o700)
    original = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # The directory of the copy that the walk through the original is in.
    current = os.open(target, OPEN)
    try:
        for step, parent, name, status in walk(original):
            if step == ENTER:
                os.mkdir(name, 0o700, dir_fd=current)
                current = _moved(current, name)
            elif step == LEAVE:
                _settle(current, status, user)
                current = _moved(current, "..")
            elif stat.S_ISLNK(status.st_mode):
                _copy_link(parent, name, current, status=status, user=user)
            elif stat.S_ISREG(status.st_mode):
                _copy_file(parent, name, current, user=user)
        _settle(current, os.fstat(original), user)
    finally:
        os.close(current)
        os.close(original)


def _moved(current: int, name: str) -> int:
    """Close a directory of the copy, which nobody else sees yet, and return the one that has a name in it."""
    new = os.open(name, OPEN, dir_fd=current)
    os.close(current)
    return new


def _settle(fd: int, original: os.stat_result, user: tuple[int, int]) -> None:
    """Give a copied file or directory its owner, mode and times."""
    os.fchown(fd, *user)
    os.fchmod(fd, owner_readable(original.st_mode))
    os.utime(fd, ns=(original.st_atime_ns, original.st_mtime_ns))


def _copy_link(
    parent: int, name: str, directory: int, *, status: os.stat_result, user: tuple[int, int]
) -> None:
    os.symlink(os.readlink(name, dir_fd=parent), name, dir_fd=directory)
    os.chown(name, *user, dir_fd=directory, follow_symlinks=False)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def _copy_file(parent: int, name: str, directory: int, *, user: tuple[int, int]) -> None:
    original = os.open(name, READ_FILE, dir_fd=parent)
    try:
        status = os.fstat(original)
        if not stat.S_ISREG(status.st_mode):
            return  # it has been replaced since it was looked at
        copied = os.open(name, NEW_FILE, 0o600, dir_fd=directory)
        try:
            _copy_content(original, copied, status.st_size)
            _settle(copied, status, user)
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
