"""`ctypes` without its types: functions of the C library, and the numbers for them that are no `int`.

What it leaves out takes 0.8 ms of every start: a class for each type of C, and `struct` for those of other byte orders.
Texts are given to a function as bytes, numbers as `c_long` or `c_ulong` unless C has an `int` there. It returns an
`int`.
"""

from tweed_shim.lean.typing import TYPE_CHECKING

# All of it is what this module is for.
if TYPE_CHECKING:
    from ctypes import CDLL as CDLL
    from ctypes import c_long as c_long
    from ctypes import c_ulong as c_ulong
    from ctypes import get_errno as get_errno
else:
    try:
        from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, get_errno

        # The letters are those of the module `struct`: the type `long`, and so on.
        class c_int(_SimpleCData):  # noqa: N801 - the name is the other one's
            """`int`."""

            _type_ = "i"

        class c_long(_SimpleCData):  # noqa: N801 - likewise
            """`long`."""

            _type_ = "l"

        class c_ulong(_SimpleCData):  # noqa: N801 - likewise
            """`unsigned long`, which `size_t` is on Linux."""

            _type_ = "L"

        class _Function(CFuncPtr):
            _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
            _restype_ = c_int

        class CDLL:
            """A library; None is the program with all that it is linked with. `use_errno` is always so."""

            def __init__(self, name, *, use_errno):  # noqa: ARG002 - as above
                self._handle = dlopen(name, 0)

            def __getattr__(self, name):
                """Return one of its functions. Raises AttributeError where it has none of this name."""
                return _Function((name, self))

    except (ImportError, AttributeError):  # another interpreter, or a later one
        from ctypes import CDLL, c_long, c_ulong, get_errno  # noqa: F401 - as above
