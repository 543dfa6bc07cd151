"""The disk space that the logs of a store may take together. The oldest logs are removed for newer ones.

An image decides how much it writes. So a log reserves space before it grows: 64 KiB with its first byte, and the most
that a log may have when it has filled them. The reservations are added up beside the counter of runs (ROOT/runs/lock).
The sum is never less than what the logs take. The logs are measured (log_sweep.py) only where the sum exceeds the
limit. A run whose image writes nothing to its log pays nothing for it.
"""

import os

from tweed_shim.base import files

# The most bytes of one log: its beginning and its end together. One log may have a quarter (1 / SHARE) of the limit.
LONGEST, SHARE = 64 << 20, 4
# The bytes that each log can have, however little space is left.
SHORT = 64 << 10
SMALLEST_SHARE = 4096
# While the end of a log is appended to its beginning, it is on the disk twice.
APPENDED = 3 / 2
# What logs leave of a disk to others: a sixteenth of the disk, and 64 MiB at most.
LEFT, LEFT_PART = 64 << 20, 16
# The position of the sum in the lock file: behind the number of the last run.
_OFFSET, _WIDTH = 32, 32


class LogSpace:
    """The disk space for the log of one run.

    directory: ROOT/runs. limit: of all logs together. longest, short: the sizes of a long log and of a short one. left:
    what a log leaves of the disk to others. All are bytes.
    """

    def __init__(self, directory: str, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self.longest = min(LONGEST, max(limit // SHARE, SMALLEST_SHARE))
        self.short = min(SHORT, self.longest)
        self.left, _ = _space(directory)

    def take_short(self) -> None:
        """Reserve the space of a short log."""
        self._reserve(self.short, always=True)

    def take_long(self) -> bool:
        """Reserve the space of a long log; return False where the limit leaves none."""
        return self._reserve(int(self.longest * APPENDED), always=False)

    def has_disk(self) -> bool:
        """Tell whether the disk has space for more. Older logs are removed where it has none."""
        if _space(self._directory)[1] >= self.left:
            return True
        from tweed_shim.runtime import log_sweep

        log_sweep.free_disk(self._directory, 2 * self.left)
        return _space(self._directory)[1] >= self.left

    def _reserve(self, size: int, *, always: bool) -> bool:
        """Add a size to the sum, unless that exceeds the limit and it is not `always` added; return whether it was."""
        with files.locked(os.path.join(self._directory, "lock")) as fd:
            text = os.pread(fd, _WIDTH, _OFFSET).strip()
            total = int(text) if text.isdigit() else None
            if total is None or total + size > self._limit:
                from tweed_shim.runtime import log_sweep

                total = log_sweep.shrink_to(
                    self._directory, self._limit - size, short=SHORT, long=int(self.longest * APPENDED)
                )
            if not always and total + size > self._limit:
                size = 0
            os.pwrite(fd, b"%-31d\n" % (total + size), _OFFSET)
            return size > 0


def relieve_disk(root: str) -> None:
    """Remove the oldest logs of a store where its disk is nearly full, so that an operation has space on it.

    Where the disk is not nearly full, this costs one statvfs(2). Raises ConfigError for a store that another user can
    change.
    """
    directory = os.path.join(root, "runs")
    try:
        left, free = _space(directory)
    except OSError:
        return  # there are no logs yet
    if free < 2 * left:
        from tweed_shim.base import trust
        from tweed_shim.runtime import log_sweep

        trust.check_store(root)
        log_sweep.free_disk(directory, 2 * left)


def _space(directory: str) -> tuple[int, int]:
    """Return how much of a disk is left to others, and how much is free, both in bytes."""
    status = os.statvfs(directory)
    return min(LEFT, status.f_blocks * status.f_frsize // LEFT_PART), status.f_bavail * status.f_frsize
