"""Files by exact name, out of a directory or out of a tar: where local images are read from.

Nothing is extracted. A name is looked up and never becomes a path of this host, a link inside of a tar leads to
another member of the same tar or nowhere, and a link inside of a directory does not lead out of it.
"""

import errno
import os
import posixpath
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tweed_shim import beneath
from tweed_shim.errors import ImageError, ShimError
from tweed_shim.image import documents
from tweed_shim.image.headers import headers
from tweed_shim.lean.typing import TYPE_CHECKING, Protocol
from tweed_shim.records import Record

if TYPE_CHECKING:
    import tarfile

MOST_LINKS = 8
CHUNK = 1024 * 1024


class Extent(Record):
    """`size` bytes of an open file, from `offset` on."""

    fd: int
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The bytes in pieces; fewer than `size` where the file ends before."""
        position, end = self.offset, self.offset + self.size
        while position < end and (data := os.pread(self.fd, min(CHUNK, end - position), position)):
            position += len(data)
            yield data

    def head(self, count: int) -> bytes:
        """The first bytes, at most `count`."""
        return os.pread(self.fd, min(count, self.size), self.offset)


class Members(Protocol):
    """A set of files that are read by name; `what` names the set in errors."""

    what: str

    def opened(self, name: str) -> AbstractContextManager[Extent]:
        """A file's content, open for the length of a block. Raises KeyError where there is none."""


def read(members: Members, name: str) -> bytes:
    """A small file whole. Raises KeyError where there is none, ImageError where it is larger than 4 MiB."""
    with members.opened(name) as extent:
        if extent.size > documents.LARGEST:
            raise ImageError(f"{name} in {members.what} is larger than 4 MiB, which no honest one is")
        return b"".join(extent.chunks())


class Directory:
    """The files below a directory that anybody may have made; see beneath for the links in it."""

    def __init__(self, path: str, error: type[ShimError] = ImageError, *, what: str = "") -> None:
        """error: the class of what is raised for a link that leads out. what: the path in messages."""
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
        # No file has a name that Python cannot give to the kernel: one with a NUL, or that is no text.
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
        """Open a directory below this one for the length of a block; yields a descriptor to list it and write into it.

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
                f"{name} in {self.what} cannot be used: it leads out of that directory by a link; if you trust who "
                "made the directory, copy it with cp -rL and use the copy"
            )
        if error.errno == errno.ELOOP:
            return self._error(
                f"{name} in {self.what} cannot be used: its links lead round in a circle; have it made again"
            )
        # Its own path is relative to a descriptor, and says less.
        return OSError(error.errno, error.strerror, os.path.join(self._path, name))


class Tar:
    """The members of a tar that is open as `fd`, which stays the caller's."""

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
        """Keep what a header says; a later member of the same name takes the place of an earlier one."""
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
    """A member's name without `./` and `..`; None where it leads out of the archive."""
    plain = posixpath.normpath(name)
    return None if plain.startswith(("/", "../")) or plain in (".", "..") else plain
