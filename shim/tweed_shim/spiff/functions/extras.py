"""Import the libraries of the extra `tweed-shim[crypto]`, with a clear fault where they are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base import extras
from tweed_shim.spiff.tree.values import Fault


@contextmanager
def crypto_extra(user: str) -> Iterator[None]:
    """Turn a failed import into a Fault that names the extra. `user` is the function that needs the import."""
    try:
        yield
    except ImportError as error:
        raise Fault(extras.missing(user, error.name or "cryptography", "crypto")) from None
