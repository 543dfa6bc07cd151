"""Remove logs of runs that have ended, the oldest first. Of a log a line stays that says so; the record of a run stays.

Apart from log_space.py, which every run with something to say imports.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from tweed_shim import files
from tweed_shim.letters import decimal
from tweed_shim.records import Record
from tweed_shim.runtime.log_space import APPENDED, SHORT

REMOVED = b"[the log was removed to make room]\n"


class RunLog(Record):
    """The log of a run. size: what it takes on disk, bytes; running: whether its run goes on."""

    number: int
    path: str
    size: int
    running: bool


def logs(directory: str) -> Iterator[RunLog]:
    """Yield the logs below ROOT/runs that take space, the oldest first."""
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
    """Remove the content of a log, unless its run goes on; whether it is removed."""
    directory = os.path.dirname(log.path)
    with suppress(OSError), files.held_directory(directory, shared=False, wait=False) as ended:
        if ended:
            with suppress(FileNotFoundError):
                os.unlink(f"{log.path}.tail")
            with open(
                os.open(log.path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC), "wb"
            ) as file:
                # It cannot be written where the disk is full, and then an empty log has to do.
                file.write(REMOVED)
            return True
    return False


def make_room(directory: str, room: int, *, longest: int) -> int:
    """Remove logs of ended runs until all together take at most `room` bytes; returns what they take then.

    A log of a run that goes on counts as much as it can become. longest: see LogSpace.
    """
    found = list(logs(directory))
    total = 0
    for log in found:
        growing = int(longest * APPENDED) if log.size > SHORT // 2 else SHORT
        total += max(log.size, growing) if log.running else log.size
    for log in found:
        if total <= room:
            break
        if not log.running and remove(log):
            total -= log.size
    return max(total, 0)


def make_room_on_disk(directory: str, wanted: int) -> None:
    """Remove logs until so many bytes of their disk are free, as far as their runs have ended."""
    for log in logs(directory):
        about = os.statvfs(directory)
        if about.f_bavail * about.f_frsize >= wanted:
            return
        if not log.running:
            remove(log)


def _size(path: str) -> int:
    """Return what a file takes on disk; nothing for the line that a removed log consists of."""
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return 0
    return 0 if about.st_size <= len(REMOVED) else max(about.st_blocks * 512, about.st_size)


def _is_running(directory: str) -> bool:
    with files.held_directory(directory, shared=False, wait=False) as ended:
        return not ended
