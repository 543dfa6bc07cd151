"""Drafts: generations (clouds.py) that are not in force yet. A success survives a full disk and a kill.

    SLOT/draft-X/data/         what the image writes
    SLOT/draft-X/record.json   RESERVE bytes of the disk: first a record with `started`, later the one of the success
    SLOT/draft-X/link -> N     what becomes SLOT/current

All of it is created before the image starts. The commit creates nothing: it overwrites the record, and renames the
draft to N and the link to `current`. So a full disk cannot stop it. An interaction counts as set up as soon as its
record is that of a success. The next operation that changes it finishes an interrupted commit.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress

from tweed_shim.base import files
from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import EMPTY
from tweed_shim.base.text import decimal
from tweed_shim.host import owned_trees, userns

CURRENT = "current"
# When a generation is torn down, `current` is renamed to this, so that `unfinished` does not take the generation for a
# success that has not come into force yet.
TORN_DOWN = "torn-down"
PREFIX = "draft-"
RECORD = "record.json"
LINK = "link"
# The name to which recovery renames a draft whose image was started, where it is unknown whether it succeeded.
INTERRUPTED = "interrupted"
STARTED = "started"
# Stands for the number of the generation in force where the slot is damaged. It is higher than any number, so no other
# generation counts as newer.
UNKNOWN = 1 << 62
# A larger environment needs free space on the disk after the image has ended.
RESERVE = 256 << 10


class Draft:
    """A draft of a generation; `close` removes it unless it is marked.

    marked: whether its image is known to have succeeded. environment_lost: the error that kept the environment out of
    the record, or None.
    """

    def __init__(self, ids: userns.IdMap, slot: str, record: Mapping[str, Any]) -> None:
        """Create a draft. record: what is known before the image starts. Raises OSError where the disk is full."""
        self._ids = ids
        self._slot = slot
        self._number = str(1 + _highest(slot))
        self._directory = os.path.join(slot, files.unique_name(PREFIX))
        self._record, self._length = -1, 0
        self.marked = self._synced = False
        self._small = dict(record)
        self.environment_lost: OSError | None = None
        self.data = os.path.join(self._directory, "data")
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        files.make_private(self.data)
        path = os.path.join(self._directory, RECORD)
        self._record = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE)
        files.reserve(self._record, RESERVE)
        self._length = os.pwrite(self._record, json.dumps({**self._small, STARTED: True}).encode(), 0)
        os.symlink(self._number, os.path.join(self._directory, LINK))

    def sync(self) -> None:
        """Sync the draft's directory and those above it. The caller does so while the image runs."""
        for directory in (self._directory, self._slot, *_above(self._slot)):
            files.sync_directory(directory)
        self._synced = True

    def mark(self, more: Mapping[str, Any] = EMPTY) -> None:
        """Record, durably, that the image has succeeded. more: further fields of the record.

        Where the disk has no room for `more`, the record is written without it, and `environment_lost` holds the error.
        Raises OSError where the success itself cannot be recorded. The draft stays nevertheless: teardown needs it.
        """
        self.marked = True
        small, whole = (json.dumps(each).encode() for each in (self._small, {**self._small, **more}))
        fits = len(whole) <= RESERVE
        for data in (whole, small) if fits else (small,):
            try:
                self._overwrite(data)
                break
            except OSError as error:
                self.environment_lost = error
        else:
            # The record still says `started`. The name alone marks the success then: see `unfinished`.
            self._rename()
        if not self._synced:
            # Where this fails, the commit syncs again and raises.
            with suppress(OSError):
                self.sync()
        if not fits:
            try:
                files.write_whole(os.path.join(self._directory, RECORD), whole)
            except OSError as error:
                self.environment_lost = error

    def _overwrite(self, data: bytes) -> None:
        try:
            self._length = os.pwrite(self._record, data, 0)
        finally:
            os.ftruncate(self._record, self._length)
        if self._length != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._record)

    def _rename(self) -> None:
        if os.path.basename(self._directory) != self._number:
            new = os.path.join(self._slot, self._number)
            os.rename(self._directory, new)
            self._directory = new

    def commit(self) -> None:
        """Put a marked draft in force. Raises OSError; recovery finishes the commit of an interaction later."""
        # File systems keep the order of renames, so a power cut cannot leave the link without its target.
        self._rename()
        os.rename(os.path.join(self._directory, LINK), os.path.join(self._slot, CURRENT))
        files.sync_directory(self._slot)

    def close(self) -> None:
        """Remove the draft unless it is marked."""
        if self._record >= 0:
            os.close(self._record)
            self._record = -1
        is_draft = os.path.basename(self._directory).startswith(PREFIX)
        if is_draft and not self.marked and os.path.exists(self._directory):
            owned_trees.remove_tree(self._ids, self._directory)

    def withdraw(self) -> None:
        """Remove the mark, so that `close` removes the draft unless it has its number already."""
        self.marked = False


def unfinished(slot: str) -> str | None:
    """Return the directory of a generation whose image has succeeded and that is not in force yet, or None.

    It is a draft with the record of a success, or with its number already. Its number is higher than those of the
    generation in force and of the one that was torn down last.
    """
    last = max(_target(slot, CURRENT), _target(slot, TORN_DOWN))
    candidates = [
        (number, entry.path)
        for entry in _directories(slot)
        if (number := _number(entry.path)) > last and read_record(entry.path) is not None
    ]
    return max(candidates)[1] if candidates else None


def read_record(directory: str) -> dict[str, Any] | None:
    """Return the record of a success in the directory of an unfinished generation, or None."""
    record = read_started(directory)
    if record is None:
        return None
    if record.pop(STARTED, False) and os.path.basename(directory).startswith(PREFIX):
        return None
    return record


def keep_interrupted(slot: str) -> bool:
    """Keep what an image wrote before its setup was interrupted, in a slot that the caller has locked.

    It is unknown whether the image succeeded: a kill leaves the same files as a disk that refused the record of the
    success. Of several drafts the last one is kept. Returns whether there was one.
    """
    started = started_drafts(slot)
    if not started:
        return False
    target = os.path.join(slot, INTERRUPTED)
    with suppress(FileNotFoundError):
        os.rename(target, os.path.join(slot, files.unique_name("old-")))
    os.rename(max(started, key=os.path.getmtime), target)
    return True


def started_drafts(slot: str) -> list[str]:
    """Return the drafts of a slot whose image was started and has written something; they may still be in use."""
    return [each.path for each in _directories(slot) if _has_data(each.path)]


def _has_data(directory: str) -> bool:
    if not os.path.basename(directory).startswith(PREFIX) or read_started(directory) is None:
        return False
    try:
        return bool(os.listdir(os.path.join(directory, "data")))
    except PermissionError:
        # It belongs to the image's user, who has a subordinate id and got the directory when the container was made.
        return True


def read_started(directory: str) -> dict[str, Any] | None:
    """Return the record of a setup that was started, or None."""
    try:
        with open(os.path.join(directory, RECORD), "rb") as file:
            # A kill may come before the file is truncated to the length of its text.
            record = json.loads(file.read().rstrip(b"\0"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("image"), str) else None


def finish(slot: str, directory: str) -> None:
    """Put an unfinished generation in force, in a slot that the caller has locked. Raises OSError."""
    number = str(_number(directory))
    path = os.path.join(directory, RECORD)
    with open(path, "rb") as file:
        length = len(file.read().rstrip(b"\0"))
    os.truncate(path, length)
    files.sync_directory(directory)
    target = os.path.join(slot, number)
    if directory != target:
        os.rename(directory, target)
    with suppress(FileNotFoundError):
        os.rename(os.path.join(target, LINK), os.path.join(slot, CURRENT))
        files.sync_directory(slot)
        return
    files.point_link(os.path.join(slot, CURRENT), number)


def retire(slot: str) -> None:
    """Put no generation in force in a slot. This needs no free space on the disk."""
    while (directory := unfinished(slot)) is not None:
        os.unlink(os.path.join(directory, RECORD))
    with suppress(FileNotFoundError):
        os.rename(os.path.join(slot, CURRENT), os.path.join(slot, TORN_DOWN))
    files.sync_directory(slot)


def _directories(slot: str) -> list["os.DirEntry[str]"]:
    try:
        entries = list(os.scandir(slot))
    except FileNotFoundError:
        return []
    return [
        entry
        for entry in entries
        if (entry.name.startswith(PREFIX) or decimal(entry.name) is not None)
        and entry.is_dir(follow_symlinks=False)
    ]


def _number(directory: str) -> int:
    """Return the number that a generation has or will get; 0 where it has none."""
    name = os.path.basename(directory)
    number = decimal(name)
    return _target(directory, LINK) if number is None else number


def _target(directory: str, link: str) -> int:
    """Return the number that a link leads to; 0 without a link, UNKNOWN for anything else of that name."""
    try:
        name = os.readlink(os.path.join(directory, link))
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return UNKNOWN
    number = decimal(name)
    return UNKNOWN if number is None else number


def _highest(slot: str) -> int:
    """Return the highest number of a generation that a slot has or had."""
    numbers = [_number(entry.path) for entry in _directories(slot)]
    known = (each for each in (*numbers, _target(slot, CURRENT), _target(slot, TORN_DOWN)) if each < UNKNOWN)
    return max(known, default=0)


def _above(slot: str) -> list[str]:
    """Return the directories above an interaction's, or a configuration's, up to the store's own."""
    parents = []
    while os.path.basename(slot) != "clouds":
        slot = os.path.dirname(slot)
        parents.append(slot)
    return [*parents, os.path.dirname(slot)]
