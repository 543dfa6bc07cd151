"""Reads the headers of an untrusted tar within limits. The content between them is skipped."""

from collections.abc import Callable, Iterator

from tweed_shim.base.lean.typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile

MOST_MEMBERS = 100_000
LARGEST_HEADER = 1 << 20

# read(count, position) returns `count` bytes from `position` on, fewer at the end.
Read = Callable[[int, int], bytes]


class _File:
    """The file object that `tarfile` reads headers from. It refuses reads of more than one header."""

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
    """Yield the headers of a tar, in order.

    at_end: called after the last header with the position behind its content, where two blocks of zeros have to be.
    Raises ValueError for data that is not a tar, and other errors of `tarfile` for a damaged one.
    """
    import tarfile

    try:
        # The type stubs require a complete IO object; reading headers calls only these three methods.
        with tarfile.open(fileobj=_File(read), mode="r:") as tar:  # type: ignore[call-overload]
            before = -1
            while (member := tar.next()) is not None:
                # A negative size leads back to an earlier header, which would be read for ever.
                if member.offset <= before or member.size < 0 or len(tar.members) > MOST_MEMBERS:
                    raise ValueError("it has more members than an archive has")
                before = member.offset
                yield member
            at_end(tar.offset)
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error
