"""The names of `typing` that the modules of a warm `exec` use, without `typing`, whose import takes as long as they do.

A type checker is shown the real ones; for the interpreter they only have to be there.
"""

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any as Any
    from typing import NoReturn as NoReturn
    from typing import Protocol as Protocol
    from typing import TypedDict as TypedDict
    from typing import TypeVar as TypeVar
    from typing import dataclass_transform as dataclass_transform
else:
    Any = NoReturn = Protocol = object
    TypedDict = dict

    def TypeVar(*_, **__):  # noqa: N802 - the name is the other one's
        """Return a stand-in for annotations."""
        return object

    def dataclass_transform(**_):
        """Return the class unchanged: only type checkers act on this decorator."""
        return lambda kind: kind
