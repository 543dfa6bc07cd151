"""Find the nodes of a tree that could not be resolved."""

from __future__ import annotations

from collections.abc import Iterator

from tweed_shim.spiff.expressions.markers import Auto, Merge
from tweed_shim.spiff.syntax.parser import parse
from tweed_shim.spiff.tree.nodes import Expression, Issue, Lambda, Node, Path, Template, embedded
from tweed_shim.spiff.tree.unresolved import Unresolved, UnresolvedEntry
from tweed_shim.spiff.tree.values import Fault


def find_unresolved(root: Node) -> Unresolved | None:
    """Return what is not resolved in a tree, or None."""
    entries = sorted(
        _entries(root, ()), key=lambda item: 0 if item.node.note.error else 2 if item.node.note.failed else 1
    )
    return Unresolved(tuple(entries)) if entries else None


def _entries(root: Node, context: Path) -> Iterator[UnresolvedEntry]:
    waiting = [(root, context)]
    while waiting:
        node, context = waiting.pop()
        if node.inert():
            continue
        value = node.value
        if isinstance(value, dict):
            waiting += [(value[key], (*context, key)) for key in sorted(value, reverse=True)]
        elif isinstance(value, list):
            waiting += [(entry, (*context, f"[{number}]")) for number, entry in reversed([*enumerate(value)])]
        problem = _problem(node, context)
        if problem:
            yield problem


def _problem(node: Node, context: Path) -> UnresolvedEntry | None:
    value = node.value
    if isinstance(value, Expression):
        return UnresolvedEntry(node, context, _path(node, context))
    text = embedded(value) if isinstance(value, str) else None
    if text is not None:
        try:
            parse(text)
        except Fault as fault:
            return UnresolvedEntry(
                node.with_issue(Issue(fault.reason), error=True, failed=False), context, ()
            )
    if node.note.failed and not isinstance(value, (Lambda, Template)):
        return UnresolvedEntry(node, context, _path(node, context))
    return None


def _path(node: Node, context: Path) -> Path:
    if isinstance(node.value, (Auto, Merge)):
        return node.value.path
    origin = node.note.issue.origin
    if origin is None or origin == context:
        return ()
    if origin[: len(context)] == context:
        return ("..", *origin[len(context) :])
    return origin
