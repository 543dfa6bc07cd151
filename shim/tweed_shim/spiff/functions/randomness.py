"""Random values from the operating system's generator."""

from __future__ import annotations

import re
import secrets
from functools import lru_cache

from tweed_shim.base import re2
from tweed_shim.spiff.functions.arguments import LARGEST
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.nodes import type_name
from tweed_shim.spiff.tree.values import Fault, Value, is_integer

_LONGEST = 1_000_000


@function("rand", 0, 2)
def rand(call: Call, kind: Value = None, length: Value = None) -> Value:
    """Return a random integer below a limit, a bool, or a string of characters of a class."""
    if isinstance(kind, str):
        return _string(kind, 1 if length is None else length)
    if length is not None:
        raise Fault(f"rand {type_name(kind)} takes only one argument")
    if isinstance(kind, bool):
        return secrets.randbelow(2) == 1
    limit = LARGEST if kind is None else kind
    if not is_integer(limit):
        raise Fault(f"rand takes an integer, a bool or a string, found {type_name(limit)}")
    if limit == 0:
        raise Fault("zero range not possible for integer random values")
    return secrets.randbelow(limit) if limit > 0 else -secrets.randbelow(-limit)


def _string(members: str, length: Value) -> str:
    if not is_integer(length):
        raise Fault(f"rand length must be an integer, found {type_name(length)}")
    if not 0 < length <= _LONGEST:
        raise Fault(f"rand length must be positive and at most {_LONGEST}, found {length}")
    characters = _characters(members)
    return "".join([secrets.choice(characters) for _ in range(length)])


@lru_cache(maxsize=16)
def _characters(members: str) -> str:
    """Return the characters of a class: ASCII and those that it names; others only where it has none of these."""
    try:
        expression = re2.compiled(f"[{members}]")
    except re2.BadPattern as fault:
        raise Fault(f'invalid rand character set specification "{members}": {fault}') from None
    named = {character for character in members if not character.isascii()}
    found = _matching(expression, [*map(chr, range(128)), *sorted(named)])
    if not found:
        found = _matching(expression, [chr(code) for code in range(128, 0xD800)])
    if not found:
        raise Fault(f'invalid rand character set specification "{members}": it has no characters')
    return found


def _matching(expression: re.Pattern[str], characters: list[str]) -> str:
    return "".join([character for character in characters if expression.fullmatch(character)])
