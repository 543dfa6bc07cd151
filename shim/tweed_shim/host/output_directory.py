"""A directory that a user names for what a command writes: new or empty, private, and empty again after a failure."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tweed_shim.base import files, named_files
from tweed_shim.base.records import Record
from tweed_shim.errors import ConfigError, HostError
from tweed_shim.host.owned_trees import remove_tree
from tweed_shim.host.userns import IdMap


def check(path: str) -> None:
    """Check that a path can become an output directory, and change nothing. Raises ConfigError."""
    with _explained(path), named_files.resolved(path) as target:
        if target.status is not None:
            _check_present(path, target)


class OutputDirectory(Record):
    """An output directory that was made. path: without links. is_new: whether it was not there before."""

    path: str
    is_new: bool


def make(path: str) -> OutputDirectory:
    """Make a directory; take an empty one of the caller's as it is. It is private then: mode 0700.

    Raises ConfigError where the path cannot be used.
    """
    with _explained(path), named_files.resolved(path) as target:
        is_new = target.status is None
        if is_new:
            os.mkdir(target.path, files.PRIVATE_DIR)
        else:
            _check_present(path, target)
            os.chmod(target.path, files.PRIVATE_DIR)
        return OutputDirectory(target.real, is_new)


def undo(made: OutputDirectory, ids: IdMap) -> None:
    """Remove all that is in a directory, whichever of the ids it belongs to, and the directory itself if it was made.

    What cannot be removed stays.
    """
    with suppress(OSError, HostError):
        with os.scandir(made.path) as listing:
            entries = list(listing)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(ids, entry.path)
            else:
                os.unlink(entry.path)
        if made.is_new:
            os.rmdir(made.path)


@contextmanager
def filled(path: str, ids: IdMap) -> Iterator[str]:
    """Make a directory, and yield its path without links to a block that fills it. A block that raises undoes it."""
    made = make(path)
    try:
        yield made.path
    except BaseException:
        undo(made, ids)
        raise


def _check_present(path: str, target: named_files.Target) -> None:
    status = target.status
    if status is None or not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{path} is no directory; name one that is new or empty")
    if status.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to another user; name a directory that is new, or empty and yours")
    if os.listdir(target.path):
        raise ConfigError(f"{path} is not empty; name a directory that is new or empty")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn an OSError of the block into a ConfigError that names the path."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be used as a directory for output ({error.strerror}); name a directory that is new or "
            "empty, in one that you may write"
        ) from error
