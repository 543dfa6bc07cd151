"""Directories of work in progress in ROOT/tmp, each held by a lock on itself; and locks with a name.

No process holds what a crash left there: the next process removes it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

from tweed_shim.base import files
from tweed_shim.base.text import HEXADECIMAL, made_of
from tweed_shim.errors import HostError
from tweed_shim.host.owned_trees import remove_tree
from tweed_shim.host.userns import IdMap, detect

WORK = "work-"  # what the name of a directory of work in progress begins with; 16 hexadecimal digits follow


def tmp_directory(root: str) -> str:
    """Return the directory of a store's work in progress: ROOT/tmp."""
    return os.path.join(root, "tmp")


@contextmanager
def directory(parent: str, ids: IdMap) -> Iterator[str]:
    """Yield a new directory for the length of a block, removed after it whichever of the ids its files belong to."""
    with ExitStack() as stack:
        path = _claim(parent, stack)
        try:
            yield path
        finally:
            remove_tree(ids, path)


def _claim(parent: str, stack: ExitStack) -> str:
    files.make_private(parent)
    while True:
        path = os.path.join(parent, files.unique_name(WORK))
        os.mkdir(path, files.PRIVATE_DIR)
        try:
            stack.enter_context(files.held_directory(path))
        except FileNotFoundError:
            continue
        # A sweep may have come between the directory and its lock.
        if os.path.isdir(path):
            return path


def is_work_name(name: str) -> bool:
    """Tell whether `directory` can have created a directory of this name."""
    rest = name.removeprefix(WORK)
    return name.startswith(WORK) and len(rest) == 16 and made_of(HEXADECIMAL, rest)


def put_aside(root: str, path: str) -> str:
    """Move a directory of the store into ROOT/tmp, to be removed or swept there, and return its new path."""
    aside = os.path.join(files.make_private(tmp_directory(root)), files.unique_name("old-"))
    os.rename(path, aside)
    return aside


@contextmanager
def only_one(root: str, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of a name: one process at a time is inside. `waiting` is called once if another is."""
    path = os.path.join(tmp_directory(root), f"lock-{name}")
    with files.locked(path, waiting=waiting):
        try:
            yield
        finally:
            os.unlink(path)


def abandoned(root: str) -> Iterator[str]:
    """Yield the paths in ROOT/tmp that no process holds; each is locked until the next one is asked for.

    Entries of another user are passed over: only that user can lock them.
    """
    return abandoned_in(tmp_directory(root), lambda _: True)


def abandoned_in(directory: str, is_ours: "Callable[[os.DirEntry[str]], bool]") -> Iterator[str]:
    """Yield the paths in a directory that are ours and that no process holds, as `abandoned` does."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return
    for entry in entries:
        with suppress(OSError):
            if not is_ours(entry):
                continue
            with _held(entry) as alone:
                if alone:
                    yield entry.path


def _held(entry: "os.DirEntry[str]") -> AbstractContextManager[bool]:
    if entry.is_dir(follow_symlinks=False):
        return files.held_directory(entry.path, shared=False, wait=False)
    return files.held_file(entry.path)


def remove(path: str, ids: IdMap) -> None:
    """Remove a file, or a directory whichever of the ids its files belong to. Raises OSError or HostError."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(ids, path)
    else:
        os.unlink(path)


def sweep_tmp(root: str, ids: IdMap | None = None) -> None:
    """Remove what no process holds in ROOT/tmp; one scandir where there is nothing to remove.

    What cannot be removed (of ids that are no longer granted) is left for `gc` to name.
    """
    for path in abandoned(root):
        with suppress(OSError, HostError):
            remove(path, ids or detect())
