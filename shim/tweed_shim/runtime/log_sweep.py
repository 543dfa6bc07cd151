"""Remove logs of runs that have ended, the oldest first. A line in place of the log says so. The run's record stays.

This is not in log_space.py because every run that writes a log imports that, and few runs need this.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from tweed_shim.base import files
from tweed_shim.base.records import Record
from tweed_shim.base.text import decimal

REMOVED = b"[the log was removed to make room]\n"


class RunLog(Record):
    """The log of a run. size: its disk space in bytes; running: whether its run goes on."""

    number: int
    path: str
    size: int
    running: bool


def logs(directory: str) -> Iterator[RunLog]:
    """Yield the logs below a directory (ROOT/runs) that take disk space, the oldest first."""
    try:
        names = map(decimal, os.listdir(directory))
    except FileNotFoundError:
        return
    for number in sorted(name for name in names if name is not None):
        path = os.path.join(directory, str(number), "log")
        if size := _size(path) + _size(f"{path}.tail"):
            with suppress(FileNotFoundError):
                yield RunLog(number, path, size, _is_running(os.path.dirname(path)))


def remove(log: RunLog) -> bool:
    """Replace the content of a log by the line REMOVED, unless its run goes on; return whether that was done."""
    directory = os.path.dirname(log.path)
    with suppress(OSError), files.held_directory(directory, shared=False, wait=False) as ended:
        if ended:
            with suppress(FileNotFoundError):
                os.unlink(f"{log.path}.tail")
            with open(
                os.open(log.path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC), "wb"
            ) as file:
                # On a full disk this fails, and the log is empty.
                file.write(REMOVED)
            return True
    return False


def shrink_to(directory: str, most: int, *, short: int, long: int) -> int:
    """Remove logs of ended runs until all logs together take at most `most` bytes; return what they take then.

    The log of a run that goes on counts with the size that it can reach: `short` bytes, or `long` when it has half of
    `short`.
    """
    all_logs = list(logs(directory))
    total = 0
    for log in all_logs:
        reachable = long if log.size > short // 2 else short
        total += max(log.size, reachable) if log.running else log.size
    for log in all_logs:
        if total <= most:
            break
        if not log.running and remove(log):
            total -= log.size
    return max(total, 0)


def free_disk(directory: str, wanted: int) -> None:
    """Remove logs of ended runs until `wanted` bytes of their disk are free, or none is left to remove."""
    for log in logs(directory):
        status = os.statvfs(directory)
        if status.f_bavail * status.f_frsize >= wanted:
            return
        if not log.running:
            remove(log)


def _size(path: str) -> int:
    """Return the disk space of a log's file in bytes; 0 for a log that was removed."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0
    return 0 if status.st_size <= len(REMOVED) else max(status.st_blocks * 512, status.st_size)


def _is_running(directory: str) -> bool:
    with files.held_directory(directory, shared=False, wait=False) as ended:
        return not ended
