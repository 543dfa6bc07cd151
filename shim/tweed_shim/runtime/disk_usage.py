"""The disk usage of the directories that a container writes to, measured by process 1 of its sandbox while it runs.

The directories are on the store's disk, so that what an image wrote is there when it has succeeded. No quota bounds
them: not every file system has one. An image that writes more than its limit is killed. Nothing but the standard
library may enter here: see sandbox.py.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

MOST_FILES = 1 << 18
# The pause between two measurements is 0.1 s, and ten times as long as a measurement: a tenth of a core at most.
PAUSE = 0.1
PAUSE_FACTOR = 10
BLOCK = 512  # the unit of st_blocks: stat(2)
# A path of this length is continued from a descriptor: the kernel takes no path of more than 4096 bytes.
LONG = 2000


class DiskUsage:
    """Measures directories. is_exceeded: whether they held more than `limit` bytes, or MOST_FILES, when measured."""

    def __init__(self, directories: list[str], limit: int) -> None:
        self.is_exceeded = False
        self._directories = directories
        self._limit = limit
        self._next = time.monotonic() + PAUSE

    def pause(self) -> int | None:
        """Return the milliseconds until the next measurement, None where there is nothing to measure."""
        if not self._directories or self.is_exceeded:
            return None
        return max(0, round((self._next - time.monotonic()) * 1000))

    def measure(self, *, now: bool = False) -> bool:
        """Measure where it is time, or `now`; return whether the limit is exceeded."""
        begun = time.monotonic()
        if self._directories and not self.is_exceeded and (now or begun >= self._next):
            size = 0
            for count, status in enumerate(_entries(self._directories), 1):
                size += status.st_blocks * BLOCK
                if size > self._limit or count > MOST_FILES:
                    self.is_exceeded = True
                    break
            ended = time.monotonic()
            self._next = ended + max(PAUSE, PAUSE_FACTOR * (ended - begun))
        return self.is_exceeded


def _entries(directories: list[str]) -> Iterator[os.stat_result]:
    """Yield what is below the directories, each file with several names once, and their open files without a name."""
    seen: set[tuple[int, int]] = set()
    for directory in directories:
        for status in _below(directory):
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            yield status
    yield from _unnamed({os.stat(directory).st_dev for directory in directories})


def _below(directory: str) -> Iterator[os.stat_result]:
    """Yield what is below a directory, however deep it is. The container may change the directory meanwhile."""
    ahead, descriptors = [directory], list[int]()
    try:
        while ahead:
            path = ahead.pop()
            with suppress(FileNotFoundError, NotADirectoryError):
                if len(path) > LONG:
                    descriptors.append(
                        os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                    )
                    path = f"/proc/self/fd/{descriptors[-1]}"
                with os.scandir(path) as entries:
                    for entry in entries:
                        with suppress(FileNotFoundError):
                            yield entry.stat(follow_symlinks=False)
                            if entry.is_dir(follow_symlinks=False):
                                ahead.append(entry.path)
    finally:
        for fd in descriptors:
            os.close(fd)


def _unnamed(devices: Iterable[int]) -> Iterator[os.stat_result]:
    """Yield the files on these devices that processes of this namespace hold open and that have no name any more."""
    own, seen = str(os.getpid()), set[int]()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid == own:
            continue
        with suppress(OSError):  # the process has ended, or may not be looked at
            for name in os.listdir(f"/proc/{pid}/fd"):
                status = os.stat(f"/proc/{pid}/fd/{name}")
                is_file = stat.S_ISREG(status.st_mode) and status.st_nlink == 0
                if is_file and status.st_dev in devices and status.st_ino not in seen:
                    seen.add(status.st_ino)
                    yield status
