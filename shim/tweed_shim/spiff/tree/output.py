"""Write values as YAML and JSON as the reference does, with the keys of maps in order.

A lambda is written as its expression, a template as its original.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from tweed_shim.spiff.tree.nodes import Expression, Lambda, Node, Template
from tweed_shim.spiff.tree.reading import scalar
from tweed_shim.spiff.tree.values import Fault, Value, float_text

if TYPE_CHECKING:
    import yaml

_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_DEPTH = 1_000
MAX_VALUES = 2_000_000
"""The most levels of maps and lists, and the most values, that are written."""

_LINE_BREAK = re.compile("[\n\x85\u2028\u2029]")
# YAML 1.1, "Timestamp": other readers would take such a text for a time, so it is quoted.
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?)?)?)?"
)


def plain_data(value: Value) -> Value:
    """Return a value as plain data; lambdas, templates and unresolved expressions become their texts.

    Raises Fault for what is too large or too deep.
    """
    return _Writer().plain(value, 0)


class _Writer:
    """Counts what it has written: a value that is shared in many places may become very large."""

    def __init__(self) -> None:
        self.values = 0

    def plain(self, value: Value, level: int) -> Value:
        self.values += 1
        if level > MAX_DEPTH:
            raise Fault(f"it is nested more than {MAX_DEPTH:,} levels deep")
        if self.values > MAX_VALUES:
            raise Fault(f"it holds more than {MAX_VALUES:,} values")
        if isinstance(value, Node):
            value = value.value
        if isinstance(value, dict):
            return {key: self.plain(value[key], level + 1) for key in sorted(value)}
        if isinstance(value, (list, tuple)):
            return [self.plain(entry, level + 1) for entry in value]
        if isinstance(value, Template):
            return self.plain(value.original, level)
        if isinstance(value, (Lambda, Expression)):
            return f"(( {value.expression if isinstance(value, Lambda) else value} ))"
        return value


def to_json(value: Value) -> str:
    """Return one line of JSON, with the escapes of Go's encoder. Raises Fault for a float that JSON cannot hold."""
    text = _json(plain_data(value))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _json(value: Value) -> str:
    if isinstance(value, dict):
        entries = [f"{_json(key)}:{_json(value[key])}" for key in sorted(value)]
        return f"{{{','.join(entries)}}}"
    if isinstance(value, list):
        return f"[{','.join([_json(entry) for entry in value])}]"
    if not isinstance(value, float):
        return _SURROGATE.sub(r"\\ufffd", json.dumps(value, ensure_ascii=False))
    if not math.isfinite(value):
        raise Fault(f"json: unsupported value: {float_text(value)}")
    return re.sub(r"e([-+])0(\d)$", r"e\1\2", float_text(value, plain=range(-6, 21)))


def to_yaml(value: Value) -> str:
    """Return a YAML document without its marker. Raises Fault for texts that are not valid Unicode."""
    import yaml

    # libyaml, if PyYAML was built with it: it writes the same text about ten times as fast.
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    events = [
        yaml.StreamStartEvent(),
        yaml.DocumentStartEvent(explicit=False),
        *_events(plain_data(value)),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    ]
    try:
        # All but ASCII is escaped: some characters, such as U+2028, end a line, and not every emitter escapes those.
        text: str = yaml.emit(events, Dumper=dumper, allow_unicode=False)
    except UnicodeEncodeError:
        raise Fault(
            "a text has bytes that are no UTF-8, which YAML cannot hold: write base64() of it"
        ) from None
    return text.removesuffix("...\n")


def _events(value: Value) -> list[yaml.Event]:
    events: list[yaml.Event] = []
    _add_events(events, value)
    return events


def _add_events(events: list[yaml.Event], value: Value) -> None:
    import yaml

    if isinstance(value, dict):
        events.append(yaml.MappingStartEvent(anchor=None, tag=None, implicit=True, flow_style=False))
        for key in sorted(value):
            _add_events(events, key)
            _add_events(events, value[key])
        events.append(yaml.MappingEndEvent())
    elif isinstance(value, list):
        events.append(yaml.SequenceStartEvent(anchor=None, tag=None, implicit=True, flow_style=False))
        for entry in value:
            _add_events(events, entry)
        events.append(yaml.SequenceEndEvent())
    else:
        text, style = (value, _style(value)) if isinstance(value, str) else (_plain(value), None)
        events.append(yaml.ScalarEvent(anchor=None, tag=None, implicit=(True, True), value=text, style=style))


def _plain(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = float_text(value)
    return {"NaN": ".nan", "+Inf": "+.inf", "-Inf": "-.inf"}.get(text, text)


def _style(text: str) -> str | None:
    if not isinstance(scalar(text), str) or _TIMESTAMP.fullmatch(text):
        return '"'
    return "|" if _LINE_BREAK.search(text) else None
