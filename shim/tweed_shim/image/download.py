"""Downloads blobs from a registry to files, verified while they are written; resumes after a broken connection."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from tweed_shim.base import files
from tweed_shim.base.option_names import option
from tweed_shim.errors import HostError, RegistryError
from tweed_shim.http.network_faults import PassingFault, SlowServer
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.manifest import Descriptor
from tweed_shim.image.registry import Repository

WORKERS = 4
JOIN_TIMEOUT = 5.0  # seconds that an interrupted download has to end
# A connection that brought this much before it broke resets the count of failures: a hundredth of the blob, or 1 MiB.
PROGRESS_PART = 100
PROGRESS_BYTES = 1 << 20


class WrongContent(RegistryError):
    """A blob arrived complete but has another digest or size."""


def _ignore(_count: int) -> None:
    pass


def download_all(
    repository: Repository, jobs: Iterable[Job], *, workers: int = WORKERS, progress: Progress = _ignore
) -> None:
    """Download blobs in parallel. The first failure ends the others, closes the repository, and is raised.

    progress: called as by `download_blob`, from several threads.
    """
    todo, results = list(jobs), SimpleQueue[BaseException | None]()

    def work() -> None:
        with suppress(IndexError):  # the list is empty
            while True:
                job = todo.pop(0)
                try:
                    download_blob(repository, job, progress=progress)
                except BaseException as error:  # noqa: BLE001 - raised below, after the others have ended
                    results.put(error)
                    todo.clear()
                    repository.close()
                    return
        results.put(None)

    # Not a pool of concurrent.futures, which waits for ever where an interrupt comes while it shuts down.
    threads = [Thread(target=work, name="download", daemon=True) for _ in range(min(workers, len(todo)))]
    try:
        for thread in threads:
            thread.start()
        failures = [error for error in (results.get() for _ in threads) if error is not None]
    except BaseException:
        # The caller was interrupted.
        todo.clear()
        repository.close()
        for thread in threads:
            if thread.is_alive():
                thread.join(JOIN_TIMEOUT)
        raise
    if failures:
        raise failures[0]


def download_blob(repository: Repository, job: Job, *, progress: Progress = _ignore) -> None:
    """Download one blob to a new file (mode 0600), which stays only if its digest is right.

    It is not synced. Unpacking syncs the file system before the image is recorded. A blob that a power cut shortens
    before that is noticed by its size, and every reader verifies its digest.
    progress: called with the number of bytes written, and with a negative number where they are fetched again.
    Raises RegistryError where the download fails or the digest is wrong, HostError where the file cannot be written.
    """
    with _new_file(job.path) as file:
        partial = Partial(file, job.blob, progress)
        try:
            _fetch(repository, partial)
        except WrongContent:
            # The transfer may have damaged it. If the registry itself holds wrong bytes, the second attempt fails too.
            partial.restart()
            _fetch(repository, partial)


class Partial:
    """A partly written blob."""

    def __init__(self, file: BinaryIO, blob: Descriptor, progress: Progress) -> None:
        """Start with nothing written. file: empty."""
        self.digest = blob.digest
        self.size = blob.size
        self.written = 0
        self._file = file
        self._progress = progress
        self._hash = hashlib.new(self.digest.partition(":")[0])

    def add(self, chunk: bytes) -> None:
        """Append a chunk. Raises WrongContent, with nothing written, where the blob becomes too long."""
        if self.written + len(chunk) > self.size:
            raise WrongContent(
                f"the blob {self.digest} is longer than the {self.size} bytes that its manifest states; "
                "push the image again"
            )
        self._file.write(chunk)
        self._hash.update(chunk)
        self.written += len(chunk)
        self._progress(len(chunk))

    def restart(self) -> None:
        """Discard everything written so far."""
        self._progress(-self.written)
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.new(self.digest.partition(":")[0])
        self.written = 0

    def check(self) -> None:
        """Raise WrongContent where the complete blob has another digest."""
        actual = f"{self._hash.name}:{self._hash.hexdigest()}"
        if actual != self.digest:
            raise WrongContent(
                f"the blob {self.digest} has the digest {actual}: the registry or a proxy changed it; "
                "push the image again, or use another network"
            )


def _fetch(repository: Repository, partial: Partial) -> None:
    """Download the rest of a blob, over as many connections as it takes, and check its digest."""
    retries = repository.retries()
    enough = min(partial.size // PROGRESS_PART, PROGRESS_BYTES)
    reached = 0
    while True:
        fault = PassingFault(
            f"the blob {partial.digest} ends before its {partial.size} bytes; push the image again"
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
        # Progress of a server that is too slow does not reset the count.
        if partial.written > reached + enough and not isinstance(fault, SlowServer):
            reached = partial.written
            retries.renew()
        retries.failed(fault)


@contextmanager
def _new_file(path: str) -> Iterator[BinaryIO]:
    """Open a new file, which gets its name only once it is whole. Raises HostError where the disk fails."""
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        with files.whole(path) as file:
            yield file
    except OSError as error:
        raise HostError(
            f"cannot write {path}: {error.strerror}; free some space or choose another {option('--root')}"
        ) from None
