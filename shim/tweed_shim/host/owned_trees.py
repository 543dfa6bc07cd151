"""Measure, remove and take over directories whose files may belong to any id of a user namespace."""

import os
import stat
import sys

from tweed_shim.host.tree_walk import LEAVE, owner_readable, walk
from tweed_shim.host.userns import IdMap, run_mapped

BLOCK = 512  # the unit of st_blocks: stat(2)
# Calls `take_over_as_owner` in a user namespace.
TAKE_OVER = "import sys; sys.path.append(sys.argv.pop(1)); from tweed_shim.host import owned_trees; owned_trees.main()"
DEEPEST = 100  # directories in directories that are removed without the help of rm


def _remove(path: str, parent: int | None = None, depth: int = 0) -> None:
    """Remove a directory with all below it. parent: an open directory that a relative path begins at.

    A container that outlives a killed shim for a moment may put a link in the place of a directory meanwhile. So each
    directory is entered by O_NOFOLLOW, and what is in it is removed by its descriptor. Raises OSError, and
    RecursionError where the tree is too deep to hold one descriptor for each level.
    """
    if depth > DEEPEST:
        raise RecursionError(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.scandir(fd) as listing:
            entries = list(listing)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.name, fd, depth + 1)
            else:
                os.unlink(entry.name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(path, dir_fd=parent)


def remove_tree(idmap: IdMap, path: str) -> None:
    """Remove a directory and all below it, whichever of the mapped ids the files belong to.

    Raises HostError where something of it stays.
    """
    try:
        _remove(path)
    except (OSError, RecursionError):
        # Of another id, without permissions, or nested deeper than a path can be long.
        code, output = run_mapped(idmap, ["rm", "-rf", "--", path])
        if code != 0:
            from tweed_shim.errors import HostError

            fault = output.decode(errors="replace").strip().partition("\n")[0]
            if code < 0:
                raise HostError(
                    f"{path} is not removed: rm was ended by signal {-code}; run it again"
                ) from None
            raise HostError(
                f"{path} cannot be removed ({fault}); remove it as the user who made it"
            ) from None


def _usage(path: str) -> int:
    blocks: dict[tuple[int, int], int] = {}
    paths = [path]
    while paths:
        current = paths.pop()
        status = os.lstat(current)
        blocks[status.st_dev, status.st_ino] = status.st_blocks
        if stat.S_ISDIR(status.st_mode):
            paths += [entry.path for entry in os.scandir(current)]
    return sum(blocks.values()) * BLOCK


def disk_usage(idmap: IdMap, path: str) -> int:
    """Return the room on disk in bytes that a file, or a directory with all below it, takes; hard links count once."""
    try:
        return _usage(path)
    except OSError:
        # Of another id and without permissions, or nested deeper than a path can be long.
        _, output = run_mapped(idmap, ["du", "-sk", "--", path])
        lines = output.split(b"\n")
        total = next((line.split()[0] for line in reversed(lines) if line[:1].isdigit()), b"0")
        return int(total) << 10


def take_over(idmap: IdMap, path: str) -> None:
    """Make a directory and all below it belong to the caller and readable for it, whichever ids it belongs to now.

    Symbolic links are left as they are, and none is followed. Set-id bits are removed. Raises HostError where something
    cannot be taken over.
    """
    try:
        take_over_as_owner(path)
    except OSError:
        from tweed_shim.errors import HostError
        from tweed_shim.host import interpreter

        command = [interpreter.find(), "-I", "-S", "-c", TAKE_OVER, interpreter.source_directory(), path]
        try:
            code, output = run_mapped(idmap, command)
        except OSError as error:
            code, output = 1, os.fsencode(error.strerror or repr(error))
        if code != 0:
            fault = output.decode(errors="replace").strip().rpartition("\n")[2] or f"signal {-code}"
            raise HostError(
                f"{path} cannot be made yours ({fault}); run it as the user, and with the subordinate ids, that the "
                "image was run with"
            ) from None


def take_over_as_owner(path: str) -> None:
    """Do the work of `take_over` with the rights of this process. Raises OSError."""
    top = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _own(top)
        for step, parent, name, status in walk(top):
            if step != LEAVE and not stat.S_ISLNK(status.st_mode):
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
                try:
                    _own(fd)
                finally:
                    os.close(fd)
    finally:
        os.close(top)


def _own(fd: int) -> None:
    """Make what an O_PATH descriptor stands for belong to this process, and readable for it, unless it is a link."""
    status = os.fstat(fd)
    if stat.S_ISLNK(status.st_mode):
        return
    # No call changes the mode by such a descriptor. This path leads to the very file, without a name that can change.
    path = f"/proc/self/fd/{fd}"
    user = (os.geteuid(), os.getegid())
    if (status.st_uid, status.st_gid) != user:
        os.chown(path, *user)
    if (mode := owner_readable(status.st_mode)) != stat.S_IMODE(status.st_mode):
        os.chmod(path, mode)


def main() -> None:
    """Be the program TAKE_OVER, whose argument is a path."""
    try:
        take_over_as_owner(sys.argv[1])
    except OSError as error:
        sys.exit(f"{error.filename or sys.argv[1]}: {error.strerror}")
