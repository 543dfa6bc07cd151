"""How much work the interpreter does: the lines that it executes, counted by function, which no other process disturbs.

Not its instructions: from Python 3.12 on, they are traced only in code that runs after the first request for them.
"""

import sys
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

# What is done less often says nothing: caches, and what the garbage collector happens to end.
PACKAGE = "/tweed_shim/"
FEW = 100


def lines(work: Callable[[], object]) -> Counter[CodeType]:
    """Call a function and return how many lines of the package were executed, by the code that has them.

    A line that is executed again, as in a loop on one line, counts again, and so does each step of a generator.
    """
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        if PACKAGE not in frame.f_code.co_filename:
            return None
        counts[frame.f_code] += 1

        def count_line(inner: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            if event == "line":
                counts[inner.f_code] += 1
            return count_line

        return count_line

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return counts


def growth(small: Counter[CodeType], large: Counter[CodeType]) -> dict[str, float]:
    """How many times as much each function did, for those that did much."""
    return {
        f"{code.co_filename}:{code.co_firstlineno} {code.co_name}": number / max(small[code], 1)
        for code, number in large.items()
        if number >= FEW
    }
