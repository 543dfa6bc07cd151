"""Lists: search, compare and sort them. Some functions take maps and strings as well."""

from __future__ import annotations

from functools import cmp_to_key

from tweed_shim.spiff.functions.arguments import parse_integer
from tweed_shim.spiff.functions.encodings import to_bytes
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.equality import equal
from tweed_shim.spiff.tree.nodes import Lambda, type_name
from tweed_shim.spiff.tree.plain import wrapped
from tweed_shim.spiff.tree.values import Fault, Value, is_integer, simple_text


def same(one: Value, other: Value) -> bool:
    """Return whether two values are equal as for `==`; values that cannot be compared are not."""
    try:
        return equal(wrapped(one, ""), wrapped(other, ""))
    except Fault:
        return False


def _list(value: Value, complaint: str) -> list[Value]:
    if not isinstance(value, list):
        raise Fault(complaint)
    return value


@function("length", 1, 1)
def length(call: Call, value: Value) -> Value:
    """Return the number of entries of a list or map, or of bytes of a string."""
    if isinstance(value, str):
        return len(to_bytes(value))
    if not isinstance(value, (list, dict)):
        raise Fault("invalid type for function length")
    return len(value)


@function("element", 2, 2)
def element(call: Call, value: Value, index: Value) -> Value:
    """Return the entry of a list at an index, or of a map with a key."""
    if value is None or index is None:
        raise Fault("function element does not take nil arguments")
    if isinstance(value, list):
        return value[_index(value, index)]
    if not isinstance(value, dict):
        raise Fault("invalid type for first argument of function element")
    if not isinstance(index, str):
        raise Fault(f"map key ({simple_text(index) or type_name(index)}) must be of type string")
    if index not in value:
        raise Fault(f"map key '{index}' not found")
    return value[index]


def _index(values: list[Value], index: Value) -> int:
    number = parse_integer(index) if isinstance(index, str) else index
    if number is None:
        raise Fault(f"invalid value '{index}' of index argument for function element")
    if not is_integer(number):
        raise Fault("invalid type of index argument for function element")
    if number < 0:
        raise Fault("index lower than 0")
    if number >= len(values):
        raise Fault("index greater or equal list size")
    return int(number)


@function("compact", 1, 1)
def compact(call: Call, values: Value) -> Value:
    """Return a list without nil and empty entries."""
    kept = _list(values, "invalid type for function compact")
    return [
        value for value in kept if value is not None and (value or not isinstance(value, (str, list, dict)))
    ]


@function("uniq", 1, 1)
def uniq(call: Call, values: Value) -> Value:
    """Return a list with only the first of equal entries."""
    kept: list[Value] = []
    seen: set[str] = set()
    for value in _list(values, "invalid type for function uniq"):
        if isinstance(value, str) and value in seen:
            continue
        if not any(
            same(value, other) for other in kept if not (isinstance(value, str) and isinstance(other, str))
        ):
            kept.append(value)
            if isinstance(value, str):
                seen.add(value)
    return kept


@function("contains", 2, 2)
def contains(call: Call, value: Value, element: Value) -> Value:
    """Return whether a list has an entry, a map a key, or a string a text."""
    if isinstance(value, dict):
        return isinstance(element, str) and element in value
    return _find("contains", value, element, last=False) >= 0


@function("index", 2, 2)
def index(call: Call, value: Value, element: Value) -> Value:
    """Return the first position of an entry in a list, or of a text in a string; -1 where there is none."""
    return _find("index", value, element, last=False)


@function("lastindex", 2, 2)
def lastindex(call: Call, value: Value, element: Value) -> Value:
    """Return the last position of an entry in a list, or of a text in a string; -1 where there is none."""
    return _find("index", value, element, last=True)


def _find(name: str, value: Value, element: Value, *, last: bool) -> int:
    if isinstance(value, str):
        text = simple_text(element)
        if text is None:
            raise Fault("invalid type for check string")
        data, part = to_bytes(value), to_bytes(text)
        return data.rfind(part) if last else data.find(part)
    if not isinstance(value, list):
        raise Fault(f"list or string expected for argument one of function {name}")
    if element is None:
        return -1
    positions = range(len(value) - 1, -1, -1) if last else range(len(value))
    return next((at for at in positions if same(value[at], element)), -1)


@function("reverse", 1, 1)
def reverse(call: Call, values: Value) -> Value:
    """Return a list in reverse order."""
    return list(reversed(_list(values, "argument for reverse must be a list")))


@function("intersect")
def intersect(call: Call, *arguments: Value) -> Value:
    """Return the entries of the first list that all other lists have; nil arguments are left out."""
    result: list[Value] | None = None
    for position, argument in enumerate(arguments):
        if argument is None:
            continue
        if not isinstance(argument, list):
            raise Fault(f"intersect: argument {position}: type '{type_name(argument)}' cannot be intersected")
        if result is None:
            result = argument
        else:
            result = [entry for entry in result if any(same(entry, other) for other in argument)]
    return result or []


@function("sort", 1, 2)
def sort(call: Call, values: Value, less: Value = None) -> Value:
    """Sort strings or integers, or any list by a lambda that compares two entries; equal ones keep their order."""
    entries = _list(values, "argument for sort must be a list")
    if less is None:
        return _sorted(entries)
    if not isinstance(less, Lambda):
        raise Fault("second argument for sort must be a lambda function")

    def before(one: Value, other: Value) -> bool:
        result = call.apply(less, [one, other])
        if isinstance(result, bool):
            return result
        if not is_integer(result):
            raise Fault("sort failed: lambda must return a bool or integer")
        return bool(result < 0)

    # Python's sort asks only whether a later entry comes before an earlier one, so 0 and 1 need not be told apart.
    return sorted(entries, key=cmp_to_key(lambda one, other: -1 if before(one, other) else 0))


def _sorted(entries: list[Value]) -> list[Value]:
    if len(entries) > 1:
        strings = all(isinstance(entry, str) for entry in entries)
        if not strings and not all(is_integer(entry) for entry in entries):
            raise Fault("sort failed: list elements must either be strings or integers")
        return sorted(entries, key=to_bytes if strings else None)
    return list(entries)
