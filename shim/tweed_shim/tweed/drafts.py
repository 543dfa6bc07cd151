"""Drafts: generations in the making (clouds.py). One whose image has succeeded survives a full disk and a kill.

    PLACE/draft-X/data/         what the image writes
    PLACE/draft-X/record.json   RESERVE bytes of the disk: first a record that says `started`, then that of the success
    PLACE/draft-X/link -> N     what becomes PLACE/current

All of it is made before the image starts. The commit makes nothing new: it overwrites the record, and renames the
draft to N and the link to `current`. So a disk that is full by then does not stop it. An interaction whose record is
that of a success counts as set up from that moment: the next operation that changes it finishes an interrupted commit.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress

from tweed_shim import files, idmap
from tweed_shim.lean import json
from tweed_shim.lean.typing import Any
from tweed_shim.letters import decimal
from tweed_shim.records import EMPTY

CURRENT = "current"
# What `current` is renamed to when its generation is torn down, so that this is not taken for an unfinished one.
TORN_DOWN = "torn-down"
PREFIX = "draft-"
RECORD = "record.json"
LINK = "link"
# What becomes of a draft whose image was started, and of whose end nobody knows.
INTERRUPTED = "interrupted"
STARTED = "started"
# Higher than any number: what is in force at a damaged place is unknown, so nothing there counts as newer.
UNKNOWN = 1 << 62
# An environment that is larger needs room on the disk once the image has ended.
RESERVE = 256 << 10


class Draft:
    """A generation in the making; `close` removes it unless it is marked.

    marked: whether its image is known to have succeeded.
    environment_lost: why the record does not have all that it was to have, None where it has.
    """

    def __init__(self, ids: idmap.IdMap, place: str, record: Mapping[str, Any]) -> None:
        """Make a draft. record: what is known before the image starts. Raises OSError where there is no room for it."""
        self._ids = ids
        self._place = place
        self._number = str(1 + _highest(place))
        self._directory = os.path.join(place, files.unique_name(PREFIX))
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
        """Make the names of the draft and of the directories above it durable; called while the image runs."""
        for directory in (self._directory, self._place, *_above(self._place)):
            files.sync_directory(directory)
        self._synced = True

    def mark(self, more: Mapping[str, Any] = EMPTY) -> None:
        """Write down, durably, that the image has succeeded. more: what is recorded besides.

        What does not fit on the disk is left out, and `environment_lost` says why. Raises OSError where not even the
        success can be written down; the draft stays then all the same, because nothing else tells of it.
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
            # The name alone is as good as a mark: see `unfinished`.
            self._rename()
        if not self._synced:
            # The commit syncs again, and fails where this is not to be had.
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
            new = os.path.join(self._place, self._number)
            os.rename(self._directory, new)
            self._directory = new

    def commit(self) -> None:
        """Put a marked draft in force. Raises OSError; an interaction is found and finished later all the same."""
        # File systems keep the order of renames: the link cannot survive a power cut that its target does not.
        self._rename()
        os.rename(os.path.join(self._directory, LINK), os.path.join(self._place, CURRENT))
        files.sync_directory(self._place)

    def close(self) -> None:
        """Remove the draft unless it is marked."""
        if self._record >= 0:
            os.close(self._record)
            self._record = -1
        is_draft = os.path.basename(self._directory).startswith(PREFIX)
        if is_draft and not self.marked and os.path.exists(self._directory):
            idmap.remove_tree(self._ids, self._directory)

    def withdraw(self) -> None:
        """Let `close` remove the draft in spite of its mark, unless it has its number already."""
        self.marked = False


def unfinished(place: str) -> str | None:
    """Return the directory of a generation whose image has succeeded and that is not in force yet, or None.

    That is a draft whose record is that of a success, or one that has its number already, and a higher one than the
    generation that is in force or was torn down last.
    """
    last = max(_target(place, CURRENT), _target(place, TORN_DOWN))
    found = [
        (number, entry.path)
        for entry in _directories(place)
        if (number := _number(entry.path)) > last and read_record(entry.path) is not None
    ]
    return max(found)[1] if found else None


def read_record(directory: str) -> dict[str, Any] | None:
    """Return the record of a success in the directory of an unfinished generation; None where there is none."""
    try:
        with open(os.path.join(directory, RECORD), "rb") as file:
            # A kill may have come before the file was cut to its length.
            found = json.loads(file.read().rstrip(b"\0"))
    except (OSError, ValueError):
        return None
    if not (isinstance(found, dict) and isinstance(found.get("image"), str)):
        return None
    if found.pop(STARTED, False) and os.path.basename(directory).startswith(PREFIX):
        return None
    return found


def keep_interrupted(place: str) -> bool:
    """Keep what an image wrote before its setup was interrupted, at a place that the caller is changing.

    Nobody knows whether it succeeded: a kill leaves the same as a disk that took no record of the success. Of several
    the last one is kept. Returns whether there is anything to keep.
    """
    started = started_drafts(place)
    if not started:
        return False
    kept = os.path.join(place, INTERRUPTED)
    with suppress(FileNotFoundError):
        os.rename(kept, os.path.join(place, files.unique_name("old-")))
    os.rename(max(started, key=os.path.getmtime), kept)
    return True


def started_drafts(place: str) -> list[str]:
    """Return the drafts at a place whose image was started and had written something; they may still be in use."""
    return [each.path for each in _directories(place) if _has_data(each.path)]


def _has_data(directory: str) -> bool:
    is_draft = os.path.basename(directory).startswith(PREFIX)
    return (
        is_draft and read_started(directory) is not None and bool(os.listdir(os.path.join(directory, "data")))
    )


def read_started(directory: str) -> dict[str, Any] | None:
    """Return what is recorded of a setup that was started; None where there is no such record."""
    try:
        with open(os.path.join(directory, RECORD), "rb") as file:
            found = json.loads(file.read().rstrip(b"\0"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("image"), str) else None


def finish(place: str, directory: str) -> None:
    """Put an unfinished generation in force, at a place that the caller is changing. Raises OSError."""
    number = str(_number(directory))
    path = os.path.join(directory, RECORD)
    with open(path, "rb") as file:
        length = len(file.read().rstrip(b"\0"))
    os.truncate(path, length)
    files.sync_directory(directory)
    target = os.path.join(place, number)
    if directory != target:
        os.rename(directory, target)
    with suppress(FileNotFoundError):
        os.rename(os.path.join(target, LINK), os.path.join(place, CURRENT))
        files.sync_directory(place)
        return
    files.point_link(os.path.join(place, CURRENT), number)


def retire(place: str) -> None:
    """Let no generation be in force at a place. Takes no room on the disk."""
    while (directory := unfinished(place)) is not None:
        os.unlink(os.path.join(directory, RECORD))
    with suppress(FileNotFoundError):
        os.rename(os.path.join(place, CURRENT), os.path.join(place, TORN_DOWN))
    files.sync_directory(place)


def _directories(place: str) -> list["os.DirEntry[str]"]:
    try:
        entries = list(os.scandir(place))
    except FileNotFoundError:
        return []
    return [
        entry
        for entry in entries
        if (entry.name.startswith(PREFIX) or decimal(entry.name) is not None)
        and entry.is_dir(follow_symlinks=False)
    ]


def _number(directory: str) -> int:
    """Return the number that a generation has or is to have; 0 where it has none."""
    name = os.path.basename(directory)
    number = decimal(name)
    return _target(directory, LINK) if number is None else number


def _target(directory: str, link: str) -> int:
    """Return the number that a link leads to; 0 where there is none, UNKNOWN for what is no such link."""
    try:
        name = os.readlink(os.path.join(directory, link))
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return UNKNOWN
    number = decimal(name)
    return UNKNOWN if number is None else number


def _highest(place: str) -> int:
    """Return the highest number that anything at a place has or had."""
    numbers = [_number(entry.path) for entry in _directories(place)]
    known = (
        each for each in (*numbers, _target(place, CURRENT), _target(place, TORN_DOWN)) if each < UNKNOWN
    )
    return max(known, default=0)


def _above(place: str) -> list[str]:
    """Return the directories above an interaction's, or a configuration's, up to the store's own."""
    found = []
    while os.path.basename(place) != "clouds":
        place = os.path.dirname(place)
        found.append(place)
    return [*found, os.path.dirname(place)]
