"""Files by exact name out of a directory, a tar or a compressed tar: what kinds of archives are read from.

Nothing is extracted. Of a tar the headers are read, as far as to the name that is asked for, and never the content
between them. A compressed one is expanded into a file without a name, as far as is needed and within bounds.
"""

import os
import posixpath
import stat
import tarfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Protocol

from tweed_shim.errors import ComponentError, HostError
from tweed_shim.image import compression
from tweed_shim.image.headers import headers
from tweed_shim.image.members import Directory, Extent, Members
from tweed_shim.ocm.content import Content

LARGEST_SMALL = 4 << 20
# What gzip makes of honest content. Whatever is smaller than the first figure is expanded in any case.
LARGEST_SURE = 4 << 30
LARGEST_RATIO = 100
TAR_FAULTS = (ValueError, OverflowError, EOFError, RecursionError, IndexError)


class Source(Protocol):
    """An open file, or the part of one that begins at `base`; its `size` may still be growing."""

    fd: int
    base: int
    size: int

    def reach(self, end: int) -> bool:
        """Have the bytes before `end` in the file; False where it ends before."""
        ...


class Part:
    """A part of a file, as it is."""

    def __init__(self, content: Extent) -> None:
        self.fd = content.fd
        self.base = content.offset
        self.size = content.size

    def reach(self, end: int) -> bool:
        """See Source."""
        return end <= self.size


class Expanded:
    """A compressed file's content, which is expanded as far as it was asked for."""

    def __init__(self, content: Extent, how: str, what: str, spool: int) -> None:
        """spool: the descriptor of an empty file, which stays the caller's."""
        self.fd = spool
        self.base = 0
        self._what = what
        self.size = 0
        self._limit = max(LARGEST_SURE, LARGEST_RATIO * content.size)
        self._pieces = compression.expand(content.chunks(), how, what)

    def reach(self, end: int) -> bool:
        """See Source. Raises ComponentError where that is more than anything honest has."""
        while self.size < end:
            piece = next(self._pieces, b"")
            if not piece:
                return False
            self.size += len(piece)
            if self.size > self._limit:
                raise ComponentError(
                    f"{self._what} expands to more than {self._limit >> 20} MiB, which is more than is read from "
                    "an archive of its size; write it without compression"
                )
            write_all(self.fd, piece)
        return True


class Tar:
    """The regular files of a tar, found as they are asked for."""

    def __init__(self, source: Source, what: str) -> None:
        self.what = what
        self._extents: dict[str, Extent] = {}
        self._rest = self._read(source)

    @contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        """See Members. Raises ComponentError for what is not a whole tar archive."""
        while name not in self._extents:
            try:
                next(self._rest)
            except StopIteration:
                raise KeyError(name) from None
        yield self._extents[name]

    def first_of(self, names: Collection[str]) -> str | None:
        """Which of some files comes first; None where there is none of them. Raises ComponentError likewise."""
        while not (found := next((name for name in names if name in self._extents), None)):
            if next(self._rest, self) is self:
                return None
        return found

    def names(self, prefix: str) -> list[str]:
        """All names that begin so. Raises ComponentError likewise."""
        for _ in self._rest:
            pass
        return [name for name in self._extents if name.startswith(prefix)]

    def _read(self, source: Source) -> Iterator[None]:
        try:
            for member in headers(partial(_read_at, source), partial(_check_end, source)):
                self._note(member, source)
                yield
        except TAR_FAULTS as error:
            raise ComponentError(
                f"{self.what} is not a whole tar archive ({error}): transfer or copy it again"
            ) from error

    def _note(self, member: tarfile.TarInfo, source: Source) -> None:
        name = posixpath.normpath(member.name)
        if name.startswith("/") or name.split("/", 1)[0] == "..":
            raise ComponentError(
                f"{self.what} holds {member.name!r}, which leads out of it: do not use it, have it made again"
            )
        if not member.isreg() or member.issparse():
            return
        if name in self._extents:
            raise ComponentError(f"{self.what} holds {name} twice: have it made again")
        if not source.reach(member.offset_data + member.size):
            raise ValueError(f"{name} is cut short")
        self._extents[name] = Extent(source.fd, source.base + member.offset_data, member.size)


def _read_at(source: Source, count: int, position: int) -> bytes:
    if not source.reach(position + count):
        count = max(0, source.size - position)
    return os.pread(source.fd, count, source.base + position)


def _check_end(source: Source, offset: int) -> None:
    """Raise ValueError where no end is: `tarfile` takes a damaged header, and where the bytes end, for one."""
    if not source.reach(offset + tarfile.BLOCKSIZE):
        raise ValueError("it ends before its end")
    if any(os.pread(source.fd, tarfile.BLOCKSIZE, source.base + offset)):
        raise ValueError("a header is damaged")


@contextmanager
def opened(path: str) -> Iterator[Members]:
    """A directory or an archive, for the length of a block. Raises ComponentError where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise ComponentError(f"{path} does not exist: check its name") from None
    except OSError as error:
        raise ComponentError(f"{path} cannot be read ({error.strerror}): check its name") from None
    try:
        about = os.fstat(fd)
        if stat.S_ISDIR(about.st_mode):
            yield Directory(path, ComponentError)
        elif stat.S_ISREG(about.st_mode):
            with opened_tar(Extent(fd, 0, about.st_size), path) as members:
                yield members
        else:
            raise ComponentError(f"{path} is neither a directory nor a file: name an archive that is")
    finally:
        os.close(fd)


@contextmanager
def opened_tar(content: Extent, what: str) -> Iterator[Tar]:
    """The tar, compressed or not, that begins at an extent of an open file."""
    how = compression.detect(content.head(compression.HEAD))
    if how == "none":
        yield Tar(Part(content), what)
        return
    with nameless() as spool:
        yield Tar(Expanded(content, how, what, spool), what)


@contextmanager
def opened_content(content: Content, what: str) -> Iterator[Tar]:
    """The tar, compressed or not, that the content is."""
    with ExitStack() as stack:
        if not isinstance(content, Extent):
            spool = stack.enter_context(nameless())
            for piece in content.chunks():
                write_all(spool, piece)
            content = Extent(spool, 0, content.size)
        yield stack.enter_context(opened_tar(content, what))


@contextmanager
def nameless() -> Iterator[int]:
    """An empty file that is gone after the block, in the directory for temporary files."""
    import tempfile

    try:
        fd, path = tempfile.mkstemp(prefix="tweed-shim-")
    except OSError as error:
        raise _no_room(error) from None
    try:
        os.unlink(path)
        yield fd
    finally:
        os.close(fd)


def _no_room(error: OSError) -> HostError:
    import tempfile

    where = tempfile.gettempdir() if error.errno is not None else "the directory for temporary files"
    return HostError(
        f"{where} cannot be written ({error.strerror}): make room there or choose another with $TMPDIR"
    )


def write_all(fd: int, data: bytes) -> None:
    """Write all of the data to a file of `nameless`. Raises HostError where there is no room."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise _no_room(error) from None


def read(members: Members, name: str) -> bytes | None:
    """A small file whole, None where there is none. Raises ComponentError where it is larger than 4 MiB."""
    with suppress(KeyError), members.opened(name) as extent:
        if extent.size > LARGEST_SMALL:
            raise ComponentError(f"{name} in {members.what} is larger than 4 MiB, which no honest one is")
        return b"".join(extent.chunks())
    return None


def names(members: Members, directory: str) -> list[str]:
    """List the files in a directory (`blobs/`), each by its whole name.

    Raises ComponentError for what is not a whole archive, or where a link leads out of it.
    """
    if isinstance(members, Tar):
        return sorted(members.names(directory))
    with suppress(FileNotFoundError), Directory(members.what, ComponentError).entered(directory) as fd:
        return sorted(directory + name for name in os.listdir(fd))
    return []


def first_of(members: Members, names: Collection[str]) -> str | None:
    """Find which of some files comes first, in a directory by their order here; None where there is none of them.

    Raises ComponentError for what is not a whole archive, or where a link leads out of it.
    """
    if isinstance(members, Tar):
        return members.first_of(names)
    for name in names:
        with suppress(KeyError), members.opened(name):
            return name
    return None
