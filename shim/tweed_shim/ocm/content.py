"""Bytes that can be read more than once: a part of a file (image's Extent), or what is in memory."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Content(Protocol):
    """Bytes that can be read, more than once."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """All of them, in pieces."""
        ...


class Data(NamedTuple):
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """See Content."""
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """See Content."""
        yield self.data
