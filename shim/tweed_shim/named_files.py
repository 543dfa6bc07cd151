"""Files and directories whose names users choose: they are written where their name says, and nowhere else.

In a directory such as /tmp another user can have prepared the very name: as a link to a file of the caller's, as a pipe
that this user reads, or as a directory whose content this user exchanges at the right moment. The kernel refuses to
follow such links only where fs.protected_symlinks is set (proc_sys_fs(5)), and never on the way to the last name.

So a path is followed name by name, each one opened in the directory before it and never through a link (openat(2) with
O_NOFOLLOW). A link is followed if it belongs to the caller or to root. What lies in a directory where others can make
entries must belong to them, too. Then the directory stays open, and is written to by way of its descriptor: it does not
matter what becomes of its name meanwhile.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from tweed_shim import files, trust
from tweed_shim.records import Record
from tweed_shim.trust import Entry

_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Target(Record):
    """What a path leads to.

    path: a name in a directory that is held open (/proc/self/fd/N/NAME), for system calls. real: the path without
    links, for messages. about: what is there, None where nothing is. magic: whether it is an open pipe or the like of
    this process, which has no name but in /proc (such as /dev/stdout).
    """

    path: str
    real: str
    about: os.stat_result | None
    magic: bool = False


@contextmanager
def resolved(path: str, *, make_parents: int | None = None, home: str = "") -> Iterator[Target]:
    """Find what a path leads to; its directory is held open for the length of a block.

    make_parents: the mode of directories to make where they are missing. home: a directory that the caller chose
    although it may belong to another user, such as $HOME: the path may lead through it, wherever it is. Raises OSError,
    with a reason for people, where a link or a file of another user is in the way, and where a directory is missing.
    """
    with _Walk(os.path.join(os.getcwd(), path), _directories_to(home)) as walk:
        name, about, magic = walk.to_end(make_parents)
        prefix = f"/proc/self/fd/{walk.directory}"
        real = os.path.normpath(os.path.join(walk.here, name))
        try:
            yield Target(f"{prefix}/{name}", real, about, magic)
        except OSError as error:
            # The name that the system complains of is one that nobody has given.
            if isinstance(error.filename, str) and f"{error.filename}/".startswith(f"{prefix}/"):
                error.filename = path
            raise


@contextmanager
def writing(path: str, *, mode: int = files.PRIVATE_FILE, durable: bool = True) -> Iterator[BinaryIO]:
    """Replace a file in one step at the end of a block, which writes to the file that is yielded.

    A file that is there keeps its owner and its mode; a new one has `mode`. A device or a pipe is written into.
    durable: see `files.write_whole`. Raises OSError as `resolved` does.
    """
    with resolved(path) as target:
        about = target.about
        if path.endswith("/") or (about is not None and stat.S_ISDIR(about.st_mode)):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if about is not None and not stat.S_ISREG(about.st_mode):
            with open(_open_there(target, about), "wb") as file:
                yield file
            return
        with replacing(target, mode, durable=durable) as file:
            yield file


@contextmanager
def replacing(
    target: Target, mode: int = files.PRIVATE_FILE, *, durable: bool = True, secret: bool = False
) -> Iterator[BinaryIO]:
    """Replace what a path led to, which is a plain file or nothing; see `writing`.

    secret: a file of the caller's own does not keep its mode: it becomes private.
    """
    new, fd = files.open_beside(target.path, mode)
    try:
        old = target.about
        if old is not None and not _is_made_like(fd, old, secret=secret):
            # To replace it would take it away from its owner.
            os.close(fd)
            os.unlink(new)
            with open(_open_there(target, old), "wb") as file:
                file.truncate()
                yield file
            return
        with open(fd, "wb") as file:
            yield file
            file.flush()
            files.settle(fd, durable=durable)
            os.rename(new, target.path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new)
        raise
    if durable:
        files.sync_directory(os.path.dirname(target.path))


def write(path: str, data: bytes, *, mode: int = files.PRIVATE_FILE) -> None:
    """Replace the content of the file that a user named; see `writing`."""
    with writing(path, mode=mode) as file:
        file.write(data)


def make_directory(path: str, mode: int = files.PRIVATE_DIR, *, home: str = "") -> None:
    """Make a directory and its missing parents. home: see `resolved`. Raises OSError as `resolved` does."""
    with resolved(path, make_parents=mode, home=home) as target:
        if target.about is None:
            with suppress(FileExistsError):
                os.mkdir(target.path, mode)
        elif not stat.S_ISDIR(target.about.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


class _Walk:
    """A path that is followed: the open directory that it has led to, the path of that, and the names that remain.

    chosen: the identities (see `_identity`) of directories that may belong to another user, wherever they are.
    """

    def __init__(self, path: str, chosen: frozenset[tuple[int, int]]) -> None:
        self._chosen = chosen
        self.directory = os.open("/", _DIRECTORY)
        self.here = "/"
        self._rest = _names(path)
        self._links = 0

    def __enter__(self) -> "_Walk":
        """Use it for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the directory."""
        os.close(self.directory)

    def to_end(self, make_parents: int | None) -> tuple[str, os.stat_result | None, bool]:
        """Follow the path to its last name, and return that, what is there, and whether it is magic (see Target)."""
        while self._rest or self.here != "/":
            if not self._rest:
                # It ended in "..": what is to be known is the name of that directory.
                self._rest = _names(self.here)
                self._enter(os.open("/", _DIRECTORY), "/")
            name = self._rest.pop()
            if name == "..":
                self._enter(os.open("..", _DIRECTORY, dir_fd=self.directory), os.path.dirname(self.here))
                continue
            node = _open_entry(self.directory, name, make_parents, last=not self._rest)
            if node is None:
                return name, None, False
            try:
                about, magic = self._pass(node, name)
            finally:
                os.close(node)
            if about is not None:
                return name, about, magic
        return ".", os.fstat(self.directory), False

    def _pass(self, node: int, name: str) -> tuple[os.stat_result | None, bool]:
        """Go into a directory, or where a link leads; returns what is there if it is the end of the path."""
        about, real = os.fstat(node), f"{self.here.rstrip('/')}/{name}"
        if not (stat.S_ISDIR(about.st_mode) and _identity(about) in self._chosen):
            _refuse_foreign(Entry(real, about, trust.is_shared(os.fstat(self.directory))))
        if stat.S_ISLNK(about.st_mode):
            text = os.readlink("", dir_fd=node)
            if not self._rest and _is_magic(self.directory, text):
                return os.stat(name, dir_fd=self.directory), True
            self._follow(text)
        elif not self._rest:
            return about, False
        elif stat.S_ISDIR(about.st_mode):
            self._enter(os.dup(node), real)
        else:
            raise NotADirectoryError(errno.ENOTDIR, f"{real} is no directory", real)
        return None, False

    def _follow(self, text: str) -> None:
        self._links += 1
        if self._links > trust.MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), text)
        if text.startswith("/"):
            self._enter(os.open("/", _DIRECTORY), "/")
        self._rest += _names(text)

    def _enter(self, directory: int, path: str) -> None:
        os.close(self.directory)
        self.directory, self.here = directory, path


def _directories_to(path: str) -> frozenset[tuple[int, int]]:
    """Return the identities of a directory and those above it; of none for an empty path."""
    identities = set()
    while path:
        with suppress(OSError):
            identities.add(_identity(os.lstat(path)))
        parent = os.path.dirname(path)
        path = "" if parent == path else parent
    return frozenset(identities)


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _names(path: str) -> list[str]:
    """Return the names that a path consists of, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _open_entry(directory: int, name: str, make: int | None, *, last: bool) -> int | None:
    """Open what has a name in a directory, without following it; None where nothing is and it is the last name."""
    if make is not None and not last:
        with suppress(FileExistsError):
            os.mkdir(name, make, dir_fd=directory)
    try:
        return os.open(name, _PATH_ONLY, dir_fd=directory)
    except FileNotFoundError:
        if last:
            return None
        raise


def _refuse_foreign(entry: Entry) -> None:
    """Raise PermissionError for another user's link, and for what another user made where everybody makes entries."""
    if trust.is_trusted(entry) or not (entry.shared or stat.S_ISLNK(entry.about.st_mode)):
        return
    owner = trust.user_name(entry.about.st_uid)
    raise PermissionError(
        errno.EPERM, f"{entry} belongs to {owner}, not to you or root, and is not used", entry.path
    )


def _is_magic(directory: int, text: str) -> bool:
    """Whether a link is one of /proc/PID/fd whose text is no path, such as `pipe:[4711]`: proc(5)."""
    return ":[" in text and os.fstat(directory).st_dev == os.stat("/proc").st_dev


def _open_there(target: Target, about: os.stat_result) -> int:
    """Open a device or a pipe to write into it; it must be the one that was found."""
    follow = 0 if target.magic else os.O_NOFOLLOW
    fd = os.open(target.path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | follow)
    if not os.path.samestat(os.fstat(fd), about):
        os.close(fd)
        raise PermissionError(errno.EPERM, f"{target.real} was exchanged in this moment", target.path)
    return fd


def _is_made_like(fd: int, old: os.stat_result, *, secret: bool) -> bool:
    """Give a new file the owner and the mode of the one that it replaces; whether that is possible.

    A file with several names may be the link that another user made to one of ours: link(2). It is replaced, and
    decides nothing.
    """
    if old.st_nlink > 1 or (secret and old.st_uid == os.geteuid()):
        return True
    about = os.fstat(fd)
    try:
        if (about.st_uid, about.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(fd, old.st_uid, old.st_gid)
    except OSError:
        return False
    os.fchmod(fd, stat.S_IMODE(old.st_mode) & 0o777)
    return True
