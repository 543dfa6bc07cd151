"""The directory that the program of an image starts in (WorkingDir); a runtime makes it where it is missing.

This module is on the path of every run.
"""

import stat
from collections.abc import Container

from tweed_shim.errors import ImageError
from tweed_shim.option_values import shown
from tweed_shim.runtime import inside

REMEDY = "name another WorkingDir and build the image again"


def check(rootfs: str, directory: str, mounted: Container[str], what: str) -> None:
    """Raise ImageError where an image's working directory can be none.

    mounted: the destinations of the mounts: what is below them is not the image's. what: the image, for messages.
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


def is_blamed(complaint: str, directory: str) -> bool:
    """Say whether a runtime's complaint is of the working directory: in /proc and other mounts it alone can look."""
    _, mkdir, rest = complaint.rpartition(": mkdir ")
    made = rest.rpartition(": ")[0]
    return "chdir to cwd" in complaint or bool(mkdir and made and f"{directory}/".startswith(f"{made}/"))


def _too_long(directory: str) -> str:
    if len(directory.encode("utf-8", "surrogatepass")) >= inside.PATH_MAX:
        return f"is longer than the {inside.PATH_MAX - 1} bytes that the kernel takes"
    if any(len(name.encode("utf-8", "surrogatepass")) > inside.NAME_MAX for name in directory.split("/")):
        return f"has a name longer than the {inside.NAME_MAX} bytes that the kernel takes"
    return ""


def _fault(rootfs: str, directory: str, mounted: Container[str]) -> str:
    """Return why a path leads to no directory and to none that can be made, an empty text where it does."""
    link = ""
    for at, mode, _ in inside.walk(rootfs, directory):
        if mode is not None and not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
            return (
                "is not a directory"
                if at == directory
                else f"leads through {shown(at)}, which is not a directory"
            )
        if at in mounted:
            return ""
        if mode is None:
            # What is missing behind a link that leads to a directory can be made.
            is_dangling = link and inside.resolve(rootfs, link) is None
            return (
                f"leads by the link {shown(link)} to {shown(at)}, which does not exist" if is_dangling else ""
            )
        if stat.S_ISLNK(mode):
            link = at
    return ""
