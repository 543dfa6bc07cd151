"""The headers of a tar that a stranger made, read one after the other with bounds; never the content between them."""

from collections.abc import Callable, Iterator

from tweed_shim.lean.typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile

MOST_MEMBERS = 100_000
LARGEST_HEADER = 1 << 20

# What gives `count` bytes from `position` on, or fewer where the archive ends: read(count, position).
Read = Callable[[int, int], bytes]


class _File:
    """What of a file object `tarfile` needs to read headers, and no way to have more than that in memory."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < 0:
            raise ValueError("a member before its beginning")
        self._position = position

    def read(self, count: int) -> bytes:
        if not 0 <= count <= LARGEST_HEADER:
            raise ValueError("a header of impossible size")
        data = self._read(count, self._position)
        self._position += len(data)
        return data


def headers(read: Read, at_end: Callable[[int], None] = lambda _: None) -> "Iterator[tarfile.TarInfo]":
    """The headers of a tar, in order.

    at_end: called after the last one with the position behind it, where two blocks of zeros have to be.
    Raises ValueError for what is no tar, and whatever else `tarfile` raises for one that is damaged.
    """
    import tarfile

    try:
        # The stubs ask for a whole IO object; reading headers takes these three methods.
        with tarfile.open(fileobj=_File(read), mode="r:") as tar:  # type: ignore[call-overload]
            before = -1
            while (member := tar.next()) is not None:
                # A size below zero would lead back to a header that was read before, for ever.
                if member.offset <= before or member.size < 0 or len(tar.members) > MOST_MEMBERS:
                    raise ValueError("it has more members than an archive has")
                before = member.offset
                yield member
            at_end(tar.offset)
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error
