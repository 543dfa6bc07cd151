"""Paths inside of an image's root directory, which a stranger made: what a path leads to there, and nowhere else.

Links are followed by hand, as the kernel would with that directory as its root: an absolute link begins at it, `..`
does not leave it, and forty links are the end (path_resolution(7)).
"""

import errno
import os
import stat
from collections.abc import Iterator

from tweed_shim.errors import ImageError

_MOST_LINKS = 40
# What the kernel reads of a script to find its interpreter (BINPRM_BUF_SIZE, execve(2)).
_FIRST_LINE = 256


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


def find_executable(rootfs: str, argument: str, cwd: str, path_variable: str) -> str:
    """The path inside of the image of the program that `argument` names, as execvp(3) finds it from `cwd`.

    What the caller may not look at is left for the runtime to judge. Raises ImageError where the program is not
    there, cannot be executed, or is a script whose interpreter is not there.
    """
    try:
        found = _find(rootfs, argument, cwd, path_variable)
        _check_interpreter(rootfs, found, cwd)
    except PermissionError:
        return argument
    return found


def _find(rootfs: str, argument: str, cwd: str, path_variable: str) -> str:
    directories = [cwd] if "/" in argument else [os.path.join(cwd, each) for each in path_variable.split(":")]
    there = [path for path in (os.path.join(each, argument) for each in directories) if resolve(rootfs, path)]
    for path in there:
        if _is_executable(rootfs, path):
            return path
    if there:
        raise ImageError(
            f"the entrypoint {argument!r} is no executable file: its author has to give it the mode 0755 (chmod +x)"
        )
    where = "in the image" if "/" in argument else f"in any directory of the image's PATH ({path_variable})"
    raise ImageError(
        f"the entrypoint {argument!r} is not {where}: its author has to correct one or the other"
    )


def _is_executable(rootfs: str, path: str) -> bool:
    place = resolve(rootfs, path)
    if place is None:
        return False
    mode = os.lstat(place).st_mode
    return stat.S_ISREG(mode) and mode & 0o111 != 0


def _check_interpreter(rootfs: str, path: str, cwd: str) -> None:
    start = read(rootfs, path, _FIRST_LINE) or b""
    # Only blanks and tabs separate: `#!/bin/sh` with the line end of Windows asks for `sh\r`.
    words = start.split(b"\n")[0][2:].replace(b"\t", b" ").split(b" ")
    interpreter = os.fsdecode(next(filter(None, words), b""))
    if not start.startswith(b"#!") or not interpreter:
        return
    if not _is_executable(rootfs, os.path.join(cwd, interpreter)):
        raise ImageError(
            f"the interpreter {interpreter!r} of the entrypoint {path!r} (from its first line) is not in the image, "
            "or not executable: its author has to install or name another"
        )
