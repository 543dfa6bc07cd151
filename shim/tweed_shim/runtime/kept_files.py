"""Copy what a run wrote to a directory of the caller's, for a look: `exec --keep`.

Process 1 of a sandbox (sandbox.py) does this when the container has ended, before all that is in memory is gone. The
copies belong to the caller, whichever ids they had. Devices, pipes and sockets are left out. A file with several names
is copied once, so the copy takes no more room than the original.
"""

import errno
import os
import stat
from collections.abc import Iterator

from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.base.text import visible
from tweed_shim.host.tree_copy import copy_file, copy_link, moved, settle
from tweed_shim.host.tree_walk import ENTER, LEAVE, OPEN, walk

if TYPE_CHECKING:
    from tweed_shim.runtime.plan import Plan

# The first and the last file that is written: what is kept is whole where both are there.
CONFIG, README = "config.json", "README"
REMOVED = "removed"
ROOT = "root"
# The ids of the caller in the namespace of process 1.
CALLER = (0, 0)
MOST_REMOVED = 1 << 16  # lines
MOST_LINKED = 1 << 14  # files with more than one name
# An overlay marks a directory that hides all that the image has in it: the kernel's overlayfs.rst, "opaque".
OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
TEXT = """What a run of tweed-shim wrote, for a look. There may be secrets in it: remove it when it has been looked at.

config.json   what the OCI runtime was given; its directories were in memory and are gone
runtime.log   what the runtime complained of, if it did
root/         the files that the program made or changed in the image's root, each with its path there
removed       the files of the image that it removed, a path in each line; PATH/* is all that the image had there
home/         $HOME
out/          $OUT_CONFIG (configure, setup), if the operation has it
outputs/      $OUTPUTS (provision)
credstore/    $CREDSTORE (provision, deprovision)

The files belong to you here. Devices, pipes and sockets are left out.
"""


def keep(plan: "Plan") -> None:
    """Copy what the run of a plan wrote to the plan's directory. Raises OSError; what is copied so far stays then."""
    directory, bundle = plan["keep"], plan["bundle"]
    _write(os.path.join(directory, CONFIG), [plan["config"]])
    log = os.path.join(bundle, "runtime.log")
    if os.path.isfile(log) and os.path.getsize(log):
        with open(log, encoding="utf-8", errors="replace") as file:
            _write(os.path.join(directory, "runtime.log"), file)
    if plan["overlay"]:
        upper = os.path.join(bundle if plan["overlay"] == "tmpfs" else plan["overlay"], "upper")
        layer = _Layer(plan["mount_points"])
        layer.copy(upper, os.path.join(directory, ROOT))
        _write(os.path.join(directory, REMOVED), (f"{visible(path)}\n" for path in layer.removed))
    _Layer().copy(os.path.join(bundle, "home"), os.path.join(directory, "home"))
    for each in plan["writable"]:
        name = os.path.basename(each["destination"])
        _Layer().copy(each["directory"], os.path.join(directory, name))
    _write(os.path.join(directory, README), [TEXT])


def _write(path: str, lines: "Iterator[str] | list[str]") -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(lines)


class _Layer:
    """A tree to copy: the upper layer of an overlay, or a plain directory.

    removed: the paths that the layer hides, in the order in which they were met.
    """

    def __init__(self, mount_points: "list[tuple[str, str]] | None" = None) -> None:
        self.removed: list[str] = []
        # The runtime makes these, and the directories above them. They are no work of the program's.
        self._mount_points = {path for path, _ in mount_points or ()}
        self._above = {
            path[:end] for path in self._mount_points for end in range(1, len(path)) if path[end] == "/"
        }
        self._first: dict[tuple[int, int], str] = {}
        self._way: list[str] = []

    def copy(self, source: str, target: str) -> None:
        """Make a directory `target` with a copy of all that is below `source`."""
        os.mkdir(target, 0o700)
        original = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        top = os.open(target, OPEN)
        current = os.dup(top)
        try:
            for step, parent, name, status in walk(original):
                if step == ENTER:
                    self._way.append(name)
                    self._note_opaque(parent, name)
                    os.mkdir(name, 0o700, dir_fd=current)
                    current = moved(current, name)
                elif step == LEAVE:
                    settle(current, status, CALLER)
                    current = moved(current, "..")
                    self._drop_mount_point(name, current)
                    self._way.pop()
                else:
                    self._copy_other(parent, name, status, current=current, top=top)
            settle(top, os.fstat(original), CALLER)
        finally:
            os.close(current)
            os.close(top)
            os.close(original)

    def _path(self, *names: str) -> str:
        """Return the path in the container of what the walk is at."""
        return "/" + "/".join((*self._way, *names))

    def _copy_other(self, parent: int, name: str, status: os.stat_result, *, current: int, top: int) -> None:
        if stat.S_ISLNK(status.st_mode):
            copy_link(parent, name, current, status=status, user=CALLER)
        elif stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            # A whiteout: overlayfs.rst.
            self._note(self._path(name))
        elif stat.S_ISREG(status.st_mode):
            is_empty = status.st_size == 0
            if is_empty and self._path(name) in self._mount_points:
                return
            if not self._link_again(name, status, current=current, top=top):
                copy_file(parent, name, current, user=CALLER)

    def _link_again(self, name: str, status: os.stat_result, *, current: int, top: int) -> bool:
        """Give a file that has been copied under another name this one, too; return whether it was."""
        if status.st_nlink == 1:
            return False
        key, path = (status.st_dev, status.st_ino), self._path(name)[1:]
        if key in self._first:
            # Where its path is too long for the kernel, this raises OSError.
            os.link(self._first[key], name, src_dir_fd=top, dst_dir_fd=current, follow_symlinks=False)
            return True
        if len(self._first) == MOST_LINKED:
            raise OSError(errno.EMLINK, f"it has more than {MOST_LINKED} files with several names")
        self._first[key] = path
        return False

    def _note(self, path: str) -> None:
        if len(self.removed) < MOST_REMOVED:
            self.removed.append(path)
        elif len(self.removed) == MOST_REMOVED:
            self.removed.append("and more")

    def _note_opaque(self, parent: int, name: str) -> None:
        for attribute in OPAQUE:
            try:
                value = os.getxattr(f"/proc/self/fd/{parent}/{name}", attribute, follow_symlinks=False)
            except OSError:
                continue
            if value == b"y":
                self._note(self._path("*"))
                return

    def _drop_mount_point(self, name: str, current: int) -> None:
        """Remove a directory from the copy that the runtime made, and that is empty but for its mounts."""
        if (path := self._path()) in self._mount_points or path in self._above:
            try:
                os.rmdir(name, dir_fd=current)
            except OSError:
                return  # the program has written to it
