"""All that is used of oras: its client of registries, and its authentication with bearer tokens.

oras sends the requests and answers the challenges of a registry. What decides about trust, time and faults is the
shim's own: http/connection.py, image/token_auth.py.

`import oras.provider` also imports jsonschema, which oras needs for manifests that it reads and writes itself; the shim
has it do neither. That import takes 50 of the 180 ms in which a cold pull starts. So oras gets an empty module of that
name, which imports the real one when something in it is used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Unloaded(ModuleType):
    """A module without content; to ask it for an attribute imports the module of its name."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self.__name__), attribute)


_empty = _Unloaded("jsonschema")
sys.modules.setdefault("jsonschema", _empty)
try:
    from oras.auth.token import TokenAuth
    from oras.logger import logger
    from oras.provider import Registry
finally:
    # Imports from now on, by whatever module, give the real one.
    if sys.modules["jsonschema"] is _empty:
        del sys.modules["jsonschema"]

__all__ = ["Registry", "TokenAuth", "logger"]
