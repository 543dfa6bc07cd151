"""Raises Python's limit of recursion while documents are processed, which have limits of their own.

This is safe where Python functions call each other: since Python 3.11 such a call needs no C stack. Where C code calls
Python again, as for generators and `sorted`, nesting is kept shallow in other ways (`scanner.MAX_LINKS`).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.spiff.failures import Mistake

_LIMIT = 40_000

_lock = threading.Lock()
_users = 0
_usual = 0


@contextmanager
def deep(name: str) -> Iterator[None]:
    """Allow deep recursion in a block. Raises Mistake, with `name`, where the recursion is too deep even so."""
    _enter()
    try:
        yield
    except RecursionError:
        raise Mistake(f"{name}: its expressions or values are nested too deep") from None
    finally:
        _leave()


def _enter() -> None:
    """Raise the limit, which all threads share, for the first user."""
    global _users, _usual
    with _lock:
        if not _users:
            _usual = sys.getrecursionlimit()
            sys.setrecursionlimit(max(_usual, _LIMIT))
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            sys.setrecursionlimit(_usual)
