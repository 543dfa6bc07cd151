"""Everything that the shim uses of oras: the registry client, and the hook for token authentication.

oras sends the requests and calls its authenticator after a 401. The shim's own code decides about trust, time limits
and faults: http/connection.py, image/token_auth.py.

`import oras.provider` also imports jsonschema, to validate manifests that oras itself reads and writes; the shim uses
oras for neither. That import takes 50 of the 180 ms in which a cold pull starts. So oras gets an empty module of that
name, which imports the real one when something in it is used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Unloaded(ModuleType):
    """An empty module. The first use of an attribute imports the real module of the same name."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self.__name__), attribute)


_empty = _Unloaded("jsonschema")
sys.modules.setdefault("jsonschema", _empty)
try:
    from oras.auth.token import TokenAuth
    from oras.logger import logger
    from oras.provider import Registry
finally:
    # Later imports by any module load the real one.
    if sys.modules["jsonschema"] is _empty:
        del sys.modules["jsonschema"]

__all__ = ["Registry", "TokenAuth", "logger"]
