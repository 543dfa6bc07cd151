"""The size of the directories that are kept of a run, measured by process 1 of its sandbox while the container runs.

They are on the store's disk, so that what an image wrote is there when it has succeeded, and no quota bounds them that
every file system has. What is larger than it may be ends the container. Nothing but the standard library may enter
here: see sandbox.py.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

MOST_FILES = 1 << 18
# Seconds between two looks, and how many times longer than a look that pause is at least: a tenth of a core at most.
PAUSE = 0.1
PATIENCE = 10
BLOCK = 512  # the unit of st_blocks: stat(2)
# The kernel takes no path of more than 4096 bytes.
LONG = 2000


class KeptSize:
    """Watches directories; full: whether they held more than `limit` bytes, or MOST_FILES, at one of the looks."""

    def __init__(self, directories: list[str], limit: int) -> None:
        self.full = False
        self._directories = directories
        self._limit = limit
        self._next = time.monotonic() + PAUSE

    def pause(self) -> int | None:
        """Return the milliseconds until the next look, None where there is nothing to watch."""
        if not self._directories or self.full:
            return None
        return max(0, round((self._next - time.monotonic()) * 1000))

    def look(self, *, now: bool = False) -> bool:
        """Measure where it is time, or `now`; returns whether too much is there."""
        begun = time.monotonic()
        if self._directories and not self.full and (now or begun >= self._next):
            size = 0
            for count, about in enumerate(_entries(self._directories), 1):
                size += about.st_blocks * BLOCK
                if size > self._limit or count > MOST_FILES:
                    self.full = True
                    break
            ended = time.monotonic()
            self._next = ended + max(PAUSE, PATIENCE * (ended - begun))
        return self.full


def _entries(directories: list[str]) -> Iterator[os.stat_result]:
    """Yield what is below the directories, hard links once, and the files of theirs that have no name any more."""
    seen: set[tuple[int, int]] = set()
    for directory in directories:
        for about in _below(directory):
            if about.st_nlink > 1 and not stat.S_ISDIR(about.st_mode):
                if (about.st_dev, about.st_ino) in seen:
                    continue
                seen.add((about.st_dev, about.st_ino))
            yield about
    yield from _unnamed({os.stat(directory).st_dev for directory in directories})


def _below(directory: str) -> Iterator[os.stat_result]:
    """Yield what is below a directory, however deep, while somebody else may change it."""
    ahead, held = [directory], list[int]()
    try:
        while ahead:
            path = ahead.pop()
            with suppress(FileNotFoundError, NotADirectoryError):
                if len(path) > LONG:
                    held.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
                    path = f"/proc/self/fd/{held[-1]}"
                with os.scandir(path) as entries:
                    for entry in entries:
                        with suppress(FileNotFoundError):
                            yield entry.stat(follow_symlinks=False)
                            if entry.is_dir(follow_symlinks=False):
                                ahead.append(entry.path)
    finally:
        for fd in held:
            os.close(fd)


def _unnamed(devices: Iterable[int]) -> Iterator[os.stat_result]:
    """Yield the files on these devices that processes of this namespace hold open and that no directory names."""
    own, found = str(os.getpid()), set[int]()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid == own:
            continue
        with suppress(OSError):  # the process has ended, or may not be looked at
            for name in os.listdir(f"/proc/{pid}/fd"):
                about = os.stat(f"/proc/{pid}/fd/{name}")
                is_file = stat.S_ISREG(about.st_mode) and about.st_nlink == 0
                if is_file and about.st_dev in devices and about.st_ino not in found:
                    found.add(about.st_ino)
                    yield about
