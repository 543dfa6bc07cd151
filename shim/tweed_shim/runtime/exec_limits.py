"""The size of a program's arguments and variables: execve(2), "Limits on size of arguments and environment".

A program with more text does not start (E2BIG). The runtime finds that out after it has reported the container as
started, so the failure would look like an exit code of the program.

This module is on the path of every run.
"""

import os
from collections.abc import Iterable

from tweed_shim.base.option_values import shown
from tweed_shim.errors import ImageError

# MAX_ARG_STRLEN in the kernel's include/uapi/linux/binfmts.h: pages for one text, its final NUL included.
_PAGES = 32
# The kernel always takes this much in all (ARG_MAX), whatever the limit of the stack (bprm_stack_limits in fs/exec.c).
_ALWAYS = 128 << 10
_MOST = 6 << 20
_POINTER = 8
# For the path of the program, the first line of a script and the like, which the kernel counts too.
_RESERVED = 8 << 10


def check(args: Iterable[str], env: Iterable[str], what: str) -> None:
    """Raise ImageError where a program's arguments or variables are longer than the kernel takes.

    env: `NAME=value` texts. what: the image, for messages.
    """
    longest = _PAGES * os.sysconf("SC_PAGE_SIZE") - 1
    total = _RESERVED
    for kind, texts in (("argument", args), ("variable", env)):
        for text in texts:
            size = len(text.encode("utf-8", "surrogatepass"))
            if size > longest:
                name = text if kind == "argument" else text.partition("=")[0]
                raise ImageError(
                    f"{what} cannot be started: its {kind} {shown(name)} has {size} bytes, and the kernel takes at "
                    f"most {longest}; shorten it and build the image again"
                )
            total += size + 1 + _POINTER
    if total > _ALWAYS and total > (most := _limit()):
        raise ImageError(
            f"{what} cannot be started: its arguments and variables have {total} bytes together, and the kernel takes "
            f"at most {most} here; remove some and build the image again, or raise the limit of the stack (ulimit -s)"
        )


def _limit() -> int:
    """Return how many bytes the kernel takes in all: a quarter of the stack's soft limit."""
    import resource

    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return _MOST if stack == resource.RLIM_INFINITY else max(_ALWAYS, min(_MOST, stack // 4))
