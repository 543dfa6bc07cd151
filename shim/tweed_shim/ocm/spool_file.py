"""Unnamed temporary files, which are gone when they are closed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.errors import HostError


@contextmanager
def unnamed_file() -> Iterator[int]:
    """Open an empty file without a name, in the directory for temporary files, for the length of a block.

    Raises HostError where the directory cannot be written.
    """
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
        f"{where} cannot be written ({error.strerror}); make room there or choose another directory with $TMPDIR"
    )


def write_all(fd: int, data: bytes) -> None:
    """Write all of the data to an unnamed file. Raises HostError where there is no room."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise _no_room(error) from None
