"""What is used of oras, imported without jsonschema.

oras validates with it what we never have it read or write, and to import it takes as long as all the rest. So oras
gets a stand-in, which becomes the real module for whoever uses it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        _withdraw(self)
        return getattr(import_module(self.__name__), name)


def _withdraw(stand_in: _StandIn) -> None:
    if sys.modules.get(stand_in.__name__) is stand_in:
        del sys.modules[stand_in.__name__]


@contextmanager
def _postponed(name: str) -> Iterator[None]:
    """A module that is not imported before the block, and only named within it, is imported when it is used."""
    stand_in = _StandIn(name)
    sys.modules.setdefault(name, stand_in)
    try:
        yield
    finally:
        _withdraw(stand_in)


with _postponed("jsonschema"):
    from oras.auth.token import TokenAuth
    from oras.logger import logger
    from oras.provider import Registry

__all__ = ["Registry", "TokenAuth", "logger"]
