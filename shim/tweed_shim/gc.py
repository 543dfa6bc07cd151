"""Making room in a store: what nothing uses any more is removed, and with it what crashes left."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import accumulate, chain
from typing import NamedTuple

from tweed_shim import files, idmap, option_values, scratch
from tweed_shim.errors import HostError
from tweed_shim.image import removal, store
from tweed_shim.image.removal import Garbage
from tweed_shim.runtime import launch, leaving, log_sweep, runs, scratch_directories
from tweed_shim.tweed import cloud_states, clouds

# Where files are replaced. What is beside one of them was being written when its writer was killed.
WRITTEN = (
    "",
    "images",
    "images/references",
    "images/blobs/sha256",
    "rootfs/*",
    "runs/*",
    scratch_directories.NOTES,
)


# What people look for in logs is in the newest. Most are small, and this is as much as nobody misses.
KEEP_LOGS = 16 << 20
KEPT_LOGS = option_values.whole_number(least=0, most=1 << 60, example="16777216")  # bytes
# How many images that nothing uses a caller may keep.
KEPT_IMAGES = option_values.whole_number(least=0, most=1 << 31, example="3")


class Removed(NamedTuple):
    """Something that was removed. size: the room that it took on disk, in bytes."""

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
    """Remove what nothing uses, and yield each thing when the store is without it.

    That is: images and blobs that no reference, cloud or interaction uses, the oldest first, but for the newest
    `keep_last` of such images; the logs of runs that have ended, but for the newest that take `keep_logs` bytes
    together; and what crashes left. Nothing that a running operation uses is touched. With `dry_run` nothing is
    removed, and what would be is yielded. `warn` is told what is put off.

    Raises StateError for a store of another version, and, when all else is done, HostError where something could
    not be removed.
    """
    if not store.check_version(root):
        return
    ids, failures, rests = idmap.detect(), list[str](), list[str]()
    for garbage in chain(_garbage(root, keep_last, warn), _logs(root, keep_logs)):
        with _noting(failures):
            size = idmap.disk_usage(ids, garbage.path) if garbage.path else 0
            if not dry_run:
                rests.append(garbage.let_go())
            yield Removed(garbage.kind, garbage.name, size)
    # What takes long is done when nobody waits for it any more.
    for rest in filter(None, rests):
        with _noting(failures):
            scratch.remove(rest, ids)
    if failures:
        more = f"; so it is with {len(failures) - 1} more" if len(failures) > 1 else ""
        raise HostError(failures[0] + more)


@contextmanager
def _noting(failures: list[str]) -> Iterator[None]:
    """Go on after what cannot be removed."""
    try:
        yield
    except FileNotFoundError:
        return  # somebody else was quicker
    except HostError as error:
        failures.append(str(error))
    except OSError as error:
        failures.append(f"{error.filename} cannot be removed ({error.strerror}); mend that, and run gc again")


def _garbage(root: str, keep_last: int, warn: Callable[[str], None]) -> Iterator[Garbage]:
    def of(kind: str, paths: Iterable[str], let_go: Callable[[str], str]) -> Iterator[Garbage]:
        for path in paths:
            yield Garbage(kind, os.path.relpath(path, root), path, partial(let_go, path))

    aside = partial(scratch.put_aside, root)
    yield from of("work", scratch.abandoned(root), aside)
    yield from _chosen_scratches(root, warn)
    yield from removal.unused(root, lambda: cloud_states.image_users(root), keep_last=keep_last, warn=warn)
    yield from of("cloud", clouds.leftovers(root), aside)
    yield from of("run", runs.expired(root), aside)
    yield from of("file", _half_written(root), _unlink)
    for path in launch.abandoned(root):
        yield Garbage("cgroup", path, "", partial(_remove_cgroup, path))


def _logs(root: str, keep: int) -> Iterator[Garbage]:
    """Yield the logs of ended runs, the oldest first, without the newest that take `keep` bytes together."""
    ended = [log for log in log_sweep.logs(os.path.join(root, "runs")) if not log.running]
    kept = accumulate(log.size for log in reversed(ended))
    for log, together in zip(ended, reversed(list(kept)), strict=True):
        if together > keep:
            yield Garbage("log", os.path.relpath(log.path, root), log.path, partial(_remove_log, log))


def _remove_log(log: log_sweep.RunLog) -> str:
    if not log_sweep.remove(log):
        raise FileNotFoundError(log.path)
    return ""


def _chosen_scratches(root: str, warn: Callable[[str], None]) -> Iterator[Garbage]:
    """What killed runs left where --scratch said, and the notes of such directories that are gone."""
    for each in scratch_directories.noted(root, warn):
        if _is_gone(each.directory):
            yield Garbage("file", os.path.relpath(each.note, root), each.note, partial(_unlink, each.note))
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
        return False  # it cannot be looked at now
    return False


def _half_written(root: str) -> Iterator[str]:
    for place in WRITTEN:
        pattern = os.path.join(glob.escape(root), place, f"*{files.BESIDE}*")
        for path in sorted(glob.glob(pattern)):
            with suppress(FileNotFoundError), files.held_file(path) as abandoned:
                if abandoned:
                    yield path


def _unlink(path: str) -> str:
    os.unlink(path)
    return ""


def _remove_cgroup(path: str) -> str:
    leaving.remove_empty_cgroup(path)
    return ""
