"""The room on disk that an image may take while it is unpacked: a small layer can become very large.

A gzip layer says nothing of what it expands to, and a hole in a file of a tar is written out by umoci, as zeros. So
what is written is watched, and ended before the disk is full, which others work on too.
"""

import os
from collections.abc import Iterable, Iterator

from tweed_shim.errors import HostError, ImageError
from tweed_shim.image.compression import LARGEST_CONTENT
from tweed_shim.image.deadline import NO_DEADLINE, Deadline
from tweed_shim.option_names import option

# What is left to others, or an eighth of what there is to begin with.
KEPT_BYTES = 256 << 20
KEPT_FILES = 10_000
SHARE = 8


class Room:
    """The room of the disk that a directory is on, for one image, which is called `what`."""

    def __init__(self, directory: str, what: str, deadline: Deadline = NO_DEADLINE) -> None:
        """deadline: ends the work, too."""
        self._directory = directory
        self._deadline = deadline
        self.what = what
        free, files = self._free()
        self._kept = min(KEPT_BYTES, free // SHARE), min(KEPT_FILES, files // SHARE)

    def _free(self) -> tuple[int, int]:
        about = os.statvfs(self._directory)
        return about.f_bavail * about.f_frsize, about.f_favail

    def check(self) -> None:
        """Raise HostError where the disk is nearly full, PullTimedOut where the time is over."""
        self._deadline.check()
        if any(free < kept for free, kept in zip(self._free(), self._kept, strict=True)):
            raise HostError(
                f"no space is left in {self._directory} to unpack {self.what}: it is larger than all that is free "
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
        """The pieces, of which each is about to be written to the disk. Raises HostError where it is nearly full."""
        for piece in pieces:
            self.check()
            yield piece


def _written(pid: int) -> int:
    """How many bytes a process has given to write(2): proc(5), /proc/PID/io; 0 where the kernel does not count."""
    try:
        with open(f"/proc/{pid}/io", encoding="utf-8") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("wchar:")), 0)
    except OSError:
        return 0
