"""The store's own records: small JSON objects in files, whose shape is checked when they are read.

A power cut, a full disk or a stray editor may leave one empty, cut short, or of another shape. That is said about this
one file; whatever does not depend on it goes on, and what it may have protected is not removed.
This module is on the path of every run: it imports little.
"""

import errno
import os
import stat
from collections.abc import Callable, Mapping

from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import Any
from tweed_shim.errors import DamagedRecord

# What each field has to be, by its name, and whether it may be absent: see `text`, `optional` and the others.
Shape = Mapping[str, Callable[[object], bool]]

# The largest holds an environment of at most 4 MiB (`RESULT_LIMIT`), of which JSON makes up to six times as much.
LARGEST = 32 << 20
PIECE = 64 << 10


def text(value: object) -> bool:
    """Say whether a field is a text."""
    return isinstance(value, str)


def number(value: object) -> bool:
    """Say whether a field is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def texts(value: object) -> bool:
    """Say whether a field maps names to texts."""
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def optional(check: Callable[[object], bool]) -> Callable[[object], bool]:
    """Make the check of a field that may be absent, which is None here."""
    return lambda value: value is None or check(value)


def read(path: str, shape: Shape, *, mend: str) -> dict[str, Any]:
    """Read a record. mend: the end of the message about a damaged record: what to do.

    Raises FileNotFoundError where there is none, DamagedRecord where it is not what the store writes.
    """
    try:
        # Opening a pipe without a writer would block for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _parsed(_content(fd), shape)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, "there is no record", path) from None
    except OSError as error:
        # EIO: the disk itself has lost it.
        if error.errno not in (errno.EISDIR, errno.ELOOP, errno.EIO):
            raise
        raise damaged(path, os.strerror(error.errno), mend) from error
    except ValueError as fault:
        raise damaged(path, str(fault), mend) from None


def _content(fd: int) -> bytes:
    """Read a regular file, little more than LARGEST of it. Raises OSError with EISDIR for a directory."""
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError("it is no regular file")
    data = bytearray()
    while len(data) <= LARGEST and (piece := os.read(fd, PIECE)):
        data += piece
    return bytes(data)


def damaged(path: str, fault: str, mend: str) -> DamagedRecord:
    """Make the error for a record that cannot be used."""
    return DamagedRecord(f"{path} is damaged ({fault}); {mend}")


def _parsed(data: bytes, shape: Shape) -> dict[str, Any]:
    """Return the fields of a record. Raises ValueError, which says what is wrong with it."""
    # A power cut may leave a file with its length and without its content.
    if not data.strip(b" \t\r\n\0"):
        raise ValueError("it is empty")
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    for name, check in shape.items():
        if not check(record.get(name)):
            raise ValueError(f"its field {name!r} is missing or of another kind")
    return record
