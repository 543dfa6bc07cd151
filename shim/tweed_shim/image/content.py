"""Content that can be read more than once: a part of a file (`archive_reader.Extent`), or bytes in memory."""

from collections.abc import Iterator
from typing import Protocol

from tweed_shim.base.records import Record


class Content(Protocol):
    """Bytes that can be read more than once."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes in pieces, each time from the beginning."""
        ...


class BytesContent(Record):
    """Content that is in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """See Content."""
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """See Content."""
        yield self.data
