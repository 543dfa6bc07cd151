"""The directory that the program of an image starts in (WorkingDir). A runtime makes it where it is missing.

This module is on the path of every run.
"""

import stat
from collections.abc import Container

from tweed_shim.base.option_values import shown
from tweed_shim.errors import ImageError
from tweed_shim.runtime import rootfs_path

REMEDY = "name another WorkingDir and build the image again"


def check(rootfs: str, directory: str, mounted: Container[str], *, what: str) -> None:
    """Raise ImageError where an image's working directory is no directory and cannot be made.

    mounted: the destinations of the mounts; what is below them is not the image's. what: the image, for messages.
    Raises PermissionError where the caller may not search a directory on the way.
    """
    try:
        fault = _too_long(directory) or _fault(rootfs, directory, mounted)
    except PermissionError:
        raise
    except OSError as error:
        fault = f"cannot be followed ({error.strerror})"
    if fault:
        raise ImageError(f"{what} cannot be run: its working directory {shown(directory)} {fault}; {REMEDY}")


def is_blamed(message: str, directory: str) -> bool:
    """Tell whether a runtime's error is about the working directory. In /proc and other mounts only it can look."""
    _, mkdir, rest = message.rpartition(": mkdir ")
    path = rest.rpartition(": ")[0]
    return "chdir to cwd" in message or bool(mkdir and path and f"{directory}/".startswith(f"{path}/"))


def _too_long(directory: str) -> str:
    if len(directory.encode("utf-8", "surrogatepass")) >= rootfs_path.PATH_MAX:
        return f"is longer than the {rootfs_path.PATH_MAX - 1} bytes that the kernel takes"
    if any(
        len(name.encode("utf-8", "surrogatepass")) > rootfs_path.NAME_MAX for name in directory.split("/")
    ):
        return f"has a name longer than the {rootfs_path.NAME_MAX} bytes that the kernel takes"
    return ""


def _fault(rootfs: str, directory: str, mounted: Container[str]) -> str:
    """Return why a path leads to no directory and none can be made there; an empty text where there is no fault."""
    link = ""
    for at, mode, _ in rootfs_path.walk(rootfs, directory):
        if mode is not None and not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
            return (
                "is not a directory"
                if at == directory
                else f"leads through {shown(at)}, which is not a directory"
            )
        if at in mounted:
            return ""
        if mode is None:
            # Below a link that leads to a directory, the runtime can make what is missing.
            is_dangling = link and rootfs_path.resolve(rootfs, link) is None
            return (
                f"leads by the link {shown(link)} to {shown(at)}, which does not exist" if is_dangling else ""
            )
        if stat.S_ISLNK(mode):
            link = at
    return ""
