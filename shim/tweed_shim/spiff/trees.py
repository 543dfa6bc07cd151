"""Whole trees of nodes: copied, compared and measured."""

from __future__ import annotations

from tweed_shim.spiff.nodes import Lambda, Node, Template
from tweed_shim.spiff.values import Value


def copied(node: Node) -> Node:
    """The node and all below it without notes."""
    value = node.value
    if isinstance(value, dict):
        value = {key: copied(entry) for key, entry in value.items()}
    elif isinstance(value, list):
        value = [copied(entry) for entry in value]
    return Node(value, node.source)


def equivalent(one: Value, other: Value) -> bool:
    """Whether two values are the same, whatever is noted on them; 1, 1.0 and true are three values."""
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
    # No generator: it would need the interpreter's stack for every level of what is nested.
    for one, other in pairs:  # noqa: SIM110
        if not equivalent(one.value, other.value):
            return False
    return True


def measure(node: Node) -> tuple[int, int]:
    """How many values a node holds, what is shared counting wherever it is, and how deep they are nested."""
    known: dict[int, tuple[int, int]] = {}

    def measured(value: Value) -> tuple[int, int]:
        if not isinstance(value, (dict, list)):
            return 1, 0
        result = known.get(id(value))
        if result is None:
            size, deepest = 1, 0
            for entry in value.values() if isinstance(value, dict) else value:
                more, deep = measured(entry.value)
                size += more
                deepest = max(deepest, deep)
            result = known[id(value)] = size, deepest + 1
        return result

    return measured(node.value)
