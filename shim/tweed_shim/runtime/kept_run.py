"""The directory of `exec --keep`: made before the run, and left with what the run wrote (kept_files.py)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.host import output_directory
from tweed_shim.host.userns import IdMap
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.kept_files import CONFIG, README


@contextmanager
def directory(path: str, ids: IdMap, console: Console) -> Iterator[str]:
    """Make the directory for the length of a block; yield its path without links.

    Where the run in the block has kept something in it, it stays, whatever the block raises, and the console says where
    it is. Otherwise it is as before. Raises ConfigError where the path cannot be used.
    """
    made = output_directory.make(path)
    try:
        yield made.path
    finally:
        if os.path.exists(os.path.join(made.path, CONFIG)):
            _tell(made.path, console)
        else:
            output_directory.undo(made, ids)


def _tell(path: str, console: Console) -> None:
    if not os.path.exists(os.path.join(path, README)):
        console.warn(f"only a part of what the run wrote could be kept in {path}")
    elif console.report is not None:
        console.report(
            f"what the run wrote is in {path}, with its secrets; {os.path.join(path, README)} explains it"
        )
