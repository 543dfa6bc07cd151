"""What the functions' arguments have in common: their types, and the texts of their complaints."""

from __future__ import annotations

from tweed_shim.spiff.functions.registry import Call
from tweed_shim.spiff.tree.values import MAX_TEXT, Fault, Value, is_integer, simple_text

ORDINALS = ("first", "second", "third", "fourth")
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def string(call: Call, position: int, value: Value) -> str:
    """The argument at that position, which has to be a string. Raises Fault."""
    if not isinstance(value, str):
        raise Fault(f"{ORDINALS[position]} argument for {call.name} must be a string")
    return value


def integer(call: Call, position: int, value: Value) -> int:
    """The argument at that position, which has to be an integer. Raises Fault."""
    if not is_integer(value):
        raise Fault(f"{ORDINALS[position]} argument for {call.name} must be an integer")
    return value


def bound(call: Call, length: int) -> None:
    """Raise Fault where a text is to be longer than any may be."""
    if length > MAX_TEXT:
        raise Fault(f"{call.name}: the result would be longer than {MAX_TEXT:,} characters")


def parse_integer(text: str, base: int = 10) -> int | None:
    """A 64-bit integer as Go's strconv.ParseInt reads it; None where it is none."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isalnum() or len(digits) > 64:
        return None
    try:
        number = int(text, base)
    except ValueError:
        return None
    return number if SMALLEST <= number <= LARGEST else None


def parse_bool(text: str) -> bool | None:
    """A bool as Go's strconv.ParseBool reads it; None where it is none."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    return False if text in ("0", "f", "F", "false", "FALSE", "False") else None


def texts(values: Value, complaint: str) -> list[str]:
    """The simple values of a list as strings. Raises Fault with the complaint where one is not simple."""
    found = [simple_text(value) for value in values]
    if None in found:
        raise Fault(complaint)
    return [text for text in found if text is not None]
