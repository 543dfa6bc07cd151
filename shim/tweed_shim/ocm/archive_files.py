"""Archives as files by exact name: a directory, a tar or a compressed tar.

Nothing is extracted. `tar_reader` reads the headers of a tar up to the requested name, and never the content between
them. It expands a compressed tar into an unnamed file, only as far as necessary and within bounds.
"""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tweed_shim.data import documents
from tweed_shim.errors import ComponentError
from tweed_shim.image import compression
from tweed_shim.image.archive_reader import Directory, Extent, Members
from tweed_shim.image.content import Content
from tweed_shim.ocm.spool_file import unnamed_file, write_all
from tweed_shim.ocm.tar_reader import ExpandedFile, FilePart, LazyTar


@contextmanager
def open_archive(path: str) -> Iterator[Members]:
    """Open a directory or an archive for the length of a block. Raises ComponentError where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise ComponentError(f"{path} does not exist; check its name") from None
    except OSError as error:
        raise ComponentError(f"{path} cannot be read ({error.strerror}); check its name") from None
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            yield Directory(path, ComponentError)
        elif stat.S_ISREG(status.st_mode):
            with open_tar(Extent(fd, 0, status.st_size), path) as members:
                yield members
        else:
            raise ComponentError(f"{path} is neither a directory nor a file; name an archive")
    finally:
        os.close(fd)


@contextmanager
def open_tar(content: Extent, what: str) -> Iterator[LazyTar]:
    """Open a tar, compressed or not, that is a part of an open file."""
    format_name = compression.detect(content.head(compression.HEAD))
    if format_name == "none":
        yield LazyTar(FilePart(content), what)
        return
    with unnamed_file() as spool:
        yield LazyTar(ExpandedFile(content, format_name, what, spool=spool), what)


@contextmanager
def open_tar_content(content: Content, what: str) -> Iterator[LazyTar]:
    """Open a tar, compressed or not, that is some content."""
    with ExitStack() as stack:
        if not isinstance(content, Extent):
            spool = stack.enter_context(unnamed_file())
            for piece in content.chunks():
                write_all(spool, piece)
            content = Extent(spool, 0, content.size)
        yield stack.enter_context(open_tar(content, what))


def read_small(members: Members, name: str) -> bytes | None:
    """Return a small file whole, None where it is missing. Raises ComponentError where it is larger than 4 MiB."""
    with suppress(KeyError), members.opened(name) as extent:
        if extent.size > documents.MAX_BYTES:
            raise ComponentError(
                f"{name} in {members.what} is larger than 4 MiB, the limit for such a file; build the archive again"
            )
        return b"".join(extent.chunks())
    return None


def list_names(members: Members, directory: str) -> list[str]:
    """List the files in a directory such as `blobs/`, each by its full name.

    Raises ComponentError for a damaged archive, or where a link leads out of it.
    """
    if isinstance(members, LazyTar):
        return sorted(members.names(directory))
    with suppress(FileNotFoundError), Directory(members.what, ComponentError).entered(directory) as fd:
        return sorted(directory + name for name in os.listdir(fd))
    return []


def first_of(members: Members, names: Collection[str]) -> str | None:
    """Return the first of some names in a tar, or in a directory the first in the order of `names`; None without any.

    Raises ComponentError for a damaged archive, or where a link leads out of it.
    """
    if isinstance(members, LazyTar):
        return members.first_of(names)
    for name in names:
        with suppress(KeyError), members.opened(name):
            return name
    return None
