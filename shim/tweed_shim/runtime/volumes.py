"""The volumes of a container: a directory in memory that it reads, and one in memory that it writes.

Process 1 of a sandbox (sandbox.py) makes them. Both are gone with the sandbox, however it ends. Plain files of the
second are copied to the host when the container has ended.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from tweed_shim.runtime import mounts

CHUNK = 1 << 20
# The reason for a name that is not copied because it is no plain file begins with this.
NOT_PLAIN = "no plain file: "
# The number of such names that get a reason of their own: a program can make a million links.
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
    """Make a directory that only `user` (uid and gid) may enter. Raises OSError."""
    os.mkdir(path, 0o700)
    os.chown(path, *user)


def fill(
    directory: str, *, files: Mapping[str, str], host_files: Mapping[str, str], user: tuple[int, int]
) -> None:
    """Make a directory with files, and bind files of the host into it.

    files: contents by name, each letter a byte. host_files: paths by name. user: uid and gid of the owner of all of
    them, also of the files of the host; nobody else may read them. Raises OSError.
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


def copy_out(volume: str, *, directory: str, names: list[str], every: bool, limit: int) -> None:
    """Copy plain files of a volume to a host directory: first those with these `names`, then `every` other one.

    limit: the most bytes in all. In place of a file that is not copied, `directory` gets a symbolic link whose target
    is the reason. It begins with NOT_PLAIN where the program has made something else than a file. Beyond the first
    MOST_NAMED of these, one link says how many more there are. Raises OSError where not even links can be made.
    """
    left, not_plain = limit, list[str]()
    others = [name for name in sorted(os.listdir(volume)) if every and name not in names]
    for name in (*names, *others):
        with _plain_file(os.path.join(volume, name)) as source:
            if source is None:
                not_plain.append(name)
                continue
            size, target = os.fstat(source).st_size, os.path.join(directory, name)
            if size > left:
                os.symlink(f"outputs have {limit >> 20} MiB together at most", target)
                continue
            left -= size
            try:
                _copy(source, target)
            except OSError as error:
                with suppress(FileNotFoundError):
                    os.unlink(target)
                os.symlink(error.strerror or "no reason is known", target)
    _link_reasons(volume, directory, not_plain)


def _link_reasons(volume: str, directory: str, names: list[str]) -> None:
    """Make a link to the reason for each of these names that is in the volume and is no readable plain file."""
    kinds = {name: kind for name in names if (kind := _kind(os.path.join(volume, name))) is not None}
    for number, (name, kind) in enumerate(kinds.items()):
        target = os.path.join(directory, name)
        if number == MOST_NAMED:
            os.symlink(f"{NOT_PLAIN}and {len(kinds) - number - 1} more like it", target)
            return
        # A plain file that could not be opened has another reason.
        os.symlink(f"{NOT_PLAIN}{kind}" if kind else "it cannot be read", target)


def _kind(path: str) -> str | None:
    """Return in words what is at a path, an empty text for a plain file; None where there is nothing."""
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
    """Yield a descriptor of a plain file, None for anything else: the program may have made a link, or a pipe."""
    # O_NONBLOCK: open(2) would wait for a writer of the pipe.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield fd if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)
