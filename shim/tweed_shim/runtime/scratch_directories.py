"""The directories that users named with --scratch: a note of each in the store, and what killed runs left in them.

    scratch-directories/NAME.json   one for each; NAME is its path with "/" written as "%2F"

A run holds the lock of its own directory there, as in ROOT/tmp. The note is there before that directory is, so that
`gc` knows where to look after a crash. Several stores may use one DIR: what their runs use is locked.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tweed_shim import files, scratch, state_files
from tweed_shim.errors import DamagedRecord, HostError
from tweed_shim.idmap import IdMap
from tweed_shim.lean import json
from tweed_shim.option_names import bare, option
from tweed_shim.records import Record

NOTES = "scratch-directories"
SHAPE = {"directory": state_files.text}
LONGEST_NAME = 200


class Noted(Record):
    """A directory that was named with --scratch, and the path of the store's note of it."""

    directory: str
    note: str


def note_path(root: str, directory: str) -> str:
    """Return where the store's note of a directory is, or would be."""
    name = directory.replace("%", "%25").replace("/", "%2F")
    if len(os.fsencode(name)) > LONGEST_NAME:
        import hashlib

        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return os.path.join(root, NOTES, f"{name}.json")


@contextmanager
def directory(root: str, place: str, ids: IdMap) -> Iterator[str]:
    """Make a directory in `place` for one run, and remove it after the block. Raises OSError where none can be made."""
    if not os.path.isdir(place):
        raise NotADirectoryError(20, "not a directory")
    place = os.path.realpath(place)
    is_new = _remember(root, place)
    with ExitStack() as stack:
        try:
            path = stack.enter_context(scratch.directory(place, ids))
        except OSError:
            if is_new:
                os.unlink(note_path(root, place))
                with suppress(OSError):  # it holds other notes
                    os.rmdir(os.path.join(root, NOTES))
            raise
        # `gc` may have found the place gone, and forgotten it, before it was made again.
        _remember(root, place)
        yield path


def _remember(root: str, place: str) -> bool:
    """Write down that there is a directory; returns whether that was not known. A damaged note is written again."""
    path = note_path(root, place)
    with suppress(FileNotFoundError, DamagedRecord):
        if state_files.read(path, SHAPE, mend="")["directory"] == place:
            return False
    files.make_private(os.path.dirname(path))
    files.write_whole(path, json.dumps({"directory": place}).encode())
    return True


def noted(root: str, warn: Callable[[str], None]) -> Iterator[Noted]:
    """Yield the directories that the store knows of. warn: is told of each note that is damaged."""
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(os.path.join(root, NOTES))):
            if not name.endswith(".json"):
                continue
            path = os.path.join(root, NOTES, name)
            try:
                yield Noted(state_files.read(path, SHAPE, mend=_mend(name))["directory"], path)
            except FileNotFoundError:
                continue  # forgotten since
            except DamagedRecord as damage:
                warn(str(damage))


def _mend(name: str) -> str:
    """Say what a person can do about a damaged note: see `note_path`."""
    place = name.removesuffix(".json").replace("%2F", "/").replace("%25", "%")
    if not place.startswith("/"):
        return f"remove the file; the next run with the {bare('--scratch')} directory that it stood for writes it again"
    return f"run an operation with {option('--scratch', place)} once more, which writes it again, or remove the file"


def abandoned(place: str) -> Iterator[str]:
    """Yield the paths of what killed runs left in a directory; nobody takes hold of one while it is looked at."""
    return scratch.abandoned_in(place, _is_ours)


def _is_ours(entry: "os.DirEntry[str]") -> bool:
    """Say whether this program made a directory: the place is the user's own, and may hold anything."""
    about = entry.stat(follow_symlinks=False)
    return (
        scratch.is_work_name(entry.name)
        and stat.S_ISDIR(about.st_mode)
        and stat.S_IMODE(about.st_mode) == files.PRIVATE_DIR
        and about.st_uid == os.geteuid()
    )


def sweep(place: str, ids: IdMap) -> None:
    """Remove what killed runs left in a directory. What cannot be removed is left for `gc` to name."""
    with suppress(OSError):
        for path in abandoned(os.path.realpath(place)):
            with suppress(OSError, HostError):
                scratch.remove(path, ids)
