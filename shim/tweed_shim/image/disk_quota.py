"""Limits the disk space that an image takes while it is unpacked: a small layer can expand to a very large one.

A gzip layer does not state its expanded size, and umoci writes holes of sparse files as zeros. So the writing is
watched, and stopped before the disk is full for everybody.
"""

import os
from collections.abc import Iterable, Iterator

from tweed_shim.base.deadline import NO_DEADLINE, Deadline
from tweed_shim.base.option_names import option
from tweed_shim.errors import HostError, ImageError
from tweed_shim.image.compression import LARGEST_CONTENT

# The space that stays free for others, but at most an eighth of what is free at the beginning.
RESERVED_BYTES = 256 << 20
RESERVED_FILES = 10_000
RESERVED_PART = 8


class DiskQuota:
    """The free space of the file system of a directory, for one image. what: the image in errors."""

    def __init__(self, directory: str, what: str, deadline: Deadline = NO_DEADLINE) -> None:
        """deadline: `check` raises PullTimedOut after it."""
        self._directory = directory
        self._deadline = deadline
        self.what = what
        free, files = self._free()
        self._reserved = (
            min(RESERVED_BYTES, free // RESERVED_PART),
            min(RESERVED_FILES, files // RESERVED_PART),
        )

    def _free(self) -> tuple[int, int]:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize, disk.f_favail

    def check(self) -> None:
        """Raise HostError where the disk is nearly full, PullTimedOut after the deadline."""
        self._deadline.check()
        if any(free < reserved for free, reserved in zip(self._free(), self._reserved, strict=True)):
            raise HostError(
                f"no space is left in {self._directory} to unpack {self.what}: it needs more than what is free "
                f"there; make room, or give another {option('--root')}"
            )

    def watch(self, pid: int) -> None:
        """Raise HostError where the disk is nearly full, ImageError where the process `pid` has written too much."""
        self.check()
        if _written(pid) > LARGEST_CONTENT:
            raise ImageError(
                f"{self.what} expands to more than {LARGEST_CONTENT >> 30} GiB, which is not unpacked; "
                "use a smaller image"
            )

    def content(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces, with a check before each is written. Raises HostError where the disk is nearly full."""
        for piece in pieces:
            self.check()
            yield piece


def _written(pid: int) -> int:
    """Return the bytes that a process passed to write(2): proc(5), /proc/PID/io. 0 where the kernel does not count."""
    try:
        with open(f"/proc/{pid}/io", encoding="utf-8") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("wchar:")), 0)
    except OSError:
        return 0
