"""What could not be resolved, found in a tree and told as the reference tells it.

A line is the expression, the document, the path, the path that the expression speaks of, and the reason, behind one of
`*` (the expression failed), `@` (it depends on others or is part of a cycle) and `-` (it depends on a failed one).
"""

from __future__ import annotations

from collections.abc import Iterator

from tweed_shim.base.records import Record
from tweed_shim.spiff.markers import Auto, Merge
from tweed_shim.spiff.nodes import Expression, Issue, Node, Path, embedded, joined
from tweed_shim.spiff.parser import parse
from tweed_shim.spiff.values import Fault, Lambda, Template, Value, float_text


class Found(Record):
    """A node that is not resolved: where it is, and the path that it speaks of."""

    node: Node
    context: Path
    path: Path

    @property
    def reason(self) -> str:
        """Class and reason; "" where there is none."""
        note = self.node.note
        if not note.issue.text:
            return ""
        return ("*" if note.error else "-" if note.failed else "@") + note.issue.text

    def line(self, gap: str) -> str:
        """The node in one line."""
        value = self.node.value
        shown = f"(( {value} ))" if isinstance(value, Expression) else _shown(value)
        reason = f"{gap}{self.reason}" if self.reason else ""
        return f"{shown}\tin {self.node.source}\t{joined(self.context)}\t({joined(self.path)}){reason}"


class Unresolved(Record):
    """All nodes that are not resolved, the failed ones first."""

    nodes: tuple[Found, ...]

    @property
    def has_error(self) -> bool:
        """Whether there is a reason for any of them."""
        return any(found.node.note.issue.text for found in self.nodes)

    def issue(self, text: str) -> tuple[Issue, bool]:
        """All of them as one issue, and whether one depends on a failed one."""
        nested = tuple(
            [
                Issue(
                    found.line(" "),
                    nested=found.node.note.issue.nested,
                    sequence=found.node.note.issue.sequence,
                )
                for found in self.nodes
            ]
        )
        return Issue(text, nested=nested), any(found.node.note.failed for found in self.nodes)

    def __str__(self) -> str:
        """The report."""
        text = "unresolved nodes:"
        for found in self.nodes:
            text += "\n\t" + found.line("\t").replace("\n", "\n\t") + _nested(found.node.note.issue)
        return text


def _shown(value: Value) -> str:
    if isinstance(value, dict):
        return "<map>"
    if isinstance(value, list):
        return "<list>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    return "<nil>" if value is None else str(value)


def _nested(issue: Issue) -> str:
    prefix, gap = ("\n\t\t... ", "") if issue.sequence else ("\n", "\t\t\t")
    text = "".join([prefix + cause.text + _nested(cause) for cause in issue.nested])
    return text.replace("\n", f"\n{gap}")


def find_unresolved(root: Node) -> Unresolved | None:
    """What is not resolved in a tree, or None."""
    found = sorted(
        _found(root, ()), key=lambda item: 0 if item.node.note.error else 2 if item.node.note.failed else 1
    )
    return Unresolved(tuple(found)) if found else None


def _found(root: Node, context: Path) -> Iterator[Found]:
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


def _problem(node: Node, context: Path) -> Found | None:
    value = node.value
    if isinstance(value, Expression):
        return Found(node, context, _path(node, context))
    text = embedded(value) if isinstance(value, str) else None
    if text is not None:
        try:
            parse(text)
        except Fault as fault:
            return Found(node.with_issue(Issue(fault.reason), error=True, failed=False), context, ())
    if node.note.failed and not isinstance(value, (Lambda, Template)):
        return Found(node, context, _path(node, context))
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
