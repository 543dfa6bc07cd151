"""Change files in one step, and take locks that end with their holder.

A change is written beside its target, synced, and renamed over it; then the directory is synced. A reader never sees
half of a change, and a crash leaves the former content.

A write that has succeeded may fail all the same: Python keeps the last bytes until the file is flushed, and NFS and
FUSE report a full disk or a used-up quota when a descriptor is closed (close(2)). So a file gets its name only when
that has succeeded, too.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tweed_shim.base.lean.typing import TYPE_CHECKING, Protocol
from tweed_shim.errors import ConfigError

if TYPE_CHECKING:
    from typing import BinaryIO


class SupportsRead(Protocol):
    """A file that is open for reading bytes; `read` returns less than it was asked for at the end only."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes, as io.BufferedReader does."""


PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
BESIDE = ".new-"


def make_private(path: str, *, durable: bool = False) -> str:
    """Make a directory and its missing parents, each mode 0700, and return the path.

    durable: the names of the new directories survive a power cut. Leave it out for what can be created again.
    """
    try:
        os.mkdir(path, PRIVATE_DIR)
    except FileExistsError:
        return path
    except FileNotFoundError:
        make_private(os.path.dirname(path), durable=durable)
        with suppress(FileExistsError):
            os.mkdir(path, PRIVATE_DIR)
    if durable:
        # A parent that may be searched and not read cannot be synced.
        with suppress(PermissionError):
            sync_directory(os.path.dirname(path))
    return path


def sync_directory(path: str) -> None:
    """Make the names in a directory durable (fsync)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_filesystem(path: str) -> None:
    """Bring all of the file system that a directory is on to the disk (syncfs(2))."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)


def unique_name(prefix: str) -> str:
    """Return a unique name: `prefix` and 64 random bits."""
    return f"{prefix}{os.urandom(8).hex()}"


def beside(path: str) -> str:
    """Return a unique path beside another one, for a file that will replace it.

    Only the beginning of a long name is in it: a name has at most 255 bytes.
    """
    directory, name = os.path.split(path)
    return unique_name(os.path.join(directory, f"{os.fsdecode(os.fsencode(name)[:200])}{BESIDE}"))


def open_beside(path: str, mode: int = PRIVATE_FILE) -> tuple[str, int]:
    """Create a file beside a path and lock it; return its path and descriptor.

    The lock tells a file that is being written from one that a crash has left.
    """
    while True:
        new = beside(path)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if same_file(fd, new):
            return new, fd
        os.close(fd)  # a sweep has come between the file and its lock


def read_bounded(file: SupportsRead, most: int, what: str) -> bytes:
    """Read an open file to its end, but never more than one byte beyond `most`.

    A device or a pipe may have no end, and a file more than there is memory. Raises ConfigError for one that is larger.
    """
    data = file.read(most + 1)
    if len(data) > most:
        raise ConfigError(
            f"{what} is larger than {most >> 20} MiB, which is the most that is read; give a smaller one"
        )
    return data


@contextmanager
def whole(path: str, *, mode: int = PRIVATE_FILE, directory: int | None = None) -> "Iterator[BinaryIO]":
    """Write a file that has the name `path` only once it is whole, and follow no link that has this name.

    directory: the descriptor of the directory that a relative path begins at. Not synced, and not locked against a
    sweep: for what is verified when it is read, in a directory that is the caller's. Where the block or the disk fails,
    nothing is left, and what had the name before keeps it.
    """
    new = beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(new, flags, mode, dir_fd=directory), "wb") as file:
            yield file
        os.rename(new, path, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=directory)
        raise


def settle(fd: int, *, durable: bool) -> None:
    """Raise the delayed write error, if any, of a flushed file that has to stay open.

    durable: also sync it. Otherwise a duplicate is closed, which is when NFS and FUSE say what they could not write.
    """
    if durable:
        os.fsync(fd)
    else:
        os.close(os.dup(fd))


def write_whole(path: str, data: bytes, *, durable: bool = True) -> None:
    """Replace a file's content in one step, mode 0600.

    durable: also survive a power cut; leave it out for what can be created again, such as a cache.
    """
    new, fd = open_beside(path)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            settle(fd, durable=durable)
            os.rename(new, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def write_kernel_file(path: str, text: str) -> None:
    """Write a text to a file of the kernel, such as /proc/PID/uid_map, which takes it in one write(2) only."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def reserve(fd: int, size: int) -> None:
    """Give an open file `size` bytes of room on the disk. Raises OSError where there is not so much."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        # Not every file system can promise room (a network's), and not every C library does it without its help.
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def is_special(path: str) -> bool:
    """Say whether a path names something to write into rather than to replace: a device or a pipe, as /dev/null."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_new(path: str, data: bytes) -> None:
    """Create a file, mode 0600, with content that survives a power cut once its directory is synced as well.

    Where the disk fails, a part of it may be left: the caller removes the directory then.
    """
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def point_link(path: str, target: str) -> None:
    """Make `path` a symbolic link to `target`, replacing in one durable step the link that was there."""
    new = beside(path)
    os.symlink(target, new)
    try:
        os.rename(new, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new)
        raise
    sync_directory(os.path.dirname(path))


def _try_flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def same_file(fd: int, path: str) -> bool:
    """Tell whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def locked(path: str, *, shared: bool = False, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the lock file `path`, which is created where it is missing, and yield its descriptor.

    The kernel releases it when the holder ends, however it ends. `waiting` is called once if another process
    holds it. A holder may remove the file: a process that waited for it then locks its successor.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        make_private(os.path.dirname(path))
        try:
            # O_NOFOLLOW: a link of this name would make the shim create and write a file elsewhere.
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
        except FileNotFoundError:
            continue  # another process removes the directory together with the file
        try:
            if not _try_flock(fd, kind):
                if waiting is not None:
                    waiting()
                    waiting = None
                fcntl.flock(fd, kind)
            if same_file(fd, path):
                yield fd
                return
        finally:
            os.close(fd)


@contextmanager
def held_directory(
    path: str, *, shared: bool = True, wait: bool = True, waiting: Callable[[], None] = lambda: None
) -> Iterator[bool]:
    """Hold the lock of a directory itself: shared to use the directory, exclusive to remove it.

    waiting: called once if another process holds it. Without `wait`, yield False then, and do not take the lock.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        is_held = _try_flock(fd, kind)
        if wait and not is_held:
            waiting()
            fcntl.flock(fd, kind)
        yield is_held or wait
    finally:
        os.close(fd)


@contextmanager
def held_file(path: str) -> Iterator[bool]:
    """Hold the lock of a file itself alone; yields False where somebody else holds it, or it is there no longer."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield _try_flock(fd, fcntl.LOCK_EX) and same_file(fd, path)
    finally:
        os.close(fd)
