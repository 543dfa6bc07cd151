"""Paths inside of an image's root directory, which a stranger made: what a path leads to there, and nowhere else.

Links are followed by hand, as the kernel would with that directory as its root: an absolute link begins at it, `..`
does not leave it, and forty links are the end (path_resolution(7)).
"""

import errno
import os
import stat
from collections.abc import Iterator

_MOST_LINKS = 40
# The bytes of a path, with its final NUL, and of a name: <linux/limits.h>.
PATH_MAX = 4096
NAME_MAX = 255


def walk(rootfs: str, path: str, hidden: tuple[str, ...] = ()) -> Iterator[tuple[str, int | None, bool]]:
    """Follow a path of the image: for each step, yield its path without links, its mode, and whether a part follows.

    The mode is None where nothing is there. Links are steps too, and so are `..` and the directory that a link's target
    begins at. hidden: prefixes of paths at which nothing is, whatever the image has there. A path that is not absolute
    begins at the root. Raises OSError where the kernel could not follow it, such as at the forty-first link.
    """
    done: list[str] = []
    ahead = path.split("/")[::-1]
    links = 0
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            yield "/" + "/".join(done), stat.S_IFDIR, bool(ahead)
            continue
        done.append(part)
        at = "/" + "/".join(done)
        mode = None if at.startswith(hidden) else _mode(rootfs + at)
        yield at, mode, bool(ahead)
        if mode is not None and stat.S_ISLNK(mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), at)
            target = os.readlink(rootfs + at)
            del done[0 if target.startswith("/") else -1 :]
            ahead.extend(target.split("/")[::-1])
            yield "/" + "/".join(done), stat.S_IFDIR, bool(ahead)


def _mode(path: str) -> int | None:
    """The mode of what is at a path of the host, None for nothing."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def resolve(rootfs: str, path: str) -> str | None:
    """Return the host's path, free of links, of what `path` of the image leads to; None where it leads nowhere.

    A path that is not absolute begins at the root. Raises PermissionError where a directory cannot be searched.
    """
    place = "/"
    try:
        for at, mode, more in walk(rootfs, path):
            if mode is None or (more and not (stat.S_ISDIR(mode) or stat.S_ISLNK(mode))):
                return None
            place = at
    except PermissionError:
        raise
    except OSError:
        return None
    return rootfs + place.rstrip("/")


def read(rootfs: str, path: str, most: int) -> bytes | None:
    """The first `most` bytes of a regular file of the image; None for whatever else is there, or nothing.

    Never waits, whatever the image has put there. Raises PermissionError where the file cannot be read.
    """
    place = resolve(rootfs, path)
    if place is None or not stat.S_ISREG(os.lstat(place).st_mode):
        return None
    fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        return file.read(most)
