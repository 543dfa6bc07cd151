"""Blobs: content of any size, known by its digest, that is verified while it is read and never held in memory."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tweed_shim.errors import ComponentError
from tweed_shim.image.members import Extent, Members
from tweed_shim.ocm import archives
from tweed_shim.ocm.content import Content, Data
from tweed_shim.records import Record, replace

LARGEST_SMALL = archives.LARGEST_SMALL


class Blob(Record):
    """A blob and how to get at its bytes. `what` names it in errors; `size` is in bytes.

    `opened` gives the content for the length of a block, as it is where it is kept: not verified.
    """

    what: str
    media_type: str
    digest: str
    size: int
    opened: Callable[[], AbstractContextManager[Content]]

    def pieces(self) -> Iterator[bytes]:
        """The content in pieces. Raises ComponentError, after the last one, where it is not what its digest says."""
        algorithm = self.digest.partition(":")[0]
        found, size = hashlib.new(algorithm), 0
        with self.opened() as content:
            for piece in content.chunks():
                found.update(piece)
                size += len(piece)
                yield piece
        if size != self.size:
            raise ComponentError(
                f"{self.what} is damaged: it has {size} bytes instead of {self.size}; transfer it again"
            )
        if f"{algorithm}:{found.hexdigest()}" != self.digest:
            raise ComponentError(
                f"{self.what} is damaged: its bytes are not those of {self.digest}; transfer it again"
            )

    def read(self) -> bytes:
        """The content of a small blob whole, verified. Raises ComponentError where it is larger than 4 MiB."""
        if self.size > LARGEST_SMALL:
            raise ComponentError(f"{self.what} is larger than 4 MiB, which no honest one is")
        return b"".join(self.pieces())


def digest_of(pieces: Iterable[bytes]) -> str:
    """The sha256 digest of the pieces together."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return f"sha256:{found.hexdigest()}"


def of_bytes(data: bytes, media_type: str, what: str) -> Blob:
    """A small blob out of memory."""
    return Blob(what, media_type, digest_of([data]), len(data), lambda: _unchanged(Data(data)))


@contextmanager
def _unchanged(content: Content) -> Iterator[Content]:
    yield content


def of_member(members: Members, name: str, digest: str, media_type: str, what: str) -> Blob:
    """A blob that is a file of an archive. Raises ComponentError where it is not there."""
    try:
        with members.opened(name) as extent:
            size = extent.size
    except KeyError:
        raise ComponentError(f"{members.what} lacks {what} ({name}): transfer it again") from None
    return Blob(f"{what} in {members.what}", media_type, digest, size, lambda: members.opened(name))


class Spooled:
    """A file without a name, gone with the last who knows it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Write the pieces. Raises HostError where there is no room for them."""
        with archives.nameless() as fd:
            self._extent = Extent(os.dup(fd), 0, 0)
        found, size = hashlib.sha256(), 0
        for piece in pieces:
            archives.write_all(self._extent.fd, piece)
            found.update(piece)
            size += len(piece)
        self._extent = replace(self._extent, size=size)
        self.digest = f"sha256:{found.hexdigest()}"

    def __del__(self) -> None:
        """Let go of the file."""
        os.close(self._extent.fd)

    @contextmanager
    def opened(self) -> Iterator[Extent]:
        """Its content."""
        yield self._extent

    def blob(self, media_type: str, what: str) -> Blob:
        """It as a blob."""
        return Blob(what, media_type, self.digest, self._extent.size, self.opened)
