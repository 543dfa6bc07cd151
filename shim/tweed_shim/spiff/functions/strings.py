"""Strings: split, join, trim and encode them."""

from __future__ import annotations

import base64 as coding
import binascii
from collections.abc import Callable

from tweed_shim.spiff.functions.arguments import bound, integer, parse_integer, string, texts
from tweed_shim.spiff.functions.encodings import to_bytes, to_text
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import Fault, Value, is_integer, simple_text

# The characters of a line of base64 in functions without an argument for that.
LINE = 60


@function("join", 1)
def join(call: Call, *arguments: Value) -> Value:
    """Join simple values, and lists of them, with the first argument between them; nil is left out."""
    parts: list[str] = []
    for position, argument in enumerate(arguments):
        if isinstance(argument, list):
            if position == 0:
                raise Fault("first argument for join must be a string")
            parts += texts(argument, f"elements of list(arg {position}) to join must be simple values")
        elif argument is not None:
            text = simple_text(argument)
            if text is None:
                raise Fault(f"argument {position} to join must be simple value or list")
            parts.append(text)
    if not parts:
        raise Fault("first argument for join must be a string")
    bound(call, sum(map(len, parts)) + len(parts[0]) * len(parts))
    return parts[0].join(parts[1:])


@function("split", 2, 3)
def split(call: Call, separator: Value, text: Value, limit: Value = -1) -> Value:
    """Split a string at a separator, or into pieces of `separator` characters."""
    string(call, 1, text)
    integer(call, 2, limit)
    if is_integer(separator):
        return _pieces(text, separator, limit)
    string(call, 0, separator)
    if limit == 0:
        return []
    if separator == "":
        return list(text) if limit < 0 or len(text) <= limit else [*text[: limit - 1], text[limit - 1 :]]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _pieces(text: str, width: int, limit: int) -> list[str]:
    if width <= 0:
        raise Fault("max line length argument must be positive")
    count = -(-len(text) // width)
    if limit >= 0:
        count = min(count, max(limit, 1))
    ends = [width * (at + 1) for at in range(count - 1)] + [len(text)]
    return [text[width * at : end] for at, end in enumerate(ends)] if count else []


@function("trim", 1, 2)
def trim(call: Call, text: Value, characters: Value = " \t") -> Value:
    """Remove characters from both ends of a string, or of each string of a list."""
    string(call, 1, characters)
    if isinstance(text, str):
        return text.strip(characters)
    if not isinstance(text, list):
        raise Fault("trim accepts only a string or list")
    if not all(isinstance(entry, str) for entry in text):
        raise Fault("list elements must be strings to be trimmed")
    return [entry.strip(characters) for entry in text]


@function("substr", 2, 3)
def substr(call: Call, text: Value, start: Value, end: Value = None) -> Value:
    """Return the bytes from `start` to before `end`; negative positions count from the string's end."""
    data = to_bytes(string(call, 0, text))
    first = integer(call, 1, start)
    last = len(data) if end is None else integer(call, 2, end)
    first = first + len(data) if first < 0 else first
    last = last + len(data) if last < 0 else last
    if last > len(data):
        raise Fault(f"substr effective end index ({last}) exceeds string length ({len(data)})")
    if first < 0:
        raise Fault(f"negative substr effective start index ({first})")
    if first > last:
        raise Fault(f"substr start index ({first}) after end index ({last})")
    return to_text(data[first:last])


def _each(text: str, change: Callable[[str], str]) -> str:
    # Character by character, as Go does: Python's methods make some texts longer, and treat a final sigma specially.
    if text.isascii():
        return change(text)
    changed = [(character, change(character)) for character in text]
    return "".join([new if len(new) == 1 else old for old, new in changed])


@function("lower", 1, 1)
def lower(call: Call, text: Value) -> Value:
    """Return a string in lower case."""
    return _each(string(call, 0, text), str.lower)


@function("upper", 1, 1)
def upper(call: Call, text: Value) -> Value:
    """Return a string in upper case."""
    return _each(string(call, 0, text), str.upper)


def in_base64(data: bytes, width: int = -1) -> str:
    """Encode in base64 (RFC 4648, section 4), in lines of `width` characters if it is positive."""
    text = coding.b64encode(data).decode("ascii")
    if width <= 0:
        return text
    return "\n".join([text[at : at + width] for at in range(0, len(text), width)])


def from_base64(text: str) -> bytes:
    """Decode base64; line ends in it are ignored. Raises ValueError."""
    try:
        return coding.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


@function("base64", 1, 2)
def base64(call: Call, text: Value, width: Value = -1) -> Value:
    """Encode a string in base64, in lines where a width is given."""
    string(call, 0, text)
    columns: Value = parse_integer(width) if isinstance(width, str) else width
    if not is_integer(columns):
        raise Fault("second argument for base64 must be an integer or integer string")
    return in_base64(to_bytes(text), columns)


@function("base64_decode", 1, 1)
def base64_decode(call: Call, text: Value) -> Value:
    """Decode base64 to a string."""
    try:
        return to_text(from_base64(string(call, 0, text)))
    except ValueError:
        raise Fault("cannot decode string") from None
