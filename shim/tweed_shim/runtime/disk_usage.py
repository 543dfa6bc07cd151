"""The disk usage of the directories that a container writes to, measured by process 1 of its sandbox while it runs.

The directories are on the store's disk, so that what an image wrote is there when it has succeeded. No quota bounds
them: not every file system has one. Directories share a limit or have one of their own, and a program that exceeds one
is killed. Nothing but the standard library, and modules like this one, may enter here: see sandbox.py.
"""

import errno
import os
import stat
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress

from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.host import kernel

if TYPE_CHECKING:
    from tweed_shim.runtime.plan import DiskLimit

# The pause between two measurements is 0.1 s, and ten times as long as a measurement: a tenth of a core at most.
PAUSE = 0.1
PAUSE_FACTOR = 10
BLOCK = 512  # the unit of st_blocks: stat(2)
# A path of this length is continued from a descriptor: the kernel takes no path of more than 4096 bytes.
LONG = 2000


class DiskUsage:
    """Measures directories. exceeded: the first destination of a limit that was exceeded when measured, or ""."""

    def __init__(self, limits: "list[DiskLimit]") -> None:
        self.exceeded = ""
        self._limits = limits
        self._next = time.monotonic() + PAUSE

    def pause(self) -> int | None:
        """Return the milliseconds until the next measurement, None where there is nothing to measure."""
        if not self._limits or self.exceeded:
            return None
        return max(0, round((self._next - time.monotonic()) * 1000))

    def measure(self, *, now: bool = False) -> bool:
        """Measure where it is time, or `now`; return whether a limit is exceeded."""
        begun = time.monotonic()
        if self._limits and not self.exceeded and (now or begun >= self._next):
            totals = [_Total(limit) for limit in self._limits]
            self.exceeded = next((each.destination for each in _added(totals) if each.is_exceeded()), "")
            ended = time.monotonic()
            self._next = ended + max(PAUSE, PAUSE_FACTOR * (ended - begun))
        return bool(self.exceeded)


def allow_present(limit: "DiskLimit") -> None:
    """Raise a limit to what its directories hold now, where that is more.

    Else a program that is to clear up what another one has left above the limit would be killed for it.
    """
    total = _Total(limit)
    for _ in total.add_named():
        pass
    limit["limit"] = max(limit["limit"], total.size)
    limit["files"] = max(limit["files"], total.files)


class _Total:
    """What the directories of a limit hold. size: bytes. files: the number of files, directories and links."""

    def __init__(self, limit: "DiskLimit") -> None:
        self.size = self.files = 0
        self.directories = limit["directories"]
        self.destination = next(iter(self.directories))
        self._limit = limit

    def add(self, status: os.stat_result) -> None:
        """Add a file."""
        self.size += status.st_blocks * BLOCK
        self.files += 1

    def is_exceeded(self) -> bool:
        """Tell whether the directories hold more than the limit allows."""
        return self.size > self._limit["limit"] or self.files > self._limit["files"]

    def add_named(self) -> Iterator[None]:
        """Add what is below the directories, each file with several names once; yield after each."""
        seen: set[tuple[int, int]] = set()
        for directory in self.directories.values():
            for status in _below(directory):
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                self.add(status)
                yield


def _added(totals: list[_Total]) -> Iterator[_Total]:
    """Add all that is in the directories of these totals, and yield a total each time that it has changed."""
    for total in totals:
        for _ in total.add_named():
            yield total
    devices = [{os.stat(path).st_dev for path in total.directories.values()} for total in totals]
    for path, status in _unnamed(set().union(*devices)):
        possible = [total for total, ids in zip(totals, devices, strict=True) if status.st_dev in ids]
        for total in _mounting(path, possible) if len(possible) > 1 else possible:
            total.add(status)
            yield total


def _mounting(path: str, totals: list[_Total]) -> list[_Total]:
    """Return the totals whose directory an open file, /proc/PID/fd/N, is in; all where that is not known.

    The file has no path any more, but still the number of a mount: proc(5), /proc/PID/fdinfo. A process that has called
    chroot(2) does not list the mounts outside of its root.
    """
    from tweed_shim.runtime import mounts

    process, _, number = path.rpartition("/fd/")
    try:
        with open(f"{process}/fdinfo/{number}", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        with open(f"{process}/mountinfo", "rb") as file:
            points = mounts.mount_points_by_id(file)
    except OSError:
        return totals
    point = points.get(int(fields["mnt_id"]), "")
    return [total for total in totals if point in total.directories] or totals


def _below(directory: str) -> Iterator[os.stat_result]:
    """Yield what is below a directory, however deep it is. The container may change the directory meanwhile.

    Each directory is opened by a path without links, or the container could lead this process to the host's files.
    """
    descriptors = [os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    ahead = [(descriptors[0], ".")]
    try:
        while ahead:
            base, path = ahead.pop()
            try:
                fd = kernel.open_beneath(base, path)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise
                continue  # removed, moved or replaced meanwhile
            if len(path) > LONG:
                descriptors.append(fd)
                base, path = fd, "."
            with _listed(fd, keep=fd in descriptors[1:]) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        yield status
                        if stat.S_ISDIR(status.st_mode):
                            ahead.append((base, f"{path}/{entry.name}"))
    finally:
        for fd in descriptors:
            os.close(fd)


@contextmanager
def _listed(fd: int, *, keep: bool) -> Iterator[Iterator["os.DirEntry[str]"]]:
    """Yield the entries of an open directory, and close it at the end unless it is kept."""
    try:
        with os.scandir(fd) as entries:
            yield entries
    finally:
        if not keep:
            os.close(fd)


def _unnamed(devices: Container[int]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files on these devices that processes of this namespace hold open and that have no name any more.

    Each comes with a path of the form /proc/PID/fd/N.
    """
    own, seen = str(os.getpid()), set[tuple[int, int]]()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid == own:
            continue
        with suppress(OSError):  # the process has ended, or may not be looked at
            for name in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{name}"
                status = os.stat(path)
                is_file = stat.S_ISREG(status.st_mode) and status.st_nlink == 0
                if is_file and status.st_dev in devices and (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield path, status
