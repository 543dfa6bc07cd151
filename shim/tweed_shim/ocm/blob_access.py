"""Blobs: content of any size with a known digest, verified while it is read and never whole in memory."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tweed_shim.base.records import Record, replace
from tweed_shim.data import documents
from tweed_shim.errors import ComponentError
from tweed_shim.image.archive_reader import Extent, Members
from tweed_shim.image.content import BytesContent, Content, digest_of
from tweed_shim.ocm import spool_file


class Blob(Record):
    """A blob and the way to its bytes.

    what: names it in errors. size: in bytes. opened: opens the stored content for the length of a block, unverified.
    """

    what: str
    media_type: str
    digest: str
    size: int
    opened: Callable[[], AbstractContextManager[Content]]

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces. Raises ComponentError after the last piece where the digest is another one."""
        algorithm = self.digest.partition(":")[0]
        hasher, size = hashlib.new(algorithm), 0
        with self.opened() as content:
            for piece in content.chunks():
                hasher.update(piece)
                size += len(piece)
                yield piece
        if size != self.size:
            raise ComponentError(
                f"{self.what} is damaged: it has {size} bytes instead of {self.size}; transfer it again"
            )
        if f"{algorithm}:{hasher.hexdigest()}" != self.digest:
            raise ComponentError(
                f"{self.what} is damaged: its bytes are not those of {self.digest}; transfer it again"
            )

    def read(self) -> bytes:
        """Return the content of a small blob, verified. Raises ComponentError where it is larger than 4 MiB."""
        if self.size > documents.MAX_BYTES:
            raise ComponentError(
                f"{self.what} is larger than 4 MiB, the limit for such a blob; build it again"
            )
        return b"".join(self.pieces())


def from_bytes(data: bytes, media_type: str, what: str) -> Blob:
    """Return a small blob that is in memory."""
    return Blob(what, media_type, digest_of([data]), len(data), lambda: _unchanged(BytesContent(data)))


@contextmanager
def _unchanged(content: Content) -> Iterator[Content]:
    yield content


def from_member(members: Members, name: str, *, digest: str, what: str, media_type: str = "") -> Blob:
    """Return a blob that is a file of an archive. Raises ComponentError where the file is missing."""
    try:
        with members.opened(name) as extent:
            size = extent.size
    except KeyError:
        raise ComponentError(f"{members.what} lacks {what} ({name}); transfer it again") from None
    return Blob(f"{what} in {members.what}", media_type, digest, size, lambda: members.opened(name))


class SpoolFile:
    """Content in an unnamed temporary file, which is closed with the last reference to this object."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Write the pieces. Raises HostError where there is no room."""
        with spool_file.unnamed_file() as fd:
            self._extent = Extent(os.dup(fd), 0, 0)
        hasher, size = hashlib.sha256(), 0
        for piece in pieces:
            spool_file.write_all(self._extent.fd, piece)
            hasher.update(piece)
            size += len(piece)
        self._extent = replace(self._extent, size=size)
        self.digest = f"sha256:{hasher.hexdigest()}"

    def __del__(self) -> None:
        """Close the file."""
        os.close(self._extent.fd)

    @contextmanager
    def opened(self) -> Iterator[Extent]:
        """Yield the content."""
        yield self._extent

    def blob(self, media_type: str, what: str) -> Blob:
        """Return the content as a blob."""
        return Blob(what, media_type, self.digest, self._extent.size, self.opened)
