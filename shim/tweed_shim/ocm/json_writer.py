"""JSON as Go's encoding/json writes it, and the canonical JSON of RFC 8785: digests depend on the bytes."""

import json
from collections.abc import Callable
from typing import Any

from tweed_shim.ocm import number_format

Number = Callable[[int | float], str]

# Go escapes these, so that JSON is safe within HTML and in JavaScript before ES2019.
_HTML = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


def dump(value: Any) -> str:
    """Return JSON without blanks, with maps in their own order and escaped as Go does by default."""
    return escape_html(_text(value, number_format.json_text))


def escape_html(text: str) -> str:
    """Return the same JSON value with `<`, `>`, `&` and two line separators escaped."""
    return text.translate(_HTML)


def canonical(value: Any) -> bytes:
    """Return RFC 8785 JSON: keys in the order of their UTF-16 code units, every number as a double."""
    return as_doubles(ordered(value, _code_units)).encode()


def as_doubles(value: Any) -> str:
    """Return JSON without blanks, with maps in their own order and every number as a double.

    Raises OverflowError for a number beyond the range of a double.
    """
    return _text(value, _double)


def _double(number: int | float) -> str:
    return number_format.json_text(float(number))


def ordered(value: Any, order: Callable[[str], str | bytes] = str) -> Any:
    """Return the same value with the keys of all maps sorted by `order`."""
    if isinstance(value, dict):
        return {key: ordered(value[key], order) for key in sorted(value, key=order)}
    if isinstance(value, list):
        return [ordered(each, order) for each in value]
    return value


def _code_units(key: str) -> bytes:
    return key.encode("utf-16-be")


def _text(value: Any, number: Number) -> str:
    if isinstance(value, dict):
        entries = (f"{_quoted(key)}:{_text(part, number)}" for key, part in value.items())
        return "{" + ",".join(entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(part, number) for part in value) + "]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return _quoted(value)


def _quoted(value: str | bool | None) -> str:
    return json.dumps(value, ensure_ascii=False)
