"""Writes blobs, verified against digest and size. A file exists only once it is whole."""

import hashlib
from collections.abc import Callable, Iterable

from tweed_shim.base import files
from tweed_shim.base.records import Record
from tweed_shim.errors import ImageError
from tweed_shim.image.archive_reader import Members
from tweed_shim.image.manifest import Descriptor

# Called with the number of bytes of each piece.
Progress = Callable[[int], None]


class Job(Record):
    """A blob to fetch, and the path of the new file for it."""

    blob: Descriptor
    path: str


def write(
    pieces: Iterable[bytes], path: str, digest: str, *, what: str, progress: Progress | None = None
) -> int:
    """Write a file with a known digest; return its size in bytes.

    Raises ImageError, and leaves no file, where the digest differs. what: the blob in errors.
    """
    sha256, size = hashlib.sha256(), 0
    with files.whole(path) as file:
        for piece in pieces:
            sha256.update(piece)
            size += len(piece)
            file.write(piece)
            if progress is not None:
                progress(len(piece))
        if f"sha256:{sha256.hexdigest()}" != digest:
            raise ImageError(f"{what} is damaged: its bytes are not those of {digest}; get the image again")
    return size


def copy(members: Members, name: str, job: Job, *, progress: Progress) -> None:
    """Copy the file `name` to the file of a job, verified. Raises ImageError where it is missing or differs."""
    what = f"the blob {job.blob.digest} in {members.what}"
    try:
        with members.opened(name) as extent:
            if extent.size != job.blob.size:
                raise ImageError(
                    f"{what} is damaged: it has {extent.size} bytes instead of {job.blob.size}; "
                    "copy the image again"
                )
            write(extent.chunks(), job.path, job.blob.digest, what=what, progress=progress)
    except KeyError as error:
        raise ImageError(f"{what} is missing; copy the image again") from error
