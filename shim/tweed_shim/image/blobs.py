"""Writing blobs: whole, verified against digest and size while they are written, or not at all."""

import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tweed_shim import files
from tweed_shim.errors import ImageError
from tweed_shim.image.manifest import Descriptor
from tweed_shim.image.members import Members

Progress = Callable[[int], None]


class Job(NamedTuple):
    """A blob that is wanted, and the path of the new file that it shall become."""

    blob: Descriptor
    path: str


def digest_of(pieces: Iterable[bytes]) -> str:
    """The sha256 digest of the pieces together."""
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}"


def write(
    pieces: Iterable[bytes], path: str, digest: str, what: str, progress: Progress | None = None
) -> int:
    """Write a file whose digest is known; returns its size in bytes.

    Raises ImageError, and leaves no file, where the bytes are others. progress: called with the number of bytes of each
    piece.
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


def copy(members: Members, name: str, job: Job, progress: Progress) -> None:
    """Make a blob of the file `name`, verified. Raises ImageError where it is missing or another."""
    what = f"the blob {job.blob.digest} in {members.what}"
    try:
        with members.opened(name) as extent:
            if extent.size != job.blob.size:
                raise ImageError(
                    f"{what} is damaged: it has {extent.size} bytes instead of {job.blob.size}; "
                    "copy the image again"
                )
            write(extent.chunks(), job.path, job.blob.digest, what, progress)
    except KeyError as error:
        raise ImageError(f"{what} is missing; copy the image again") from error
