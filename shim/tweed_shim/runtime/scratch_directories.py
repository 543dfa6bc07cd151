"""The directories that users named with --scratch: a record of each in the store, and what killed runs left in them.

    scratch-directories/NAME.json   one for each; NAME is its path with "/" written as "%2F"

A run makes a directory of its own in there, and holds its lock, as in ROOT/tmp. The record is written before that
directory is made, so that `gc` knows where to look after a crash. Several stores may use one --scratch directory: each
leaves alone what is locked.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tweed_shim.base import files, state_files
from tweed_shim.base.lean import json
from tweed_shim.base.option_names import bare, option
from tweed_shim.base.records import Record
from tweed_shim.errors import DamagedRecord, HostError
from tweed_shim.host import workdirs
from tweed_shim.host.userns import IdMap

RECORDS = "scratch-directories"
SHAPE = {"directory": state_files.text}
LONGEST_NAME = 200


class ScratchRecord(Record):
    """The store's record of a directory that was named with --scratch. path: that of the record."""

    directory: str
    path: str


def record_path(root: str, directory: str) -> str:
    """Return the path of the store's record of a directory; it need not exist."""
    name = directory.replace("%", "%25").replace("/", "%2F")
    if len(os.fsencode(name)) > LONGEST_NAME:
        import hashlib

        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return os.path.join(root, RECORDS, f"{name}.json")


@contextmanager
def directory(root: str, scratch: str, ids: IdMap) -> Iterator[str]:
    """Make a directory for one run in the directory `scratch`, yield its path, and remove it after the block.

    Raises OSError where none can be made.
    """
    if not os.path.isdir(scratch):
        raise NotADirectoryError(20, "not a directory")
    scratch = os.path.realpath(scratch)
    is_new = _write_record(root, scratch)
    with ExitStack() as stack:
        try:
            path = stack.enter_context(workdirs.directory(scratch, ids))
        except OSError:
            if is_new:
                os.unlink(record_path(root, scratch))
                with suppress(OSError):  # it holds other records
                    os.rmdir(os.path.join(root, RECORDS))
            raise
        # `gc` removes the record where the directory is not there, and may have done so just before it was made again.
        _write_record(root, scratch)
        yield path


def _write_record(root: str, scratch: str) -> bool:
    """Write the record of a directory unless there is one; return whether it was written. A damaged one is replaced."""
    path = record_path(root, scratch)
    with suppress(FileNotFoundError, DamagedRecord):
        if state_files.read(path, SHAPE, mend="")["directory"] == scratch:
            return False
    files.make_private(os.path.dirname(path))
    files.write_whole(path, json.dumps({"directory": scratch}).encode())
    return True


def records(root: str, warn: Callable[[str], None]) -> Iterator[ScratchRecord]:
    """Yield the records of a store. warn: called with a message for each damaged one."""
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(os.path.join(root, RECORDS))):
            if not name.endswith(".json"):
                continue
            path = os.path.join(root, RECORDS, name)
            try:
                record = state_files.read(path, SHAPE, mend=_remedy(name))
                yield ScratchRecord(record["directory"], path)
            except FileNotFoundError:
                continue  # removed since
            except DamagedRecord as damage:
                warn(str(damage))


def _remedy(name: str) -> str:
    """Return what a user can do about a damaged record. name: its file's, see `record_path`."""
    scratch = name.removesuffix(".json").replace("%2F", "/").replace("%25", "%")
    if not scratch.startswith("/"):
        return f"remove the file; the next run with the {bare('--scratch')} directory that it stood for writes it again"
    return f"run an operation with {option('--scratch', scratch)} once more, which writes it again, or remove the file"


def abandoned(scratch: str) -> Iterator[str]:
    """Yield the paths of what killed runs left in a directory. Each is locked while the caller looks at it."""
    return workdirs.abandoned_in(scratch, _is_ours)


def _is_ours(entry: "os.DirEntry[str]") -> bool:
    """Tell whether this program made a directory: the user's own files can be beside it."""
    status = entry.stat(follow_symlinks=False)
    return (
        workdirs.is_work_name(entry.name)
        and stat.S_ISDIR(status.st_mode)
        and stat.S_IMODE(status.st_mode) == files.PRIVATE_DIR
        and status.st_uid == os.geteuid()
    )


def sweep(scratch: str, ids: IdMap) -> None:
    """Remove what killed runs left in a directory. What cannot be removed stays, and `gc` names it."""
    with suppress(OSError):
        for path in abandoned(os.path.realpath(scratch)):
            with suppress(OSError, HostError):
                workdirs.remove(path, ids)
