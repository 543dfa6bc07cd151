"""The disk space that the logs of a store may take together: the oldest make room for newer ones.

An image decides how much it says. So a log asks before it grows: for a little with its first byte, and for all that a
log may have when it becomes long. What was asked for is added up beside the counter of runs (ROOT/runs/lock). The sum
is never less than what the logs take. Only where it exceeds the limit, the logs are measured (log_sweep.py). A run
whose image says nothing pays nothing for it.
"""

import os

from tweed_shim.base import files

# What a log can grow to: its beginning and its end. At most, so that a chatty image has no more than a share.
LONGEST, SHARE = 64 << 20, 4
# What each log can have, however little room there is.
SHORT = 64 << 10
SMALLEST_SHARE = 4096
# The end of a log is there twice while it is appended to the beginning.
APPENDED = 3 / 2
# What logs leave of a disk to others, at most: a part of all of it.
LEFT, LEFT_PART = 64 << 20, 16
# Where the sum is in the lock file, behind the number of the last run.
_OFFSET, _WIDTH = 32, 32


class LogSpace:
    """What the log of one run may have.

    directory: ROOT/runs. limit: bytes, of all logs together. left: what it leaves of the disk to others, bytes.
    """

    def __init__(self, directory: str, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self.longest = min(LONGEST, max(limit // SHARE, SMALLEST_SHARE))
        self.short = min(SHORT, self.longest)
        self.left, _ = _space(directory)

    def take_short(self) -> None:
        """Count a log that begins."""
        self._take(self.short, always=True)

    def take_long(self) -> bool:
        """Count a log that becomes long; False where there is no room for it."""
        return self._take(int(self.longest * APPENDED), always=False)

    def has_disk(self) -> bool:
        """Say whether the disk has room for more, now that older logs have made room if it had none."""
        if _space(self._directory)[1] >= self.left:
            return True
        from tweed_shim.runtime import log_sweep

        log_sweep.make_room_on_disk(self._directory, 2 * self.left)
        return _space(self._directory)[1] >= self.left

    def _take(self, size: int, *, always: bool) -> bool:
        with files.locked(os.path.join(self._directory, "lock")) as fd:
            text = os.pread(fd, _WIDTH, _OFFSET).strip()
            total = int(text) if text.isdigit() else None
            if total is None or total + size > self._limit:
                from tweed_shim.runtime import log_sweep

                total = log_sweep.make_room(
                    self._directory, self._limit - size, short=SHORT, long=int(self.longest * APPENDED)
                )
            if not always and total + size > self._limit:
                size = 0
            os.pwrite(fd, b"%-31d\n" % (total + size), _OFFSET)
            return size > 0


def relieve_disk(root: str) -> None:
    """Remove the oldest logs of a store where its disk is nearly full, so that an operation can be carried out.

    One statvfs(2) where it is not. Raises ConfigError for a store that another user can change.
    """
    directory = os.path.join(root, "runs")
    try:
        left, free = _space(directory)
    except OSError:
        return  # there are no logs, or whoever opens them says why not
    if free < 2 * left:
        from tweed_shim.base import trust
        from tweed_shim.runtime import log_sweep

        trust.check_store(root)
        log_sweep.make_room_on_disk(directory, 2 * left)


def _space(directory: str) -> tuple[int, int]:
    """Return what is to be left of a disk to others, and what is free, bytes."""
    about = os.statvfs(directory)
    return min(LEFT, about.f_blocks * about.f_frsize // LEFT_PART), about.f_bavail * about.f_frsize
