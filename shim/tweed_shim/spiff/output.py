"""Values written as YAML and JSON, the keys of maps in order, as the reference writes them.

Lambdas are written as the expressions that they are, templates as they were written.
"""

from __future__ import annotations

import io
import json
import math
import re
from typing import TYPE_CHECKING, Any

from tweed_shim.spiff.nodes import Expression, Node
from tweed_shim.spiff.reading import scalar
from tweed_shim.spiff.values import Fault, Lambda, Template, Value, float_text

if TYPE_CHECKING:
    import yaml

_LINE_BREAK = re.compile("[\n\x85\u2028\u2029]")


def plain_data(value: Value) -> Value:
    """A value as plain data: nodes, lambdas, templates and what is not resolved written out."""
    if isinstance(value, Node):
        value = value.value
    if isinstance(value, dict):
        return {key: plain_data(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(entry) for entry in value]
    if isinstance(value, Template):
        return plain_data(value.original)
    if isinstance(value, (Lambda, Expression)):
        return f"(( {value.expression if isinstance(value, Lambda) else value} ))"
    return value


def to_json(value: Value) -> str:
    """One line of JSON, with the escapes that Go's encoder uses. Raises Fault for a float that JSON lacks."""
    text = json.dumps(_jsonable(plain_data(value)), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class _Float(float):
    """A float that is written as Go's encoder of JSON does."""

    def __repr__(self) -> str:
        """The shortest form; no exponent between 1e-6 and 1e21."""
        return re.sub(r"e([-+])0(\d)$", r"e\1\2", float_text(float(self), plain=range(-6, 21)))


def _jsonable(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_jsonable(entry) for entry in value]
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            raise Fault(f"json: unsupported value: {float_text(value)}")
        return int(value) if value.is_integer() and abs(value) < 1e21 else _Float(value)
    return value


def to_yaml(value: Value) -> str:
    """A YAML document without its marker."""
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    stream = io.StringIO()
    emitter = dumper(stream, width=1 << 30, allow_unicode=True)
    emitter.open()
    try:
        emitter.serialize(_represented(plain_data(value)))
        emitter.close()
    finally:
        emitter.dispose()
    return stream.getvalue().removesuffix("...\n")


_TAG = "tag:yaml.org,2002:"


def _represented(value: Value) -> yaml.Node:
    import yaml

    if isinstance(value, dict):
        pairs = [(_represented(key), _represented(value[key])) for key in sorted(value)]
        return yaml.MappingNode(f"{_TAG}map", pairs, flow_style=False)
    if isinstance(value, list):
        return yaml.SequenceNode(f"{_TAG}seq", [_represented(entry) for entry in value], flow_style=False)
    if isinstance(value, str):
        return yaml.ScalarNode(f"{_TAG}str", value, style=_style(value))
    return yaml.ScalarNode(*_plain(value))


def _plain(value: Value) -> tuple[str, str]:
    if value is None:
        return f"{_TAG}null", "null"
    if isinstance(value, bool):
        return f"{_TAG}bool", "true" if value else "false"
    if isinstance(value, int):
        return f"{_TAG}int", str(value)
    text = float_text(value)
    return f"{_TAG}float", {"NaN": ".nan", "+Inf": "+.inf", "-Inf": "-.inf"}.get(text, text)


def _style(text: str) -> str | None:
    if not isinstance(scalar(text), str):
        return '"'
    return "|" if _LINE_BREAK.search(text) else None
