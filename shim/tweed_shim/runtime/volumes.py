"""What a container is given in memory, and what of its making is kept; for process 1 of a sandbox (sandbox.py).

Both are gone with the sandbox, however it ends. What is kept is copied to the host when the container has ended.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from tweed_shim.runtime import mounts

CHUNK = 1 << 20
# How the reason begins where a name is left out because it is no plain file.
NOT_PLAIN = "no plain file: "
# So many of those get a reason of their own: a program can make a million links.
MOST_NAMED = 20
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def make_directory(path: str, user: tuple[int, int]) -> None:
    """Make a directory that is its owner's alone. Raises OSError."""
    os.mkdir(path, 0o700)
    os.chown(path, *user)


def fill(
    directory: str, *, files: Mapping[str, str], host_files: Mapping[str, str], user: tuple[int, int]
) -> None:
    """Make a directory with files of these contents, each letter a byte, and bind files of the host into it.

    All of them are the user's alone, those of the host from now on. Raises OSError.
    """
    make_directory(directory, user)
    for name in (*files, *host_files):
        path = os.path.join(directory, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(files.get(name, "").encode("latin-1"))
        os.chown(path, *user)
        if name in host_files:
            os.chown(host_files[name], *user)
            mounts.bind_read_only(host_files[name], path)


def keep(volume: str, *, directory: str, names: list[str], every: bool, limit: int) -> None:
    """Copy plain files to a directory of the host, `limit` bytes at most: those of these names, then `every` other.

    In place of one that is not copied is a symbolic link to the reason. It begins with NOT_PLAIN where the program has
    made something else than a file; of those beyond the first MOST_NAMED only one has a link, which says how many there
    are. Raises OSError where not even links can be made.
    """
    room, not_plain = limit, list[str]()
    others = [name for name in sorted(os.listdir(volume)) if every and name not in names]
    for name in (*names, *others):
        with _plain_file(os.path.join(volume, name)) as source:
            if source is None:
                not_plain.append(name)
                continue
            size, target = os.fstat(source).st_size, os.path.join(directory, name)
            if size > room:
                os.symlink(f"outputs have {limit >> 20} MiB together at most", target)
                continue
            room -= size
            try:
                _copy(source, target)
            except OSError as error:
                with suppress(FileNotFoundError):
                    os.unlink(target)
                os.symlink(error.strerror or "no reason is known", target)
    _say_why_not(volume, directory, not_plain)


def _say_why_not(volume: str, directory: str, names: list[str]) -> None:
    """Make a link to the reason for each of the names that are in `volume` and are no plain files."""
    kinds = {name: kind for name in names if (kind := _kind(os.path.join(volume, name))) is not None}
    for number, (name, kind) in enumerate(kinds.items()):
        target = os.path.join(directory, name)
        if number == MOST_NAMED:
            os.symlink(f"{NOT_PLAIN}and {len(kinds) - number - 1} more like it", target)
            return
        # What is a file, and could not be opened, is no fault of its kind.
        os.symlink(f"{NOT_PLAIN}{kind}" if kind else "it cannot be read", target)


def _kind(path: str) -> str | None:
    """Return what is at a path, empty for a plain file; None where there is nothing."""
    try:
        return _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "")
    except FileNotFoundError:
        return None


def _copy(source: int, path: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as target:
        while os.sendfile(target.fileno(), source, None, CHUNK):
            pass


@contextmanager
def _plain_file(path: str) -> Iterator[int | None]:
    """A descriptor to read it by; None for what is none. Whoever made it may have made a link, or a pipe that hangs."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield fd if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)
