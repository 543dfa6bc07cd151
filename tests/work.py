"""How much work the interpreter does: its instructions, counted by function, which no other process disturbs."""

import sys
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

# What is done less often says nothing: caches, and what the garbage collector happens to end.
PACKAGE = "/tweed_shim/"
FEW = 500


def instructions(work: Callable[[], object]) -> Counter[CodeType]:
    """Call a function and return how many instructions of the package were executed, by the code that has them."""
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        if PACKAGE not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False

        def count_opcode(inner: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            if event == "opcode":
                counts[inner.f_code] += 1
            return count_opcode

        return count_opcode

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
        f"{code.co_filename}: {code.co_name}": number / max(small[code], 1)
        for code, number in large.items()
        if number >= FEW
    }
