"""Measure and remove directories whose files may belong to any id of a user namespace."""

import os
import stat

from tweed_shim.host.userns import IdMap, run_mapped

BLOCK = 512  # the unit of st_blocks: stat(2)
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
