"""Directories of the host that a container shares, and that another user of an image has written.

Process 1 of a sandbox (sandbox.py) gives those that are kept to the container's user, and shows others as a copy in
memory. The functions raise OSError where they fail.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.host import kernel
from tweed_shim.host.tree_copy import copy
from tweed_shim.host.tree_walk import LEAVE, OPEN, walk
from tweed_shim.runtime import mounts

if TYPE_CHECKING:
    from tweed_shim.runtime.plan import Plan


def prepare(plan: "Plan") -> None:
    """Give the kept directories of a plan to the container's user, and find out which of the others need a copy.

    This has to be done before the store is shown with other ids (idmapped_mount.py), which has no name for some owners.
    """
    for each in plan["writable"]:
        if each["kept"]:
            with _naming(each["destination"]):
                give(each["directory"], plan["stored_user"])
    for limit in plan["disk_limits"]:
        if limit["kept"]:
            from tweed_shim.runtime import disk_usage

            disk_usage.allow_present(limit)
    for shown in plan["readable"]:
        with _naming(shown["destination"]):
            # An image may have given some of its files to others on purpose: for its own user they stay theirs.
            shown["copied"] = os.stat(shown["directory"]).st_uid != plan["stored_user"][0]
            if shown["copied"] and plan["shift"]:
                shown["directory"] = mounts.unshifted(shown["directory"])


def show(plan: "Plan") -> None:
    """Show the readable directories of a plan in its bundle: as they are or, where that is needed, as a copy."""
    for each in plan["readable"]:
        target = os.path.join(plan["bundle"], each["name"])
        with _naming(each["destination"]):
            os.mkdir(target, 0o700)
            if each["copied"]:
                # A file system of its own, so that a large copy does not take the room of $HOME.
                flags = kernel.MS_NOSUID | kernel.MS_NODEV
                kernel.mount("tmpfs", target, "tmpfs", flags, f"mode=0700,size={plan['bundle_size']}")
                copy(each["directory"], target, plan["user"])
            else:
                mounts.bind_read_only(each["directory"], target)


@contextmanager
def _naming(destination: str) -> Iterator[None]:
    """Let the OSErrors of a block name a directory as the container sees it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, destination) from error


def give(directory: str, user: tuple[int, int]) -> None:
    """Give a directory and all below it to a user (uid and gid), unless the directory is the user's already."""
    if os.stat(directory).st_uid == user[0]:
        return
    top = os.open(directory, OPEN)
    try:
        for step, parent, name, _ in walk(top):
            if step != LEAVE:
                os.chown(name, *user, dir_fd=parent, follow_symlinks=False)
        # The last one, so that a run after one that was killed meanwhile does all of it again.
        os.fchown(top, *user)
    finally:
        os.close(top)
