"""The libraries of the extra `tweed-shim[crypto]`, and what to say where they are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim import extras
from tweed_shim.spiff.values import Fault


@contextmanager
def crypto_extra(user: str) -> Iterator[None]:
    """Around the imports of a user, such as a function: raises Fault, which names the extra, where one is missing."""
    try:
        yield
    except ImportError as error:
        raise Fault(extras.missing(user, error.name or "cryptography", "crypto")) from None
