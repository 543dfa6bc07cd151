"""Blobs from a registry to files, verified while they are written, and going on where a connection broke."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from tweed_shim import files
from tweed_shim.errors import HostError, RegistryError
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.network_faults import PassingFault, SlowServer
from tweed_shim.image.registry import Repository
from tweed_shim.option_names import option

WORKERS = 4
LAST_WORDS = 5.0  # seconds that an interrupted download has to notice it
# A connection that brought this much before it broke was worth it: a hundredth of the blob, or a mebibyte.
WORTH_PART = 100
WORTH_BYTES = 1 << 20


class WrongContent(RegistryError):
    """A blob came whole but is not the one that was asked for."""


def _ignore(_count: int) -> None:
    pass


def download_all(
    repository: Repository, jobs: Iterable[Job], *, workers: int = WORKERS, progress: Progress = _ignore
) -> None:
    """Get blobs side by side. The first failure ends the others, closes the repository, and is raised.

    `progress` is called as `download_blob` does, from several threads.
    """
    todo, ends = list(jobs), SimpleQueue[BaseException | None]()

    def work() -> None:
        with suppress(IndexError):  # there is no more to do
            while True:
                job = todo.pop(0)
                try:
                    download_blob(repository, job.blob.digest, job.blob.size, job.path, progress=progress)
                except BaseException as error:  # noqa: BLE001 - raised below, after the others have ended
                    ends.put(error)
                    todo.clear()
                    repository.close()
                    return
        ends.put(None)

    # Not a pool of concurrent.futures: an interrupt in the middle of its end would leave it waiting for ever.
    threads = [Thread(target=work, name="download", daemon=True) for _ in range(min(workers, len(todo)))]
    try:
        for thread in threads:
            thread.start()
        failures = [error for error in (ends.get() for _ in threads) if error is not None]
    except BaseException:
        # The caller was interrupted.
        todo.clear()
        repository.close()
        for thread in threads:
            if thread.is_alive():
                thread.join(LAST_WORDS)
        raise
    if failures:
        raise failures[0]


def download_blob(
    repository: Repository, digest: str, size: int, path: str, *, progress: Progress = _ignore
) -> None:
    """Get one blob into a new file (mode 0600), which stays only if every byte is right.

    It is not synced: unpacking syncs the file system before an image counts as there. What a power cut leaves of a
    blob before that is noticed, for it is short, and for whoever reads a blob verifies it.
    `progress` is told how many bytes were written, a negative number where they have to be fetched again.
    Raises RegistryError where the blob cannot be had or is not what it should be, HostError where the file
    cannot be written.
    """
    with _new_file(path) as file:
        partial = Partial(file, digest, size, progress)
        try:
            _fetch(repository, partial)
        except WrongContent:
            # A byte may have been hurt on the way; if it was wrong from the start, it will be again.
            partial.restart()
            _fetch(repository, partial)


class Partial:
    """A blob that is partly written."""

    def __init__(self, file: BinaryIO, digest: str, size: int, progress: Progress) -> None:
        """Begin with nothing written."""
        self.digest = digest
        self.size = size
        self.written = 0
        self._file = file
        self._progress = progress
        self._hash = hashlib.new(digest.partition(":")[0])

    def add(self, chunk: bytes) -> None:
        """Write what comes next. Raises WrongContent, with nothing written, where that is too much."""
        if self.written + len(chunk) > self.size:
            raise WrongContent(
                f"the blob {self.digest} is longer than the {self.size} bytes that its manifest states"
            )
        self._file.write(chunk)
        self._hash.update(chunk)
        self.written += len(chunk)
        self._progress(len(chunk))

    def restart(self) -> None:
        """Throw away what is written."""
        self._progress(-self.written)
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.new(self.digest.partition(":")[0])
        self.written = 0

    def check(self) -> None:
        """Raise WrongContent where the whole blob is not the right one."""
        found = f"{self._hash.name}:{self._hash.hexdigest()}"
        if found != self.digest:
            raise WrongContent(
                f"the blob {self.digest} has the digest {found}: what the registry gives is not to be trusted"
            )


def _fetch(repository: Repository, partial: Partial) -> None:
    """Write the blob's bytes, over as many connections as it takes, and check them."""
    tries = repository.tries()
    worth = min(partial.size // WORTH_PART, WORTH_BYTES)
    reached = 0
    while True:
        fault = PassingFault(
            f"the blob {partial.digest} ends before its {partial.size} bytes: push the image again"
        )
        try:
            with repository.open_blob(partial.digest, partial.written, size=partial.size) as blob:
                if blob.offset != partial.written:
                    partial.restart()
                for chunk in blob.chunks:
                    partial.add(chunk)
        except PassingFault as broken:
            fault = broken
        if partial.written == partial.size:
            partial.check()
            return
        # What comes too slowly is no reason for more patience.
        if partial.written > reached + worth and not isinstance(fault, SlowServer):
            reached = partial.written
            tries.renew()
        tries.failed(fault)


@contextmanager
def _new_file(path: str) -> Iterator[BinaryIO]:
    """Write a new file that has its name only once it is whole. Raises HostError where the disk fails."""
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        with files.whole(path) as file:
            yield file
    except OSError as error:
        raise HostError(
            f"cannot write {path}: {error.strerror}; make room or choose another {option('--root')}"
        ) from None
