"""The libraries of the extra `tweed-shim[crypto]`, and what to say where they are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.spiff.functions.registry import Call
from tweed_shim.spiff.values import Fault


@contextmanager
def crypto_extra(call: Call) -> Iterator[None]:
    """Around the imports of a function: raises Fault, which names the extra, where a library is missing."""
    try:
        yield
    except ImportError as error:
        raise Fault(
            f"{call.name} needs the Python library {error.name or 'cryptography'}: install tweed-shim[crypto]"
        ) from None
