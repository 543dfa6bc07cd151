"""Accept values by plain JSON Schemas without a SchemaWorker, whose start takes 80 ms.

Most schemas of images only say types, names and bounds. A value that fits such a schema is accepted here. All else is
left to the worker (schema_worker.py), which has the messages and the limits: a value that does not fit, and a keyword
whose check could take long, such as a regular expression or a reference.

Source: JSON Schema Validation, draft 2020-12, section 6. The keywords below mean the same in all drafts from 6 on.
"""

from collections.abc import Callable, Mapping
from typing import Any

_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
)
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip
_SCALARS = (str, int, bool, type(None))
_DEEPEST = 50


def accepts(schema: Any, value: Any, depth: int = 0) -> bool:
    """Tell whether a schema is plain and the value fits it; the time is linear in their sizes.

    False means that somebody else has to decide. A `format` is not checked.
    """
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return False
    return all(
        keyword in _CHECKS and _CHECKS[keyword](expected, value, schema, depth)
        for keyword, expected in schema.items()
    )


_Check = Callable[[Any, Any, Mapping[str, Any], int], bool]


def _annotation(_expected: Any, _value: Any, _schema: Mapping[str, Any], _depth: int) -> bool:
    return True


def _dialect(expected: Any, _value: Any, _schema: Mapping[str, Any], depth: int) -> bool:
    return depth == 0 and isinstance(expected, str) and expected.removesuffix("#") in _DIALECTS


def _type(expected: Any, value: Any, _schema: Mapping[str, Any], _depth: int) -> bool:
    names = [expected] if isinstance(expected, str) else expected
    return isinstance(names, list) and any(_is_of_type(name, value) for name in names)


def _is_of_type(name: Any, value: Any) -> bool:
    # A bool is an int in Python, and no number in JSON.
    is_number = name in ("integer", "number")
    return (
        isinstance(name, str)
        and isinstance(value, _TYPES.get(name, ()))
        and not (is_number and isinstance(value, bool))
    )


def _enum(expected: Any, value: Any, _schema: Mapping[str, Any], _depth: int) -> bool:
    return isinstance(expected, list) and any(_const(each, value, {}, 0) for each in expected)


def _const(expected: Any, value: Any, _schema: Mapping[str, Any], _depth: int) -> bool:
    # The type is compared because True == 1.
    return isinstance(value, _SCALARS) and type(expected) is type(value) and bool(expected == value)


def _required(expected: Any, value: Any, _schema: Mapping[str, Any], _depth: int) -> bool:
    return isinstance(expected, list) and (
        not isinstance(value, dict) or all(isinstance(name, str) and name in value for name in expected)
    )


def _properties(expected: Any, value: Any, _schema: Mapping[str, Any], depth: int) -> bool:
    if not isinstance(expected, dict):
        return False
    return not isinstance(value, dict) or all(
        accepts(expected[name], each, depth + 1) for name, each in value.items() if name in expected
    )


def _additional_properties(expected: Any, value: Any, schema: Mapping[str, Any], depth: int) -> bool:
    known = schema.get("properties", {})
    return not isinstance(value, dict) or all(
        accepts(expected, each, depth + 1) for name, each in value.items() if name not in known
    )


def _items(expected: Any, value: Any, _schema: Mapping[str, Any], depth: int) -> bool:
    if not isinstance(expected, dict | bool):
        return False
    return not isinstance(value, list) or all(accepts(expected, each, depth + 1) for each in value)


def _bound(
    kinds: tuple[type, ...],
    holds: Callable[[Any, Any], bool],
    size: Callable[[Any], Any] = lambda value: value,
) -> _Check:
    """Return the check of a bound, which is about values of some types only."""

    def check(expected: Any, value: Any, _schema: Mapping[str, Any], _depth: int) -> bool:
        if isinstance(expected, bool) or not isinstance(expected, int | float):
            return False
        concerns = isinstance(value, kinds) and not isinstance(value, bool)
        return not concerns or holds(size(value), expected)

    return check


def _at_least(value: Any, bound: Any) -> bool:
    return bool(value >= bound)


def _at_most(value: Any, bound: Any) -> bool:
    return bool(value <= bound)


_CHECKS: Mapping[str, _Check] = {
    **dict.fromkeys(
        (
            "title",
            "description",
            "default",
            "examples",
            "deprecated",
            "readOnly",
            "writeOnly",
            "$comment",
            "format",
        ),
        _annotation,
    ),
    "$schema": _dialect,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional_properties,
    "items": _items,
    "minimum": _bound((int, float), _at_least),
    "maximum": _bound((int, float), _at_most),
    "exclusiveMinimum": _bound((int, float), lambda value, bound: bool(value > bound)),
    "exclusiveMaximum": _bound((int, float), lambda value, bound: bool(value < bound)),
    "minLength": _bound((str,), _at_least, len),
    "maxLength": _bound((str,), _at_most, len),
    "minItems": _bound((list,), _at_least, len),
    "maxItems": _bound((list,), _at_most, len),
    "minProperties": _bound((dict,), _at_least, len),
    "maxProperties": _bound((dict,), _at_most, len),
}
