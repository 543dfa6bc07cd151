"""The values of expressions, and the exceptions for an expression that has none (yet).

Functions see plain Python data: None, bool, int (64 bits), float, str, list and dict (keys are str), and `Lambda` and
`Template` of `nodes`. They must not change lists and dicts that are arguments. A list or dict that they return as it
is, whole or as a part of the result, keeps its markers, tags and origin.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias, TypeGuard

Value: TypeAlias = Any

MAX_TEXT = 32 << 20
MAX_ENTRIES = 1_000_000
"""The most characters of a text, and the most entries of a list or map, that an expression may make."""


class Fault(Exception):
    """An expression failed; `str()` is the reason in the reference's words, without expression and path.

    `nested` are the faults that led to it; `sequence` says that each is the cause of the one before, not one of a list.
    """

    def __init__(self, reason: str, *nested: Fault, sequence: bool = False, local: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.nested = nested
        self.sequence = sequence
        self.local = local

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


class Pending(Exception):
    """What an expression needs is not resolved yet. Functions must not catch it."""


def truth(value: Value) -> bool:
    """Return whether a value counts as true. nil, false, 0 and empty values do not; 0.0 does, as in the reference."""
    return isinstance(value, float) or bool(value)


def float_text(number: float, plain: range = range(-4, 6)) -> str:
    """Return a float in its shortest form, as Go's `strconv.FormatFloat(f, 'g', -1, 64)` writes it.

    plain: the powers of ten that are written without an exponent.
    """
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    digits, exponent = f"{number:.17e}".split("e")
    for precision in range(17):
        text = f"{number:.{precision}e}"
        if float(text) == number:
            digits, exponent = text.split("e")
            break
    if int(exponent) in plain:
        return _positional(digits, int(exponent))
    return f"{digits}e{exponent}"


def _positional(digits: str, exponent: int) -> str:
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("-").replace(".", "")
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def simple_text(value: Value) -> str | None:
    """Return a string, an integer or a bool as text; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return None


def shorten(text: str) -> str:
    """Return at most 40 characters of a text for a message: its beginning and its end."""
    return text if len(text) <= 40 else f"{text[:17]} ... {text[-17:]}"


def is_integer(value: Value) -> TypeGuard[int]:
    """Return whether a value is an integer; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool)
