"""Reads files by name from a directory or a tar: local images and component archives.

Nothing is extracted. A name in a tar never becomes a path of this host, a link in a tar leads to another member of the
same tar or to nothing, and a link in a directory does not lead out of it.
"""

import errno
import os
import posixpath
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tweed_shim.base import beneath
from tweed_shim.base.lean.typing import TYPE_CHECKING, Protocol
from tweed_shim.base.records import Record
from tweed_shim.errors import ImageError, ShimError
from tweed_shim.image import json_fields
from tweed_shim.image.headers import headers

if TYPE_CHECKING:
    import tarfile

MOST_LINKS = 8
CHUNK = 1024 * 1024


class Extent(Record):
    """A range of an open file: `size` bytes from `offset` on. A content.Content."""

    fd: int
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces; fewer than `size` where the file ends earlier."""
        position, end = self.offset, self.offset + self.size
        while position < end and (data := os.pread(self.fd, min(CHUNK, end - position), position)):
            position += len(data)
            yield data

    def head(self, count: int) -> bytes:
        """Return the first bytes, at most `count`."""
        return os.pread(self.fd, min(count, self.size), self.offset)


class Members(Protocol):
    """A set of files that are read by name. what: the name of the set in errors."""

    what: str

    def opened(self, name: str) -> AbstractContextManager[Extent]:
        """Open a file for the length of a with block. Raises KeyError where there is none."""


def read(members: Members, name: str) -> bytes:
    """Return the content of a small file. Raises KeyError for a missing one, ImageError for one over 4 MiB."""
    with members.opened(name) as extent:
        if extent.size > json_fields.MAX_DOCUMENT:
            raise ImageError(f"{name} in {members.what} is larger than 4 MiB, which is the most that is read")
        return b"".join(extent.chunks())


class Directory:
    """The files below an untrusted directory. base/beneath.py says which links in it are followed."""

    def __init__(self, path: str, error: type[ShimError] = ImageError, *, what: str = "") -> None:
        """error: the class to raise for a link that leads out. what: the directory in messages."""
        self._path = path
        self.what = what or path
        self._error = error

    @contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        """See Members. A pipe or a device counts as missing.

        Raises `error` where a link leads out, and OSError where the system refuses the file.
        """
        try:
            fd = beneath.open_file(self._path, name)
        # ValueError: the name holds a NUL or cannot be encoded, so no file can have it.
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise KeyError(name) from error
        except OSError as error:
            raise self._refusal(name, error) from error
        try:
            yield Extent(fd, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    @contextmanager
    def entered(self, name: str) -> Iterator[int]:
        """Open a directory below this one for the length of a with block; yield a descriptor to list or write it.

        Raises `error` where a link leads out, and OSError where it cannot be opened.
        """
        try:
            fd = beneath.open_directory(self._path, name)
        except OSError as error:
            raise self._refusal(name, error) from error
        try:
            yield fd
        finally:
            os.close(fd)

    def _refusal(self, name: str, error: OSError) -> Exception:
        if error.errno == errno.EXDEV:
            return self._error(
                f"{name} in {self.what} cannot be used: it leads out of that directory by a link; if you trust its "
                "author, copy it with cp -rL and use the copy"
            )
        if error.errno == errno.ELOOP:
            return self._error(
                f"{name} in {self.what} cannot be used: its links form a loop; create the directory again"
            )
        # The error itself names a path relative to a descriptor.
        return OSError(error.errno, error.strerror, os.path.join(self._path, name))


class TarMembers:
    """The members of a tar. fd: stays open; the caller closes it."""

    def __init__(self, fd: int, what: str) -> None:
        self.what = what
        self._extents: dict[str, Extent] = {}
        self._links: dict[str, str] = {}
        try:
            length = os.fstat(fd).st_size
            for member in headers(lambda count, position: os.pread(fd, count, position)):
                if member.isreg() and member.offset_data + member.size > length:
                    raise ValueError(f"{member.name} is cut short")
                self._note(member, fd)
        except (ValueError, OverflowError, EOFError, RecursionError) as error:
            raise ImageError(f"{what} is not a whole tar archive ({error}); save the image again") from error

    def _note(self, member: "tarfile.TarInfo", fd: int) -> None:
        """Record a member. A later member replaces an earlier one of the same name, as when tar(1) extracts."""
        name = _plain_name(member.name)
        if name is None:
            return
        self._extents.pop(name, None)
        self._links.pop(name, None)
        if member.issym():
            self._links[name] = posixpath.join(posixpath.dirname(name), member.linkname)
        elif member.islnk():
            self._links[name] = member.linkname
        elif member.isreg() and not member.issparse():
            self._extents[name] = Extent(fd, member.offset_data, member.size)

    @contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        """See Members."""
        for _ in range(MOST_LINKS):
            if name in self._extents:
                yield self._extents[name]
                return
            name = _plain_name(self._links[name]) or ""
        raise KeyError(name)


def _plain_name(name: str) -> str | None:
    """Return a member's normalized name; None where it leads out of the archive."""
    plain = posixpath.normpath(name)
    return None if plain.startswith(("/", "../")) or plain in (".", "..") else plain
