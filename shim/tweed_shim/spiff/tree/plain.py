"""Convert between nodes and the plain data that functions work on."""

from __future__ import annotations

from typing import Any

from tweed_shim.spiff.tree.nodes import Node, derived
from tweed_shim.spiff.tree.values import Value


class Entries(dict[str, Any]):
    """A map as functions see it: plain data that remembers the nodes it was made of."""

    __slots__ = ("origin",)
    origin: dict[str, Node]


class Items(list[Any]):
    """A list as functions see it: plain data that remembers the nodes it was made of."""

    __slots__ = ("origin",)
    origin: list[Node]


def plain(value: Value) -> Value:
    """Return a value without nodes, as functions see it. What is shared in it stays shared."""
    return _plain(value, {}) if isinstance(value, (dict, list)) else value


def _plain(value: Value, known: dict[int, Value]) -> Value:
    if not isinstance(value, (dict, list)):
        return value
    seen: Value = known.get(id(value))
    if seen is not None:
        return seen
    if isinstance(value, dict):
        seen = Entries({key: _plain(entry.value, known) for key, entry in value.items()})
    else:
        seen = Items([_plain(entry.value, known) for entry in value])
    seen.origin = value
    known[id(value)] = seen
    return seen


def wrapped(value: Value, source: str) -> Value:
    """Return a function's result with nodes; parts of its arguments become the nodes they came from."""
    if isinstance(value, (Entries, Items)):
        return value.origin
    if isinstance(value, dict):
        return {str(key): derived(wrapped(entry, source), source) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [derived(wrapped(entry, source), source) for entry in value]
    return value
