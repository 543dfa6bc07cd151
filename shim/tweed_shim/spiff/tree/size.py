"""How large a tree of nodes is."""

from __future__ import annotations

from tweed_shim.spiff.tree.nodes import Node
from tweed_shim.spiff.tree.values import Value


def measure(node: Node) -> tuple[int, int]:
    """Return how many values a node holds, and how deep they are nested. A shared value counts each time."""
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
