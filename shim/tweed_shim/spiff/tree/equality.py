"""Two comparisons: whether values are the same, and whether the language finds them equal (`==`)."""

from __future__ import annotations

from tweed_shim.spiff.tree.nodes import Lambda, Node, Template
from tweed_shim.spiff.tree.values import Fault, Value, simple_text


def equivalent(one: Value, other: Value) -> bool:
    """Return whether two values are the same, notes aside; 1, 1.0 and true are three values."""
    if isinstance(one, Lambda) and isinstance(other, Lambda):
        return bool(one.expression == other.expression)
    if isinstance(one, Template) and isinstance(other, Template):
        return equivalent(one.original.value, other.original.value)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and _all_equivalent(
            [(entry, other[key]) for key, entry in one.items()]
        )
    if isinstance(one, list):
        return len(one) == len(other) and _all_equivalent([*zip(one, other, strict=True)])
    return bool(one == other)


def _all_equivalent(pairs: list[tuple[Node, Node]]) -> bool:
    # No generator: each level of nesting would need C stack, which `recursion.deep` cannot extend.
    for one, other in pairs:  # noqa: SIM110
        if not equivalent(one.value, other.value):
            return False
    return True


def equal(one: Value, other: Value) -> bool:
    """Return whether `==` finds two values equal; a number or bool equals its text.

    Raises Fault where nil meets another value, or a text what is no text.
    """
    return _equal(one, other, set())


def _equal(one: Value, other: Value, known: set[tuple[int, int]]) -> bool:
    """Compare as `equal` does. `known` holds the pairs of shared lists and maps that were found equal already."""
    if one is None or other is None:
        if one is None and other is None:
            return True
        raise Fault("")
    if isinstance(one, (list, dict)):
        return type(one) is type(other) and len(one) == len(other) and _parts_equal(one, other, known)
    if isinstance(one, (Lambda, Template)):
        return equivalent(one, other)
    if isinstance(one, str):
        return _text_equal(one, other)
    return _scalar_equal(one, other)


def _scalar_equal(one: Value, other: Value) -> bool:
    if isinstance(one, bool):
        return other is one if isinstance(other, bool) else isinstance(other, str) and _bool(other) is one
    if isinstance(one, int):
        if isinstance(other, str):
            return _integer(other) == one
        return isinstance(other, int) and one == other
    # The reference finds no float equal to anything.
    return False


def _text_equal(one: str, other: Value) -> bool:
    text = str(other) if isinstance(other, Lambda) else simple_text(other)
    if text is None:
        raise Fault("types uncomparable")
    return one == text


def _parts_equal(one: Value, other: Value, known: set[tuple[int, int]]) -> bool:
    if (id(one), id(other)) in known:
        return True
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return False
        pairs = [(entry.value, other[key].value) for key, entry in one.items()]
    else:
        pairs = [(mine.value, its.value) for mine, its in zip(one, other, strict=True)]
    for mine, its in pairs:
        try:
            if not _equal(mine, its, known):
                return False
        except Fault:
            return False
    known.add((id(one), id(other)))
    return True


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in "+-" else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _bool(text: str) -> bool | None:
    # The texts that Go's strconv.ParseBool reads, in any case.
    return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}.get(text.lower())
