"""Bytes that can be read more than once, from memory or from a file (archive_reader.Extent), and their digest."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from tweed_shim.base.records import Record


class Content(Protocol):
    """Bytes that can be read more than once."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces, from the beginning."""
        ...


class BytesContent(Record):
    """Content in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes as one piece."""
        yield self.data


def digest_of(pieces: Iterable[bytes], algorithm: str = "sha256") -> str:
    """Return the digest of the pieces together, as `ALGORITHM:HEX` (image-spec descriptor.md)."""
    hasher = hashlib.new(algorithm)
    for piece in pieces:
        hasher.update(piece)
    return f"{algorithm}:{hasher.hexdigest()}"
