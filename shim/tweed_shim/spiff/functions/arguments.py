"""Check the types of arguments, with the reference's messages."""

from __future__ import annotations

from tweed_shim.spiff.functions.registry import Call
from tweed_shim.spiff.tree.values import MAX_TEXT, Fault, Value, is_integer, simple_text

ORDINALS = ("first", "second", "third", "fourth")
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def string(call: Call, position: int, value: Value) -> str:
    """Return the argument at a position as a string. Raises Fault for another type."""
    if not isinstance(value, str):
        raise Fault(f"{ORDINALS[position]} argument for {call.name} must be a string")
    return value


def integer(call: Call, position: int, value: Value) -> int:
    """Return the argument at a position as an integer. Raises Fault for another type."""
    if not is_integer(value):
        raise Fault(f"{ORDINALS[position]} argument for {call.name} must be an integer")
    return value


def bound(call: Call, length: int) -> None:
    """Check the length of a text before it is made. Raises Fault above MAX_TEXT."""
    if length > MAX_TEXT:
        raise Fault(f"{call.name}: the result would be longer than {MAX_TEXT:,} characters")


def parse_integer(text: str, base: int = 10) -> int | None:
    """Read a 64-bit integer as Go's strconv.ParseInt does; return None where the text is none."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isalnum() or len(digits) > 64:
        return None
    try:
        number = int(text, base)
    except ValueError:
        return None
    return number if SMALLEST <= number <= LARGEST else None


def parse_bool(text: str) -> bool | None:
    """Read a bool as Go's strconv.ParseBool does; return None where the text is none."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    return False if text in ("0", "f", "F", "false", "FALSE", "False") else None


def texts(values: Value, complaint: str) -> list[str]:
    """Return the simple values of a list as strings. Raises Fault, with `complaint`, where one is not simple."""
    found = [simple_text(value) for value in values]
    if None in found:
        raise Fault(complaint)
    return [text for text in found if text is not None]
