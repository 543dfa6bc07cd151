"""Garbage collection of a store: remove what nothing uses, and what crashes left."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import accumulate, chain

from tweed_shim.base import files, option_values
from tweed_shim.base.records import Record
from tweed_shim.errors import HostError
from tweed_shim.host import owned_trees, userns, workdirs
from tweed_shim.image import removal, store
from tweed_shim.image.removal import Garbage
from tweed_shim.runtime import cleanup, log_sweep, recorded_run, runs, scratch_directories
from tweed_shim.tweed import cloud_listing, instance_states
from tweed_shim.tweed.image_users import image_users

# The directories in which files are replaced. A temporary file in one of them was left by a writer that was killed.
REPLACED_IN = (
    "",
    "images",
    "images/references",
    "images/blobs/sha256",
    "rootfs/*",
    "runs/*",
    "instances/*",
    "instances/*/bindings/*",
    scratch_directories.RECORDS,
)


# Bytes. The newest logs are the ones that are read; most are small.
KEEP_LOGS = 16 << 20
KEPT_LOGS = option_values.whole_number(least=0, most=1 << 60, example="16777216")  # bytes
# The check of the number of unused images to keep.
KEPT_IMAGES = option_values.whole_number(least=0, most=1 << 31, example="3")


class Removed(Record):
    """An item that was removed. size: the bytes that it took on disk."""

    kind: str
    name: str
    size: int


def collect(
    root: str,
    *,
    keep_last: int = 0,
    keep_logs: int = KEEP_LOGS,
    dry_run: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Iterator[Removed]:
    """Remove what nothing uses, and yield each item after its removal.

    Removed are the images and blobs that no reference, cloud, interaction or instance uses, the oldest first, but for
    the newest `keep_last` of these images; the logs of runs that have ended, but for the newest that take `keep_logs`
    bytes together; and what crashes left. What a running operation uses stays. dry_run: only yield what would be
    removed.
    warn: is called with a sentence about each item that has to wait.

    Raises StateError for a store of another version. Raises HostError at the end where an item could not be removed.
    """
    if not store.check_version(root):
        return
    ids, failures, moved = userns.detect(), list[str](), list[str]()
    for garbage in chain(_garbage(root, keep_last, warn), _logs(root, keep_logs)):
        with _noting(failures):
            size = owned_trees.disk_usage(ids, garbage.path) if garbage.path else 0
            if not dry_run:
                moved.append(garbage.release())
            yield Removed(garbage.kind, garbage.name, size)
    # Deleting a tree takes long. It was only moved aside above, so that no lock is held meanwhile.
    for path in filter(None, moved):
        with _noting(failures):
            workdirs.remove(path, ids)
    if failures:
        more = f"; {len(failures) - 1} more could not be removed either" if len(failures) > 1 else ""
        raise HostError(failures[0] + more)


@contextmanager
def _noting(failures: list[str]) -> Iterator[None]:
    """Add the error of the block to `failures`, and go on."""
    try:
        yield
    except FileNotFoundError:
        return  # another process has removed it
    except HostError as error:
        failures.append(str(error))
    except OSError as error:
        failures.append(
            f"{error.filename} cannot be removed ({error.strerror}); remove the cause, and run gc again"
        )


def _garbage(root: str, keep_last: int, warn: Callable[[str], None]) -> Iterator[Garbage]:
    def of(kind: str, paths: Iterable[str], release: Callable[[str], str]) -> Iterator[Garbage]:
        for path in paths:
            yield Garbage(kind, os.path.relpath(path, root), path, partial(release, path))

    aside = partial(workdirs.put_aside, root)
    yield from of("work", workdirs.abandoned(root), aside)
    yield from _scratch_leftovers(root, warn)
    yield from removal.unused(root, lambda: image_users(root), keep_last=keep_last, warn=warn)
    yield from of("cloud", cloud_listing.leftovers(root), aside)
    yield from of("instance", instance_states.leftovers(root), aside)
    yield from of("run", runs.expired(root), aside)
    yield from of("file", _half_written(root), _unlink)
    for path in recorded_run.abandoned(root):
        yield Garbage("cgroup", path, "", partial(_remove_cgroup, path))


def _logs(root: str, keep: int) -> Iterator[Garbage]:
    """Yield the logs of ended runs, the oldest first, without the newest that take `keep` bytes together."""
    ended = [log for log in log_sweep.logs(os.path.join(root, "runs")) if not log.running]
    sums = accumulate(log.size for log in reversed(ended))
    for log, size_from_here in zip(ended, reversed(list(sums)), strict=True):
        if size_from_here > keep:
            yield Garbage("log", os.path.relpath(log.path, root), log.path, partial(_remove_log, log))


def _remove_log(log: log_sweep.RunLog) -> str:
    if not log_sweep.remove(log):
        raise FileNotFoundError(log.path)
    return ""


def _scratch_leftovers(root: str, warn: Callable[[str], None]) -> Iterator[Garbage]:
    """Yield what killed runs left in --scratch directories, and the notes of directories that no longer exist."""
    for each in scratch_directories.records(root, warn):
        if _is_gone(each.directory):
            yield Garbage("file", os.path.relpath(each.path, root), each.path, partial(_unlink, each.path))
            continue
        try:
            for path in scratch_directories.abandoned(each.directory):
                yield Garbage("work", path, path, partial(str, path))
        except OSError as error:
            warn(f"the scratch {each.directory} cannot be read ({error.strerror}); run gc as a user who may")


def _is_gone(directory: str) -> bool:
    try:
        os.stat(directory)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # it may still exist: its parent cannot be read now
    return False


def _half_written(root: str) -> Iterator[str]:
    for directory in REPLACED_IN:
        pattern = os.path.join(glob.escape(root), directory, f"*{files.BESIDE}*")
        for path in sorted(glob.glob(pattern)):
            with suppress(FileNotFoundError), files.held_file(path) as abandoned:
                if abandoned:
                    yield path


def _unlink(path: str) -> str:
    os.unlink(path)
    return ""


def _remove_cgroup(path: str) -> str:
    cleanup.remove_empty_cgroup(path)
    return ""
