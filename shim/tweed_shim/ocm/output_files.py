"""Files that a caller names to be written: replaced whole, with an error that names the path."""

from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.errors import HostError


@contextmanager
def explained_faults(path: str) -> Iterator[None]:
    """Turn an OSError within a block into a HostError that names the path."""
    try:
        yield
    except OSError as error:
        raise HostError(
            f"{path} cannot be written ({error.strerror or error}); make room, or name another path"
        ) from None
