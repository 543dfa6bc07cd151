"""The mount points of a container: paths of the image that the runtime follows before it has changed its root.

A runtime makes the mounts, the devices and the links of `/dev` before the container's root is the root of its process
(runc, `prepareRootfs`). A symbolic link of the image that is on the way then can lead to the host: runc before 1.3.6,
1.4.3 and 1.5.0 removes and makes files where `/dev` leads from the host's root (CVE-2026-41579), and before 1.2.8,
1.3.3 and 1.4.0 it opens files of `/proc` in place of devices (CVE-2025-31133, CVE-2025-52881). `check` refuses images
whose links could do so. A link that leads to another directory of the image, such as `/etc -> /usr/etc`, is allowed.
"""

import os
import stat
from collections.abc import Iterable

from tweed_shim.base.records import Record, replace
from tweed_shim.errors import ImageError
from tweed_shim.runtime import rootfs_path

# A destination and the type of the mount there, such as `tmpfs` or `bind`.
MountPoint = tuple[str, str]

# Where the runtime mounts the kernel's own files, and makes devices.
KERNEL = ("/dev", "/proc", "/sys")
_BELOW_KERNEL = tuple(f"{path}/" for path in KERNEL)
# The destinations that are files; all others are directories.
FILES = ("/etc/resolv.conf", "/etc/hosts")
_DIRECTORY, _FILE = "a directory", "a regular file"


class _UnsafeError(Exception):
    """A mount point is refused. path: what is wrong; fault: in what way; remedy: what the path has to be."""

    def __init__(self, path: str, fault: str, remedy: str = _DIRECTORY) -> None:
        super().__init__()
        self.path, self.fault, self.remedy = path, fault, remedy


class _Root(Record):
    """A root directory as the runtime finds it when some of the mounts are made.

    hidden: prefixes of paths that are covered by a new file system, such as /proc. bound: prefixes of the paths that
    a directory of the host is mounted on; it can hold links that an earlier run made.
    """

    rootfs: str
    hidden: tuple[str, ...] = ()
    bound: tuple[str, ...] = ()


def check(rootfs: str, mount_points: Iterable[MountPoint], what: str) -> list[str]:
    """Check the way to each mount point, in the order of the mounts; return the paths that they lead to, without links.

    /dev, /proc and /sys have to be directories where they exist. All others have to lead to directories (those of
    `FILES` to files) that are not below these. The runtime makes what is missing, so that is allowed, unless a link to
    a directory leads to nothing.

    what: the image, for messages. Raises ImageError where the image is to be refused, PermissionError where the caller
    may not search one of its directories.
    """
    root = _Root(rootfs)
    paths: list[str] = []
    try:
        if not stat.S_ISDIR(os.lstat(rootfs).st_mode):
            raise _UnsafeError("/", "is not a directory")
        for destination, kind in mount_points:
            path = _follow(root, destination)
            paths.append(path)
            if kind == "bind" and destination not in KERNEL:
                root = replace(root, bound=(*root.bound, f"{path}/"))
            else:
                root = replace(root, hidden=(*root.hidden, f"{path}/"))
    except _UnsafeError as unsafe:
        raise ImageError(
            f"{what} cannot be run: its {unsafe.path!r} {unsafe.fault}; make it {unsafe.remedy} and build the image "
            "again"
        ) from None
    return paths


def _follow(root: _Root, destination: str) -> str:
    """Return the path that a destination leads to. Raises _UnsafeError and PermissionError."""
    links: list[str] = []
    *directories, last = destination.split("/")[1:]
    path = ""
    for part in directories:
        path = _enter(root, f"{path}/{part}", links)
    path = _enter(root, f"{path}/{last}", links, is_file=destination in FILES)
    if any(link.startswith(f"{path}/") for link in links):
        # The runtime follows the path once more after the mount. The link is then read from what was mounted.
        raise _UnsafeError(links[-1], f"leads to {path or '/'!r}, which holds a link on the way there")
    return path


def _enter(root: _Root, path: str, links: list[str], *, is_file: bool = False) -> str:
    """Return the path, without links, that the last part of `path` leads to; an empty text for the root.

    The other parts of `path` are directories, no links. links: gets the paths of the links that were followed. is_file:
    whether a file, and not a directory, has to be there.
    """
    link = missing = ""
    at = path
    remedy = _FILE if is_file else _DIRECTORY
    try:
        for at, mode, more in rootfs_path.walk(root.rootfs, path, root.hidden):
            below = f"{at}/"
            if link:
                _check_step(link, below, missing=missing, remedy=remedy)
            if below.startswith(root.bound):
                raise _UnsafeError(link or at, f"leads into {at!r}, where another mount is", remedy)
            if mode is None:
                if link and not is_file:
                    raise _UnsafeError(link, f"leads to {at!r}, which does not exist")
                missing = missing or below
            elif stat.S_ISLNK(mode):
                if at in KERNEL:
                    raise _UnsafeError(at, "is a symbolic link, which could lead out of the image")
                link = link or at
                links.append(at)
            else:
                kind = _FILE if is_file and not more else _DIRECTORY
                _check_type(at, mode, kind, link=link, remedy=remedy)
    except PermissionError:
        raise
    except OSError as error:
        raise _UnsafeError(link or at, f"cannot be followed ({error.strerror})", remedy) from error
    return at.rstrip("/")


def _check_step(link: str, below: str, *, missing: str, remedy: str) -> None:
    """Check a step of a path that follows a link. Raises _UnsafeError.

    below: the step's path; missing: that of the first step that does not exist; both with a slash at the end. remedy:
    what the link should be.
    """
    for kernel in _BELOW_KERNEL:
        if below.startswith(kernel):
            raise _UnsafeError(link, f"leads into {kernel[:-1]}", remedy)
    if not below.startswith(missing):
        # The kernel finds no such path, and runtimes differ in what they make of it.
        raise _UnsafeError(link, f"leads through {missing[:-1]!r}, which does not exist", remedy)


def _check_type(at: str, mode: int, kind: str, *, link: str, remedy: str) -> None:
    """Raise _UnsafeError where a step is not of this kind.

    link: the link that leads there, empty for none. remedy: what the link should be.
    """
    if (stat.S_ISREG if kind == _FILE else stat.S_ISDIR)(mode):
        return
    if link:
        raise _UnsafeError(link, f"leads to {at!r}, which is not {kind}", remedy)
    raise _UnsafeError(at, f"is not {kind}", "one")
