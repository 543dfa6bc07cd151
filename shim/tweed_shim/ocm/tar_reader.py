"""Tars read lazily: the headers up to the requested file, out of a plain or a compressed tar.

The archives of OCM have no links and no file twice, so neither is accepted here. `image.archive_reader.Tar`, for the
archives of `docker save`, follows links and lets a later file replace an earlier one.
"""

import os
import posixpath
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from tweed_shim.errors import ComponentError
from tweed_shim.image import compression
from tweed_shim.image.archive_reader import Extent
from tweed_shim.image.headers import headers
from tweed_shim.ocm.spool_file import write_all

# Against archive bombs: content expands to at most 4 GiB, or to 100 times its compressed size where that is more.
ALWAYS_EXPANDED = 4 << 30
MOST_EXPANSION = 100
TAR_FAULTS = (ValueError, OverflowError, EOFError, RecursionError, IndexError)


class TarSource(Protocol):
    """An open file, or the part of one that begins at `base`; its `size` may still grow."""

    fd: int
    base: int
    size: int

    def reach(self, end: int) -> bool:
        """Make the bytes before `end` available in the file; return False where the content ends before."""
        ...


class FilePart:
    """An uncompressed tar: a part of a file, as it is."""

    def __init__(self, content: Extent) -> None:
        self.fd = content.fd
        self.base = content.offset
        self.size = content.size

    def reach(self, end: int) -> bool:
        """See Source."""
        return end <= self.size


class ExpandedFile:
    """A compressed tar, which is expanded as far as it is read."""

    def __init__(self, content: Extent, format_name: str, what: str, *, spool: int) -> None:
        """Expand into `spool`, the descriptor of an empty file, which stays the caller's."""
        self.fd = spool
        self.base = 0
        self._what = what
        self.size = 0
        self._limit = max(ALWAYS_EXPANDED, MOST_EXPANSION * content.size)
        self._pieces = compression.expand(content.chunks(), format_name, what)

    def reach(self, end: int) -> bool:
        """See TarSource. Raises ComponentError where the content expands beyond the limit."""
        while self.size < end:
            piece = next(self._pieces, b"")
            if not piece:
                return False
            self.size += len(piece)
            if self.size > self._limit:
                raise ComponentError(
                    f"{self._what} expands to more than {self._limit >> 20} MiB, the limit for an archive of "
                    "its size; write it without compression"
                )
            write_all(self.fd, piece)
        return True


class LazyTar:
    """The regular files of a tar, whose headers are read on demand."""

    def __init__(self, source: TarSource, what: str) -> None:
        self.what = what
        self._extents: dict[str, Extent] = {}
        self._rest = self._read(source)

    @contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        """See Members. Raises ComponentError for a damaged tar."""
        while name not in self._extents:
            try:
                next(self._rest)
            except StopIteration:
                raise KeyError(name) from None
        yield self._extents[name]

    def first_of(self, names: Collection[str]) -> str | None:
        """Return which of some files comes first; None without any of them. Raises ComponentError for a damaged tar."""
        while not (match := next((name for name in names if name in self._extents), None)):
            if next(self._rest, self) is self:
                return None
        return match

    def names(self, prefix: str) -> list[str]:
        """Return all names with a prefix. Raises ComponentError for a damaged tar."""
        for _ in self._rest:
            pass
        return [name for name in self._extents if name.startswith(prefix)]

    def _read(self, source: TarSource) -> Iterator[None]:
        try:
            for member in headers(partial(_read_at, source), partial(_check_end, source)):
                self._note(member, source)
                yield
        except TAR_FAULTS as error:
            raise ComponentError(
                f"{self.what} is not a whole tar archive ({error}); transfer or copy it again"
            ) from error

    def _note(self, member: tarfile.TarInfo, source: TarSource) -> None:
        name = posixpath.normpath(member.name)
        if name.startswith("/") or name.split("/", 1)[0] == "..":
            raise ComponentError(
                f"{self.what} holds {member.name!r}, which leads out of the archive; do not use it, build it again"
            )
        if not member.isreg() or member.issparse():
            return
        if name in self._extents:
            raise ComponentError(f"{self.what} holds {name} twice; build it again")
        if not source.reach(member.offset_data + member.size):
            raise ValueError(f"{name} is cut short")
        self._extents[name] = Extent(source.fd, source.base + member.offset_data, member.size)


def _read_at(source: TarSource, count: int, position: int) -> bytes:
    if not source.reach(position + count):
        count = max(0, source.size - position)
    return os.pread(source.fd, count, source.base + position)


def _check_end(source: TarSource, offset: int) -> None:
    """Raise ValueError where the end mark is missing.

    `tarfile` takes both a damaged header and the end of the bytes for the end of a tar.
    """
    if not source.reach(offset + tarfile.BLOCKSIZE):
        raise ValueError("it ends before its end")
    if any(os.pread(source.fd, tarfile.BLOCKSIZE, source.base + offset)):
        raise ValueError("a header is damaged")
