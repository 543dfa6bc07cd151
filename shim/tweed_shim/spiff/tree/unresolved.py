"""The nodes of a tree that could not be resolved, and the report on them in the reference's words.

A line has the expression, the document, the path, the path that the expression refers to, and the reason. The reason
begins with `*` (the expression failed), `@` (it depends on others, or is part of a cycle) or `-` (it depends on a
failed one).
"""

from __future__ import annotations

from tweed_shim.base.records import Record
from tweed_shim.spiff.failures import SpiffError, UnresolvedNode
from tweed_shim.spiff.tree.nodes import Expression, Issue, Node, Path
from tweed_shim.spiff.tree.paths import joined
from tweed_shim.spiff.tree.values import Value, float_text


class UnresolvedEntry(Record):
    """A node that is not resolved: its place, and the path that its expression refers to."""

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
        """Return the node as one line of the report."""
        value = self.node.value
        shown = f"(( {value} ))" if isinstance(value, Expression) else _shown(value)
        reason = f"{gap}{self.reason}" if self.reason else ""
        return f"{shown}\tin {self.node.source}\t{joined(self.context)}\t({joined(self.path)}){reason}"


class Unresolved(Record):
    """All nodes that are not resolved, the failed ones first."""

    nodes: tuple[UnresolvedEntry, ...]

    @property
    def has_error(self) -> bool:
        """Whether there is a reason for any of them."""
        return any(entry.node.note.issue.text for entry in self.nodes)

    def issue(self, text: str) -> tuple[Issue, bool]:
        """Return all of them as one issue, and whether one depends on a failed one."""
        nested = tuple(
            [
                Issue(
                    entry.line(" "),
                    nested=entry.node.note.issue.nested,
                    sequence=entry.node.note.issue.sequence,
                )
                for entry in self.nodes
            ]
        )
        return Issue(text, nested=nested), any(entry.node.note.failed for entry in self.nodes)

    def error(self) -> SpiffError:
        """Return the error that reports them."""
        nodes = [
            UnresolvedNode(str(entry.node.value), entry.node.source, entry.context, entry.reason)
            for entry in self.nodes
        ]
        return SpiffError(str(self), tuple(nodes))

    def __str__(self) -> str:
        """Return the report."""
        text = "unresolved nodes:"
        for entry in self.nodes:
            text += "\n\t" + entry.line("\t").replace("\n", "\n\t") + _nested(entry.node.note.issue)
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
